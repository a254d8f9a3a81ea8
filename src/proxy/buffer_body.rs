//! Buffers a request body, for the decision or an idempotency key, within the pools that all requests share: the memory
//! of buffered bodies, and that of requests that wait for their bodies.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame};

use super::head;
use super::request_body::{RequestBody, WAITING, WAITING_IN_ALL};
use super::request_context::RequestContext;
use crate::failure::{Exhausted, Failure};
use crate::limit::{BodyProgress, MemoryPermit, MemoryQuota};
use crate::metrics::PoolName;
use crate::services::Services;

/// Buffers the body. A request whose body does not arrive at once waits for it, and may then have to give way to
/// another request: each HTTP/2 connection could otherwise hold a hundred of them.
///
/// # Errors
/// `BufferFull` and `TooManyWaitingRequests`, as [`MemoryPermit::grow`]; those of a body fault.
pub(super) async fn buffer_body(
    services: &Services,
    context: &RequestContext<'_>,
    body: &mut RequestBody,
) -> Result<Bytes, Failure> {
    let limit = context.snapshot.max_buffered_bytes;
    let address = context.connection.address.ip();
    let mut places =
        BodyPlaces { buffered: services.buffered.begin(address), waiting: None, quota: &services.waiting, address };
    let mut whole = BytesMut::new();
    let buffering = async {
        while let Some(frame) = poll_fn(|cx| places.poll_frame(context, body, cx)).await {
            if let Ok(data) = frame?.into_data() {
                places.buffered.grow(data.len(), limit, Instant::now).map_err(Failure::BufferFull)?;
                whole.extend_from_slice(&data);
            }
        }
        // Bytes that are no longer counted must not be kept.
        if places.buffered.keep() { Ok(()) } else { Err(displaced(PoolName::BufferedBodies, Exhausted::Late)) }
    };
    if let Err(failure) = buffering.await {
        return Err(places.gave_way(services, body).unwrap_or(failure));
    }
    Ok(body.set_buffered(whole.freeze(), places.buffered))
}

/// The amounts that one request holds of the pools.
struct BodyPlaces<'a> {
    buffered: MemoryPermit,
    /// `None` until the body has to be waited for.
    waiting: Option<(MemoryPermit, Arc<BodyProgress>)>,
    quota: &'a MemoryQuota,
    address: IpAddr,
}

impl BodyPlaces<'_> {
    fn poll_frame(
        &mut self,
        context: &RequestContext<'_>,
        body: &mut RequestBody,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Failure::from)));
        }
        let Some(progress) = body.progress() else { return Poll::Pending };
        if self.waiting.is_none()
            && let Err(exhausted) = self.wait_for(context, progress)
        {
            return Poll::Ready(Some(Err(Failure::TooManyWaitingRequests(exhausted))));
        }
        progress.poll_displaced(cx).map(|(pool, why)| Some(Err(displaced(pool, why))))
    }

    fn wait_for(&mut self, context: &RequestContext<'_>, progress: &Arc<BodyProgress>) -> Result<(), Exhausted> {
        let now = Instant::now();
        let mut waiting = self.quota.begin(self.address);
        waiting.take(head::memory(&context.head).saturating_add(WAITING), WAITING_IN_ALL, now)?;
        waiting.wait_for(progress, now);
        self.buffered.wait_for(progress, now);
        self.waiting = Some((waiting, Arc::clone(progress)));
        Ok(())
    }

    /// Counts a request that has given way, and returns its failure. The rest of its body is not read.
    fn gave_way(&self, services: &Services, body: &mut RequestBody) -> Option<Failure> {
        let (pool, why) = self.waiting.as_ref().and_then(|(_, progress)| progress.displaced())?;
        services.metrics.displaced(pool, why.into()).inc();
        body.abandon();
        Some(displaced(pool, why))
    }
}

fn displaced(pool: PoolName, why: Exhausted) -> Failure {
    match pool {
        PoolName::WaitingRequests => Failure::TooManyWaitingRequests(why),
        PoolName::BufferedBodies | PoolName::Connections => Failure::BufferFull(why),
    }
}
