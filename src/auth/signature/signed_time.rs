//! The signed time of a request: checks it, and names what is wrong with one that cannot be read.

use super::component::Component;
use super::parse::Value;
use crate::auth::explanation::Explanation;
use crate::auth::rejection::{Rejection, VerifyError};
use crate::auth::request::RequestView;
use crate::auth::time::{TimestampRule, UNREADABLE};
use crate::clock::UnixTime;
use crate::reason::Reason;

/// `timestamp` of a signature.
pub type SignedTime = TimestampRule<Component>;

/// Checks the time of each value. Returns the first and the last second in which one of them is accepted.
pub(super) fn check_time(
    time: &SignedTime,
    request: &RequestView<'_>,
    values: &[Value<'_>],
    now: UnixTime,
    explanation: &mut Explanation,
) -> Result<Option<(UnixTime, UnixTime)>, VerifyError> {
    let mut found: Option<(UnixTime, UnixTime)> = None;
    for value in values {
        let text = time.source.text(request, value).map_err(without_time)?;
        let at = time.unit.read(&text).ok_or_else(|| time.unit.mismatch())?;
        let (first, last) = time.check_time(at, now, explanation)?;
        found = Some(found.map_or((first, last), |(earliest, latest)| (first.min(earliest), last.max(latest))));
    }
    Ok(found)
}

/// Maps the rejection of the time's component to one of the timestamp: `missing_timestamp` or `malformed_timestamp`.
fn without_time(error: VerifyError) -> VerifyError {
    match error.reason() {
        None | Some(Reason::MalformedBody) => error,
        Some(Reason::MissingSignedComponent) => error.with_reason(Reason::MissingTimestamp),
        Some(_twice_or_unreadable) => Rejection::detailed(Reason::MalformedTimestamp, UNREADABLE).into(),
    }
}
