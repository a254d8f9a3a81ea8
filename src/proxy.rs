//! The request path. [`Gateway::handle`] takes a request and always returns a response; `Gateway::exchange` runs the
//! stages between the two, each a function in a file of its own, in their order.
//!
//! It makes no authentication decision itself (see [`crate::auth`]) and names no status code (see [`response`]). Called
//! by the server for each request. No stage calls back into this file.

mod acquire_limits;
mod authenticate;
mod body_deadline;
mod buffer_body;
pub mod capture;
pub mod connection_info;
mod cors;
mod filter;
mod forward;
pub mod forwarded;
pub mod head;
pub mod headers;
pub mod record;
mod relay;
pub mod request_body;
pub mod request_context;
mod request_id;
mod reserve;
pub mod response;
pub mod response_body;
pub mod response_error;
pub mod response_start;
mod route_request;
mod stored_response;
pub mod tunnel;
pub mod upstream;
mod verdict;
pub mod websocket;

use std::net::SocketAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{Request, Response};
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::metrics::Outcome;
use crate::reason::Reason;
use crate::services::Services;
use crate::snapshot::Snapshot;
use acquire_limits::acquire_limits;
use authenticate::{Authenticated, authenticate};
use connection_info::ConnectionInfo;
use filter::filter;
use forward::forward;
use record::RequestRecord;
use request_body::{BodySource, InboundBody};
use reserve::{Reserved, reserve};
use response_body::{Body, ResponseContent};
use route_request::route_request;
use upstream::Upstreams;

/// The gateway of one worker: the shared services, and what belongs to that worker alone.
pub struct Gateway {
    /// Shared with all other threads.
    pub services: Arc<Services>,
    /// Connection pools of the upstreams.
    pub upstreams: Arc<Upstreams>,
    /// Held by every connection and relay, which may outlive the gateway: a drain ends when the last clone is dropped.
    pub alive: mpsc::Sender<()>,
}

impl Gateway {
    /// Handles a request: returns the upstream's response, or one of the gateway's own.
    pub async fn handle<B: Into<BodySource>>(
        &self,
        request: Request<B>,
        connection: &ConnectionInfo,
    ) -> Response<Body> {
        let services = &*self.services;
        let snapshot = services.snapshot.load();
        let (head, body) = request.into_parts();
        let resolved = forwarded::resolve_client(connection, &head.headers, &snapshot.trusted_proxies);
        let connection = forwarded::resolve_certificate(connection, resolved, &head.headers, &snapshot);
        let mut record = RequestRecord::new(&services.metrics, &head, &connection, services.access_log);
        let body = InboundBody::new(body.into(), &head, services.waiting.begin(connection.address.ip()));
        match self.exchange(&snapshot, head, body, &connection, &mut record).await {
            Ok(mut response) => {
                record.allow_origin(response.headers_mut());
                response.map(|content| Body::new(content, record))
            }
            Err(failure) => {
                record.failed(&failure);
                let route = record.route().map(|route| &**route);
                let mut response = response::failure(&failure, snapshot.error_detail, route, &record.request_id);
                record.allow_origin(response.headers_mut());
                // A client that has disconnected gets no response.
                record.status = Some(response.status()).filter(|_| failure.reason() != Reason::ClientDisconnected);
                // A rejected request waits for nothing: a client that pipelines them would occupy the worker.
                tokio::task::yield_now().await;
                response.map(|content| Body::new(content, record))
            }
        }
    }

    /// Counts and logs a connection that got an error response before it became a request. Its log lines are bounded.
    pub fn no_request(&self, reason: Reason, detail: Option<&'static str>, connection: SocketAddr) {
        record::no_request(&self.services.metrics, self.services.access_log, (reason, detail), connection);
    }

    /// The path of a request, from its headers to the upstream's response. Rare branches are boxed, because an async
    /// fn's future is as large as its largest await point.
    async fn exchange(
        &self,
        snapshot: &Snapshot,
        head: Parts,
        body: InboundBody,
        connection: &ConnectionInfo,
        record: &mut RequestRecord,
    ) -> Result<Response<ResponseContent>, Failure> {
        let services = &*self.services;
        let (context, mut body) = route_request(services, snapshot, head, body, connection, record)?;

        if let (Some(rule), Some(method)) = (&context.route.cors, &context.preflight) {
            let mut response = response::preflight(&context.request_id);
            cors::answer(response.headers_mut(), &context.head, context.route, rule, method)?;
            record.answered(Outcome::PreflightAnswered, None, response.status());
            return Ok(response);
        }

        let permit = match authenticate(services, &context, &mut body, record).await? {
            Authenticated::Permitted(permit) => permit,
            Authenticated::Challenge(_, challenge) => {
                let response = response::challenge(&challenge, &context.request_id);
                record.answered(Outcome::ChallengeAnswered, None, response.status());
                return Ok(response);
            }
        };
        record.permitted(&permit);

        if !context.route.filter.is_empty()
            && let Some(rule) = Box::pin(filter(services, &context, &permit, &mut body, record)).await?
        {
            let response = response::filtered(rule, context.route, &context.request_id);
            record.answered(Outcome::Filtered, None, response.status());
            return Ok(response);
        }

        let reservation = match context.route.duplicates {
            None => None,
            Some(_) => match Box::pin(reserve(services, &context, &permit, &mut body, record)).await? {
                Reserved::Forward(reservation) => reservation,
                Reserved::Duplicate(response) => {
                    record.answered(Outcome::DuplicateAnswered, Some(Reason::DuplicateRequest), response.status());
                    return Ok(*response);
                }
            },
        };

        record.permits = match acquire_limits(services, &context, &permit).await {
            Ok(permits) => permits,
            Err(limited) => {
                if let Some(reservation) = reservation {
                    Box::pin(reservation.release()).await;
                }
                return Err(limited);
            }
        };
        // `forward` changes the headers, and a tunnel is verified by those that were received.
        let opening = context.tunnel.map(|rule| (Box::new(context.head.clone()), rule.idle_timeout));
        let response = forward(&self.upstreams, &self.alive, context, permit, body, reservation, record).await?;
        Ok(match opening {
            Some((head, idle_timeout)) if response.status().is_informational() => {
                ResponseContent::tunnel(response, *head, idle_timeout)
            }
            Some(_) | None => response,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
