//! The event filter of a route (`filter`): rules by which a verified event is acknowledged and not forwarded.
//!
//! A rule matches only a value that it can read: an event whose field is missing, is there twice or has another type is
//! forwarded. Pure; the gateway calls it after the request was verified, `hookgate explain` to report its result.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value};

use crate::auth::RequestView;
use crate::auth::claims::ClaimTest;
use crate::auth::locator::{LocatedValue, Locator};

/// One entry under `filter`.
#[derive(Clone, Debug)]
pub struct FilterRule {
    /// The name in gateway.yaml: metric label and log field.
    pub name: Arc<str>,
    /// The field that is compared.
    pub source: Locator,
    /// The condition on its value.
    pub test: ClaimTest,
    /// Whether the rule matches values that do not satisfy the condition (`is_not`).
    pub is_inverted: bool,
    /// The status of the response; `None` for the one with which the route acknowledges events.
    pub status: Option<StatusCode>,
    /// Whether a match is only logged and counted (`mode: dry_run`).
    pub observes: bool,
}

impl FilterRule {
    /// Whether the rule matches an event with these verified claims. The request has its body if a rule reads it.
    pub fn matches(&self, request: &RequestView<'_>, claims: &Map<String, Value>) -> bool {
        let Ok(Some(found)) = self.source.find_with_claims(request, claims) else { return false };
        match found {
            LocatedValue::Text(text) => self.matches_value(&Value::String(text.into_owned())),
            LocatedValue::Json(value) => self.matches_value(&value),
        }
    }

    fn matches_value(&self, value: &Value) -> bool {
        if self.is_inverted {
            self.test.applies_to(value) && !self.test.passes(Some(value))
        } else {
            self.test.passes(Some(value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::claims::Pointer;
    use crate::auth::request::UrlBase;
    use http::Request;
    use serde_json::json;

    fn matches(is_inverted: bool, test: ClaimTest, body: &Value) -> bool {
        let source = Locator::Json(Pointer::parse("/type").unwrap());
        let rule = FilterRule { name: "r".into(), source, test, is_inverted, status: None, observes: false };
        let head = Request::post("/").body(()).unwrap().into_parts().0;
        let body = body.to_string();
        rule.matches(&RequestView::new(&head, UrlBase::Host("a")).with_body(body.as_bytes()), &Map::new())
    }

    #[test]
    fn only_a_value_that_can_be_read_is_filtered() {
        let ping = || ClaimTest::Equals(json!("ping"));
        assert!(matches(false, ping(), &json!({ "type": "ping" })));
        assert!(matches(true, ping(), &json!({ "type": "push" })));
        for body in [json!({}), json!([{ "type": "push" }]), json!("type"), json!({ "type": null })] {
            assert!(!matches(false, ping(), &body) && !matches(true, ping(), &body), "{body}");
        }
        // A value of another type is not the one that the rule was written for.
        for body in [json!({ "type": 5 }), json!({ "type": ["ping"] }), json!({ "type": { "a": 1 } })] {
            let tests = || [ping(), ClaimTest::OneOf(vec![json!("a"), json!("b")]), ClaimTest::Prefix("p".into())];
            assert!(tests().into_iter().all(|test| !matches(true, test, &body)), "{body}");
        }
        assert!(matches(true, ClaimTest::OneOf(vec![json!("a"), json!(1)]), &json!({ "type": 2 })));
        assert!(matches(true, ClaimTest::Contains(json!("a")), &json!({ "type": ["b"] })));
        assert!(!matches(true, ClaimTest::Contains(json!("a")), &json!({ "type": 1 })));
    }
}
