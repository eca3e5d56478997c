//! The requests of the demo with their expected responses, and the expected end of each message.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepSigner {
    /// Twilio or the app, with the right key.
    Known,
    /// An attacker, with a wrong key.
    Forger,
    /// No signature: a browser that opens a link, or a Twilio client with its credential.
    Unsigned,
}

pub(super) struct Step {
    pub(super) description: &'static str,
    pub(super) recording: &'static [u8],
    pub(super) signer: StepSigner,
    /// The status, and a word of the body.
    pub(super) expected: &'static str,
}

/// One message with its expected state at the end.
pub(super) struct Ending {
    pub(super) sid: &'static str,
    pub(super) story: &'static str,
    pub(super) expected: &'static str,
}

/// The message whose first post gets a 503.
pub(super) const FAILS_ONCE: &str = "SM5f0c8e21b7d94a63a2e17c40d98b36a1";
/// The message that the fake Twilio refuses.
pub(super) const REFUSED: &str = "SM7f5679fff02eba571e7b3ec5decc1db9";

/// The message that the app sends through Heardback.
pub(super) const SENT_THROUGH: &str = "SM2b8d5f4e1c7a4096b3d2e8f105a7c9d4";
/// The reference of [`SENT_THROUGH`], by which the fake Twilio knows it.
pub(super) const SENT_REFERENCE: &str = "login-sent-through";

/// The app creates [`SENT_THROUGH`] at Heardback, as at Twilio.
const SENDS: &[u8] = b"POST /2010-04-01/Accounts/AC11111111111111111111111111111111/Messages.json HTTP/1.1\r\n\
    Authorization: Basic QUMxMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTowMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg==\r\n\
    Content-Type: application/x-www-form-urlencoded\r\n\r\n\
    To=%2B15558675399&From=%2B15017122661&Body=Your+code+is+471108&Heardback.Reference=login-sent-through\
    &Heardback.Code=471108";
const SENT_ENTERED: &[u8] = b"POST /app/events HTTP/1.1\r\n\
    Content-Type: application/x-www-form-urlencoded\r\n\r\n\
    Reference=login-sent-through&Code=471108&Type=code_entered";

/// The app registers [`FAILS_ONCE`].
pub(super) const REGISTERED: &[u8] =
    include_bytes!("../../../tests/fixtures/webhooks/app-message.http");
pub(super) const ENTERED: &[u8] =
    include_bytes!("../../../tests/fixtures/webhooks/app-event-code-entered.http");

const fn step(description: &'static str, recording: &'static [u8], expected: &'static str) -> Step {
    Step { description, recording, signer: StepSigner::Known, expected }
}

const fn unsigned(
    description: &'static str,
    recording: &'static [u8],
    expected: &'static str,
) -> Step {
    Step { description, recording, signer: StepSigner::Unsigned, expected }
}

pub(super) const STEPS: [Step; 25] = [
    step("the app sent a code and registers the message", REGISTERED, "201 pending"),
    step(
        "Twilio reports delivered, which proves nothing",
        include_bytes!("../../../tests/fixtures/webhooks/status-delivered.http"),
        "204",
    ),
    step("the code is entered in the app", ENTERED, "200 confirmed"),
    unsigned("the app sends a code through Heardback", SENDS, "201 queued"),
    step("the code is entered, with its reference", SENT_ENTERED, "200 confirmed"),
    step(
        "another message goes out",
        include_bytes!("../../../tests/fixtures/webhooks/app-message-reply.http"),
        "201 pending",
    ),
    Step {
        description: "an attacker forges a reply to it",
        recording: include_bytes!("../../../tests/fixtures/webhooks/reply-sms.http"),
        signer: StepSigner::Forger,
        expected: "403",
    },
    step(
        "its recipient replies",
        include_bytes!("../../../tests/fixtures/webhooks/reply-sms.http"),
        "200 <Response/>",
    ),
    step(
        "Twilio delivers the same reply again",
        include_bytes!("../../../tests/fixtures/webhooks/reply-sms.http"),
        "200 <Response/>",
    ),
    step(
        "an event arrives before its message",
        include_bytes!("../../../tests/fixtures/webhooks/app-event-reference.http"),
        "202 parked",
    ),
    step(
        "its message is registered, and confirmed",
        include_bytes!("../../../tests/fixtures/webhooks/app-message-late.http"),
        "201 confirmed",
    ),
    step(
        "Twilio's response is registered unchanged",
        include_bytes!("../../../tests/fixtures/webhooks/app-message-twilio-answer.http"),
        "201 pending",
    ),
    step(
        "its temporary password is used",
        include_bytes!("../../../tests/fixtures/webhooks/app-event-password-used.http"),
        "200 confirmed",
    ),
    step(
        "a status callback registers its own message",
        include_bytes!("../../../tests/fixtures/webhooks/status-feedback-reference.http"),
        "204",
    ),
    step(
        "a STOP is no evidence",
        include_bytes!("../../../tests/fixtures/webhooks/reply-stop-plain.http"),
        "200 <Response/>",
    ),
    step(
        "a message goes out, and its recipient will call",
        include_bytes!("../../../tests/fixtures/webhooks/app-message-called.http"),
        "201 pending",
    ),
    step(
        "the recipient calls back",
        include_bytes!("../../../tests/fixtures/webhooks/call-ringing.http"),
        "200 <Reject/>",
    ),
    step(
        "a message with a link that Twilio shortened",
        include_bytes!("../../../tests/fixtures/webhooks/app-message-clicked.http"),
        "201 pending",
    ),
    step(
        "the link is clicked",
        include_bytes!("../../../tests/fixtures/webhooks/click.http"),
        "204",
    ),
    step(
        "a message to a number that streams its events",
        include_bytes!("../../../tests/fixtures/webhooks/app-message-streamed.http"),
        "201 pending",
    ),
    step(
        "Event Streams delivers a batch with a reply",
        include_bytes!("../../../tests/fixtures/webhooks/events-inbound-message.http"),
        "204",
    ),
    step(
        "Event Streams delivers the batch again",
        include_bytes!("../../../tests/fixtures/webhooks/events-inbound-message.http"),
        "204",
    ),
    step(
        "a message with a click link of Heardback",
        include_bytes!("../../../tests/fixtures/webhooks/app-message-link.http"),
        "201 pending",
    ),
    unsigned(
        "the link is fetched, which proves nothing",
        include_bytes!("../../../tests/fixtures/webhooks/link-opened.http"),
        "200 a page",
    ),
    unsigned(
        "its button is pressed",
        include_bytes!("../../../tests/fixtures/webhooks/link-pressed.http"),
        "303 app.example.com",
    ),
];

pub(super) const ENDINGS: [Ending; 10] = [
    Ending { sid: FAILS_ONCE, story: "a code, entered", expected: "reported" },
    Ending { sid: "SMf552cc5023d8319aea1181f76f3adcbd", story: "a reply", expected: "reported" },
    Ending {
        sid: "SMc189941acf780de956fe5d1483d7a598",
        story: "the event came first",
        expected: "reported",
    },
    Ending { sid: REFUSED, story: "Twilio refuses it", expected: "refused" },
    Ending { sid: "SM6f22923dad98e28e941b3ec75079db83", story: "no evidence", expected: "pending" },
    Ending { sid: "SM13ed0d0208996be9f292c93fe6a0c91f", story: "a call", expected: "reported" },
    Ending { sid: "SM76c1dd37ad9c424dab4167d303746b76", story: "a click", expected: "reported" },
    Ending {
        sid: "SM86aa79cad61f092fa8e1d11aaa4f0cf1",
        story: "Event Streams",
        expected: "reported",
    },
    Ending {
        sid: "SM91c0f7de5a2b48e3b60d1f4c8a7e2935",
        story: "a click link",
        expected: "reported",
    },
    Ending { sid: SENT_THROUGH, story: "sent through", expected: "reported" },
];

/// All posts: one for each confirmed message, and one retry. Duplicates are not posted.
pub(super) const POSTS: usize = 10;
