//! A static token: a secret that the sender includes in each request. It authenticates the sender, but does not protect
//! the content of the request.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use super::explanation::Explanation;
use super::grant::Grant;
use super::json_text::JsonText;
use super::locator::Locator;
use super::rejection::VerifyError;
use super::request::RequestView;
use super::secret::{Secret, equal_to};
use super::tenants::Secrets;
use crate::reason::Reason;

/// `auth.static_token` of a route.
#[derive(Clone, Debug)]
pub struct StaticTokenPolicy {
    /// The preset's name, or `static_token`.
    pub name: Arc<str>,
    /// Where the request carries the token; with a `*` in a JSON pointer, every item of the array must contain it.
    pub place: Locator,
    /// The accepted tokens.
    pub secrets: Secrets,
}

impl StaticTokenPolicy {
    /// Verifies the token of one request.
    ///
    /// # Errors
    /// `missing_credential`, `multiple_credentials`, `malformed_credential`, `invalid_static_token`.
    pub(super) fn verify(
        &self,
        request: &RequestView<'_>,
        explanation: &mut Explanation,
    ) -> Result<Grant, VerifyError> {
        let shown = find(&self.place, request)?;
        let (first, rest) = shown.split_first().ok_or(Reason::MissingCredential)?;
        if rest.iter().any(|other| other != first) {
            return Err(Reason::InvalidStaticToken.into());
        }
        let is_shown = equal_to(first.as_bytes());
        let fits = |secret: &&Secret| secret.key.shared().is_some_and(&is_shown);
        let secrets = self.secrets.candidates(request.tenant);
        let found = secrets.iter().find(fits).filter(|_| !secrets.is_decoy());
        explanation.add("static token", || match found {
            Some(secret) => format!("matches secret {}", secret.index),
            None => secrets.without_match().into(),
        });
        let secret = found.ok_or(Reason::InvalidStaticToken)?;
        let holder = Some(secret.holder(&self.name));
        Ok(Grant { secrets: vec![secret.index], holder, ..Grant::anonymous() })
    }
}

/// The token; several where a `*` stands for every item of an array. A JSON value or an item without a token yields an
/// empty text, which never matches.
fn find<'v>(place: &Locator, request: &'v RequestView<'v>) -> Result<Vec<Cow<'v, str>>, VerifyError> {
    if let Locator::Json(pointer) = place
        && let Some((list, rest)) = pointer.split_at_star()
    {
        let Some(text) = request.json()? else { return Ok(Vec::new()) };
        let list = request.unambiguous(list.find_in_text(text))?;
        let tokens = list.into_iter().flat_map(JsonText::items).map(|item| {
            let found = rest.find_in_text(item)?.map(JsonText::value).transpose()?;
            Ok(Cow::Owned(found.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned()))
        });
        return request.unambiguous(tokens.collect());
    }
    let found = place.find(request)?;
    Ok(found.into_iter().map(|found| found.into_text().unwrap_or_default()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::claims::Pointer;
    use crate::auth::locator::Scheme;
    use crate::auth::request::UrlBase;
    use crate::auth::secret::SecretKey;
    use http::{HeaderName, Request};
    use zeroize::Zeroizing;

    fn policy(place: Locator) -> StaticTokenPolicy {
        let secret = |index, bytes: &[u8]| {
            let key = SecretKey::from_secret(Zeroizing::new(bytes.to_vec())).unwrap();
            Secret::new(index, key)
        };
        StaticTokenPolicy {
            name: "static_token".into(),
            place,
            secrets: vec![secret(0, b"the next"), secret(1, b"the token")].into(),
        }
    }

    fn evaluate(place: Locator, target: &str, fields: &[(&str, &str)], body: &str) -> Result<usize, Reason> {
        let request = fields.iter().fold(Request::post(target), |request, (name, value)| request.header(*name, *value));
        let head = request.body(()).unwrap().into_parts().0;
        let view = RequestView::new(&head, UrlBase::Host("a")).with_body(body.as_bytes());
        let verified = policy(place).verify(&view, &mut Explanation::off());
        verified.map(|grant| grant.secrets[0]).map_err(|error| error.reason().unwrap())
    }

    const MISSING: Result<usize, Reason> = Err(Reason::MissingCredential);
    const BAD: Result<usize, Reason> = Err(Reason::InvalidStaticToken);

    #[test]
    fn a_token_is_one_of_the_secrets_exactly() {
        let place = || Locator::Header { name: HeaderName::from_static("x-t"), scheme: None };
        let evaluate = |fields: &[(&str, &str)]| evaluate(place(), "/", fields, "");
        assert_eq!((evaluate(&[("x-t", "the next")]), evaluate(&[("x-t", "the token")])), (Ok(0), Ok(1)));
        for other in ["", "the toke", "the token2", "The token", "the nextthe token", "*"] {
            assert_eq!(evaluate(&[("x-t", other)]), BAD, "{other}");
        }
        assert_eq!(evaluate(&[]), MISSING);
        assert_eq!(evaluate(&[("x-t", "the token"), ("x-t", "the token")]), Err(Reason::MultipleCredentials));
        assert_eq!(evaluate(&[("x-t", "the tok\u{e9}n")]), Err(Reason::MalformedCredential));
    }

    /// A value with another scheme is a different credential.
    #[test]
    fn a_token_after_a_scheme_is_looked_for_there_alone() {
        let place =
            || Locator::Header { name: HeaderName::from_static("x-t"), scheme: Some(Scheme::Word("Token".into())) };
        let evaluate = |value: &str| evaluate(place(), "/", &[("x-t", value)], "");
        assert_eq!((evaluate("Token the token"), evaluate("tOKEN the token")), (Ok(1), Ok(1)));
        assert_eq!(
            (evaluate("Bearer the token"), evaluate("Token"), evaluate("the token")),
            (MISSING, MISSING, MISSING)
        );
        assert_eq!((evaluate("Token  the token"), evaluate("Token ")), (Ok(1), BAD));
    }

    #[test]
    fn a_token_stands_in_the_query_or_the_form_once() {
        let query = |target: &str| evaluate(Locator::Query("t".into()), target, &[], "");
        assert_eq!((query("/?t=the%20token"), query("/?t=x"), query("/")), (Ok(1), BAD, MISSING));
        assert_eq!(query("/?t=the+token&%74=x"), Err(Reason::MultipleCredentials));
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let form = |body: &str| evaluate(Locator::Form("t".into()), "/", &form, body);
        assert_eq!((form("t=the+token"), form("t="), form("u=1")), (Ok(1), BAD, MISSING));
        assert_eq!(form("t=the+token&t=the+token"), Err(Reason::MultipleCredentials));
    }

    /// Microsoft Graph puts the token in every notification; one without it would be accepted along with the others.
    #[test]
    fn every_item_of_a_list_is_compared_with_the_token() {
        let evaluate =
            |pointer: &str, body: &str| evaluate(Locator::Json(Pointer::parse(pointer).unwrap()), "/", &[], body);
        let list = |body: &str| evaluate("/value/*/s", body);
        assert_eq!(list(r#"{"value":[{"s":"the token"},{"s":"the token"}]}"#), Ok(1));
        for other in [
            r#"{"value":[{"s":"the token"},{"s":"the next"}]}"#,
            r#"{"value":[{"s":"the token"},{}]}"#,
            r#"{"value":[{},{"s":"the token"}]}"#,
            r#"{"value":[{"s":"the token"},"the token"]}"#,
            r#"{"value":[{"s":["the token"]}]}"#,
            r#"{"value":[{}]}"#,
        ] {
            assert_eq!(list(other), BAD, "{other}");
        }
        for nothing in [r#"{"value":[]}"#, r#"{"value":{"s":"the token"}}"#, "{}", "", r#"{"s":"the token"}"#] {
            assert_eq!(list(nothing), MISSING, "{nothing}");
        }
        assert_eq!((evaluate("/s", r#"{"s":"the token"}"#), evaluate("/s", r#"{"s":5}"#)), (Ok(1), BAD));
        assert_eq!(evaluate("/s", r#"{"s":"the token","s":"x"}"#), Err(Reason::MalformedBody));
        assert_eq!(evaluate("/s", r#"{"s":"the token","S":"x"}"#), Err(Reason::MalformedBody));
        // Text beside the tokens may be cut inside an emoji.
        assert_eq!(list(r#"{"value":[{"s":"the token","r":{"t":"abc\ud83d"}}],"n":1e999}"#), Ok(1));
    }

    /// A public key is no token: any client knows it.
    #[test]
    fn a_public_key_is_not_compared() {
        let key = crate::auth::testing::ED25519.spki();
        let key = SecretKey::from_public(&key, crate::auth::secret::SignatureAlgorithm::Ed25519).unwrap();
        let place = Locator::Header { name: HeaderName::from_static("x-t"), scheme: None };
        let policy =
            StaticTokenPolicy { name: "static_token".into(), place, secrets: vec![Secret::new(0, key)].into() };
        let head = Request::post("/").header("x-t", "anything").body(()).unwrap().into_parts().0;
        let verified = policy.verify(&RequestView::new(&head, UrlBase::Host("a")), &mut Explanation::off());
        assert_eq!(verified.err(), Some(Reason::InvalidStaticToken.into()));
    }

    /// Timing must not distinguish a shorter token from one that differs in its last byte.
    #[test]
    fn tokens_are_compared_by_their_hashes() {
        let same = |one: &[u8], other: &[u8]| equal_to(one)(other);
        assert!(same(b"a", b"a") && same(b"", b""));
        assert!(!same(b"a", b"b") && !same(b"a", b"aa") && !same(b"a", b""));
    }
}
