//! The cause of a paused account, and the advice to the operator.

/// Part of the reason of a pause by 404s, if no status callback names one of the messages.
pub const UNKNOWN_SIDS: &str = "no status callback of Twilio names any of these SIDs";

/// Twilio: "Account not active".
const NOT_ACTIVE: u32 = 20005;
/// Twilio: "Authenticate".
const AUTHENTICATE: u32 = 20003;

const CREDENTIALS: &str = "Twilio does not accept the credentials: correct the API key and its secret, or the auth token, of this \
     account and region.";
const INACTIVE: &str = "The account is suspended or closed, and its credentials are not the cause: settle that with Twilio \
     (Console, Billing or Account).";
const PERMISSION: &str = "The credentials are valid, but may not do this: check that the account is active, and give a restricted API \
     key the permission /twilio/messaging/messages.feedback/create.";
const UNKNOWN: &str = "Twilio finds none of these messages, although it named some of them itself. The account or region is wrong, \
     or the messages were deleted at Twilio: check TWILIO_ACCOUNT_SID, TWILIO_EDGE and TWILIO_REGION.";
const UNNAMED_SIDS: &str = "These are SIDs that Twilio does not know: check which MessageSid your app reports (test data, another \
     account's messages). If Twilio accepts no message of the account at all, the account or region is wrong: \
     check TWILIO_ACCOUNT_SID, TWILIO_EDGE and TWILIO_REGION.";
const FOREIGN: &str = "This is not an answer of Twilio's API: check HEARDBACK_UPSTREAM_URL, and what stands between this machine \
     and Twilio.";
const UNCONFIGURED: &str = "The account is in no setting any more: put it back into HEARDBACK_ACCOUNTS_FILE and send SIGHUP, unless it \
     was removed on purpose.";

/// What to do about a paused account, by the answer that paused it. `status` is `None` if nothing was sent.
pub fn pause_advice(status: Option<u16>, code: Option<u32>, message: &str) -> &'static str {
    let message = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let is_rejection = matches!(status, Some(401 | 403));
    if code == Some(NOT_ACTIVE)
        || is_rejection && says(&["suspended", "closed", "not active", "inactive", "deactivated"])
    {
        return INACTIVE;
    }
    match (status, code) {
        (Some(401), _) | (Some(403), Some(AUTHENTICATE)) => CREDENTIALS,
        (Some(403), _) => PERMISSION,
        (Some(404), _) if message.contains(&UNKNOWN_SIDS.to_lowercase()) => UNNAMED_SIDS,
        (Some(404), _) => UNKNOWN,
        (Some(_), _) => FOREIGN,
        (None, _) => UNCONFIGURED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_follows_the_cause() {
        for (status, code, message, word) in [
            (Some(401), Some(20003), "Authenticate", "correct the API key"),
            (Some(401), None, "", "correct the API key"),
            (Some(403), Some(20003), "Permission Denied", "correct the API key"),
            (Some(401), Some(20003), "Account AC1 is suspended", "suspended or closed"),
            (Some(403), Some(20005), "Account not active", "suspended or closed"),
            (Some(401), Some(20005), "", "suspended or closed"),
            (Some(403), None, "This account has been CLOSED", "suspended or closed"),
            (Some(403), Some(70051), "Authorization scope is missing", "messages.feedback/create"),
            (Some(403), None, "Forbidden", "messages.feedback/create"),
            (Some(404), Some(20404), "20 answers of 404 in a row", "TWILIO_ACCOUNT_SID"),
            (Some(404), Some(20404), "the connection was closed", "TWILIO_ACCOUNT_SID"),
            (Some(404), Some(20404), UNKNOWN_SIDS, "which MessageSid your app reports"),
            (Some(302), None, "redirected to example.com", "HEARDBACK_UPSTREAM_URL"),
            (None, None, "no such account", "HEARDBACK_ACCOUNTS_FILE"),
        ] {
            let advice = pause_advice(status, code, message);
            assert!(advice.contains(word), "{status:?} {code:?} {message}: {advice}");
        }
    }
}
