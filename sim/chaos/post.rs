//! A post as it comes to the stand-in for Twilio: read as bytes, so that its connection can be ill-treated.

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// A post, as far as it matters here.
pub(crate) struct Request {
    pub(crate) account: String,
    pub(crate) sid: String,
    pub(crate) authorization: String,
    /// No post: the service requests the time, in the `Date` of the answer (`src/worker/clock.rs`).
    pub(crate) requests_time: bool,
}

impl Request {
    /// The next one of a connection, read to its end.
    pub(crate) async fn read(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<Self> {
        let end = loop {
            match unread.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => more(stream, unread).await?,
            }
        };
        let head = String::from_utf8_lossy(unread.get(..end)?).into_owned();
        let length = header(&head, "content-length").and_then(|length| length.parse().ok());
        let whole = end + length.unwrap_or(0_usize);
        while unread.len() < whole {
            more(stream, unread).await?;
        }
        let body = unread.get(end..whole)?.to_vec();
        unread.drain(..whole);
        let target = head.split(' ').nth(1)?;
        let mut words = target.split('/').skip(3);
        let account = words.next()?;
        let requests_time = head.starts_with("GET ") && words.clone().next().is_none();
        let account = account.trim_end_matches(".json").to_owned();
        // What is not a post of feedback is no SID of ours, and is told so by the judge.
        let sid = if target.ends_with("/Feedback.json") && body == b"Outcome=confirmed" {
            words.nth(1)?.to_owned()
        } else {
            format!("not a feedback: {target}")
        };
        let authorization = header(&head, "authorization").unwrap_or_default().to_owned();
        Some(Self { account, sid, authorization, requests_time })
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

async fn more(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<()> {
    match stream.read_buf(unread).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(()),
    }
}
