// Runs a Supabase function as its edge runtime does: `waitUntil` work is finished after the response.
Object.assign(globalThis, { EdgeRuntime: { waitUntil: (promise: Promise<unknown>) => void promise } });
await import(`file://${Deno.args[0]}`);
