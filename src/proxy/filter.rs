//! The stage that filters verified events by the route's `filter`. It comes before the reservation: an event that is
//! filtered leaves no id, and is forwarded when the sender repeats it after the rule has changed.

use super::buffer_body::buffer_body;
use super::record::RequestRecord;
use super::request_body::RequestBody;
use super::request_context::RequestContext;
use crate::auth::Permit;
use crate::failure::Failure;
use crate::metrics::FilterResult;
use crate::route::filter::FilterRule;
use crate::services::Services;

/// The first rule that matches the event and is enforced. A match in dry run, of the rule or of the route, is logged and
/// counted. A request that was not verified matches no rule.
///
/// # Errors
/// Those of [`buffer_body`], if a rule reads the body.
pub(super) async fn filter<'a>(
    services: &Services,
    context: &RequestContext<'a>,
    permit: &Permit,
    body: &mut RequestBody,
    record: &mut RequestRecord,
) -> Result<Option<&'a FilterRule>, Failure> {
    let (route, Permit::Granted(grant)) = (context.route, permit) else { return Ok(None) };
    if route.filter.iter().any(|rule| rule.source.is_in_body()) && body.known().is_none() {
        buffer_body(services, context, body).await?;
    }
    let view = body.known().map_or_else(|| context.view(), |known| context.view().with_body(known));
    for rule in route.filter.iter().filter(|rule| rule.matches(&view, grant.claims())) {
        let observes = rule.observes || route.observes(context.now);
        let result = if observes { FilterResult::DryRun } else { FilterResult::Filtered };
        record.filtered_by(&route.name, &rule.name, result);
        if !observes {
            return Ok(Some(rule));
        }
    }
    Ok(None)
}
