// A login code, sent with Twilio's Node library and told to Heardback. Try it: node node.mjs +15558675310
import twilio from 'twilio';

const { TWILIO_FROM, HEARDBACK_URL, HEARDBACK_APP_KEY } = process.env;
const client = twilio(process.env.TWILIO_ACCOUNT_SID, process.env.TWILIO_AUTH_TOKEN);
if (process.env.TWILIO_API_URL) client.api.baseUrl = process.env.TWILIO_API_URL; // the demo's stand-in

// Make this a job of your queue: it throws where it is to be run again, after a 503 or a timeout.
async function tell(path, fields) {
  const url = HEARDBACK_URL + path; // the public URL, for it is signed
  const signature = twilio.getExpectedTwilioSignature(HEARDBACK_APP_KEY, url, fields);
  const headers = { 'X-Twilio-Signature': signature };
  const body = new URLSearchParams(fields);
  const answer = await fetch(url, { method: 'POST', headers, body, signal: AbortSignal.timeout(2000) });
  if (answer.status >= 500) throw new Error(`${path}: ${answer.status}`);
  if (!answer.ok) console.error(path, answer.status, await answer.text()); // the same again would not help
}

// Without a queue: nobody waits for it, and it tries again for an hour.
async function tellLater(path, fields) {
  for (let wait = 5; wait < 3600; wait *= 2) {
    try { return await tell(path, fields); } catch (error) { console.error(error.message, `again in ${wait} s`); }
    await new Promise((resolve) => setTimeout(resolve, wait * 1000));
  }
}

const to = process.argv[2];
const text = { to, from: TWILIO_FROM, body: 'Your code is 493017.', provideFeedback: true };
const { sid } = await client.messages.create(text);
tellLater('/app/messages', { MessageSid: sid, To: to, From: TWILIO_FROM, CreatedAt: new Date().toISOString() });
// Once the code was entered, in truth; keep the SID with the login.
tellLater('/app/events', { MessageSid: sid, Type: 'code_entered', OccurredAt: new Date().toISOString() });
console.log(sid);
