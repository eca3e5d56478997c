// Reports an event to Heardback in the background, with the signature of Twilio's libraries. Retries for a minute.
export const env = (name: string) => Deno.env.get(name) ?? "";

async function sign(text: string): Promise<string> {
  const bytes = (of: string) => new TextEncoder().encode(of);
  const algorithm = { name: "HMAC", hash: "SHA-1" };
  const key = await crypto.subtle.importKey("raw", bytes(env("HEARDBACK_APP_KEYS")), algorithm, false, ["sign"]);
  const mac = await crypto.subtle.sign("HMAC", key, bytes(text));
  return btoa(String.fromCharCode(...new Uint8Array(mac)));
}

async function report(fields: Record<string, string>): Promise<void> {
  const url = env("HEARDBACK_PUBLIC_URL") + "/app/events"; // the public URL, because it is signed
  const signature = await sign(url + Object.keys(fields).sort().map((name) => name + fields[name]).join(""));
  const headers = { "X-Twilio-Signature": signature };
  const body = new URLSearchParams(fields);
  for (let wait = 5; wait < 60; wait *= 2) {
    try {
      const answer = await fetch(url, { method: "POST", headers, body, signal: AbortSignal.timeout(2000) });
      if (answer.ok) return;
      console.error(url, answer.status, await answer.text());
      if ([400, 409, 413, 414, 415].includes(answer.status)) return; // the same request would be refused again
    } catch (error) {
      console.error(url, error); // a timeout, or no connection
    }
    await new Promise((resolve) => setTimeout(resolve, wait * 1000));
  }
}

// Supabase keeps the function running for this after its response.
declare const EdgeRuntime: { waitUntil(promise: Promise<unknown>): void };
export const reportLater = (fields: Record<string, string>) => EdgeRuntime.waitUntil(report(fields));
