//! The stage that reserves the replay ids and the idempotency key of a request, by the route's `replay_protection` and
//! `idempotency`. Output: a reservation, a response to a duplicate, or a failure.

use std::sync::Arc;
use std::time::Duration;

use http::Response;

use super::buffer_body::buffer_body;
use super::record::RequestRecord;
use super::request_body::RequestBody;
use super::request_context::RequestContext;
use super::response_body::ResponseContent;
use super::upstream::MARGIN;
use super::{response, stored_response};
use crate::auth::locator::LocatedValue;
use crate::auth::{Grant, Permit, Rejection, RequestView};
use crate::failure::Failure;
use crate::reason::Reason;
use crate::route::duplicates::{DuplicateRules, IdempotencyRule, OnDuplicate, ReplayScope};
use crate::services::Services;
use crate::store::kind::{ReserveRequest, StoreError};
use crate::store::state::ReserveResult;
use crate::store::{EntryKind, Reservation, ReserveOutcome, StoreClient, new_owner};

/// The longest idempotency key, in bytes.
const MAX_KEY: usize = 1024;

/// The lease of a request without `timeouts.total`, which no route with a reservation is without.
const LONGEST_LEASE: Duration = Duration::from_secs(24 * 3600);

/// Result of a reservation.
pub(super) enum Reserved {
    /// The request is forwarded; the outcome of the exchange commits or releases the reservation.
    Forward(Option<Reservation>),
    /// The request is a duplicate, and this is the response.
    Duplicate(Box<Response<ResponseContent>>),
}

/// Reserves the replay ids and the idempotency key of a request. In dry run, a duplicate is logged and forwarded.
///
/// # Errors
/// The reason of a duplicate; `StoreUnavailable` or `StoreFull`; `BadRequest` if a required idempotency key is missing,
/// or a key cannot be read; `MalformedBody` if a required key stands in a body that is not JSON; `TimestampTooOld` for
/// an old credential that is acceptable only because a reload has raised the max age or leeway; those of
/// [`buffer_body`].
pub(super) async fn reserve(
    services: &Services,
    context: &RequestContext<'_>,
    permit: &Permit,
    body: &mut RequestBody,
    record: &mut RequestRecord,
) -> Result<Reserved, Failure> {
    let rules = context.route.duplicates.as_ref();
    let (Some(store), Some(rules), Permit::Granted(grant)) = (&services.store, rules, permit) else {
        return Ok(Reserved::Forward(None));
    };
    if rules.idempotency.is_some() && body.known().is_none() {
        buffer_body(services, context, body).await?;
    }
    let reserved = match entries(store, rules, context, grant, body) {
        Ok(entries) => answer(rules, context, store.reserve(entries).await),
        Err(failure) => Err(failure),
    };
    if !context.route.observes(context.now) {
        return reserved;
    }
    match &reserved {
        Ok(Reserved::Forward(_)) => return reserved,
        Ok(Reserved::Duplicate(_)) => record.observed(Reason::DuplicateRequest),
        Err(failure) => record.observed(failure.reason()),
    }
    Ok(Reserved::Forward(None))
}

fn undecided(error: StoreError) -> Failure {
    Failure::Plain(match error {
        StoreError::Full => Reason::StoreFull,
        StoreError::Unavailable => Reason::StoreUnavailable,
    })
}

/// The entries of a request. The idempotency key comes first: a key that is committed already gets its response before
/// the replay ids are checked.
fn entries(
    store: &StoreClient,
    rules: &DuplicateRules,
    context: &RequestContext<'_>,
    grant: &Grant,
    body: &RequestBody,
) -> Result<Vec<ReserveRequest>, Failure> {
    let RequestContext { route, now, head, .. } = context;
    let view = body.known().map_or_else(|| context.view(), |known| context.view().with_body(known));
    // How long the exchange with the upstream may take. If this process dies, no more of the body arrives.
    let upstream_lease = route.upstream.timeouts.total.unwrap_or(LONGEST_LEASE) + MARGIN;
    let lease = body.time_left() + upstream_lease;
    let sender = grant.sender().to_bytes();
    let sender_id = store.hasher.sender(&route.name, &sender);
    let entry = |kind, id: &[&[u8]], until, issued| -> Result<ReserveRequest, Failure> {
        let id = store.hasher.id(id);
        let fingerprint = store.hasher.fingerprint(&route.name, head.method.as_str(), view.path_and_query(), view.body);
        let (owner, route) = (new_owner().map_err(undecided)?, Arc::clone(&route.name));
        let (share, whole) = (rules.share, rules.one_sender);
        Ok(ReserveRequest {
            kind,
            id,
            fingerprint,
            owner,
            route,
            share,
            sender: sender_id,
            whole,
            until,
            lease,
            upstream_lease,
            issued,
        })
    };
    let (name, mut entries) = (route.name.as_bytes(), Vec::new());
    if let Some(rule) = &rules.idempotency
        && let Some(key) = idempotency_key(rule, grant, &view)?
    {
        // The key may be unsigned: only its sender's name keeps other senders from it.
        let id = [&b"idempotency"[..], name, &sender, key.as_bytes()];
        entries.push(entry(EntryKind::Idempotency, &id, now.plus(rule.ttl), None)?);
    }
    if let Some(rule) = &rules.replay {
        for credential in grant.replay_ids() {
            let replay_id = credential.replay_id;
            if rule.widened.is_some_and(|widened| widened.forbids(replay_id, *now)) {
                return Err(proven(Reason::TimestampTooOld));
            }
            let sender = credential.sender.to_bytes();
            // Without the route, a key names the credential unless its sender does: a preset's name is that of several
            // keys.
            let (scope, place, holder): (&[u8], &[u8], &[u8]) = match (rule.scope, &credential.key) {
                (ReplayScope::Route, _) => (b"route", name, &sender),
                (ReplayScope::Credential, None) => (b"sender", b"", &sender),
                (ReplayScope::Credential, Some(key)) => (b"key", b"", key.as_bytes()),
            };
            let subject = credential.subject.unwrap_or_default().as_bytes();
            for (kind, bytes, until) in replay_id.recorded(rule.ttl.map(|ttl| now.plus(ttl))) {
                let id = [b"replay", scope, place, holder, subject, kind.as_bytes(), bytes];
                entries.push(entry(EntryKind::Replay, &id, until.unwrap_or(*now), replay_id.issued)?);
            }
        }
    }
    // Several signatures may give one id: it is reserved once, or the request would be its own duplicate.
    let mut ids = std::collections::HashSet::new();
    entries.retain(|entry| ids.insert(entry.id));
    Ok(entries)
}

fn proven(reason: Reason) -> Failure {
    Failure::Rejected(Rejection { proven: true, ..Rejection::from(reason) })
}

fn idempotency_key(rule: &IdempotencyRule, grant: &Grant, view: &RequestView<'_>) -> Result<Option<String>, Failure> {
    let bad = |cause: &'static str| Failure::detailed(Reason::BadRequest, cause);
    let found = rule
        .key
        .find_with_claims(view, grant.claims())
        .map_err(|_| bad("an idempotency key that cannot be read, or two"))?;
    match found.and_then(text_of) {
        Some(key) if key.is_empty() || key.len() > MAX_KEY => {
            Err(bad("an idempotency key that is empty or over 1 KiB"))
        }
        None if rule.required => {
            let unreadable = rule.key.is_unreadable(view) == Ok(true);
            Err(if unreadable { proven(Reason::MalformedBody) } else { bad("no idempotency key") })
        }
        key => Ok(key),
    }
}

fn text_of(value: LocatedValue<'_>) -> Option<String> {
    match value {
        LocatedValue::Text(text) => Some(text.trim().to_owned()),
        LocatedValue::Json(value) => match value.into_owned() {
            serde_json::Value::String(text) => Some(text),
            serde_json::Value::Number(number) => Some(number.to_string()),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Array(_)
            | serde_json::Value::Object(_) => None,
        },
    }
}

fn answer(rules: &DuplicateRules, context: &RequestContext<'_>, outcome: ReserveOutcome) -> Result<Reserved, Failure> {
    let (kind, found) = match outcome {
        ReserveOutcome::Reserved(reservation) => return Ok(Reserved::Forward(Some(reservation))),
        ReserveOutcome::Unavailable(error) => return Err(undecided(error)),
        ReserveOutcome::Duplicate(kind, found) => (kind, found),
    };
    let (on_duplicate, reused) = match kind {
        EntryKind::Replay => (rules.replay.as_ref().map(|rule| rule.on_duplicate), Reason::ReplayIdReused),
        EntryKind::Idempotency => {
            (rules.idempotency.as_ref().map(|rule| rule.on_duplicate), Reason::IdempotencyKeyReused)
        }
    };
    let what = match kind {
        EntryKind::Replay => "replay id",
        EntryKind::Idempotency => "idempotency key",
    };
    let stored = match found {
        ReserveResult::Committed { reply } => reply,
        ReserveResult::InFlight => return Err(Failure::detailed(Reason::DuplicateInFlight, what)),
        ReserveResult::Mismatch => return Err(reused.into()),
        // The caller handles a new reservation before this.
        ReserveResult::Reserved => return Err(Reason::StoreUnavailable.into()),
    };
    let stored = match on_duplicate {
        None | Some(OnDuplicate::Reject) => return Err(Failure::detailed(Reason::DuplicateRequest, what)),
        Some(OnDuplicate::Acknowledge) => None,
        Some(OnDuplicate::StoredResponse) => stored.as_ref().and_then(stored_response::read),
    };
    Ok(Reserved::Duplicate(Box::new(match stored {
        Some(stored) => response::again(stored, &context.request_id),
        None => response::acknowledged(context.route, &context.request_id),
    })))
}
