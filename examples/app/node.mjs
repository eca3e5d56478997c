// Sends a login code with Twilio's Node library and reports it to Heardback. Try it: node node.mjs +15558675310
import twilio from 'twilio';

const first = (name) => process.env[name].split(',')[0]; // these settings may be lists
const [BASE, KEY] = [first('HEARDBACK_PUBLIC_URL'), first('HEARDBACK_APP_KEYS')];
const { TWILIO_FROM, HEARDBACK_UPSTREAM_URL } = process.env;
const client = twilio(process.env.TWILIO_ACCOUNT_SID, process.env.TWILIO_AUTH_TOKEN);
if (HEARDBACK_UPSTREAM_URL) client.api.baseUrl = HEARDBACK_UPSTREAM_URL; // the demo's stand-in
const FINAL = [400, 409, 413, 415]; // a repeat would be refused again

// Make this a job of your queue: it throws after a timeout, a 503 or a 403, so that the queue runs it again.
async function report(path, fields) {
  const url = BASE + path; // the public URL, because it is signed
  const headers = { 'X-Twilio-Signature': twilio.getExpectedTwilioSignature(KEY, url, fields) };
  const body = new URLSearchParams(fields);
  const answer = await fetch(url, { method: 'POST', headers, body, signal: AbortSignal.timeout(2000) });
  if (answer.ok) return;
  if (!FINAL.includes(answer.status)) throw new Error(`${path}: ${answer.status}`);
  console.error(path, answer.status, await answer.text());
}

// Without a queue: runs in the background, and retries for an hour.
async function reportLater(path, fields) {
  for (let wait = 5; wait < 3600; wait *= 2) {
    try { return await report(path, fields); } catch (error) { console.error(error.message, `again in ${wait} s`); }
    await new Promise((resolve) => setTimeout(resolve, wait * 1000));
  }
}

const to = process.argv[2];
const text = { to, from: TWILIO_FROM, body: 'Your code is 493017.', provideFeedback: true };
const { sid } = await client.messages.create(text);
reportLater('/app/messages', { MessageSid: sid, To: to, From: TWILIO_FROM, CreatedAt: new Date().toISOString() });
// In your app: when the code was entered. Store the SID with the login.
reportLater('/app/events', { MessageSid: sid, Type: 'code_entered', OccurredAt: new Date().toISOString() });
console.log(sid);
