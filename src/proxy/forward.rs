//! The last stage: forwards a request to its upstream, and returns the response with a streamed body.

use std::sync::Arc;
use std::time::Instant;

use http::{Request, Response};
use tokio::sync::{mpsc, oneshot};

use super::headers;
use super::record::RequestRecord;
use super::relay::relay;
use super::request_body::RequestBody;
use super::request_context::RequestContext;
use super::response_body::ResponseContent;
use super::response_start::begin;
use super::upstream::Upstreams;
use super::verdict::{DuplicateState, verdict};
use crate::auth::Permit;
use crate::failure::Failure;
use crate::limit::ConcurrencyPermits;
use crate::reason::Reason;
use crate::store::Reservation;

/// Forwards a request. One with a reservation is sent in its own task, which outlives a client that disconnects. The
/// request is made before the future, which would otherwise hold its parts as well.
///
/// # Errors
/// Those of [`Upstreams::send`] and [`begin`].
pub(super) fn forward(
    upstreams: &Arc<Upstreams>,
    alive: &mpsc::Sender<()>,
    mut context: RequestContext<'_>,
    permit: Permit,
    body: RequestBody,
    reservation: Option<Reservation>,
    record: &mut RequestRecord,
) -> impl Future<Output = Result<Response<ResponseContent>, Failure>> {
    headers::prepare(&mut context, &permit);
    if let Some(name) = &context.route.forward.verdict {
        let duplicates = reservation.as_ref().map_or(DuplicateState::Unchecked, |_| DuplicateState::First);
        let verdict = verdict(context.route, &permit, record.reason_if_forwarded(), duplicates);
        headers::set(&mut context.head.headers, name, &verdict);
    }
    let RequestContext { route, head, request_id, tunnel, .. } = context;
    // Boxed: each of the futures below would hold it twice.
    let request = Box::new(Request::from_parts(head, body));
    async move {
        let begun = Instant::now();
        let response = match reservation {
            None => match upstreams.send(&permit, request, route, &record.received, &request_id).await {
                Ok(sent) => begin(sent, &record.received).await.map(ResponseContent::streamed),
                Err(failure) => Err(failure),
            },
            Some(reservation) => {
                let (responder, response) = oneshot::channel();
                let (upstreams, route, received) = (upstreams.clone(), Arc::clone(route), Arc::clone(&record.received));
                let (reservation, alive, is_handshake) = (reservation.keep(), alive.clone(), tunnel.is_some());
                // A tunnel outlives this task, and its record keeps the permits.
                let permits =
                    if is_handshake { ConcurrencyPermits::default() } else { std::mem::take(&mut record.permits) };
                tokio::spawn(async move {
                    let sent = match upstreams.send(&permit, request, &route, &received, &request_id).await {
                        Ok(sent) => begin(sent, &received).await,
                        Err(failure) => Err(failure),
                    };
                    relay(sent, reservation, &route, is_handshake, responder).await;
                    // The upstream was busy with the request until now, and a drain has waited for it.
                    drop((permits, alive));
                });
                // A task that has panicked sends nothing; its lease expires.
                response.await.unwrap_or(Err(Reason::UpstreamProtocolError.into()))
            }
        };
        record.upstream = Some(begun.elapsed());
        let response = response?;
        record.forwarded(response.status());
        Ok(response)
    }
}
