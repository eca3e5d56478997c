//! Requests of every kind that the public listener accepts, each with all private values that it
//! can have; and the same requests with every kind of fault.

use heardback::recording::Recording;
use serde_json::{Value, json};

use crate::harness::{ACCOUNT, SENDER, form, get, json as json_post, post, sid};
use crate::privacy::canaries::{
    AGENT, API_SECRET, CITY, CLICK_SECRET, CODE, HEADER, MEDIA, NAME, PATH, PEOPLE, PHONE_KEY,
    QUERY, TEXT, TOKEN, USER_ID, ZIP,
};

/// Created long enough ago that a 404 refuses it for good.
const CREATED: &str = "2026-01-01T00:00:00Z";

/// The fields that Twilio sends with every message and call, needed or not.
fn personal<'a>(person: &'a str, kind: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut all = vec![("Body", TEXT), ("ProfileName", NAME), ("WaId", person.trim_matches('+'))];
    all.extend([("FromCity", CITY), ("FromZip", ZIP), ("CallerName", NAME), ("CallerCity", CITY)]);
    all.extend([("CallerZip", ZIP), ("Caller", person), ("MediaUrl0", MEDIA), ("Label", TEXT)]);
    all.extend([("ButtonText", TEXT), ("Address", CITY), ("ErrorMessage", TEXT), (QUERY, CODE)]);
    all.extend([("AccountSid", ACCOUNT), ("ApiVersion", kind)]);
    all
}

fn with<'a>(person: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = personal(person, "2010-04-01");
    all.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    all.extend_from_slice(more);
    all
}

/// All of Twilio's requests, about message `number` and the next few.
pub(super) fn from_twilio(number: u32, person: &str) -> Vec<Recording> {
    let (own, inbound, call) = (sid(number), sid(number + 0x1000), format!("CA{number:032x}"));
    let seen = format!("/twilio/status?feedback=1&reference=order-{number}");
    let whatsapp = format!("whatsapp:{person}");
    let to = [("To", person), ("From", SENDER)];
    let from = [("From", person), ("To", SENDER)];
    let status = |target: &str, word: &str| {
        let more = [&to[..], &[("MessageSid", &own), ("MessageStatus", word)]].concat();
        form(target, &with(person, &more))
    };
    let reply = |more: &[(&str, &str)]| {
        let more = [&from[..], &[("MessageSid", &inbound)], more].concat();
        let given = |name: &str| more.iter().rev().find(|(known, _)| *known == name).copied();
        let more: Vec<_> =
            more.iter().filter(|pair| given(pair.0) == Some(**pair)).copied().collect();
        form("/twilio/message", &with(person, &more))
    };
    let called = |word: &str, direction: &str| {
        let (from, to) = if direction == "inbound" { (person, SENDER) } else { (SENDER, person) };
        let more = [("CallSid", call.as_str()), ("CallStatus", word), ("Direction", direction)];
        let more = [&more[..], &[("From", from), ("To", to), ("CallDuration", "42")]].concat();
        form("/twilio/call", &with(person, &more))
    };
    let mut all = vec![
        status(&seen, "sent"),
        status("/twilio/status", "delivered"),
        status("/twilio/status", "failed"),
        reply(&[]),
        reply(&[("Body", "STOP"), ("OptOutType", "STOP")]),
        reply(&[("Body", CODE), ("MessageSid", &sid(number + 0x2000))]),
        reply(&[
            ("From", &whatsapp),
            ("To", "whatsapp:+14155238886"),
            ("OriginalRepliedMessageSid", &own),
        ]),
        called("ringing", "inbound"),
        called("completed", "inbound"),
        called("completed", "outbound-api"),
    ];
    // Forms at the route for the other direction, which could mistake the person for a sender.
    let astray = |mut request: Recording, target: &str| {
        target.clone_into(&mut request.target);
        request.headers.push(("X-Astray".to_owned(), "yes".to_owned()));
        request
    };
    let received = sid(number + 0x3000);
    let received = reply(&[("MessageSid", &received), ("SmsStatus", "received")]);
    all.push(astray(received, "/twilio/status"));
    for word in ["queued", "sent", "delivered", "undelivered", "READ"] {
        all.push(astray(status("/twilio/message", word), "/twilio/message"));
    }
    // Forms with a WhatsApp user id beside the number.
    let named =
        [("ExternalUserId", USER_ID), ("ParentExternalUserId", USER_ID), ("ProfileUsername", NAME)];
    let from_id = format!("whatsapp:{USER_ID}");
    let by_id = sid(number + 0x8000);
    let more = [("From", &*from_id), ("To", "whatsapp:+14155238886"), ("MessageSid", &*by_id)];
    all.push(reply(&[&more[..], &named].concat()));
    let more = [("To", &*whatsapp), ("From", "whatsapp:+14155238886"), ("MessageSid", &*by_id)];
    let more = [&more[..], &named, &[("MessageStatus", "sent")]].concat();
    all.push(form("/twilio/status", &with(person, &more)));
    let query = String::from_utf8(all[3].body.clone()).expect("a form");
    all.push(get(&format!("/twilio/message?{query}")));
    for path in ["/twilio/click", &format!("/twilio/click/{CLICK_SECRET}")] {
        all.push(json_post(path, &clicked(&own, person)));
    }
    all.push(json_post("/twilio/events", &events(number, person)));
    all
}

fn clicked(sid: &str, person: &str) -> Value {
    json!({
        "event_type": "click", "sms_sid": sid, "to": person, "from": SENDER, "link": MEDIA,
        "account_sid": ACCOUNT, "user_agent": AGENT, "click_time": CREATED,
    })
}

fn events(number: u32, person: &str) -> Value {
    let event = |kind: &str, data: Value| {
        json!({
            "specversion": "1.0", "type": format!("com.twilio.{kind}"), "source": person,
            "id": format!("EZ{number}{kind}"), "time": CREATED, "data": data, QUERY: TEXT,
        })
    };
    let about = |more: Value| {
        let mut all = json!({
            "accountSid": ACCOUNT, "messageSid": sid(number), "to": person, "from": SENDER,
            "body": TEXT, "profileName": NAME, "errorMessage": TEXT, "messageStatus": "delivered",
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            all[name] = value.clone();
        }
        all
    };
    let replied = json!({
        "messageSid": sid(number + 0x4000), "from": person, "to": SENDER, "timestamp": CREATED,
    });
    let call = json!({ "request": { "parameters": {
        "CallSid": format!("CA{:032x}", number + 0x4000), "AccountSid": ACCOUNT, "From": person,
        "To": SENDER, "Direction": "inbound", "CallStatus": "ringing", "CallerName": NAME,
    } }, "timestamp": CREATED });
    json!([
        event("messaging.message.delivered", about(json!({}))),
        event("messaging.inbound-message.received", about(replied)),
        event("messaging.inbound-message.received", about(json!({ "messageSid": TEXT }))),
        event("messaging.message.sent", about(json!({ "messageSid": person, "to": TEXT }))),
        event("daptbt.link-shortening.link-clicked", clicked(&sid(number), person)),
        event("voice.status-callback.call.initiated", call),
        event("something.new", json!({ "who": person, "what": TEXT })),
    ])
}

/// All of the app's requests, about the same messages.
pub(super) fn from_app(number: u32, person: &str) -> Vec<Recording> {
    let own = sid(number + 0x100);
    let event = |fields: &[(&str, &str)]| form("/app/events", fields);
    let mut all = vec![
        form(
            "/app/messages",
            &[
                ("MessageSid", &own),
                ("To", person),
                ("From", SENDER),
                ("Reference", "order-7"),
                ("CreatedAt", CREATED),
                ("Body", TEXT),
                ("ProfileName", NAME),
                (QUERY, CODE),
            ],
        ),
        json_post(
            "/app/messages",
            &json!({
                "sid": sid(number + 0x200), "account_sid": ACCOUNT, "to": person, "from": SENDER,
                "body": TEXT, "error_message": TEXT, "status": "queued", "uri": PATH, "date_created": null,
            }),
        ),
        event(&[("To", person), ("From", SENDER), ("Code", CODE), ("Body", TEXT)]),
        event(&[("Reference", "order-7"), ("Code", CODE), ("Type", "code_entered"), (QUERY, TEXT)]),
        json_post("/app/events", &json!({ "To": person, "Type": "password_used", "Name": NAME })),
        event(&[("MessageSid", &own), ("Type", "code_entered"), ("Code", CODE)]),
    ];
    // Twilio's own forms at the app's routes.
    for target in ["/app/events", "/app/messages"] {
        let inbound = sid(number + 0x280);
        let fields = [("MessageSid", &*inbound), ("From", person), ("To", SENDER)];
        let mut astray =
            form(target, &with(person, &[&fields[..], &[("SmsStatus", "received")]].concat()));
        astray.headers.push(("X-Astray".to_owned(), "yes".to_owned()));
        all.push(astray);
    }
    let passed_on = from_twilio(number + 0x300, person).into_iter().filter(|request| {
        ["/twilio/message", "/twilio/status", "/twilio/call"].contains(&request.target.as_str())
            && request.method == "POST"
    });
    all.extend(passed_on.map(|mut request| {
        request.target.insert_str(0, "/app");
        request
    }));
    all
}

/// Each validated field of a form with a private value instead.
pub(super) fn malformed(request: &Recording) -> Vec<Recording> {
    const SHAPED: [&str; 16] = [
        "MessageSid",
        "AccountSid",
        "CallSid",
        "To",
        "From",
        "MessagingServiceSid",
        "CreatedAt",
        "OccurredAt",
        "CodeHmac",
        "MessageStatus",
        "CallStatus",
        "Direction",
        "ErrorCode",
        "Timestamp",
        "OriginalRepliedMessageSid",
        "Type",
    ];
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let Ok(fields) = serde_urlencoded::from_str::<Vec<(String, String)>>(&body) else {
        return Vec::new();
    };
    let private = [PEOPLE[1], TEXT, API_SECRET, PHONE_KEY, TOKEN];
    let mut all = Vec::new();
    for (at, shaped) in SHAPED.into_iter().enumerate() {
        let mut secret = private[at % private.len()].to_owned();
        // The app chooses its own words, and a number is valid for a recipient.
        match shaped {
            "Type" => secret.insert(0, '\u{1}'),
            "To" | "From" => secret = format!("{}{TEXT}", PEOPLE[1]),
            _ => {}
        }
        let mut spoilt = fields.clone();
        spoilt.retain(|(name, _)| name != shaped);
        spoilt.push((shaped.to_owned(), secret));
        let spoilt = spoilt.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        all.push(form(&request.target, &spoilt.collect::<Vec<_>>()));
    }
    let long = TEXT.repeat(20);
    for more in [&[("Reference", long.as_str())][..], &[("Link", &long)], &[("Link", PEOPLE[1])]] {
        let known = fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let all_fields: Vec<_> = known.chain(more.iter().copied()).collect();
        all.push(form(&request.target, &all_fields));
    }
    all
}

/// The same request with faults outside its fields. The caller signs the changed bytes.
pub(super) fn spoilt(request: &Recording) -> Vec<Recording> {
    let body = |body: Vec<u8>| Recording { body, ..request.clone() };
    let media = |media: &str| post(&request.target, media, &request.body);
    let mut encoded = request.clone();
    encoded.headers.push(("Content-Encoding".to_owned(), "gzip".to_owned()));
    let half = request.body.len() / 2;
    vec![
        media("text/plain"),
        media("application/json"),
        media("application/x-www-form-urlencoded"),
        media(&format!("{QUERY}/{HEADER}")),
        encoded,
        body([&request.body[..], b"&x=%ff%fe&y=", &[0xff, 0xfe]].concat()),
        body(request.body[..half].to_vec()),
        body([&request.body[..], b"&", TEXT.repeat(2000).as_bytes()].concat()),
        Recording { target: format!("/{PATH}?{QUERY}={CODE}"), ..request.clone() },
        Recording { target: format!("{}/{PATH}", request.target), ..request.clone() },
        Recording { method: "DELETE".to_owned(), ..request.clone() },
    ]
}
