//! Reserves the replay ids and the idempotency key of a request. Input: a [`Grant`] and the route's `replay_protection`
//! and `idempotency`. Output: a reservation, a response to a duplicate, or a failure. Called by the gateway after the
//! decision.

use std::sync::Arc;
use std::time::Duration;

use http::Response;

use super::body::ResponseContent;
use super::{response, stored_response};
use crate::auth::{Grant, Reason, Rejection, RequestView};
use crate::clock::UnixTime;
use crate::failure::Failure;
use crate::route::Route;
use crate::route::duplicates::{
    DuplicateRules as Rules, IdempotencyKeyPlace, IdempotencyRule, OnDuplicate, ReplayRule,
};
use crate::store::request::{ReserveRequest, StoreError};
use crate::store::state::ReserveResult;
use crate::store::{EntryKind, EntryRequest, Reservation, ReserveOutcome, StoreClient, new_owner};

/// The longest idempotency key, in bytes.
const MAX_KEY: usize = 1024;

/// A granted request, and the rules by which its ids are reserved.
pub(super) struct ReserveContext<'a> {
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
pub(super) enum ReserveDecision {
    /// The request is forwarded; the outcome of the exchange commits or releases the reservation.
    Forward(Option<Reservation>),
    /// The request is a duplicate, and this is the response.
    Answer(Response<ResponseContent>),
}

/// Reserves the idempotency key first: a key that is committed already gets its response before the replay ids are
/// checked.
///
/// # Errors
/// The reason of a duplicate; `StoreUnavailable` or `StoreFull`; `BadRequest` if a required idempotency key is missing,
/// or a key cannot be read; `MalformedBody` if a required key stands in a body that is not JSON; `TimestampTooOld` for
/// an old credential that is acceptable only because a reload has raised the max age or leeway.
pub(super) async fn reserve(
    store: &Arc<StoreClient>,
    context: &ReserveContext<'_>,
) -> Result<ReserveDecision, Failure> {
    let mut entries = Vec::new();
    if let Some(rule) = &context.rules.idempotency {
        entries.extend(context.key(store, rule)?);
    }
    if let Some(rule) = &context.rules.replay {
        context.ids(store, rule, &mut entries)?;
    }
    match store.reserve(entries).await {
        ReserveOutcome::Reserved(reservation) => Ok(ReserveDecision::Forward(Some(reservation))),
        ReserveOutcome::Duplicate(kind, answer) => context.repeated(kind, answer),
        ReserveOutcome::Unavailable(error) => Err(undecided(error)),
    }
}

/// Checks whether the store revokes a token of this grant.
///
/// # Errors
/// `Revoked`, or `StoreUnavailable` where the store does not respond.
pub(super) async fn revocation(store: Option<&StoreClient>, grant: &Grant) -> Result<(), Rejection> {
    let refuse = |reason| Rejection { proven: true, issuer: grant.issuer().cloned(), ..Rejection::at_once(reason) };
    let store = store.ok_or_else(|| refuse(Reason::StoreUnavailable))?;
    for one in grant.revocables() {
        match store.revokes(one).await {
            Ok(false) => {}
            Ok(true) => return Err(refuse(Reason::Revoked)),
            Err(_) => return Err(refuse(Reason::StoreUnavailable)),
        }
    }
    Ok(())
}

fn undecided(error: StoreError) -> Failure {
    Failure::Plain(match error {
        StoreError::Full => Reason::StoreFull,
        StoreError::Unavailable => Reason::StoreUnavailable,
    })
}

impl ReserveContext<'_> {
    fn ids(&self, store: &StoreClient, rule: &ReplayRule, entries: &mut Vec<EntryRequest>) -> Result<(), Failure> {
        for replay_id in self.grant.replay_ids() {
            if rule.widened.is_some_and(|widened| widened.forbids(replay_id, self.now)) {
                return Err(Failure::Rejected(Rejection {
                    proven: true,
                    ..Rejection::at_once(Reason::TimestampTooOld)
                }));
            }
            let kept = rule.ttl.map(|ttl| self.now.plus(ttl));
            let until = replay_id.until.max(kept).unwrap_or(self.now);
            let parts =
                [self.route.name.as_bytes(), replay_id.issuer.as_bytes(), replay_id.kind.as_bytes(), &replay_id.id];
            entries.push(self.entries(store, EntryKind::Replay, &parts, until, replay_id.issued)?);
        }
        Ok(())
    }

    /// An idempotency key may be unsigned, so it is scoped to its sender: the same key from another issuer or subject
    /// is another entry.
    fn key(&self, store: &StoreClient, rule: &IdempotencyRule) -> Result<Option<EntryRequest>, Failure> {
        let Some(key) = self.find_key(&rule.key)? else {
            let unreadable = matches!(rule.key, IdempotencyKeyPlace::Json(_)) && self.view.json() == Ok(None);
            return match (rule.required, unreadable) {
                (true, true) => {
                    Err(Failure::Rejected(Rejection { proven: true, ..Rejection::at_once(Reason::MalformedBody) }))
                }
                (true, false) => Err(Reason::BadRequest.into()),
                (false, _) => Ok(None),
            };
        };
        let issuer = self.grant.issuer().map(|issuer| issuer.as_bytes()).unwrap_or_default();
        let subject = self.grant.subject().unwrap_or_default().as_bytes();
        let parts = [self.route.name.as_bytes(), issuer, b"key", subject, key.as_bytes()];
        let entries =
            self.entries(store, EntryKind::Idempotency, &parts, self.now.plus(rule.ttl), Some(UnixTime::MAX))?;
        Ok(Some(entries))
    }

    fn find_key(&self, place: &IdempotencyKeyPlace) -> Result<Option<String>, Failure> {
        let bad = |_| Failure::Plain(Reason::BadRequest);
        let value = match place {
            IdempotencyKeyPlace::Header(name) => {
                self.view.header(name).map_err(bad)?.map(|text| text.trim().to_owned())
            }
            IdempotencyKeyPlace::Claim(pointer) => text_of(pointer.find(self.grant.claims())),
            IdempotencyKeyPlace::Json(pointer) => {
                text_of(self.view.json_value(pointer).map_err(|_| Reason::BadRequest)?)
            }
        };
        match value {
            Some(key) if key.is_empty() || key.len() > MAX_KEY => Err(Reason::BadRequest.into()),
            other => Ok(other),
        }
    }

    fn entries(
        &self,
        store: &StoreClient,
        kind: EntryKind,
        parts: &[&[u8]],
        until: UnixTime,
        issued: Option<UnixTime>,
    ) -> Result<EntryRequest, Failure> {
        let head = self.view.head;
        let fingerprint = store.hasher().fingerprint(head.method.as_str(), self.view.path_and_query(), self.view.body);
        let ask = ReserveRequest {
            id: store.hasher().id(parts),
            fingerprint,
            owner: new_owner().map_err(undecided)?,
            route: Arc::clone(&self.route.name),
            share: self.rules.share,
            until,
            lease: self.lease,
            issued,
        };
        Ok(EntryRequest { kind, ask })
    }

    fn repeated(&self, kind: EntryKind, answer: ReserveResult) -> Result<ReserveDecision, Failure> {
        let rule = match kind {
            EntryKind::Replay => self.rules.replay.as_ref().map(|rule| rule.on_duplicate),
            EntryKind::Idempotency => self.rules.idempotency.as_ref().map(|rule| rule.on_duplicate),
        };
        let (same, kept) = match (answer, kind) {
            (ReserveResult::Committed { same, reply }, _) => (same, reply),
            (ReserveResult::InFlight, _) => return Err(Reason::DuplicateInFlight.into()),
            (ReserveResult::Mismatch, EntryKind::Replay) => return Err(Reason::ReplayIdReused.into()),
            (ReserveResult::Mismatch, EntryKind::Idempotency) => {
                return Err(Reason::IdempotencyKeyReused.into());
            }
            // The caller handles a new reservation before this.
            (ReserveResult::Reserved, _) => return Err(Reason::StoreUnavailable.into()),
        };
        if kind == EntryKind::Idempotency && !same {
            return Err(Reason::IdempotencyKeyReused.into());
        }
        match rule {
            None | Some(OnDuplicate::Reject) => Err(Reason::DuplicateRequest.into()),
            Some(OnDuplicate::Acknowledge) => {
                Ok(ReserveDecision::Answer(response::acknowledged(self.route, self.request_id)))
            }
            Some(OnDuplicate::Replay) => {
                let again = kept.as_ref().and_then(stored_response::read);
                let again = again.map(|response| response::again(response, self.request_id));
                Ok(ReserveDecision::Answer(
                    again.unwrap_or_else(|| response::acknowledged(self.route, self.request_id)),
                ))
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
