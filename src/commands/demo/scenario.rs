//! The story that the demo plays: which recording, what it tells, what must be answered, and what
//! must have become of each message in the end.

/// Who signs a recording before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepSigner {
    /// Twilio, or the app: whoever knows the secret.
    Known,
    Stranger,
    /// Nobody: a browser that opens a link.
    Nobody,
}

/// One request.
pub(super) struct Step {
    /// What happens, for the reader.
    pub(super) tells: &'static str,
    pub(super) recording: &'static [u8],
    pub(super) signer: StepSigner,
    /// The status, and the word of the body that matters.
    pub(super) expected: &'static str,
}

/// One message, and what must have become of it in the end.
pub(super) struct Ending {
    pub(super) sid: &'static str,
    pub(super) story: &'static str,
    pub(super) expected: &'static str,
}

/// The message whose first post the stand-in answers with a 503.
pub(super) const STUMBLES: &str = "SM5f0c8e21b7d94a63a2e17c40d98b36a1";
/// The message that the stand-in will not take.
pub(super) const UNWANTED: &str = "SM7f5679fff02eba571e7b3ec5decc1db9";

/// The app registers that message.
pub(super) const REGISTERED: &[u8] =
    include_bytes!("../../../tests/fixtures/webhooks/app-message.http");
/// Its code is entered.
pub(super) const ENTERED: &[u8] =
    include_bytes!("../../../tests/fixtures/webhooks/app-event-code-entered.http");

const fn step(tells: &'static str, recording: &'static [u8], expected: &'static str) -> Step {
    Step { tells, recording, signer: StepSigner::Known, expected }
}

const fn unsigned(tells: &'static str, recording: &'static [u8], expected: &'static str) -> Step {
    Step { tells, recording, signer: StepSigner::Nobody, expected }
}

pub(super) const STEPS: [Step; 23] = [
    step("the app sent a code and registers the message", REGISTERED, "201 pending"),
    step(
        "Twilio says delivered, which proves nothing yet",
        include_bytes!("../../../tests/fixtures/webhooks/status-delivered.http"),
        "204",
    ),
    step("the code is entered in the app", ENTERED, "200 confirmed"),
    step(
        "another message goes out",
        include_bytes!("../../../tests/fixtures/webhooks/app-message-reply.http"),
        "201 pending",
    ),
    Step {
        tells: "a stranger forges a reply to it",
        recording: include_bytes!("../../../tests/fixtures/webhooks/reply-sms.http"),
        signer: StepSigner::Stranger,
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
        "an event overtakes the message it belongs to",
        include_bytes!("../../../tests/fixtures/webhooks/app-event-reference.http"),
        "202 parked",
    ),
    step(
        "now the message is registered, and settles it",
        include_bytes!("../../../tests/fixtures/webhooks/app-message-late.http"),
        "201 confirmed",
    ),
    step(
        "Twilio's own answer is registered as it stands",
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
        "a message goes out to somebody who rather talks",
        include_bytes!("../../../tests/fixtures/webhooks/app-message-called.http"),
        "201 pending",
    ),
    step(
        "they call back",
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
        "Event Streams hands in a batch, with a reply",
        include_bytes!("../../../tests/fixtures/webhooks/events-inbound-message.http"),
        "204",
    ),
    step(
        "Event Streams hands it in again",
        include_bytes!("../../../tests/fixtures/webhooks/events-inbound-message.http"),
        "204",
    ),
    step(
        "a message for which the app wants a link of ours",
        include_bytes!("../../../tests/fixtures/webhooks/app-message-link.http"),
        "201 pending",
    ),
    unsigned(
        "the link is fetched, which proves nothing yet",
        include_bytes!("../../../tests/fixtures/webhooks/link-opened.http"),
        "200 a page",
    ),
    unsigned(
        "its button is pressed",
        include_bytes!("../../../tests/fixtures/webhooks/link-pressed.http"),
        "303 app.example.com",
    ),
];

pub(super) const ENDINGS: [Ending; 9] = [
    Ending { sid: STUMBLES, story: "a code, entered", expected: "reported" },
    Ending { sid: "SMf552cc5023d8319aea1181f76f3adcbd", story: "a reply", expected: "reported" },
    Ending {
        sid: "SMc189941acf780de956fe5d1483d7a598",
        story: "the event came first",
        expected: "reported",
    },
    Ending { sid: UNWANTED, story: "Twilio will not take it", expected: "refused" },
    Ending {
        sid: "SM6f22923dad98e28e941b3ec75079db83",
        story: "nobody answered",
        expected: "pending",
    },
    Ending { sid: "SM13ed0d0208996be9f292c93fe6a0c91f", story: "a call", expected: "reported" },
    Ending { sid: "SM76c1dd37ad9c424dab4167d303746b76", story: "a click", expected: "reported" },
    Ending {
        sid: "SM86aa79cad61f092fa8e1d11aaa4f0cf1",
        story: "Event Streams",
        expected: "reported",
    },
    Ending {
        sid: "SM91c0f7de5a2b48e3b60d1f4c8a7e2935",
        story: "a link of our own",
        expected: "reported",
    },
];

/// How often the stand-in is asked in all: once for each confirmed message, once more where it
/// stumbled. A duplicate must not be posted.
pub(super) const POSTS: usize = 9;
