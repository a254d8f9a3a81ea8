//! The stage before authentication: finds the route of a request, and checks the connection against it.

use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;

use super::connection_info::ConnectionInfo;
use super::head::RequestTarget;
use super::record::RequestRecord;
use crate::failure::Failure;
use crate::route::Route;
use crate::services::Services;
use crate::snapshot::Snapshot;

/// The route of a request that its client may use.
///
/// # Errors
/// `BadRequest` if trusted proxies contradict each other; `Unrouted`; `IpNotAllowed`; `RateLimited` if the client's
/// address has exceeded `limits.failed_auth_rate`; `Misdirected` if the client has presented its certificate to another
/// server name.
pub(super) fn find_route<'s>(
    services: &Services,
    snapshot: &'s Snapshot,
    head: &Parts,
    target: &RequestTarget,
    connection: &ConnectionInfo,
    record: &mut RequestRecord,
) -> Result<&'s Arc<Route>, Failure> {
    if connection.forwarded.contradictory {
        return Err(Failure::BadRequest);
    }
    let route = snapshot.routes.find(target.host(), target.path(), &head.method).map_err(Failure::Unrouted)?;
    record.routed(route);
    let address = connection.address.ip();
    if !route.admits(address) {
        return Err(Failure::IpNotAllowed);
    }
    let checked = services.limits.check_ip_rate(&route.name, &route.limits, address, Instant::now);
    checked.map_err(Failure::RateLimited)?;
    if route.rules.policy.looks_at_certificates() && !connection.sni_matches(target.host()) {
        return Err(Failure::Misdirected);
    }
    Ok(route)
}
