// twilio-node's validateRequest, and its validateBody for a body with a hash, for tests/it/official: one JSON line in, one out.
//
// Forms are parsed as Express parses them (`urlencoded({ extended: false })`). `require` is needed because only it reads NODE_PATH.

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

// Reports that every import succeeded.
console.log(JSON.stringify({ ready: true }));
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(answer(JSON.parse(line))));
}
