//! Values of a request that may be a challenge.

use std::borrow::Cow;

use crate::auth::claims::ClaimRule;
use crate::auth::json_text::JsonText;
use crate::auth::locator::{LocatedValue, Locator};
use crate::auth::rejection::VerifyError;
use crate::auth::request::RequestView;

/// A body that is an object, or an array of one event, as Azure sends it.
fn event<'r>(request: &RequestView<'r>) -> Result<Option<JsonText<'r>>, VerifyError> {
    Ok(request.any_json()?.filter(|text| text.is_object() || text.items().count() == 1))
}

/// Whether all rules hold in the body. A body that programs read differently is no challenge.
pub(super) fn all_hold(rules: &[ClaimRule], request: &RequestView<'_>) -> Result<bool, VerifyError> {
    Ok(event(request)?.is_some_and(|body| rules.iter().all(|rule| rule.holds_in(body) == Ok(true))))
}

/// The text at a place, if it is present.
pub(super) fn find(place: &Locator, request: &RequestView<'_>) -> Result<Option<String>, VerifyError> {
    if let Locator::Json(pointer) = place {
        let found = event(request)?.and_then(|body| pointer.find_in_text(body).ok()?);
        let value = found.and_then(|text| text.value().ok());
        return Ok(value.and_then(|value| value.as_str().map(str::to_owned)));
    }
    Ok(place.find(request)?.and_then(LocatedValue::into_text).map(Cow::into_owned))
}
