//! Keys of the index by time: milliseconds, then the message SID.

use jiff::Timestamp;

use crate::domain::sid::MessageSid;

/// The length of a packed message SID in Twilio's notation. A SID with capitals is longer.
pub(crate) const SID_LEN: usize = 17;
/// The length of a key: milliseconds and the SID.
pub(crate) const BY_TIME_LEN: usize = 6 + SID_LEN;

pub(crate) fn packed(sid: MessageSid) -> Vec<u8> {
    let mut packed = Vec::with_capacity(SID_LEN);
    sid.pack_into(&mut packed);
    packed
}

pub(crate) fn by_time(at: Timestamp, sid: &[u8]) -> Vec<u8> {
    [&timestamp_bytes(at)[..], sid].concat()
}

pub(crate) fn read_by_time(key: &[u8]) -> Option<(Timestamp, MessageSid)> {
    let (at, sid) = key.split_first_chunk::<6>()?;
    Some((read_timestamp(*at)?, MessageSid::unpack(sid)?))
}

/// Milliseconds since 1970 in 48 bits, which reach to the end of jiff's time. No message was sent before 1970.
pub(crate) fn timestamp_bytes(at: Timestamp) -> [u8; 6] {
    let milliseconds = u64::try_from(at.as_millisecond()).unwrap_or_default();
    milliseconds.to_be_bytes().last_chunk().copied().unwrap_or_default()
}

fn read_timestamp(bytes: [u8; 6]) -> Option<Timestamp> {
    let milliseconds = bytes.iter().fold(0, |sum, byte| (sum << 8) | i64::from(*byte));
    Timestamp::from_millisecond(milliseconds).ok()
}
