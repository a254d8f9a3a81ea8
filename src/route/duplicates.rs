//! Replay protection and idempotency of a route: `replay_protection` and `idempotency`.

use std::time::Duration;

use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::auth::ReplayId;
use crate::auth::locator::Locator;
use crate::clock::UnixTime;

/// `replay_protection` and `idempotency` of a route, at least one of them.
#[derive(Clone, Debug)]
pub struct DuplicateRules {
    /// Replay protection: no request is forwarded again while it is in flight or once it is committed.
    pub replay: Option<ReplayRule>,
    /// Idempotency: a request with the key of a processed request is not processed again.
    pub idempotency: Option<IdempotencyRule>,
    /// The maximum number of entries of the route in a bounded store.
    pub share: usize,
    /// Whether the route can have a single sender only, which may use up its share.
    pub one_sender: bool,
}

/// `replay_protection` of a route.
#[derive(Clone, Debug)]
pub struct ReplayRule {
    /// Where an id is used up.
    pub scope: ReplayScope,
    /// The response to a duplicate of a committed request.
    pub on_duplicate: OnDuplicate,
    /// The minimum time for which an id is stored.
    pub ttl: Option<Duration>,
    /// The upstream's statuses that commit a request.
    pub commit_on: Vec<Statuses>,
    /// The last reload that extended the validity of credentials, if it still matters.
    pub widened: Option<Widened>,
}

/// `idempotency` of a route.
#[derive(Clone, Debug)]
pub struct IdempotencyRule {
    /// The location of the key, which need not be signed: it is no protection against attackers.
    pub key: Locator,
    /// Whether a request without a key is rejected.
    pub required: bool,
    /// How long a key is stored.
    pub ttl: Duration,
    /// The response to a request whose key has been processed.
    pub on_duplicate: OnDuplicate,
}

/// Where a replay id is used up
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("default" = "route"))]
pub enum ReplayScope {
    /// On its route. A copy of the request is accepted once on each other route that accepts its credential.
    #[default]
    Route,
    /// On all routes with `scope: credential` that accept its credential: the same issuer, the same secret or key, or
    /// secrets with the same `sender`. On another route than the first, the response is 409 `replay_id_reused`.
    Credential,
}

/// The response to a duplicate request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDuplicate {
    /// 409 `duplicate_request`.
    Reject,
    /// 200 without a body; 202 for security event tokens.
    Acknowledge,
    /// The response to the first request again, with `Idempotent-Replayed: true`: a 2xx without its cookies, and of a
    /// response of more than 64 KiB only the status.
    StoredResponse,
}

/// A set of HTTP statuses: `2xx`, or `202`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statuses {
    /// All statuses with this first digit.
    Class(u16),
    /// A single status.
    One(u16),
}

impl Statuses {
    /// Whether the set contains the status.
    pub fn holds(self, status: StatusCode) -> bool {
        match self {
            Self::Class(class) => status.as_u16() / 100 == class,
            Self::One(one) => status.as_u16() == one,
        }
    }
}

/// A reload that extended the validity of credentials (max age, leeway). The ids of older credentials were stored only
/// for the shorter time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Widened {
    /// When the reload happened.
    pub at: UnixTime,
    /// The time by which the validity was extended.
    pub by: Duration,
}

impl Widened {
    /// Whether a credential was issued before the reload and is valid only because of the extension: its id may no
    /// longer be stored.
    pub fn forbids(self, replay_id: &ReplayId, now: UnixTime) -> bool {
        let old = replay_id.issued.is_none_or(|issued| issued < self.at);
        let ended = replay_id.until.is_some_and(|until| until.seconds() < now.plus(self.by).seconds());
        old && ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_seconds(seconds).unwrap()
    }

    fn replay_id(issued: Option<u64>, until: u64) -> ReplayId {
        let (issued, until) = (issued.map(at), Some(at(until)));
        ReplayId { kind: "claim", id: Vec::new(), text: None, until, issued }
    }

    #[test]
    fn a_wider_window_is_for_credentials_issued_after_it() {
        let widened = Widened { at: at(1000), by: Duration::from_secs(300) };
        // Issued at 900 with a max age that was 300 and is now 600: accepted until 1200, not until 1500.
        assert!(!widened.forbids(&replay_id(Some(900), 1500), at(1200)));
        assert!(widened.forbids(&replay_id(Some(900), 1500), at(1201)));
        assert!(widened.forbids(&replay_id(None, 1500), at(1201)));
        assert!(!widened.forbids(&replay_id(Some(1000), 1600), at(1500)));
    }

    #[test]
    fn statuses_are_classes_or_single() {
        assert!(Statuses::Class(2).holds(StatusCode::from_u16(204).unwrap()));
        assert!(!Statuses::Class(2).holds(StatusCode::from_u16(302).unwrap()));
        assert!(Statuses::One(202).holds(StatusCode::from_u16(202).unwrap()));
        assert!(!Statuses::One(202).holds(StatusCode::from_u16(200).unwrap()));
    }
}
