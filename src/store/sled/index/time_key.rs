//! Keys of the index by time: milliseconds, then the message SID.

use jiff::Timestamp;

use crate::domain::sid::MessageSid;

/// A packed message SID, as Twilio's are: those with capitals in them are longer.
pub(crate) const SID: usize = 17;
/// Milliseconds, the SID.
pub(crate) const BY_TIME: usize = 6 + SID;

pub(crate) fn packed(sid: MessageSid) -> Vec<u8> {
    let mut packed = Vec::with_capacity(SID);
    sid.pack_into(&mut packed);
    packed
}

pub(crate) fn by_time(at: Timestamp, sid: &[u8]) -> Vec<u8> {
    [&timestamp_bytes(at)[..], sid].concat()
}

pub(crate) fn read_by_time(key: &[u8]) -> Option<(Timestamp, MessageSid)> {
    let (at, sid) = key.split_first_chunk::<6>()?;
    Some((read_moment(*at)?, MessageSid::unpack(sid)?))
}

/// Milliseconds since 1970, of which 48 bits reach to the end of jiff's time. Nothing was sent before.
pub(crate) fn timestamp_bytes(at: Timestamp) -> [u8; 6] {
    let milliseconds = u64::try_from(at.as_millisecond()).unwrap_or_default();
    milliseconds.to_be_bytes().last_chunk().copied().unwrap_or_default()
}

fn read_moment(bytes: [u8; 6]) -> Option<Timestamp> {
    let milliseconds = bytes.iter().fold(0, |sum, byte| (sum << 8) | i64::from(*byte));
    Timestamp::from_millisecond(milliseconds).ok()
}
