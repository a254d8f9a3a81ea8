//! Reserves the replay ids and the idempotency key of a request. Input: a [`Grant`] and the route's `replay_protection`
//! and `idempotency`. Output: a reservation, a response to a duplicate, or a failure. Called by the gateway after the
//! decision.

use std::sync::Arc;
use std::time::Duration;

use http::Response;

use super::body::Content;
use super::{response, stored_response};
use crate::auth::{Grant, Refusal, Refused, RequestView};
use crate::clock::UnixTime;
use crate::failure::{Duplicate, Failure, StoreFault};
use crate::route::Route;
use crate::route::duplicates::{Admission as Rules, Idempotency, KeyPlace, OnDuplicate, Replay};
use crate::store::request::{Ask, StoreError};
use crate::store::state::Answer;
use crate::store::{Admission, Admitted, Kind, Reservation, Wanted, new_owner};

/// The longest idempotency key, in bytes.
const MAX_KEY: usize = 1024;

/// A granted request, and the rules by which its ids are reserved.
pub(super) struct Applicant<'a> {
    pub(super) route: &'a Arc<Route>,
    pub(super) rules: &'a Rules,
    pub(super) grant: &'a Grant,
    /// The request, with its body where that is known.
    pub(super) view: &'a RequestView<'a>,
    pub(super) now: UnixTime,
    /// How long the exchange with the upstream may take.
    pub(super) lease: Duration,
    pub(super) request_id: &'a str,
}

/// Result of a reservation.
pub(super) enum Admit {
    /// The request is forwarded; the outcome of the exchange commits or releases the reservation.
    Forward(Option<Reservation>),
    /// The request is a duplicate, and this is the response.
    Answer(Response<Content>),
}

/// Reserves the idempotency key first: a key that is committed already gets its response before the replay ids are
/// checked.
///
/// # Errors
/// [`Failure::Duplicate`]; [`Failure::Undecided`] if the store is unavailable or full; `BadRequest` if a required
/// idempotency key is missing, or a key cannot be read; `MalformedBody` if a required key stands in a body that is not
/// JSON; reason `timestamp_too_old` for an old credential that is acceptable only because a reload has raised the max
/// age or leeway.
pub(super) async fn admit(admission: &Arc<Admission>, applicant: &Applicant<'_>) -> Result<Admit, Failure> {
    let mut wanted = Vec::new();
    if let Some(rule) = &applicant.rules.idempotency {
        wanted.extend(applicant.key(admission, rule)?);
    }
    if let Some(rule) = &applicant.rules.replay {
        applicant.ids(admission, rule, &mut wanted)?;
    }
    match admission.reserve(wanted).await {
        Admitted::Reserved(reservation) => Ok(Admit::Forward(Some(reservation))),
        Admitted::Duplicate(kind, answer) => applicant.repeated(kind, answer),
        Admitted::Undecided(error) => Err(undecided(error)),
    }
}

/// Checks whether the store revokes a token of this grant.
///
/// # Errors
/// `Revoked`, or `RevocationUnknown` where the store does not respond.
pub(super) async fn revocation(admission: Option<&Admission>, grant: &Grant) -> Result<(), Refused> {
    let refuse = |refusal| Refused { proven: true, issuer: grant.issuer().cloned(), ..Refused::at_once(refusal) };
    let admission = admission.ok_or_else(|| refuse(Refusal::RevocationUnknown))?;
    for one in grant.revocables() {
        match admission.revokes(one).await {
            Ok(false) => {}
            Ok(true) => return Err(refuse(Refusal::Revoked)),
            Err(_) => return Err(refuse(Refusal::RevocationUnknown)),
        }
    }
    Ok(())
}

fn undecided(error: StoreError) -> Failure {
    Failure::Undecided(match error {
        StoreError::Full => StoreFault::Full,
        StoreError::Unavailable => StoreFault::Unavailable,
    })
}

impl Applicant<'_> {
    fn ids(&self, admission: &Admission, rule: &Replay, wanted: &mut Vec<Wanted>) -> Result<(), Failure> {
        for once in self.grant.onces() {
            if rule.widened.is_some_and(|widened| widened.forbids(once, self.now)) {
                return Err(Failure::Refused(Refused { proven: true, ..Refused::at_once(Refusal::TimestampTooOld) }));
            }
            let kept = rule.ttl.map(|ttl| self.now.plus(ttl));
            let until = once.until.max(kept).unwrap_or(self.now);
            let parts = [self.route.name.as_bytes(), once.issuer.as_bytes(), once.kind.as_bytes(), &once.id];
            wanted.push(self.wanted(admission, Kind::Replay, &parts, until, once.issued)?);
        }
        Ok(())
    }

    /// An idempotency key may be unsigned, so it is scoped to its sender: the same key from another issuer or subject
    /// is another entry.
    fn key(&self, admission: &Admission, rule: &Idempotency) -> Result<Option<Wanted>, Failure> {
        let Some(key) = self.find_key(&rule.key)? else {
            let unreadable = matches!(rule.key, KeyPlace::Json(_)) && self.view.json() == Ok(None);
            return match (rule.required, unreadable) {
                (true, true) => {
                    Err(Failure::Refused(Refused { proven: true, ..Refused::at_once(Refusal::MalformedBody) }))
                }
                (true, false) => Err(Failure::BadRequest),
                (false, _) => Ok(None),
            };
        };
        let issuer = self.grant.issuer().map(|issuer| issuer.as_bytes()).unwrap_or_default();
        let subject = self.grant.subject().unwrap_or_default().as_bytes();
        let parts = [self.route.name.as_bytes(), issuer, b"key", subject, key.as_bytes()];
        let wanted = self.wanted(admission, Kind::Idempotency, &parts, self.now.plus(rule.ttl), Some(UnixTime::MAX))?;
        Ok(Some(wanted))
    }

    fn find_key(&self, place: &KeyPlace) -> Result<Option<String>, Failure> {
        let bad = |_| Failure::BadRequest;
        let value = match place {
            KeyPlace::Header(name) => self.view.header(name).map_err(bad)?.map(|text| text.trim().to_owned()),
            KeyPlace::Claim(pointer) => text_of(pointer.find(self.grant.claims())),
            KeyPlace::Json(pointer) => text_of(self.view.json_value(pointer).map_err(|_| Failure::BadRequest)?),
        };
        match value {
            Some(key) if key.is_empty() || key.len() > MAX_KEY => Err(Failure::BadRequest),
            other => Ok(other),
        }
    }

    fn wanted(
        &self,
        admission: &Admission,
        kind: Kind,
        parts: &[&[u8]],
        until: UnixTime,
        issued: Option<UnixTime>,
    ) -> Result<Wanted, Failure> {
        let head = self.view.head;
        let fingerprint =
            admission.namer().fingerprint(head.method.as_str(), self.view.path_and_query(), self.view.body);
        let ask = Ask {
            id: admission.namer().id(parts),
            fingerprint,
            owner: new_owner().map_err(undecided)?,
            route: Arc::clone(&self.route.name),
            share: self.rules.share,
            until,
            lease: self.lease,
            issued,
        };
        Ok(Wanted { kind, ask })
    }

    fn repeated(&self, kind: Kind, answer: Answer) -> Result<Admit, Failure> {
        let rule = match kind {
            Kind::Replay => self.rules.replay.as_ref().map(|rule| rule.on_duplicate),
            Kind::Idempotency => self.rules.idempotency.as_ref().map(|rule| rule.on_duplicate),
        };
        let (same, kept) = match (answer, kind) {
            (Answer::Committed { same, reply }, _) => (same, reply),
            (Answer::InFlight, _) => return Err(Failure::Duplicate(Duplicate::InFlight)),
            (Answer::Mismatch, Kind::Replay) => return Err(Failure::Duplicate(Duplicate::ReplayIdReused)),
            (Answer::Mismatch, Kind::Idempotency) => return Err(Failure::Duplicate(Duplicate::IdempotencyKeyReused)),
            // The caller handles a new reservation before this.
            (Answer::Reserved, _) => return Err(Failure::Undecided(StoreFault::Unavailable)),
        };
        if kind == Kind::Idempotency && !same {
            return Err(Failure::Duplicate(Duplicate::IdempotencyKeyReused));
        }
        match rule {
            None | Some(OnDuplicate::Refuse) => Err(Failure::Duplicate(Duplicate::Request)),
            Some(OnDuplicate::Acknowledge) => Ok(Admit::Answer(response::acknowledged(self.route, self.request_id))),
            Some(OnDuplicate::Replay) => {
                let again = kept.as_ref().and_then(stored_response::read);
                let again = again.map(|response| response::again(response, self.request_id));
                Ok(Admit::Answer(again.unwrap_or_else(|| response::acknowledged(self.route, self.request_id))))
            }
        }
    }
}

fn text_of(value: Option<&serde_json::Value>) -> Option<String> {
    match value {
        Some(serde_json::Value::String(text)) => Some(text.clone()),
        Some(serde_json::Value::Number(number)) => Some(number.to_string()),
        Some(_) | None => None,
    }
}
