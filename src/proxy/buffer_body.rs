//! Buffers the body of a request that cannot be authenticated, or reserved, without it.

use bytes::Bytes;

use super::head;
use super::request_body::RequestBody;
use super::request_context::RequestContext;
use crate::failure::Failure;
use crate::services::Services;

/// Bytes of a request that waits for its body, in addition to its headers: in HTTP/2, a stream and a task.
const WAITING: usize = 8 * 1024;

/// Maximum bytes of all requests that wait for their bodies; requests of one address may use a quarter of it.
const WAITING_IN_ALL: u64 = 64 << 20;

/// Buffers the body. The request waits until its body is complete, and waiting requests are bounded in total: each
/// HTTP/2 connection could otherwise hold a hundred of them.
///
/// # Errors
/// `TooManyWaitingRequests`, and those of [`RequestBody::buffer`].
pub(super) async fn buffer_body(
    services: &Services,
    context: &RequestContext<'_>,
    body: &mut RequestBody,
) -> Result<Bytes, Failure> {
    let address = context.connection.address.ip();
    let mut waiting = services.waiting.begin(address);
    let size = head::size(&context.head).saturating_add(WAITING);
    waiting.grow(size, WAITING_IN_ALL).map_err(Failure::TooManyWaitingRequests)?;
    body.buffer(services.buffered.begin(address), context.snapshot.buffered_bodies).await
}
