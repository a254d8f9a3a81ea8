//! The request's path. [`Gateway::handle`] takes a request and always answers; what it does in between
//! stands in one function, `Gateway::exchange`.
//!
//! It decides nothing by itself (see [`crate::auth`]) and names no status code (see [`reply`]).
//! Called by the server for each request.

pub mod body;
pub mod head;
pub mod headers;
pub mod record;
pub mod reply;
pub mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::{Request, Response};

use crate::auth::certificate::ClientCertificate;
use crate::auth::{self, Grant, Policy, Refusal, Refused, RequestView};
use crate::clock::{Clock, UnixTime};
use crate::failure::Failure;
use crate::jwks::{Jwks, Refetch};
use crate::metrics::Metrics;
use crate::route::Route;
use crate::snapshot::{ListenerLimits, SharedSnapshot, Snapshot};
use body::{Body, Inbound, RequestBody, Source};
use head::Target;
use record::Record;
use upstream::Upstreams;

/// Who is on the other end of a connection, and what that connection allows.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address of the connection.
    pub address: SocketAddr,
    /// The connection came over TLS.
    pub secure: bool,
    /// The place of its listener in `listeners`: the snapshot has the settings that hold now.
    pub listener: usize,
    /// The certificate that the client has shown to hold. It was trusted at the handshake, perhaps not any more.
    pub client: Option<Arc<ClientCertificate>>,
    /// The name that the client asked for (SNI), in lower case.
    pub server_name: Option<Arc<str>>,
    /// Limits of its listener.
    pub limits: Arc<ListenerLimits>,
}

/// What all requests share. One a worker; only `upstreams` is the worker's own.
pub struct Gateway {
    /// The configuration in force.
    pub snapshot: Arc<SharedSnapshot>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Fetches keys that are not known yet.
    pub jwks: Arc<Jwks>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// One line a request (`log.access`).
    pub access_log: bool,
    /// Connections to the apps.
    pub upstreams: Upstreams,
}

impl Gateway {
    /// Answers a request: the app's reply, or one of our own.
    pub async fn handle<B: Into<Source>>(&self, request: Request<B>, peer: &Peer) -> Response<Body> {
        let snapshot = self.snapshot.load();
        let (head, body) = request.into_parts();
        let mut record = Record::new(&self.metrics, &head, peer, self.access_log);
        let body = Inbound::new(body.into(), &head);
        match self.exchange(&snapshot, head, body, peer, &mut record).await {
            Ok(response) => response.map(|content| Body::new(content, record)),
            Err(failure) => {
                record.failed(&failure);
                let route = record.route().cloned();
                let response = reply::failure(&failure, snapshot.disclosure, route.as_deref(), record.request_id());
                record.answered(response.status());
                response.map(|content| Body::new(content, record))
            }
        }
    }

    /// The path of a request, from its head to the app's reply.
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
        let route = snapshot.routes.find(target.host(), target.path(), &head.method).map_err(Failure::Unrouted)?;
        record.routed(route);
        if !route.admits(peer.address.ip()) {
            return Err(Failure::AddressRefused);
        }
        let body = RequestBody::new(body, route.max_body, &peer.limits, record.received())?;

        let grant = self.decide(route, &head, now, record).await.map_err(Failure::Refused)?;

        headers::prepare(&mut head, &target, route, &grant, peer, record.request_id());
        let mut response = self.upstreams.forward(&grant, head, body, route, record).await?;
        headers::clean_response(response.headers_mut(), record.request_id());
        record.forwarded(response.status());
        Ok(response)
    }

    /// [`auth::verify`], and once more when a fetch of the issuer's keys may turn "unknown" into an answer.
    async fn decide(&self, route: &Route, head: &Parts, now: UnixTime, record: &mut Record) -> Result<Grant, Refused> {
        let begun = Instant::now();
        let view = RequestView { head };
        let mut decision = auth::verify(&route.rules, &view, now);
        if let Err(Refused { remote: Some(keys), .. }) = &decision {
            decision = match self.jwks.refetch(keys).await {
                Refetch::Fetched => auth::verify(&route.rules, &view, self.clock.now()),
                Refetch::CoolingDown => decision,
                Refetch::Failed => decision.map_err(|refused| Refused { refusal: Refusal::KeysUnavailable, ..refused }),
            };
        }
        record.decided(&decision, scheme(&route.rules.policy), begun.elapsed());
        decision
    }
}

/// The label of `hookgate_verify_duration_seconds`.
const fn scheme(policy: &Policy) -> &'static str {
    match policy {
        Policy::Jwt(_) => "jwt",
        Policy::Public => "public",
    }
}
