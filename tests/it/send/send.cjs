// Sends one message with twilio-node: base URL, account, token, recipient, sender, text.
const twilio = require("twilio");

const [base, account, token, to, from, body] = process.argv.slice(2);
const client = twilio(account, token);
client.api.baseUrl = base;
client.messages
  .create({ to, from, body })
  .then(({ sid, status, body }) => console.log(JSON.stringify({ sid, status, body })))
  .catch(({ status, code, message }) => console.log(JSON.stringify({ status, code, message })));
