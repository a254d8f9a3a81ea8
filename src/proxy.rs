//! The request path. [`Gateway::handle`] takes a request and always returns a response; `Gateway::exchange` has all the
//! steps between the two in one function.
//!
//! It makes no authentication decision itself (see [`crate::auth`]) and names no status code (see [`reply`]). Called by
//! the server for each request.

pub mod body;
mod capture;
pub mod exchange;
pub mod forwarded;
pub mod head;
pub mod headers;
mod limits;
pub mod record;
mod reserve;
pub mod response;
mod stored_response;
pub mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body as _;
use tokio::sync::mpsc;

use crate::auth::challenge::ChallengeResponse;
use crate::auth::client_certificate::{ClientCertificate, ClientTrust};
use crate::auth::request::PresentedCertificate;
use crate::auth::{self, Permit, Reason, Rejection, RequestView, VerifyError};
use crate::clock::{Clock, UnixTime};
use crate::failure::{self, Failure};
use crate::jwks::{Jwks, Refetch};
use crate::limit::{ChallengeLimit, ConcurrencyPermits, MemoryQuota, RequestLimits};
use crate::metrics::{Metrics, Outcome};
use crate::route::{ChallengeStage, Route};
use crate::snapshot::{ListenerLimits, SharedSnapshot, Snapshot};
use crate::store::{Reservation, StoreClient};
use body::{Body, BodySource, Inbound, RequestBody};
use exchange::UpstreamExchange;
use forwarded::{ClientAddress, ForwardedInfo};
use head::RequestTarget;
use record::RequestRecord;
use reserve::{ReserveContext, ReserveDecision};
use upstream::{MARGIN, Upstreams};

/// Bytes of a request that waits for its body, in addition to its headers: in HTTP/2, a stream and a task.
const WAITING: usize = 8 * 1024;

/// Maximum bytes of all requests that wait for their bodies; requests of one address may use a quarter of it.
const WAITING_IN_ALL: u64 = 64 << 20;

/// The client at the other end of a connection, and the limits of that connection.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Address of the connection. Where trusted proxies name the client, the client's address with port 0.
    pub address: ClientAddress,
    /// False if the PROXY header does not name the client: X-Forwarded-For and Forwarded are then not read.
    pub named: bool,
    /// Whether the client uses TLS: with the gateway, or with a trusted proxy that reports it.
    pub secure: bool,
    /// Further information from trusted proxies.
    pub told: ForwardedInfo,
    /// Index of its listener in `listeners`; the snapshot holds the current settings of that listener.
    pub listener: usize,
    /// Client certificate whose private key the client has proven to hold. It was trusted at the TLS handshake, and may
    /// have lost that trust since.
    pub client: Option<Arc<ClientCertificate>>,
    /// Server name that the client requested (SNI), in lower case.
    pub server_name: Option<Arc<str>>,
    /// Timeouts and limits of its listener.
    pub limits: Arc<ListenerLimits>,
}

/// State that all requests of a worker share. One per worker; only `upstreams` and `alive` belong to that worker alone.
pub struct Gateway {
    /// The active configuration.
    pub snapshot: Arc<SharedSnapshot>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Fetches the keys of remote issuers that are not known yet.
    pub jwks: Arc<Jwks>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Whether each request gets a line in the access log (`log.access`).
    pub access_log: bool,
    /// Memory quota of bodies that are buffered for verification, over all workers.
    pub held: Arc<MemoryQuota>,
    /// Memory quota of requests that wait for their bodies, over all workers.
    pub waiting: Arc<MemoryQuota>,
    /// Rate limit of endpoint verification challenges that are answered, over all workers.
    pub challenges: Arc<ChallengeLimit>,
    /// Store of replay ids, idempotency keys, shared rate limits and revocations; `None` without a configured `store`.
    pub store: Option<Arc<StoreClient>>,
    /// Consumed quota of the routes' rate and concurrency limits, over all workers.
    pub limits: Arc<RequestLimits>,
    /// Connection pools of the upstreams.
    pub upstreams: Arc<Upstreams>,
    /// Held by every connection and exchange, which may outlive it: a drain ends when the last clone is dropped.
    pub alive: mpsc::Sender<()>,
}

impl Gateway {
    /// Handles a request: returns the upstream's response, or one of the gateway's own.
    pub async fn handle<B: Into<BodySource>>(
        &self,
        request: Request<B>,
        connection: &ConnectionInfo,
    ) -> Response<Body> {
        let snapshot = self.snapshot.load();
        let (head, body) = request.into_parts();
        let sender = forwarded::sender(connection, &head.headers, &snapshot.trusted_proxies);
        let mut record = RequestRecord::new(&self.metrics, &head, &sender, self.access_log);
        let body = Inbound::new(body.into(), &head);
        match self.exchange(&snapshot, head, body, &sender, &mut record).await {
            Ok(response) => response.map(|content| Body::new(content, record)),
            Err(failure) => {
                record.failed(&failure);
                let route = record.route().cloned();
                let response = response::failure(&failure, snapshot.disclosure, route.as_deref(), record.request_id());
                record.answered(response.status());
                // A rejected request waits for nothing: a client that pipelines them would occupy the worker.
                tokio::task::yield_now().await;
                response.map(|content| Body::new(content, record))
            }
        }
    }

    /// Counts and logs bytes that are not a valid HTTP/1 request; returns the response as bytes.
    pub fn framing_failed(&self, reason: Reason, connection: SocketAddr) -> Vec<u8> {
        self.metrics.requests("", Outcome::Rejected, Some(reason), Some(failure::status(reason))).inc();
        if self.access_log {
            record::framing_failed(reason, connection);
        }
        response::without_request(reason)
    }

    /// The path of a request, from its headers to the upstream's response. Rare branches are boxed, because an async
    /// fn's future is as large as its largest await point.
    async fn exchange(
        &self,
        snapshot: &Snapshot,
        mut head: Parts,
        body: Inbound,
        connection: &ConnectionInfo,
        record: &mut RequestRecord,
    ) -> Result<Response<body::ResponseContent>, Failure> {
        let now = self.clock.now();
        let target = RequestTarget::evaluate(&head, &connection.limits)?;
        if connection.told.contradictory {
            return Err(Reason::BadRequest.into());
        }
        let route = snapshot.routes.find(target.host(), target.path(), &head.method).map_err(Failure::Unrouted)?;
        record.routed(route);
        if !route.admits(connection.address.ip()) {
            return Err(Reason::IpNotAllowed.into());
        }
        self.check_ip_rate(route, connection).await?;
        if route.rules.policy.looks_at_certificates() && !connection.sni_matches(target.host()) {
            return Err(Reason::MisdirectedRequest.into());
        }
        let mut body = RequestBody::new(body, route.max_body, &connection.limits, record.received())?;

        let context = RequestContext { snapshot, route, head: &head, target: &target, connection, now };
        let evaluated = self.evaluate(&context, &mut body, record).await;
        self.charge(route, connection, &evaluated).await;
        let permit = match evaluated? {
            Decision::Forward(permit) => permit,
            Decision::ChallengeResponse(answer) => {
                let response = response::challenge(&answer, record.request_id());
                record.challenge(response.status());
                return Ok(response);
            }
        };
        record.permitted(&permit);
        let admitted = match route.duplicates {
            None => ReserveDecision::Forward(None),
            Some(_) => Box::pin(self.admit(&context, &permit, &mut body, record)).await?,
        };
        let reservation = match admitted {
            ReserveDecision::Forward(reservation) => reservation,
            ReserveDecision::Answer(response) => {
                record.repeated(response.status());
                return Ok(response);
            }
        };

        // Counted after the reservation: a captured request that is repeated must not use up its sender's limits.
        let (reservation, permits) = self.within_limits(route, &permit, reservation).await?;

        headers::prepare(&mut head, &target, route, &permit, connection, record.request_id());
        let begun = Instant::now();
        let answer = match reservation {
            None => {
                record.holds(permits);
                self.forward(&permit, head, body, route, record).await
            }
            Some(reservation) => {
                Box::pin(self.exchange_of(permit, head, body, route, (reservation, permits), record).run()).await
            }
        };
        record.upstream_answered(begun.elapsed());
        let response = answer?;
        record.forwarded(response.status());
        Ok(response)
    }

    async fn within_limits(
        &self,
        route: &Route,
        permit: &Permit,
        reservation: Option<Reservation>,
    ) -> Result<(Option<Reservation>, ConcurrencyPermits), Failure> {
        match self.count(route, permit).await {
            Ok(permits) => Ok((reservation, permits)),
            Err(limited) => {
                if let Some(reservation) = reservation {
                    Box::pin(reservation.release()).await;
                }
                Err(limited)
            }
        }
    }

    async fn forward(
        &self,
        permit: &Permit,
        head: Parts,
        body: RequestBody,
        route: &Route,
        record: &RequestRecord,
    ) -> Result<Response<body::ResponseContent>, Failure> {
        let mut response = self.upstreams.forward(permit, head, body, route, &record.received()).await?;
        headers::clean_response(response.headers_mut(), record.request_id());
        Ok(response)
    }

    fn exchange_of(
        &self,
        permit: Permit,
        head: Parts,
        body: RequestBody,
        route: &Arc<Route>,
        (reservation, permits): (Reservation, ConcurrencyPermits),
        record: &RequestRecord,
    ) -> UpstreamExchange {
        let (upstreams, route) = (Arc::clone(&self.upstreams), Arc::clone(route));
        let (received, request_id) = (record.received(), record.request_id().to_owned());
        let (alive, reservation) = (self.alive.clone(), reservation.keep());
        UpstreamExchange { upstreams, permit, head, body, route, received, reservation, permits, request_id, alive }
    }

    /// Reserves the replay ids and the idempotency key of the request. In dry run, a duplicate is logged and forwarded.
    async fn admit(
        &self,
        context: &RequestContext<'_>,
        permit: &Permit,
        body: &mut RequestBody,
        record: &mut RequestRecord,
    ) -> Result<ReserveDecision, Failure> {
        let rules = context.route.duplicates.as_ref();
        let (Some(store), Some(rules), Permit::Granted(grant)) = (&self.store, rules, permit) else {
            return Ok(ReserveDecision::Forward(None));
        };
        if rules.idempotency.is_some() && body.known().is_none() {
            self.hold(context, body).await?;
        }
        let view = context.view();
        let view = body.known().map_or(context.view(), |known| view.with_body(known));
        let lease = body.time_left() + context.route.upstream.timeout + MARGIN;
        let (route, now, request_id) = (context.route, context.now, record.request_id().to_owned());
        let reserve_context = ReserveContext { route, rules, grant, view: &view, now, lease, request_id: &request_id };
        let admitted = reserve::reserve(store, &reserve_context).await;
        if !route.observes(now) {
            return admitted;
        }
        match &admitted {
            Ok(ReserveDecision::Forward(_)) => return admitted,
            Ok(ReserveDecision::Answer(_)) => record.observed(Reason::DuplicateRequest),
            Err(failure) => record.observed(failure.reason()),
        }
        Ok(ReserveDecision::Forward(None))
    }

    /// Decides the request, first by its headers alone, so that it may be rejected before its body is read. The body is
    /// read only if the rest of the decision, or an endpoint verification challenge, needs it.
    async fn evaluate(
        &self,
        context: &RequestContext<'_>,
        body: &mut RequestBody,
        record: &mut RequestRecord,
    ) -> Result<Decision, Failure> {
        let RequestContext { route, now, .. } = *context;
        if !context.client_certificate_still_trusted() {
            return Err(Failure::Rejected(Rejection::at_once(Reason::CertificateNotAllowed)));
        }
        let mut decision = Err(VerifyError::NeedsBody);
        if body.is_end_stream() || !route.reads_body_first() {
            let view = context.view();
            let view = if body.is_end_stream() { view.with_body(&[]) } else { view };
            decision = self.decide(route, &view, now, record).await;
        }
        let mut held = Bytes::new();
        if let Err(VerifyError::NeedsBody) = decision {
            held = Box::pin(self.hold(context, body)).await?;
            decision = self.decide(route, &context.view().with_body(&held), now, record).await;
        }
        match decision {
            Ok(Decision::ChallengeResponse(answer)) => {
                self.challenges.admit(now).map(|()| Decision::ChallengeResponse(answer)).map_err(Failure::RateLimited)
            }
            Ok(decision) => Ok(decision),
            Err(VerifyError::Rejected(rejection)) if route.observes(now) => {
                Ok(Decision::Forward(Permit::Observed(rejection)))
            }
            Err(VerifyError::Rejected(rejection)) => {
                capture::keep(route, context.head, &held, &rejection, record.request_id());
                Err(Failure::Rejected(rejection))
            }
            // The whole body was passed in: a verifier that still asks for it is wrong.
            Err(VerifyError::NeedsBody) => Err(Reason::BadRequest.into()),
        }
    }

    /// Buffers the body. The request waits until its body is complete, and waiting requests are bounded in total: each
    /// HTTP/2 connection could otherwise hold a hundred of them.
    async fn hold(&self, context: &RequestContext<'_>, body: &mut RequestBody) -> Result<Bytes, Failure> {
        let address = context.connection.address.ip();
        let mut waiting = self.waiting.begin(address);
        let size = head::size(context.head).saturating_add(WAITING);
        waiting.grow(size, WAITING_IN_ALL).map_err(Failure::TooManyWaitingRequests)?;
        body.hold(self.held.begin(address), context.snapshot.buffered_bodies).await
    }

    /// Runs [`auth::verify`], and once more after a fetch of the issuer's keys where that may have the unknown key.
    async fn decide(
        &self,
        route: &Route,
        view: &RequestView<'_>,
        now: UnixTime,
        record: &mut RequestRecord,
    ) -> Result<Decision, VerifyError> {
        if let Some(answer) = route.answer(view, ChallengeStage::Unauthenticated)? {
            return Ok(Decision::ChallengeResponse(answer));
        }
        let begun = Instant::now();
        let mut decision = auth::verify(&route.rules, view, now);
        if let Err(VerifyError::Rejected(Rejection { remote: Some(keys), .. })) = &decision {
            decision = match Box::pin(self.jwks.refetch(keys)).await {
                Refetch::Fetched => auth::verify(&route.rules, view, self.clock.now()),
                Refetch::CoolingDown => decision,
                Refetch::Failed => decision.map_err(undecided),
            };
        }
        if let (Ok(grant), true) = (&decision, route.shared_revocation) {
            decision = match Box::pin(reserve::revocation(self.store.as_deref(), grant)).await {
                Ok(()) => decision,
                Err(rejection) => Err(rejection.into()),
            };
        }
        record.decided(&decision, begun.elapsed(), now);
        let grant = decision?;
        Ok(match route.answer(view, ChallengeStage::Authenticated)? {
            Some(answer) => Decision::ChallengeResponse(answer),
            None => Decision::Forward(Permit::Granted(grant)),
        })
    }
}

/// Outcome of a request that is not rejected.
enum Decision {
    Forward(Permit),
    ChallengeResponse(ChallengeResponse),
}

/// A request that is being decided, with its context.
struct RequestContext<'a> {
    snapshot: &'a Snapshot,
    route: &'a Arc<Route>,
    head: &'a Parts,
    target: &'a RequestTarget,
    connection: &'a ConnectionInfo,
    now: UnixTime,
}

impl RequestContext<'_> {
    fn view(&self) -> RequestView<'_> {
        let url = self.route.url_base(self.target.authority().as_str());
        RequestView::new(self.head, url).with_client(self.client())
    }

    fn client(&self) -> Option<PresentedCertificate<'_>> {
        let certificate = self.connection.client.as_deref()?;
        Some(PresentedCertificate { certificate, trust: self.trust() })
    }

    /// Client CAs that the listener trusts now; they may differ from those at the start of the connection.
    fn trust(&self) -> Option<&ClientTrust> {
        self.snapshot.listeners.get(self.connection.listener)?.client_trust.as_deref()
    }

    /// False if the listener requires client certificates, and the certificate of this connection has expired or was
    /// revoked since the TLS handshake.
    fn client_certificate_still_trusted(&self) -> bool {
        let required = self.trust().is_some_and(ClientTrust::is_required);
        !required || self.client().is_some_and(|client| client.is_trusted(self.now))
    }
}

impl ConnectionInfo {
    /// Whether the request's host is the server name (SNI) of the TLS handshake, or the client sent none: a client
    /// presents its certificate to the named server only.
    fn sni_matches(&self, host: &str) -> bool {
        self.server_name.as_deref().is_none_or(|name| name.eq_ignore_ascii_case(host))
    }
}

/// Without the issuer's keys the token cannot be verified: the request fails closed (503).
fn undecided(error: VerifyError) -> VerifyError {
    match error {
        VerifyError::Rejected(rejection) => {
            VerifyError::Rejected(Rejection { reason: Reason::JwksUnavailable, ..rejection })
        }
        VerifyError::NeedsBody => VerifyError::NeedsBody,
    }
}

#[cfg(test)]
pub(crate) mod tests;
