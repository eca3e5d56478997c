// Sends a login code through Heardback and reports that it was entered. Try it: node node.mjs +15558675310
import twilio from 'twilio';

const { HEARDBACK_PUBLIC_URL: base, HEARDBACK_APP_KEYS: key, TWILIO_FROM: from } = process.env;
const client = twilio(process.env.TWILIO_ACCOUNT_SID, process.env.TWILIO_AUTH_TOKEN);
client.api.baseUrl = base; // Heardback in place of https://api.twilio.com
const { sid } = await client.messages.create({ to: process.argv[2], from, body: 'Your code is 493017.' });
console.log(sid); // store it with the login

// A job for your queue. It throws after a timeout and after any status but a 2xx, so that the queue runs it again.
async function report(sid, enteredAt) {
  const url = `${base}/app/events`, form = { MessageSid: sid, Type: 'code_entered', OccurredAt: enteredAt };
  const headers = { 'X-Twilio-Signature': twilio.getExpectedTwilioSignature(key, url, form) };
  const request = { method: 'POST', headers, body: new URLSearchParams(form), signal: AbortSignal.timeout(2000) };
  const answer = await fetch(url, request);
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
}

// When the code was entered. Without a queue: in the background, for an hour.
const enteredAt = new Date().toISOString();
for (let wait = 5; wait < 3600; wait *= 2) {
  const error = await report(sid, enteredAt).catch((error) => error);
  if (error) console.error(error.message);
  if (!error || /^4(00|09|13|15) /.test(error.message)) break; // accepted, or refused for good
  await new Promise((resolve) => setTimeout(resolve, wait * 1000));
}
