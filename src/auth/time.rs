//! Timestamp checks: whether a request is too old, in the future, or without a timestamp. The current time is passed
//! in; this module reads no clock.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::explanation::Explanation;
use super::locator::{LocatedValue, Locator};
use super::rejection::{Rejection, VerifyError};
use super::request::RequestView;
use crate::clock::UnixTime;
use crate::reason::Reason;

/// `timestamp` of a route, or of a signature, whose source is a component of the string to sign.
#[derive(Clone, Debug)]
pub struct TimestampRule<Source = Locator> {
    /// Where the timestamp is.
    pub source: Source,
    /// The unit and format of the timestamp.
    pub unit: TimestampUnit,
    /// The maximum age, inclusive.
    pub max_age: Duration,
    /// The maximum time ahead of the current time, inclusive.
    pub max_future: Duration,
}

/// The keys that set a maximum age, for the detail of a rejection.
pub(super) const MAX_AGE: &str = "`max_age` (beside a preset: `tolerance`)";

/// The unit and format of a timestamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(extend("default" = "s"))]
pub enum TimestampUnit {
    /// Unix seconds, in digits only.
    #[default]
    #[serde(rename = "s")]
    Seconds,
    /// Unix milliseconds, in digits only.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Unix microseconds, in digits only.
    #[serde(rename = "us")]
    Microseconds,
    /// Unix seconds in 10 digits, or Unix milliseconds in 13, for senders that use both.
    #[serde(rename = "s_or_ms")]
    SecondsOrMilliseconds,
    /// RFC 3339, such as 2026-11-24T08:00:00Z.
    #[serde(rename = "rfc3339")]
    Rfc3339,
    /// RFC 3339 without its time zone, which is UTC, such as 2026-11-24T08:00:00.
    #[serde(rename = "utc")]
    Utc,
}

/// The detail of a timestamp that is there and has no text.
pub(super) const UNREADABLE: &str = "the timestamp occurs twice, or is not in visible ASCII";

impl TimestampRule {
    /// Finds the timestamp and checks it against `now`. Returns the first and the last second in which it is accepted.
    ///
    /// # Errors
    /// `missing_timestamp` without a timestamp, `malformed_timestamp` for more than one or one that cannot be read: an
    /// attacker must not skip the check by removing or breaking the timestamp. `malformed_body` for a timestamp in a
    /// body that is not a JSON object. `timestamp_too_old` or `timestamp_in_future` if it is out of range.
    pub fn check(
        &self,
        request: &RequestView<'_>,
        claims: &Map<String, Value>,
        now: UnixTime,
        explanation: &mut Explanation,
    ) -> Result<(UnixTime, UnixTime), VerifyError> {
        if self.source.is_unreadable(request)? {
            return Err(Reason::MalformedBody.into());
        }
        let found = self.source.find_with_claims(request, claims).map_err(|error| match error.reason() {
            None | Some(Reason::MalformedBody) => error,
            Some(_twice_or_unreadable) => Rejection::detailed(Reason::MalformedTimestamp, UNREADABLE).into(),
        })?;
        let absent = || Rejection::detailed(Reason::MissingTimestamp, format!("no {}", self.source));
        let time = match found.ok_or_else(absent)? {
            LocatedValue::Text(text) => self.unit.read(&text),
            LocatedValue::Json(value) => self.unit.read_claim(&value),
        };
        let time = time.ok_or_else(|| self.unit.mismatch())?;
        Ok(self.check_time(time, now, explanation)?)
    }
}

impl<Source> TimestampRule<Source> {
    /// Checks that a time is at most `max_age` old and at most `max_future` ahead, both inclusive. Returns the first
    /// and the last second in which that is so.
    ///
    /// # Errors
    /// `timestamp_too_old` or `timestamp_in_future`.
    pub(super) fn check_time(
        &self,
        time: UnixTime,
        now: UnixTime,
        explanation: &mut Explanation,
    ) -> Result<(UnixTime, UnixTime), Rejection> {
        explanation.add("timestamp", || match time.since(now).as_secs() {
            0 => format!("{}, {} s ago", time.seconds(), now.since(time).as_secs()),
            ahead => format!("{}, {ahead} s ahead", time.seconds()),
        });
        let (first, last) = (time.minus(self.max_future), time.plus(self.max_age));
        if last < now {
            let detail = format!("{} s old; {MAX_AGE} is {} s", now.since(time).as_secs(), self.max_age.as_secs());
            return Err(Rejection::detailed(Reason::TimestampTooOld, detail));
        }
        if first > now {
            let (ahead, most) = (time.since(now).as_secs(), self.max_future.as_secs());
            let detail = format!("{ahead} s ahead; at most {most} s are accepted (`max_future`)");
            return Err(Rejection::detailed(Reason::TimestampInFuture, detail));
        }
        Ok((first, last))
    }
}

impl TimestampUnit {
    /// Parses a timestamp; `None` unless the text is exactly one time in this unit. A number of seconds, milliseconds
    /// or microseconds has no sign, space, leading zero, fraction or exponent.
    pub fn read(self, text: &str) -> Option<UnixTime> {
        match self {
            Self::Seconds => digits(text).and_then(UnixTime::from_seconds),
            Self::Milliseconds => digits(text).and_then(|number| UnixTime::from_seconds(number / 1_000)),
            Self::Microseconds => digits(text).and_then(|number| UnixTime::from_seconds(number / 1_000_000)),
            Self::SecondsOrMilliseconds => match text.len() {
                10 => Self::Seconds.read(text),
                13 => Self::Milliseconds.read(text),
                _ => None,
            },
            Self::Rfc3339 => rfc3339(text),
            Self::Utc => rfc3339(&format!("{text}Z")),
        }
    }

    /// The rejection of a timestamp that is not in this unit.
    pub(super) fn mismatch(self) -> Rejection {
        let form = match self {
            Self::Seconds => "Unix seconds, such as 1800000000",
            Self::Milliseconds => "Unix milliseconds, such as 1800000000000",
            Self::Microseconds => "Unix microseconds, such as 1800000000000000",
            Self::SecondsOrMilliseconds => "Unix seconds in 10 digits or milliseconds in 13",
            Self::Rfc3339 => "a time of RFC 3339, such as 2026-11-24T08:00:00Z",
            Self::Utc => "a time of RFC 3339 without its time zone, such as 2026-11-24T08:00:00",
        };
        Rejection::detailed(Reason::MalformedTimestamp, format!("the timestamp is not {form}: see `unit`"))
    }

    /// Whether every text of a time has the same length, leaving out times that are not now.
    pub(super) const fn has_fixed_length(self) -> bool {
        matches!(self, Self::Seconds | Self::Milliseconds | Self::Microseconds)
    }

    /// Formats a time, given in Unix seconds, in this unit.
    pub fn write(self, seconds: u64) -> String {
        match self {
            Self::Seconds | Self::SecondsOrMilliseconds => seconds.to_string(),
            Self::Milliseconds => format!("{seconds}000"),
            Self::Microseconds => format!("{seconds}000000"),
            Self::Rfc3339 => {
                let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
                time.map(|time| time.to_string()).unwrap_or_default()
            }
            Self::Utc => Self::Rfc3339.write(seconds).trim_end_matches('Z').to_owned(),
        }
    }

    /// Like [`Self::read`], for a JSON value, which may also be a number.
    pub fn read_claim(self, claim: &Value) -> Option<UnixTime> {
        match claim {
            Value::String(text) => self.read(text),
            Value::Number(number) if self == Self::Seconds => numeric_date(number).map(|date| date.floor),
            Value::Number(number) => self.read(&number.as_u64()?.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

/// A leading zero is none of the sender's: it could be moved to the time from the end of what is signed before it.
fn digits(text: &str) -> Option<u64> {
    let is_digits = (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = is_digits && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

fn rfc3339(text: &str) -> Option<UnixTime> {
    // jiff also accepts a space for the `T`, time zone names, and a time without seconds; the grammar of RFC 3339 §5.6
    // has none of them.
    let has = |at: usize, bytes: &[u8]| text.as_bytes().get(at).is_some_and(|byte| bytes.contains(byte));
    let plain = text.len() <= 40 && has(10, b"Tt") && has(13, b":") && has(16, b":");
    let ends = text.ends_with(['Z', 'z', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
    if !plain || !ends {
        return None;
    }
    let time: jiff::Timestamp = text.parse().ok()?;
    UnixTime::from_seconds(u64::try_from(time.as_second()).ok()?)
}

/// A `NumericDate` (RFC 7519 §2) in whole seconds, rounded both ways if it has a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumericDate {
    /// Rounded down: the strict side of a time that must not be over, such as `exp`.
    pub floor: UnixTime,
    /// Rounded up: the strict side of a time that must have come, such as `nbf`.
    pub ceil: UnixTime,
}

/// Converts a JSON number; `None` if it is negative or beyond the year 9999 (usually milliseconds).
pub fn numeric_date(number: &serde_json::Number) -> Option<NumericDate> {
    if let Some(seconds) = number.as_u64() {
        let time = UnixTime::from_seconds(seconds)?;
        return Some(NumericDate { floor: time, ceil: time });
    }
    let seconds = number.as_f64().filter(|seconds| *seconds >= 0.0)?;
    let whole = |seconds: f64| {
        // Beyond the range the cast saturates, and `from_seconds` returns `None`.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; saturates")]
        UnixTime::from_seconds(seconds as u64)
    };
    Some(NumericDate { floor: whole(seconds.floor())?, ceil: whole(seconds.ceil())? })
}

/// A registered time claim (RFC 7519 §4.1), whose type was checked together with the other claims.
pub(super) fn numeric_claim(claims: &Map<String, Value>, name: &str) -> Option<UnixTime> {
    match claims.get(name) {
        Some(Value::Number(number)) => numeric_date(number).map(|date| date.floor),
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::claims::Pointer;
    use crate::auth::request::UrlBase;
    use http::{HeaderName, Request};
    use serde_json::json;

    const NOW: u64 = 1_800_000_000;

    fn rule(unit: TimestampUnit) -> TimestampRule {
        TimestampRule {
            source: Locator::header_named(HeaderName::from_static("x-time")),
            unit,
            max_age: Duration::from_secs(300),
            max_future: Duration::from_secs(60),
        }
    }

    fn check(unit: TimestampUnit, fields: &[&str]) -> Result<(), Reason> {
        let request = fields.iter().fold(Request::builder(), |request, field| request.header("x-time", *field));
        let head = request.body(()).unwrap().into_parts().0;
        let (view, now) = (RequestView::new(&head, UrlBase::Host("a")), UnixTime::from_seconds(NOW).unwrap());
        rule(unit)
            .check(&view, &Map::new(), now, &mut Explanation::off())
            .map(|_| ())
            .map_err(|error| error.reason().unwrap())
    }

    #[test]
    fn stale_future_and_missing_are_three_reasons() {
        let at = |offset: i64| check(TimestampUnit::Seconds, &[&(NOW as i64 + offset).to_string()]);
        assert_eq!((at(0), at(-300), at(60)), (Ok(()), Ok(()), Ok(())));
        assert_eq!(at(-301), Err(Reason::TimestampTooOld));
        assert_eq!(at(61), Err(Reason::TimestampInFuture));
        assert_eq!(check(TimestampUnit::Seconds, &[]), Err(Reason::MissingTimestamp));
    }

    #[test]
    fn a_time_that_cannot_be_read_has_a_detail() {
        let detail = |unit: TimestampUnit| unit.mismatch().detail.unwrap();
        assert_eq!(detail(TimestampUnit::Seconds), "the timestamp is not Unix seconds, such as 1800000000: see `unit`");
        assert!(detail(TimestampUnit::Utc).contains("without its time zone"));
    }

    /// Kong's standard-webhooks code skipped the check if the header was missing.
    #[test]
    fn a_time_that_cannot_be_read_is_none() {
        let now = NOW.to_string();
        assert_eq!(check(TimestampUnit::Seconds, &[&now, &now]), Err(Reason::MalformedTimestamp));
        let spellings = [" 1800000000", "+1800000000", "-1", "1.8e9", "1800000000.0", "0x1"];
        // A zero could be the last digit of an id that is signed before the time.
        let others = ["", "99999999999999999999999", "01800000000", "00"];
        for text in spellings.into_iter().chain(others) {
            assert_eq!(check(TimestampUnit::Seconds, &[text]), Err(Reason::MalformedTimestamp), "{text}");
        }
        assert_eq!(check(TimestampUnit::Seconds, &["1800000000000"]), Err(Reason::MalformedTimestamp));
    }

    #[test]
    fn a_time_in_the_body_wants_a_json_object() {
        let rule =
            TimestampRule { source: Locator::Json(Pointer::parse("/t").unwrap()), ..rule(TimestampUnit::Seconds) };
        let check = |body: &str| {
            let head = Request::post("/").body(()).unwrap().into_parts().0;
            let view = RequestView::new(&head, UrlBase::Host("a")).with_body(body.as_bytes());
            let now = UnixTime::from_seconds(NOW).unwrap();
            rule.check(&view, &Map::new(), now, &mut Explanation::off())
                .map(|_| ())
                .map_err(|error| error.reason().unwrap())
        };
        assert_eq!(check(&format!("{{\"t\":{NOW}}}")), Ok(()));
        assert_eq!(check(&format!("{{\"t\":{NOW}")), Err(Reason::MalformedBody));
        assert_eq!(check(&format!("{{\"u\":{NOW}}}")), Err(Reason::MissingTimestamp));
        assert_eq!(check(&format!("{{\"t\":-{NOW}}}")), Err(Reason::MalformedTimestamp));
    }

    #[test]
    fn every_unit_means_the_same_moment() {
        assert_eq!(check(TimestampUnit::Milliseconds, &["1800000000000"]), Ok(()));
        assert_eq!(check(TimestampUnit::Microseconds, &["1800000000000000"]), Ok(()));
        assert_eq!(check(TimestampUnit::Rfc3339, &["2027-01-15T08:00:00Z"]), Ok(()));
        assert_eq!(check(TimestampUnit::Rfc3339, &["2027-01-15T09:00:00.5+01:00"]), Ok(()));
        let short = ["2027-01-15T08:00Z", "2027-01-15T08Z", "2027-01-15T08:00+00:00", "2027-01-15T0800Z"];
        let others = ["2027-01-15 08:00:00Z", "2027-01-15T08:00:00", "2027-01-15T08:00:00Z[UTC]", "1800000000"];
        for text in short.into_iter().chain(others) {
            assert_eq!(check(TimestampUnit::Rfc3339, &[text]), Err(Reason::MalformedTimestamp), "{text}");
        }
    }

    /// Mercado Pago's documents have seconds, its SDKs milliseconds.
    #[test]
    fn a_unit_is_told_by_the_number_of_digits() {
        let read = |text: &str| TimestampUnit::SecondsOrMilliseconds.read(text).map(UnixTime::seconds);
        assert_eq!((read("1800000000"), read("1800000000999")), (Some(NOW), Some(NOW)));
        for text in [
            "",
            "180000000",
            "18000000000",
            "180000000099",
            "18000000009999",
            "1800000000.0",
            "-180000000",
            "+180000000",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    /// Orb's X-Orb-Timestamp. Two spellings of a time with a zone would be two times for a reader of another zone.
    #[test]
    fn a_time_without_a_zone_is_utc() {
        let read = |text: &str| TimestampUnit::Utc.read(text).map(UnixTime::seconds);
        assert_eq!((read("2027-01-15T08:00:00"), read("2027-01-15T08:00:00.551")), (Some(NOW), Some(NOW)));
        // Orb joins time and body by a colon: a time without seconds would move them into the body.
        let zoned = ["2027-01-15T08:00:00Z", "2027-01-15T08:00:00+01:00"];
        for text in
            ["", "2027-01-15T08:00", "2027-01-15T08", "2027-01-15 08:00:00", "1800000000"].into_iter().chain(zoned)
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_written_time_is_read_back() {
        use TimestampUnit::{Microseconds, Milliseconds, Rfc3339, Seconds, SecondsOrMilliseconds, Utc};
        for unit in [Seconds, Milliseconds, Microseconds, SecondsOrMilliseconds, Rfc3339, Utc] {
            assert_eq!(unit.read(&unit.write(NOW)).map(UnixTime::seconds), Some(NOW), "{unit:?}");
        }
    }

    #[test]
    fn claims_may_be_numbers_or_texts() {
        let read = |value: Value| TimestampUnit::Seconds.read_claim(&value).map(UnixTime::seconds);
        assert_eq!(read(json!(NOW)), Some(NOW));
        assert_eq!(read(json!("1800000000")), Some(NOW));
        assert_eq!(read(json!(1_800_000_000.7)), Some(NOW));
        assert_eq!(
            TimestampUnit::Milliseconds.read_claim(&json!(1_800_000_000_999_u64)).map(UnixTime::seconds),
            Some(NOW)
        );
        assert_eq!((read(json!(null)), read(json!(-5)), read(json!([NOW]))), (None, None, None));
    }

    #[test]
    fn numeric_dates_are_rounded_to_the_strict_side() {
        let date = |value: Value| match value {
            Value::Number(number) => numeric_date(&number).map(|date| (date.floor.seconds(), date.ceil.seconds())),
            _ => None,
        };
        assert_eq!((date(json!(5)), date(json!(0.0))), (Some((5, 5)), Some((0, 0))));
        assert_eq!(date(json!(5.25)), Some((5, 6)));
        assert_eq!(date(json!(253_402_300_799_u64)), Some((253_402_300_799, 253_402_300_799)));
        for value in [json!(-1), json!(-0.5), json!(253_402_300_800_u64), json!(u64::MAX), json!(1e300)] {
            assert_eq!(date(value.clone()), None, "{value}");
        }
    }
}
