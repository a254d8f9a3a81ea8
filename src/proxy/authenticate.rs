//! The stage that authenticates a request: it runs [`auth::verify`] by the headers, and with the buffered body where
//! that is necessary. It adds the checks that need I/O or the listener (the current trust in the client certificate,
//! the shared revocation sets), fetches what the decision lacks (an issuer's keys, the body), and turns the decision
//! into a [`Permit`], a challenge response or a [`Failure`].

use std::borrow::Cow;
use std::time::Instant;

use bytes::Bytes;
use http_body::Body as _;

use super::buffer_body::buffer_body;
use super::capture;
use super::record::RequestRecord;
use super::request_body::RequestBody;
use super::request_context::RequestContext;
use crate::auth::challenge::{ChallengeResponse, Confirmation};
use crate::auth::{self, Grant, MissingKey, Permit, Policy, Reason, Rejection, RequestView, VerifyError};
use crate::failure::{Failure, is_rejection};
use crate::jwks::{CertificateFetch, Refetch};
use crate::route::{ChallengeStage, REDUCED_MAX_BODY};
use crate::services::Services;
use crate::store::StoreClient;

/// Outcome of a request that is not rejected.
pub(super) enum Authenticated {
    /// The request may be forwarded.
    Permitted(Permit),
    /// The request is an endpoint verification challenge of this stage, and this is the response.
    Challenge(ChallengeStage, ChallengeResponse),
}

/// Authenticates a request. A rejected one counts against its client's address (`limits.failed_auth_rate`), in dry run
/// too, which would otherwise be a way around the limit. Beyond the limit a request is still verified, since it may be
/// genuine, but a rejection is cheaper: it is not captured, and a large body is not read for it.
///
/// # Errors
/// [`Failure::Rejected`]; [`Failure::RateLimited`] for too many challenges, and for any rejection beyond the limit;
/// those of [`buffer_body`].
pub(super) async fn authenticate(
    services: &Services,
    context: &RequestContext<'_>,
    body: &mut RequestBody,
    record: &mut RequestRecord,
) -> Result<Authenticated, Failure> {
    let authenticated = evaluate(services, context, body, record).await;
    if !is_rejected(&authenticated) {
        return authenticated;
    }
    let (route, address) = (context.route, context.connection.address.ip());
    services.limits.penalize(&route.name, &route.limits, address, Instant::now);
    context.over_failed_auth_rate.map_or(authenticated, |limited| Err(Failure::RateLimited(limited)))
}

/// Whether the decision rejected the request. A request that could not be verified, ended prematurely or exceeded a
/// limit does not count against its client.
fn is_rejected(authenticated: &Result<Authenticated, Failure>) -> bool {
    match authenticated {
        Err(failure) if failure.reason() == Reason::BodyTooLarge => false,
        Err(failure) => is_rejection(failure.reason()) && failure.limited().is_none(),
        Ok(Authenticated::Permitted(Permit::Observed(rejection))) => is_rejection(rejection.reason),
        Ok(Authenticated::Permitted(Permit::Granted(_)) | Authenticated::Challenge(..)) => false,
    }
}

/// Decides the request, first by its headers alone, so that it may be rejected before its body is read. The body is
/// read only if the rest of the decision, or an endpoint verification challenge, needs it; with `capture` it is read
/// first.
async fn evaluate(
    services: &Services,
    context: &RequestContext<'_>,
    body: &mut RequestBody,
    record: &mut RequestRecord,
) -> Result<Authenticated, Failure> {
    let (route, now) = (context.route, context.now);
    if !context.client_certificate_still_trusted() {
        return Err(no_longer_trusted());
    }
    let mut decision = Err(VerifyError::NeedsBody);
    if body.is_end_stream() || !route.reads_body_first() || context.over_failed_auth_rate.is_some() {
        let view = context.view();
        let view = if body.is_end_stream() { view.with_body(&[]) } else { view };
        decision = decide(services, context, &view, record).await;
    }
    let mut buffered = Bytes::new();
    if let Err(VerifyError::NeedsBody) = decision {
        buffered = Box::pin(buffer_for_decision(services, context, body)).await?;
        decision = decide(services, context, &context.view().with_body(&buffered), record).await;
    }
    match decision {
        Ok(Authenticated::Challenge(stage, challenge)) => {
            let address = context.connection.address.ip();
            services.challenges.admit(&route.name, stage, address, now).map_err(Failure::RateLimited)?;
            if let Some(confirmation) = &challenge.confirmation {
                Box::pin(confirm(services, confirmation)).await?;
            }
            Ok(Authenticated::Challenge(stage, challenge))
        }
        Ok(permitted) => Ok(permitted),
        Err(VerifyError::Rejected(rejection)) => {
            if context.over_failed_auth_rate.is_none() {
                capture::store(context, &buffered, &rejection);
            }
            if route.observes(now) {
                Ok(Authenticated::Permitted(Permit::Observed(rejection)))
            } else {
                Err(Failure::Rejected(rejection))
            }
        }
        // The whole body was passed in: a verifier that still asks for it is wrong.
        Err(VerifyError::NeedsBody) => Err(Reason::BadRequest.into()),
    }
}

fn no_longer_trusted() -> Failure {
    let detail = Some(Cow::Borrowed("the listener no longer trusts the client certificate"));
    Failure::Rejected(Rejection { detail, ..Rejection::from(Reason::CertificateNotAllowed) })
}

/// Buffers the body, which must be small if the address exceeds `failed_auth_rate`.
async fn buffer_for_decision(
    services: &Services,
    context: &RequestContext<'_>,
    body: &mut RequestBody,
) -> Result<Bytes, Failure> {
    let Some(limited) = context.over_failed_auth_rate else { return buffer_body(services, context, body).await };
    let buffered = match body.lower_limit(REDUCED_MAX_BODY) {
        Ok(()) => buffer_body(services, context, body).await,
        Err(too_large) => Err(too_large.into()),
    };
    let is_large = |failure: &Failure| failure.reason() == Reason::BodyTooLarge;
    buffered.map_err(|failure| if is_large(&failure) { Failure::RateLimited(limited) } else { failure })
}

/// Runs [`auth::verify`], and once more after a fetch of the key that it lacks: those of the issuer, or the certificate
/// that the request names.
async fn decide(
    services: &Services,
    context: &RequestContext<'_>,
    view: &RequestView<'_>,
    record: &mut RequestRecord,
) -> Result<Authenticated, VerifyError> {
    let (route, now) = (context.route, context.now);
    if let Some(challenge) = route.challenge_response(view, ChallengeStage::Unauthenticated)? {
        return Ok(Authenticated::Challenge(ChallengeStage::Unauthenticated, challenge));
    }
    let begun = Instant::now();
    let mut decision = auth::verify(&route.rules, view, now);
    if let Err(VerifyError::Rejected(rejection @ Rejection { remote: Some(missing), .. })) = &decision {
        decision = match Box::pin(fetch_key(services, context, missing)).await {
            Ok(()) => auth::verify(&route.rules, view, services.clock.now()),
            Err((reason, detail)) => {
                let detail = detail.map(Cow::Owned).or_else(|| rejection.detail.clone());
                Err(Rejection { reason, detail, ..rejection.clone() }.into())
            }
        };
    }
    if let (Ok(grant), true) = (&decision, route.shared_revocation) {
        decision = match Box::pin(check_revocation(services.store.as_deref(), grant)).await {
            Ok(()) => decision,
            Err(rejection) => Err(rejection.into()),
        };
    }
    record.decided(&decision, begun.elapsed(), now);
    let grant = decision?;
    if !matches!(route.rules.policy, Policy::Public) {
        context.connection.progress.set_authenticated();
    }
    Ok(match route.challenge_response(view, ChallengeStage::Authenticated)? {
        Some(challenge) => Authenticated::Challenge(ChallengeStage::Authenticated, challenge),
        None => Authenticated::Permitted(Permit::Granted(grant)),
    })
}

/// Fetches a key that the decision lacks.
///
/// # Errors
/// The reason and its detail. If the request cannot be verified, it fails closed, with 503, so that the sender retries.
async fn fetch_key(
    services: &Services,
    context: &RequestContext<'_>,
    missing: &MissingKey,
) -> Result<(), (Reason, Option<String>)> {
    match missing {
        MissingKey::OfSet(keys) => match services.jwks.refetch(keys).await {
            Refetch::Fetched => Ok(()),
            Refetch::CoolingDown => Err((Reason::JwksCooldown, None)),
            Refetch::Failed => Err((Reason::JwksUnavailable, None)),
        },
        MissingKey::OfCertificate(certificates, url) => {
            let client = context.connection.address.ip();
            match services.jwks.certificates.fetch(certificates, url, client).await {
                CertificateFetch::Fetched => Ok(()),
                CertificateFetch::NotAllowed(cause) => Err((Reason::SigningCertificateNotAllowed, Some(cause))),
                CertificateFetch::Unavailable(cause) => Err((Reason::SigningCertificateUnavailable, Some(cause))),
            }
        }
    }
}

/// Confirms the subscription of a verified message.
///
/// # Errors
/// `subscription_not_confirmed`, with 503, so that the sender retries.
async fn confirm(services: &Services, confirmation: &Confirmation) -> Result<(), Failure> {
    services.jwks.confirmations.confirm(confirmation).await.map_err(|cause| {
        let reason = Rejection::from(Reason::SubscriptionNotConfirmed);
        Failure::Rejected(Rejection { proven: true, detail: Some(Cow::Owned(cause)), ..reason })
    })
}

/// Decides a request again that was granted: whether its tunnel may stay open. Keys are not fetched for it.
///
/// # Errors
/// [`Failure::Rejected`].
pub(super) async fn verify_again(services: &Services, context: &RequestContext<'_>) -> Result<(), Failure> {
    let route = context.route;
    if !context.client_certificate_still_trusted() {
        return Err(no_longer_trusted());
    }
    let grant = match auth::verify(&route.rules, &context.view().with_body(&[]), context.now) {
        Ok(grant) => grant,
        Err(VerifyError::Rejected(rejection)) => return Err(Failure::Rejected(rejection)),
        Err(VerifyError::NeedsBody) => return Err(Reason::BadRequest.into()),
    };
    if route.shared_revocation {
        check_revocation(services.store.as_deref(), &grant).await.map_err(Failure::Rejected)?;
    }
    Ok(())
}

/// Checks whether the store revokes a credential of this grant.
///
/// # Errors
/// `Revoked`, or `StoreUnavailable` where the store does not respond.
async fn check_revocation(store: Option<&StoreClient>, grant: &Grant) -> Result<(), Rejection> {
    let reject = |reason| {
        let detail = (reason == Reason::StoreUnavailable).then_some("the shared revocations could not be read");
        let detail = detail.map(Cow::Borrowed);
        Rejection { proven: true, issuer: grant.issuer().cloned(), detail, ..Rejection::from(reason) }
    };
    let store = store.ok_or_else(|| reject(Reason::StoreUnavailable))?;
    for credential in grant.revocables() {
        match store.revokes(credential).await {
            Ok(false) => {}
            Ok(true) => return Err(reject(Reason::Revoked)),
            Err(_) => return Err(reject(Reason::StoreUnavailable)),
        }
    }
    Ok(())
}
