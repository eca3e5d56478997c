// Supabase Auth's Custom Access Token hook: once a code was entered, it tells Heardback so, and changes nothing.
import { Webhook } from "npm:standardwebhooks@1.1.1";
import { env, tellLater } from "../_shared/heardback.ts";

type Event = { user_id: string; authentication_method: string; claims: { phone?: string } };

const hook = new Webhook(env("CUSTOM_ACCESS_TOKEN_HOOK_SECRET").replace("v1,whsec_", ""));

Deno.serve(async (request) => {
  let event: Event;
  try {
    event = hook.verify(await request.text(), Object.fromEntries(request.headers)) as Event;
  } catch {
    return Response.json({ error: { http_code: 401, message: "not signed by Supabase" } }, { status: 401 });
  }
  // A token that is merely refreshed proves nothing. A code that came by mail looks like one that came by text
  // message: leave this hook out where people have both.
  if (event.authentication_method === "otp" && event.claims.phone) {
    const occurred = new Date().toISOString();
    tellLater("/app/events", { Reference: event.user_id, Type: "code_entered", OccurredAt: occurred });
  }
  return Response.json({ claims: event.claims });
});
