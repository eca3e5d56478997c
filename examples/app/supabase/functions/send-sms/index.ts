// Supabase Auth's Send SMS hook: sends the code through Heardback, which registers the message.
import { Webhook } from "npm:standardwebhooks@1.1.1";
import { env } from "../_shared/heardback.ts";

type Event = { user: { id: string; phone: string }; sms: { otp: string } };

const hook = new Webhook(env("SEND_SMS_HOOK_SECRET").replace("v1,whsec_", ""));
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
  const body = new URLSearchParams({ To: to, From: from, Body: `Your code is ${event.sms.otp}.` });
  // The user's id, because neither hook knows an id of the login. This needs HEARDBACK_RESEND=newest.
  body.set("Heardback.Reference", event.user.id);
  // Heardback in place of https://api.twilio.com.
  const answer = await fetch(`${env("HEARDBACK_PUBLIC_URL")}/2010-04-01/Accounts/${account}/Messages.json`, {
    method: "POST",
    headers: { Authorization: "Basic " + btoa(`${account}:${env("TWILIO_AUTH_TOKEN")}`) },
    body,
    signal: AbortSignal.timeout(4000),
  });
  if (!answer.ok) return failed(502, `the message was not created: ${answer.status}`);
  return Response.json({});
});
