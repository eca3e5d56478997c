// An app as Twilio's tutorials write it: Express, and the middleware of Twilio's library before each webhook.
import { createRequire } from "node:module";

const load = createRequire(`${process.env.NODE_PATH}/`);
const express = load("express");
const twilio = load("twilio");

const app = express();
app.use(express.urlencoded({ extended: false }));

const answers = {
  "/sms": (fields, request) => {
    const seen = /count=(\d+)/.exec(request.headers.cookie ?? "");
    const count = 1 + Number(seen ? seen[1] : 0);
    const answer = new twilio.twiml.MessagingResponse();
    answer.message(`${count}: ${fields.Body}`);
    return { cookie: `count=${count}; Path=/sms; Domain=app.example.com`, answer };
  },
  "/voice": (fields) => {
    const answer = new twilio.twiml.VoiceResponse();
    answer.say(`Hello ${fields.CallSid}`);
    return { answer };
  },
  "/status": () => ({}),
};

for (const [path, handler] of Object.entries(answers)) {
  app.all(path, twilio.webhook(), (request, response) => {
    const fields = request.method === "POST" ? request.body : request.query;
    const { answer, cookie } = handler(fields, request);
    if (cookie) response.append("Set-Cookie", cookie);
    if (answer) response.type("text/xml").send(answer.toString());
    else response.status(204).end();
  });
}

const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
