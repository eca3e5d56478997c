//! The identifiers of findings: name, severity and advice of each, shared by the page, `doctor`, `/readyz` and `ops/alerts.yml`.
//!
//! `tests/it/ops/findings.rs` compares this table with the alerts and with `docs/operations.md`.

use serde::{Deserialize, Serialize, Serializer};

/// How bad a finding is; the words of `ops/alerts.yml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Check it when there is time.
    Info,
    /// Check it today.
    Warning,
    /// Events are lost, or no confirmation is reported.
    Critical,
}

impl Severity {
    /// The word in JSON and in `ops/alerts.yml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Alerts without a finding, each with the reason.
pub const OUTSIDE: [(&str, &str); 1] =
    [("HeardbackDown", "a process that does not run judges nothing; only Prometheus can see that")];

/// The kind of a finding. Its name and its alert correspond: `lane_paused` is `HeardbackLanePaused`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingId {
    Restarting,
    ServerErrors,
    ReloadRefused,
    SignatureFailures,
    NothingVerifies,
    Refusals,
    MalformedEvents,
    Orphans,
    EvidenceDeferred,
    EvidenceLost,
    SendsLost,
    SendsUnregistered,
    AppFailing,
    OutboxOld,
    OutboxGrowing,
    LanePaused,
    LaneThrottled,
    LaneOnHold,
    UpstreamFailing,
    RefusedByTwilio,
    UpstreamMismatch,
    StoreSilent,
    StoreNearlyFull,
    StoreFilling,
    TooManyMessages,
    TooManyParked,
    CommitSlow,
    ClockJump,
    NothingConfirmed,
    ConversionDropped,
    SenderConversionDropped,
    SmsPumping,
    KeyIdle,
    Draining,
    DryRun,
    NoVerifiedRequest,
    StorePlacement,
    FdLimit,
    StoreEndUnverified,
    StoreFull,
}

use FindingId as Id;
use Severity::{Critical, Info, Warning};

impl FindingId {
    /// Every finding: first those that have an alert, in the order of `ops/alerts.yml`.
    pub const ALL: [Self; 40] = [
        Id::Restarting,
        Id::ServerErrors,
        Id::ReloadRefused,
        Id::SignatureFailures,
        Id::NothingVerifies,
        Id::Refusals,
        Id::MalformedEvents,
        Id::Orphans,
        Id::EvidenceDeferred,
        Id::EvidenceLost,
        Id::SendsLost,
        Id::SendsUnregistered,
        Id::AppFailing,
        Id::OutboxOld,
        Id::OutboxGrowing,
        Id::LanePaused,
        Id::LaneThrottled,
        Id::LaneOnHold,
        Id::UpstreamFailing,
        Id::RefusedByTwilio,
        Id::UpstreamMismatch,
        Id::StoreSilent,
        Id::StoreNearlyFull,
        Id::StoreFilling,
        Id::TooManyMessages,
        Id::TooManyParked,
        Id::CommitSlow,
        Id::ClockJump,
        Id::NothingConfirmed,
        Id::ConversionDropped,
        Id::SenderConversionDropped,
        Id::SmsPumping,
        Id::KeyIdle,
        Id::Draining,
        Id::DryRun,
        Id::NoVerifiedRequest,
        Id::StorePlacement,
        Id::FdLimit,
        Id::StoreEndUnverified,
        Id::StoreFull,
    ];

    /// The name in JSON, such as `lane_paused`.
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The severity of its alert, and the highest that a finding of this kind can have.
    pub fn severity(self) -> Severity {
        self.row().1
    }

    /// The consequence and the action. The description of its alert ends with the same words.
    pub fn advice(self) -> &'static str {
        self.row().2
    }

    /// Whether `ops/alerts.yml` has an alert for it.
    pub fn has_alert(self) -> bool {
        self < Self::Draining
    }

    /// The name of its alert in `ops/alerts.yml`.
    pub fn alert(self) -> Option<String> {
        let word = |word: &str| {
            let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
            format!("{}{rest}", first.to_uppercase())
        };
        let name = || self.as_str().split('_').map(word).collect::<String>();
        self.has_alert().then(|| format!("Heardback{}", name()))
    }

    /// The section of the documentation about it.
    pub fn runbook(self) -> String {
        let anchor = self.alert().map_or_else(
            || format!("finding-{}", self.as_str().replace('_', "-")),
            |alert| alert.to_lowercase(),
        );
        format!("docs/operations.md#{anchor}")
    }

    #[expect(clippy::too_many_lines, reason = "one table, a row for each finding")]
    fn row(self) -> (&'static str, Severity, &'static str) {
        match self {
            Self::Restarting => (
                "restarting",
                Critical,
                "The process ends itself when it cannot write its sled store; no failure of a PostgreSQL database \
                 ends it. The last log lines before each start name the reason; a full or failing disk is the usual \
                 one.",
            ),
            Self::ServerErrors => (
                "server_errors",
                Critical,
                "These requests were not stored, unless PostgreSQL committed one whose answer was lost. Your app and \
                 Event Streams repeat theirs. Twilio repeats another webhook for 15 s, if its URL has the part after # \
                 that `heardback check` prints. heardback_refusals_total by reason names the cause (disk_full, \
                 max_messages, max_parked, busy, streams_busy, panicked; on PostgreSQL docs/postgres.md#failures).",
            ),
            Self::ReloadRefused => (
                "reload_refused",
                Warning,
                "SIGHUP found a problem in the accounts or secrets, and the previous ones stay in force. The log names \
                 the setting; `heardback check` tests it without a signal.",
            ),
            Self::SignatureFailures => (
                "signature_failures",
                Warning,
                "Either a third party sends forged requests, or Twilio or your app signs with a key or for a URL that is \
                 not configured here, and their events are lost. `heardback doctor --watch` names the cause.",
            ),
            Self::NothingVerifies => (
                "nothing_verifies",
                Critical,
                "These requests get 403, and their events are lost. /twilio/: the auth token was rotated, or \
                 HEARDBACK_PUBLIC_URL is not the URL that Twilio calls. /app/: the app signs with a key that is not in \
                 HEARDBACK_APP_KEYS, or for another URL. `heardback doctor --watch` names the cause.",
            ),
            Self::Refusals => (
                "refusals",
                Warning,
                "These requests had a valid signature, or named a click link, and could not be processed. The usual \
                 cause is a release of your app. The answer to each names the field; so does the log.",
            ),
            Self::MalformedEvents => (
                "malformed_events",
                Warning,
                "Heardback skipped these events and acknowledged their batch. The log names the field. Twilio may have \
                 changed the schema; please report it.",
            ),
            Self::Orphans => (
                "orphans",
                Warning,
                "Recipients acted on messages that Heardback does not know. Check that your app registers every message \
                 that it sends, or that each of them has a status callback.",
            ),
            Self::EvidenceDeferred => (
                "evidence_deferred",
                Warning,
                "Ringing calls, pressed links and forwarded messages get a normal answer even if the store cannot \
                 write. Their evidence is written once it can; a crash before that loses it. The store's own findings \
                 name the cause; on PostgreSQL docs/postgres.md#failures.",
            ),
            Self::EvidenceLost => (
                "evidence_lost",
                Critical,
                "The callers, visitors and senders got a normal answer, so nothing repeats this evidence. The log \
                 names each loss and its reason (`evidence lost`). Extend the volume, repair the database, or raise \
                 HEARDBACK_MAX_PARKED.",
            ),
            Self::SendsLost => (
                "sends_lost",
                Warning,
                "Each of these messages may have gone out; Heardback sent none of them again. The app got 502 or \
                 504. The status callback registers the message. Check the network to Twilio, Twilio's status \
                 page and HEARDBACK_SEND_TIMEOUT.",
            ),
            Self::SendsUnregistered => (
                "sends_unregistered",
                Warning,
                "Twilio sent these messages, and the app got Twilio's answer with Heardback-Registered: false. \
                 The status callback registers the message, if it comes to Heardback. The log names each cause \
                 (`sent, but not registered`).",
            ),
            Self::AppFailing => (
                "app_failing",
                Warning,
                "Twilio got the answer for failures, or the app's own 4xx. A failure of the app loses no evidence. A \
                 4xx refuses the signature or the form, and `heardback doctor --ask-app` tests that. docs/forward.md \
                 explains each reason.",
            ),
            Self::OutboxOld => (
                "outbox_old",
                Critical,
                "Twilio does not accept it or cannot be reached. Failed posts are retried, and given up after \
                 HEARDBACK_GIVE_UP_AFTER; the time of a pause does not count. heardback_upstream_attempts_total by result \
                 and /readyz say more.",
            ),
            Self::OutboxGrowing => (
                "outbox_growing",
                Warning,
                "More messages are confirmed than reported. Either the account is throttled (heardback_lane_limit below \
                 HEARDBACK_UPSTREAM_CONCURRENCY), or Twilio answers slowly (heardback_upstream_attempt_seconds).",
            ),
            Self::LanePaused => (
                "lane_paused",
                Critical,
                "Confirmations are kept meanwhile, and none is given up. One post a minute tests whether Twilio accepts \
                 them again. After 404s, every other confirmation is still posted at once.",
            ),
            Self::LaneThrottled => (
                "lane_throttled",
                Warning,
                "Twilio answers 429: the API concurrency of the account is used up, usually by your own sending. \
                 Heardback has reduced its own. Until the Retry-After of a 429 is over, nothing is posted for the \
                 account.",
            ),
            Self::LaneOnHold => (
                "lane_on_hold",
                Warning,
                "An operator put it on hold. Its confirmations are kept, and none is given up, but Twilio receives them \
                 late. `heardback resume`, or the button on the operator's page, ends the hold.",
            ),
            Self::UpstreamFailing => (
                "upstream_failing",
                Warning,
                "Failed posts are retried with exponential backoff, and given up after HEARDBACK_GIVE_UP_AFTER. \
                 heardback_upstream_attempts_total by result separates the kinds; check Twilio's status page first.",
            ),
            Self::RefusedByTwilio => (
                "refused_by_twilio",
                Warning,
                "These confirmations are kept as refused, with Twilio's error code, and are not retried. Correct what \
                 the code names, then requeue them: on the operator's page, or with `heardback requeue`.",
            ),
            Self::UpstreamMismatch => (
                "upstream_mismatch",
                Critical,
                "None of these answers counts as reported; each post is retried. Check HEARDBACK_UPSTREAM_URL, and look \
                 for a proxy or a captive portal. `heardback requeue --reported-since` repeats earlier posts.",
            ),
            Self::StoreSilent => (
                "store_silent",
                Critical,
                "Webhooks are answered late or with 503, and are lost unless the sender repeats them. The disk hangs \
                 or is full, or the load exceeds what it can sync; on PostgreSQL docs/postgres.md#failures.",
            ),
            Self::StoreNearlyFull => (
                "store_nearly_full",
                Critical,
                "Below 128 MiB every new message and event is answered with 503, and is lost unless the sender repeats \
                 it. Extend the volume now (on Fly, `fly volumes extend`).",
            ),
            Self::StoreFilling => (
                "store_filling",
                Warning,
                "This is estimated from the last hours. Extend the volume, or keep less (HEARDBACK_RETENTION, \
                 HEARDBACK_PENDING_TTL).",
            ),
            Self::TooManyMessages => (
                "too_many_messages",
                Critical,
                "At the limit every new message is answered with 503, and is lost unless the sender repeats it. Raise \
                 HEARDBACK_MAX_MESSAGES (memory grows with it on sled), or lower HEARDBACK_PENDING_TTL: a pending \
                 message cannot be evicted.",
            ),
            Self::TooManyParked => (
                "too_many_parked",
                Critical,
                "At the limit evidence without a known message is answered with 503, and is lost unless the sender repeats \
                 it. Register messages when they are sent, or raise HEARDBACK_MAX_PARKED (disk grows with it).",
            ),
            Self::CommitSlow => (
                "commit_slow",
                Warning,
                "Every answer waits for a commit: your app for 2 s, Twilio for 15 s, and after 10 s in one commit the \
                 process ends itself. If heardback_store_sync_seconds is as long, the disk is the cause.",
            ),
            Self::NothingConfirmed => (
                "nothing_confirmed",
                Critical,
                "Either no message arrives, or Heardback receives no evidence. Check that your app posts to /app/events \
                 (heardback_http_requests_total, heardback_signature_failures_total), then Twilio's delivery reports.",
            ),
            Self::ConversionDropped => (
                "conversion_dropped",
                Warning,
                "A route to this country has failed, or this is SMS pumping (HeardbackSmsPumping separates the two). \
                 Compare senders, and write to Twilio with SIDs of unconfirmed messages.",
            ),
            Self::SenderConversionDropped => (
                "sender_conversion_dropped",
                Warning,
                "A carrier may filter this sender (registration, content, reputation). If the conversion of every sender \
                 dropped, the sender is not the cause.",
            ),
            Self::SmsPumping => (
                "sms_pumping",
                Critical,
                "More than three times yesterday's messages, and fewer than a fifth are confirmed. Each costs money. \
                 Close the country in Twilio's Geo permissions or limit the form that sends codes, then look for the \
                 numbers in your own logs.",
            ),
            Self::KeyIdle => (
                "key_idle",
                Info,
                "Another key of the account is in use. If this is the old key of a rotation, remove it from the \
                 settings and send SIGHUP.",
            ),
            Self::Draining => (
                "draining",
                Critical,
                "Requests and posts in flight are finished, and no new connection is accepted.",
            ),
            Self::DryRun => (
                "dry_run",
                Warning,
                "Confirmations are kept, and are posted after a restart without HEARDBACK_DRY_RUN.",
            ),
            Self::NoVerifiedRequest => (
                "no_verified_request",
                Warning,
                "Until a signature verifies, nothing proves that the keys and HEARDBACK_PUBLIC_URL are right. Reply to one \
                 of your numbers, or let your app report an event; `heardback check` prints the URLs for Twilio.",
            ),
            Self::StorePlacement => (
                "store_placement",
                Warning,
                "An acknowledged event can be lost there. Set HEARDBACK_STORE to a folder on a local ext4 or xfs volume.",
            ),
            Self::FdLimit => (
                "fd_limit",
                Warning,
                "Idle connections can use up the open files, and then no request is answered. Raise the limit \
                 (`ulimit -n`, LimitNOFILE=).",
            ),
            Self::StoreEndUnverified => (
                "store_end_unverified",
                Warning,
                "A power cut can do this; without its seal the store cannot show that no record is missing. Run `heardback verify-store`, and \
                 compare with a backup.",
            ),
            Self::ClockJump => (
                "clock_jump",
                Warning,
                "After a jump ahead the trusted time, by which records expire, does not follow the clock until Twilio's Date \
                 agrees with it. Check the time synchronization of this machine; if its clock is right, run `heardback clock \
                 --confirm`.",
            ),
            Self::StoreFull => (
                "store_full",
                Warning,
                "The oldest finished records are forgotten before HEARDBACK_RETENTION, so that new messages have room. \
                 Raise HEARDBACK_MAX_MESSAGES (memory grows with it), or lower HEARDBACK_RETENTION.",
            ),
        }
    }
}

impl Serialize for FindingId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}
