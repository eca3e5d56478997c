// Supabase Auth's Send SMS hook: sends the code with Twilio and registers the message with Heardback.
import { Webhook } from "npm:standardwebhooks@1.1.1";
import { env, reportLater } from "../_shared/heardback.ts";

type Event = { user: { id: string; phone: string }; sms: { otp: string } };

const hook = new Webhook(env("SEND_SMS_HOOK_SECRET").replace("v1,whsec_", ""));
const twilio = env("HEARDBACK_UPSTREAM_URL") || "https://api.twilio.com"; // or the demo's stand-in
const account = env("TWILIO_ACCOUNT_SID");
const from = env("TWILIO_FROM");

const failed = (http_code: number, message: string) =>
  Response.json({ error: { http_code, message } }, { status: http_code });

Deno.serve(async (request) => {
  let event: Event;
  try {
    event = hook.verify(await request.text(), Object.fromEntries(request.headers)) as Event;
  } catch {
    return failed(401, "not signed by Supabase");
  }
  const to = "+" + event.user.phone.replace("+", ""); // Supabase stores it without the plus
  const answer = await fetch(`${twilio}/2010-04-01/Accounts/${account}/Messages.json`, {
    method: "POST",
    headers: { Authorization: "Basic " + btoa(`${account}:${env("TWILIO_AUTH_TOKEN")}`) },
    body: new URLSearchParams({ To: to, From: from, Body: `Your code is ${event.sms.otp}.`, ProvideFeedback: "true" }),
    signal: AbortSignal.timeout(4000),
  });
  if (!answer.ok) return failed(502, `Twilio answered ${answer.status}`);
  const { sid } = await answer.json();
  const created = new Date().toISOString();
  // The user's id, because neither hook knows an id of the login. This needs HEARDBACK_RESEND=newest.
  reportLater("/app/messages", { MessageSid: sid, To: to, From: from, Reference: event.user.id, CreatedAt: created });
  return Response.json({});
});
