// twilio-node's validateRequest and validateBody, which it calls for a body with a hash, asked by tests/it/official: one JSON line in, one out.
//
// A form is taken apart as Express does it (`urlencoded({ extended: false })`). Found by NODE_PATH, which only `require` looks at.

import { createRequire } from 'node:module';
import { parse } from 'node:querystring';
import { createInterface } from 'node:readline';

const require = createRequire(import.meta.url);
const twilio = require('twilio/lib/webhooks/webhooks.js');

function answer({ token, url, kind, body, signature, settings }) {
  const algorithm = twilio.getSignatureAlgorithm(settings);
  const params = kind === 'form' ? parse(body, '&', '=', { maxKeys: 0 }) : {};
  try {
    const accepts = kind === 'json'
      ? twilio.validateRequest(token, signature, url, {}, algorithm)
        && twilio.validateBody(body, new URL(url).searchParams.get('bodySHA256') || '')
      : twilio.validateRequest(token, signature, url, params, algorithm);
    return { accepts, signs: twilio.getExpectedTwilioSignature(token, url, params, algorithm) };
  } catch (error) {
    return { accepts: false, raised: error.name };
  }
}

// A probe for whether all of it is there.
console.log(JSON.stringify({ ready: true }));
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(answer(JSON.parse(line))));
}
