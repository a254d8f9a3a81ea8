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

use crate::auth::challenge::Answer;
use crate::auth::client_certificate::{ClientCertificate, ClientTrust};
use crate::auth::request::Client;
use crate::auth::{self, Permit, Refusal, Refused, RequestView, Stop};
use crate::clock::{Clock, UnixTime};
use crate::failure::{Duplicate, Failure};
use crate::jwks::{Jwks, Refetch};
use crate::limit::{Handshakes, HeldBodies, Places, RequestLimits};
use crate::metrics::{Metrics, Outcome};
use crate::route::{Asker, Route};
use crate::snapshot::{ListenerLimits, SharedSnapshot, Snapshot};
use crate::store::{Admission, Reservation};
use body::{Body, Inbound, RequestBody, Source};
use exchange::Exchange;
use forwarded::{ClientAddress, Told};
use head::Target;
use record::Record;
use reserve::{Admit, Applicant};
use upstream::{MARGIN, Upstreams};

/// Bytes of a request that waits for its body, in addition to its headers: in HTTP/2, a stream and a task.
const WAITING: usize = 8 * 1024;

/// Maximum bytes of all requests that wait for their bodies; requests of one address may use a quarter of it.
const WAITING_IN_ALL: u64 = 64 << 20;

/// The client at the other end of a connection, and the limits of that connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Address of the connection. Where trusted proxies name the client, the client's address with port 0.
    pub address: ClientAddress,
    /// False if the PROXY header does not name the client: X-Forwarded-For and Forwarded are then not read.
    pub named: bool,
    /// Whether the client uses TLS: with the gateway, or with a trusted proxy that reports it.
    pub secure: bool,
    /// Further information from trusted proxies.
    pub told: Told,
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
    pub held: Arc<HeldBodies>,
    /// Memory quota of requests that wait for their bodies, over all workers.
    pub waiting: Arc<HeldBodies>,
    /// Rate limit of endpoint verification challenges that are answered, over all workers.
    pub handshakes: Arc<Handshakes>,
    /// Store of replay ids, idempotency keys, shared rate limits and revocations; `None` without a configured `store`.
    pub admission: Option<Arc<Admission>>,
    /// Consumed quota of the routes' rate and concurrency limits, over all workers.
    pub limits: Arc<RequestLimits>,
    /// Connection pools of the upstreams.
    pub upstreams: Arc<Upstreams>,
    /// Held by every connection and exchange, which may outlive it: a drain ends when the last clone is dropped.
    pub alive: mpsc::Sender<()>,
}

impl Gateway {
    /// Handles a request: returns the upstream's response, or one of the gateway's own.
    pub async fn handle<B: Into<Source>>(&self, request: Request<B>, peer: &Peer) -> Response<Body> {
        let snapshot = self.snapshot.load();
        let (head, body) = request.into_parts();
        let sender = forwarded::sender(peer, &head.headers, &snapshot.trusted_proxies);
        let mut record = Record::new(&self.metrics, &head, &sender, self.access_log);
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
    pub fn unframed(&self, failure: &Failure, peer: SocketAddr) -> Vec<u8> {
        self.metrics.unrouted(Outcome::Rejected, failure.reason(), Some(failure.status()));
        if self.access_log {
            record::unframed(failure, peer);
        }
        response::unframed(failure)
    }

    /// The path of a request, from its headers to the upstream's response. Rare branches are boxed, because an async
    /// fn's future is as large as its largest await point.
    async fn exchange(
        &self,
        snapshot: &Snapshot,
        mut head: Parts,
        body: Inbound,
        peer: &Peer,
        record: &mut Record,
    ) -> Result<Response<body::Content>, Failure> {
        let now = self.clock.now();
        let target = Target::judge(&head, &peer.limits)?;
        if peer.told.contradictory {
            return Err(Failure::BadRequest);
        }
        let route = snapshot.routes.find(target.host(), target.path(), &head.method).map_err(Failure::Unrouted)?;
        record.routed(route);
        if !route.admits(peer.address.ip()) {
            return Err(Failure::IpNotAllowed);
        }
        self.may_ask(route, peer).await?;
        if route.rules.policy.looks_at_certificates() && !peer.spoke_to(target.host()) {
            return Err(Failure::Misdirected);
        }
        let mut body = RequestBody::new(body, route.max_body, &peer.limits, record.received())?;

        let asked = Asked { snapshot, route, head: &head, target: &target, peer, now };
        let judged = self.judge(&asked, &mut body, record).await;
        self.charge(route, peer, &judged).await;
        let permit = match judged? {
            Verdict::Forward(permit) => permit,
            Verdict::Answer(answer) => {
                let response = response::handshake(&answer, record.request_id());
                record.handshake(response.status());
                return Ok(response);
            }
        };
        record.permitted(&permit);
        let admitted = match route.admission {
            None => Admit::Forward(None),
            Some(_) => Box::pin(self.admit(&asked, &permit, &mut body, record)).await?,
        };
        let reservation = match admitted {
            Admit::Forward(reservation) => reservation,
            Admit::Answer(response) => {
                record.repeated(response.status());
                return Ok(response);
            }
        };

        // Counted after the reservation: a captured request that is repeated must not use up its sender's limits.
        let (reservation, places) = self.within_limits(route, &permit, reservation).await?;

        headers::prepare(&mut head, &target, route, &permit, peer, record.request_id());
        let begun = Instant::now();
        let answer = match reservation {
            None => {
                record.holds(places);
                self.forward(&permit, head, body, route, record).await
            }
            Some(reservation) => {
                Box::pin(self.exchange_of(permit, head, body, route, (reservation, places), record).run()).await
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
    ) -> Result<(Option<Reservation>, Places), Failure> {
        match self.count(route, permit).await {
            Ok(places) => Ok((reservation, places)),
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
        record: &Record,
    ) -> Result<Response<body::Content>, Failure> {
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
        (reservation, places): (Reservation, Places),
        record: &Record,
    ) -> Exchange {
        let (upstreams, route) = (Arc::clone(&self.upstreams), Arc::clone(route));
        let (received, request_id) = (record.received(), record.request_id().to_owned());
        let (alive, reservation) = (self.alive.clone(), reservation.keep());
        Exchange { upstreams, permit, head, body, route, received, reservation, places, request_id, alive }
    }

    /// Reserves the replay ids and the idempotency key of the request. In dry run, a duplicate is logged and forwarded.
    async fn admit(
        &self,
        asked: &Asked<'_>,
        permit: &Permit,
        body: &mut RequestBody,
        record: &mut Record,
    ) -> Result<Admit, Failure> {
        let rules = asked.route.admission.as_ref();
        let (Some(admission), Some(rules), Permit::Granted(grant)) = (&self.admission, rules, permit) else {
            return Ok(Admit::Forward(None));
        };
        if rules.idempotency.is_some() && body.known().is_none() {
            self.hold(asked, body).await?;
        }
        let view = asked.view();
        let view = body.known().map_or(asked.view(), |known| view.with_body(known));
        let lease = body.time_left() + asked.route.upstream.timeout + MARGIN;
        let (route, now, request_id) = (asked.route, asked.now, record.request_id().to_owned());
        let applicant = Applicant { route, rules, grant, view: &view, now, lease, request_id: &request_id };
        let admitted = reserve::admit(admission, &applicant).await;
        if !route.observes(now) {
            return admitted;
        }
        match &admitted {
            Ok(Admit::Forward(_)) => return admitted,
            Ok(Admit::Answer(_)) => record.observed(&Failure::Duplicate(Duplicate::Request)),
            Err(failure) => record.observed(failure),
        }
        Ok(Admit::Forward(None))
    }

    /// Decides the request, first by its headers alone, so that it may be rejected before its body is read. The body is
    /// read only if the rest of the decision, or an endpoint verification challenge, needs it.
    async fn judge(&self, asked: &Asked<'_>, body: &mut RequestBody, record: &mut Record) -> Result<Verdict, Failure> {
        let Asked { route, now, .. } = *asked;
        if !asked.may_stay() {
            return Err(Failure::Refused(Refused::at_once(Refusal::CertificateNotAllowed)));
        }
        let mut verdict = Err(Stop::NeedsBody);
        if body.is_end_stream() || !route.reads_body_first() {
            let view = asked.view();
            let view = if body.is_end_stream() { view.with_body(&[]) } else { view };
            verdict = self.decide(route, &view, now, record).await;
        }
        let mut held = Bytes::new();
        if let Err(Stop::NeedsBody) = verdict {
            held = Box::pin(self.hold(asked, body)).await?;
            verdict = self.decide(route, &asked.view().with_body(&held), now, record).await;
        }
        match verdict {
            Ok(Verdict::Answer(answer)) => {
                self.handshakes.admit(now).map(|()| Verdict::Answer(answer)).map_err(Failure::RateLimited)
            }
            Ok(verdict) => Ok(verdict),
            Err(Stop::Refused(refused)) if route.observes(now) => Ok(Verdict::Forward(Permit::Observed(refused))),
            Err(Stop::Refused(refused)) => {
                capture::keep(route, asked.head, &held, &refused, record.request_id());
                Err(Failure::Refused(refused))
            }
            // The whole body was passed in: a verifier that still asks for it is wrong.
            Err(Stop::NeedsBody) => Err(Failure::BadRequest),
        }
    }

    /// Buffers the body. The request waits until its body is complete, and waiting requests are bounded in total: each
    /// HTTP/2 connection could otherwise hold a hundred of them.
    async fn hold(&self, asked: &Asked<'_>, body: &mut RequestBody) -> Result<Bytes, Failure> {
        let address = asked.peer.address.ip();
        let mut waiting = self.waiting.begin(address);
        let size = head::size(asked.head).saturating_add(WAITING);
        waiting.grow(size, WAITING_IN_ALL).map_err(Failure::TooManyWaitingRequests)?;
        body.hold(self.held.begin(address), asked.snapshot.buffered_bodies).await
    }

    /// Runs [`auth::verify`], and once more after a fetch of the issuer's keys where that may have the unknown key.
    async fn decide(
        &self,
        route: &Route,
        view: &RequestView<'_>,
        now: UnixTime,
        record: &mut Record,
    ) -> Result<Verdict, Stop> {
        if let Some(answer) = route.answer(view, Asker::Anybody)? {
            return Ok(Verdict::Answer(answer));
        }
        let begun = Instant::now();
        let mut decision = auth::verify(&route.rules, view, now);
        if let Err(Stop::Refused(Refused { remote: Some(keys), .. })) = &decision {
            decision = match Box::pin(self.jwks.refetch(keys)).await {
                Refetch::Fetched => auth::verify(&route.rules, view, self.clock.now()),
                Refetch::CoolingDown => decision,
                Refetch::Failed => decision.map_err(undecided),
            };
        }
        if let (Ok(grant), true) = (&decision, route.shared_revocation) {
            decision = match Box::pin(reserve::revocation(self.admission.as_deref(), grant)).await {
                Ok(()) => decision,
                Err(refused) => Err(refused.into()),
            };
        }
        record.decided(&decision, route.rules.policy.scheme(), begun.elapsed(), now);
        let grant = decision?;
        Ok(match route.answer(view, Asker::Granted)? {
            Some(answer) => Verdict::Answer(answer),
            None => Verdict::Forward(Permit::Granted(grant)),
        })
    }
}

/// Outcome of a request that is not rejected.
enum Verdict {
    Forward(Permit),
    Answer(Answer),
}

/// A request that is being decided, with its context.
struct Asked<'a> {
    snapshot: &'a Snapshot,
    route: &'a Arc<Route>,
    head: &'a Parts,
    target: &'a Target,
    peer: &'a Peer,
    now: UnixTime,
}

impl Asked<'_> {
    fn view(&self) -> RequestView<'_> {
        let url = self.route.url_base(self.target.authority().as_str());
        RequestView::new(self.head, url).with_client(self.client())
    }

    fn client(&self) -> Option<Client<'_>> {
        let certificate = self.peer.client.as_deref()?;
        Some(Client { certificate, trust: self.trust() })
    }

    /// Client CAs that the listener trusts now; they may differ from those at the start of the connection.
    fn trust(&self) -> Option<&ClientTrust> {
        self.snapshot.listeners.get(self.peer.listener)?.client_trust.as_deref()
    }

    /// False if the listener requires client certificates, and the certificate of this connection has expired or was
    /// revoked since the TLS handshake.
    fn may_stay(&self) -> bool {
        let required = self.trust().is_some_and(ClientTrust::is_required);
        !required || self.client().is_some_and(|client| client.is_trusted(self.now))
    }
}

impl Peer {
    /// Whether the request's host is the server name (SNI) of the TLS handshake, or the client sent none: a client
    /// presents its certificate to the named server only.
    fn spoke_to(&self, host: &str) -> bool {
        self.server_name.as_deref().is_none_or(|name| name.eq_ignore_ascii_case(host))
    }
}

/// Without the issuer's keys the token cannot be verified: the request fails closed (503).
fn undecided(stop: Stop) -> Stop {
    match stop {
        Stop::Refused(refused) => Stop::Refused(Refused { refusal: Refusal::JwksUnavailable, ..refused }),
        Stop::NeedsBody => Stop::NeedsBody,
    }
}

#[cfg(test)]
pub(crate) mod tests;
