//! What a route remembers of its requests: `replay` and `idempotency`.

use std::time::Duration;

use http::{HeaderName, StatusCode};

use crate::auth::claims::Pointer;
use crate::auth::once::Once;
use crate::clock::UnixTime;

/// `replay` and `idempotency` of a route, at least one of them.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Nothing passes twice.
    pub replay: Option<Replay>,
    /// What was done for a key is not done again.
    pub idempotency: Option<Idempotency>,
    /// How many entries the route may hold in a store that is bounded.
    pub share: usize,
}

/// `replay`
#[derive(Clone, Debug)]
pub struct Replay {
    /// What a sender hears who repeats what has arrived.
    pub on_duplicate: OnDuplicate,
    /// The least time that an id is kept.
    pub ttl: Option<Duration>,
    /// Replies by which a request has arrived.
    pub commit_on: Vec<Statuses>,
    /// A reload has made a window wider.
    pub widened: Option<Widened>,
}

/// `idempotency`
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// Where the key is.
    pub key: KeyPlace,
    /// A request without one is refused.
    pub required: bool,
    /// How long a key is kept.
    pub ttl: Duration,
    /// What a sender hears who repeats what has been done.
    pub on_duplicate: OnDuplicate,
}

/// Where an idempotency key is. It need not be signed: it protects from nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// In a header field.
    Header(HeaderName),
    /// In a verified claim.
    Claim(Pointer),
    /// In a JSON body.
    Json(Pointer),
}

/// What a sender hears who repeats what has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDuplicate {
    /// 409.
    Refuse,
    /// 200, empty.
    Acknowledge,
    /// What was answered the first time.
    Replay,
}

/// `2xx`, or `202`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statuses {
    /// A hundred of them.
    Class(u16),
    /// One.
    One(u16),
}

impl Statuses {
    /// Whether it is one of them.
    pub fn holds(self, status: StatusCode) -> bool {
        match self {
            Self::Class(class) => status.as_u16() / 100 == class,
            Self::One(one) => status.as_u16() == one,
        }
    }
}

/// A window that a reload has made wider: ids of older credentials were kept for the narrower one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Widened {
    /// When.
    pub at: UnixTime,
    /// By so much.
    pub by: Duration,
}

impl Widened {
    /// Whether a credential is good only by what was added, and older than that.
    pub fn forbids(self, once: &Once, now: UnixTime) -> bool {
        let old = once.issued.is_none_or(|issued| issued < self.at);
        let ended = once.until.is_some_and(|until| until.seconds() < now.plus(self.by).seconds());
        old && ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_seconds(seconds).unwrap()
    }

    fn once(issued: Option<u64>, until: u64) -> Once {
        let (issued, until) = (issued.map(at), Some(at(until)));
        Once { issuer: "a".into(), kind: "claim", id: Vec::new(), until, issued }
    }

    #[test]
    fn a_wider_window_is_for_credentials_issued_after_it() {
        let widened = Widened { at: at(1000), by: Duration::from_secs(300) };
        // Issued at 900 with a window that was 300 and is 600: good until 1200, not until 1500.
        assert!(!widened.forbids(&once(Some(900), 1500), at(1200)));
        assert!(widened.forbids(&once(Some(900), 1500), at(1201)));
        assert!(widened.forbids(&once(None, 1500), at(1201)));
        assert!(!widened.forbids(&once(Some(1000), 1600), at(1500)));
    }

    #[test]
    fn statuses_are_classes_or_single() {
        assert!(Statuses::Class(2).holds(StatusCode::from_u16(204).unwrap()));
        assert!(!Statuses::Class(2).holds(StatusCode::from_u16(302).unwrap()));
        assert!(Statuses::One(202).holds(StatusCode::from_u16(202).unwrap()));
        assert!(!Statuses::One(202).holds(StatusCode::from_u16(200).unwrap()));
    }
}
