// Runs a function of Supabase's as its edge runtime does: what it promises to finish is finished after it has answered.
Object.assign(globalThis, { EdgeRuntime: { waitUntil: (promise: Promise<unknown>) => void promise } });
await import(`file://${Deno.args[0]}`);
