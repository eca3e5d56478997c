// Supabase Auth's Custom Access Token hook: reports an entered code to Heardback, and leaves the token unchanged.
import { Webhook } from "npm:standardwebhooks@1.1.1";
import { env, reportLater } from "../_shared/heardback.ts";

type Event = { user_id: string; authentication_method: string; claims: { phone?: string } };

const hook = new Webhook(env("CUSTOM_ACCESS_TOKEN_HOOK_SECRET").replace("v1,whsec_", ""));

Deno.serve(async (request) => {
  let event: Event;
  try {
    event = hook.verify(await request.text(), Object.fromEntries(request.headers)) as Event;
  } catch {
    return Response.json({ error: { http_code: 401, message: "not signed by Supabase" } }, { status: 401 });
  }
  // A refreshed token proves nothing. A code by e-mail cannot be distinguished from a code by text message:
  // leave this hook out if your users get both.
  if (event.authentication_method === "otp" && event.claims.phone) {
    reportLater({ Reference: event.user_id, Type: "code_entered", OccurredAt: new Date().toISOString() });
  }
  return Response.json({ claims: event.claims });
});
