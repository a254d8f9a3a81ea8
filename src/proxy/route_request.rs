//! The first stage: validates the target of a request, finds its route, and checks what the route demands of the
//! connection and of the size of the body.

use std::sync::Arc;
use std::time::Instant;

use http::Method;
use http::request::Parts;

use super::connection_info::ConnectionInfo;
use super::head::RequestTarget;
use super::record::RequestRecord;
use super::request_body::{InboundBody, RequestBody};
use super::request_context::RequestContext;
use super::{cors, websocket};
use crate::failure::Failure;
use crate::reason::Reason;
use crate::route::{Route, WebSocketRule};
use crate::services::Services;
use crate::snapshot::Snapshot;

/// The context of a request that has a route, and its body under the limits of that route.
///
/// # Errors
/// Those of [`RequestTarget::evaluate`] and [`RequestBody::new`]; `BadRequest` if trusted proxies contradict each
/// other; `MalformedCredential` for a certificate of theirs that cannot be read; `Unrouted`; `IpNotAllowed`; those of [`websocket::requested`]; `RateLimited` if the client's address has exceeded `limits.failed_auth_rate`;
/// `MisdirectedRequest` if the client has presented its certificate to another server name.
pub(super) fn route_request<'a>(
    services: &Services,
    snapshot: &'a Snapshot,
    head: Parts,
    body: InboundBody,
    connection: &'a ConnectionInfo,
    record: &mut RequestRecord,
) -> Result<(RequestContext<'a>, RequestBody), Failure> {
    let now = services.clock.now();
    let routed = find_route(snapshot, &head, connection)?;
    let route = routed.route;
    record.routed(route, &head.headers);
    let tunnel = check_route(&routed, &head, connection)?;
    let address = connection.address.ip();
    let within_rate = services.limits.check_ip_rate(&route.name, &route.limits, address, Instant::now);
    let body = RequestBody::new(body, route.max_body, connection, Arc::clone(&record.received))?;
    let request_id = Arc::clone(&record.request_id);
    let over_failed_auth_rate = within_rate.err();
    let Routed { target, preflight, .. } = routed;
    let context = RequestContext {
        snapshot,
        route,
        connection,
        head,
        target,
        now,
        request_id,
        over_failed_auth_rate,
        preflight,
        tunnel,
    };
    Ok((context, body))
}

/// The context in which the request that opened a tunnel is verified again. Its body and its rate were checked then.
///
/// # Errors
/// Those of [`route_request`].
pub(super) fn route_again<'a>(
    services: &Services,
    snapshot: &'a Snapshot,
    head: Parts,
    connection: &'a ConnectionInfo,
) -> Result<RequestContext<'a>, Failure> {
    let now = services.clock.now();
    let routed = find_route(snapshot, &head, connection)?;
    let tunnel = check_route(&routed, &head, connection)?;
    let Routed { target, route, preflight } = routed;
    let (request_id, over_failed_auth_rate) = (Arc::from(""), None);
    Ok(RequestContext {
        snapshot,
        route,
        connection,
        head,
        target,
        now,
        request_id,
        over_failed_auth_rate,
        preflight,
        tunnel,
    })
}

/// The target of a request and its route.
struct Routed<'a> {
    target: RequestTarget,
    route: &'a Arc<Route>,
    /// The method that a preflight announces.
    preflight: Option<Method>,
}

fn find_route<'a>(snapshot: &'a Snapshot, head: &Parts, connection: &ConnectionInfo) -> Result<Routed<'a>, Failure> {
    let target = RequestTarget::evaluate(head, &connection.limits)?;
    if connection.forwarded.contradictory {
        let cause = "forwarding headers of the trusted proxy that contradict each other";
        return Err(Failure::detailed(Reason::BadRequest, cause));
    }
    // A preflight belongs to the route of the request that it announces.
    let find = |method: &Method| target.route(&snapshot.routes, method);
    let preflight = cors::preflight_method(head).filter(|method| find(method).is_ok_and(|route| route.cors.is_some()));
    let route = find(preflight.as_ref().unwrap_or(&head.method))?;
    Ok(Routed { target, route, preflight })
}

/// Checks what the route demands of the connection; the result is its rule for WebSocket if the request asks for that.
fn check_route<'a>(
    Routed { target, route, .. }: &Routed<'a>,
    head: &Parts,
    connection: &ConnectionInfo,
) -> Result<Option<&'a WebSocketRule>, Failure> {
    if connection.forwarded.malformed_certificate {
        let cause = "the client certificate in the header of the trusted proxy cannot be read";
        return Err(Failure::detailed(Reason::MalformedCredential, cause));
    }
    if !route.admits(connection.address.ip()) {
        return Err(Reason::IpNotAllowed.into());
    }
    let tunnel = websocket::requested(head, route).map_err(|reason| match (reason, &route.websocket) {
        (Reason::UpgradeNotSupported, None) => Failure::detailed(reason, "the route has no `websocket`"),
        (Reason::UpgradeNotSupported, Some(_)) => Failure::detailed(reason, "no opening handshake of RFC 6455"),
        (reason, _) => reason.into(),
    })?;
    if route.rules.policy.looks_at_certificates() && !connection.sni_matches(target.host()) {
        let cause = "the connection was opened with the server name (SNI) of another host, or with none";
        return Err(Failure::detailed(Reason::MisdirectedRequest, cause));
    }
    Ok(tunnel)
}
