//! `auth` and `timestamp` of a route.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderName;
use http::header::AUTHORIZATION;
use serde_json::Value;

use super::Compiler;
use super::issuer::IssuerKeys;
use crate::auth::claims::{ClaimRule, ClaimTest, Pointer};
use crate::auth::credential::TokenLocation;
use crate::auth::jwt::{DEFAULT_TYPES, Issuer, JwtPolicy};
use crate::auth::time::{TimestampRule, TimestampSource, TimestampUnit};
use crate::auth::{Policy, Rules};
use crate::config::error::FieldPath;
use crate::config::file::{
    AuthFile, AuthScheme, AuthWord, JwtFile, OneOrMany, RouteFile, TimestampFile, TokenFile, UnitFile,
};

/// The registered claims that a token must carry whatever is written (RFC 7519 §4.1).
const ALWAYS_REQUIRED: &[&str] = &["iss", "aud", "exp"];

/// `auth.jwt.token` of a route, where written.
pub(super) fn token_file(route: &RouteFile) -> Option<&TokenFile> {
    match route.auth.as_ref()? {
        AuthFile::Word(AuthWord::Public) => None,
        AuthFile::Scheme(scheme) => scheme.jwt.as_ref()?.token.as_ref(),
    }
}

impl Compiler<'_> {
    pub(super) fn rules(
        &mut self,
        file: &RouteFile,
        issuers: &BTreeMap<String, IssuerKeys>,
        path: &FieldPath,
    ) -> Option<Rules> {
        let auth = path.child("auth");
        let policy = match &file.auth {
            None => {
                self.missing(&auth, "who may pass: { jwt: … }, or `auth: public` for everybody");
                None
            }
            Some(AuthFile::Word(AuthWord::Public)) => Some(Policy::Public),
            Some(AuthFile::Scheme(scheme)) => self.scheme(scheme, issuers, &auth),
        };
        let timestamp = match &file.timestamp {
            None => None,
            Some(timestamp) => Some(self.timestamp(timestamp, policy.as_ref(), &path.child("timestamp"))?),
        };
        Some(Rules { policy: policy?, timestamp })
    }

    fn scheme(
        &mut self,
        file: &AuthScheme,
        issuers: &BTreeMap<String, IssuerKeys>,
        path: &FieldPath,
    ) -> Option<Policy> {
        let before = self.problems.len();
        self.not_yet(
            path,
            &[
                ("preset", &file.preset),
                ("secret", &file.secret),
                ("secrets", &file.secrets),
                ("tolerance", &file.tolerance),
                ("parameters", &file.parameters),
                ("signature", &file.signature),
                ("token", &file.token),
                ("client_certificate", &file.client_certificate),
                ("all_of", &file.all_of),
                ("any_of", &file.any_of),
            ],
        );
        match &file.jwt {
            Some(jwt) => self.jwt(jwt, issuers, &path.child("jwt")).map(|policy| Policy::Jwt(Box::new(policy))),
            None => {
                if self.problems.len() == before {
                    self.missing(path, "{ jwt: … }, or `auth: public` for everybody");
                }
                None
            }
        }
    }

    fn jwt(&mut self, file: &JwtFile, issuers: &BTreeMap<String, IssuerKeys>, path: &FieldPath) -> Option<JwtPolicy> {
        self.not_yet(
            path,
            &[
                ("body_hash", &file.body_hash),
                ("url_hash", &file.url_hash),
                ("url", &file.url),
                ("method", &file.method),
                ("bound_certificate", &file.bound_certificate),
            ],
        );
        let chosen = self.chosen_issuers(file.issuer.as_ref(), issuers, &path.child("issuer"));
        let audiences = self.audiences(file.audience.as_ref(), &path.child("audience"));
        let claims = self.claim_rules(file.claims.as_ref(), &path.child("claims"));
        let max_age = self.optional_deadline(file.max_age.as_ref(), &path.child("max_age"));
        let max_lifetime = self.optional_deadline(file.max_lifetime.as_ref(), &path.child("max_lifetime"));
        if file.types.as_ref().is_some_and(Vec::is_empty) {
            self.problems.add(&path.child("types"), "is empty, so that no `typ` would pass; name one or remove it");
        }
        let leeway = self.leeway(file, path);
        let token = self.token(file.token.as_ref(), &path.child("token"));
        let issuers = chosen?;
        let required = required(file.required.as_deref(), &issuers, max_age.is_some());
        let types = file.types.clone().unwrap_or_else(|| DEFAULT_TYPES.iter().map(|name| (*name).to_owned()).collect());
        Some(JwtPolicy {
            issuers,
            audiences: audiences?,
            required,
            claims,
            types,
            max_age,
            max_lifetime,
            leeway,
            token: token?,
        })
    }

    fn leeway(&mut self, file: &JwtFile, path: &FieldPath) -> Duration {
        let path = path.child("leeway");
        let leeway = self.duration(file.leeway.as_ref(), &path, Duration::from_secs(30));
        if leeway > Duration::from_secs(300) {
            self.problems.add(&path, "is more than 5m: it would let expired tokens live on; set the clocks instead");
        }
        leeway
    }

    fn chosen_issuers(
        &mut self,
        names: Option<&OneOrMany>,
        issuers: &BTreeMap<String, IssuerKeys>,
        path: &FieldPath,
    ) -> Option<Vec<Issuer>> {
        let names = names.map(OneOrMany::to_vec).unwrap_or_default();
        if names.is_empty() {
            self.missing(path, "a name under `issuers`");
            return None;
        }
        let chosen: Option<Vec<Issuer>> = names.iter().map(|name| self.chosen_issuer(name, issuers, path)).collect();
        let chosen = chosen?;
        // The unverified `iss` selects the key set, so that each must have one, and one of its own.
        let mut seen: Vec<&str> = chosen.iter().filter_map(|issuer| issuer.issuer.as_deref()).collect();
        seen.sort_unstable();
        seen.dedup();
        if chosen.len() > 1 && seen.len() != chosen.len() {
            self.problems.add(path, "several issuers on one route need an `issuer` each, none of them `none` or twice");
        }
        Some(chosen)
    }

    fn chosen_issuer(
        &mut self,
        name: &str,
        issuers: &BTreeMap<String, IssuerKeys>,
        path: &FieldPath,
    ) -> Option<Issuer> {
        let found = issuers.get(name);
        if found.is_none() && !self.problems.has_under(&FieldPath::root().child("issuers").child(name)) {
            self.problems.add(path, format!("no issuer `{name}` under `issuers`"));
        }
        found.map(|found| found.issuer.clone())
    }

    fn audiences(&mut self, audience: Option<&OneOrMany>, path: &FieldPath) -> Option<Vec<String>> {
        let audiences = audience.map(OneOrMany::to_vec).unwrap_or_default();
        if audiences.is_empty() {
            let what =
                "the exact `aud` that names this endpoint: without it, a token for another service opens this one";
            self.missing(path, what);
            return None;
        }
        if audiences.iter().any(|audience| audience.is_empty() || audience == "none") {
            self.problems
                .add(path, "`none` needs a body or URL binding, which is not supported yet; write the exact `aud`");
            return None;
        }
        Some(audiences)
    }

    fn claim_rules(&mut self, claims: Option<&BTreeMap<String, Value>>, path: &FieldPath) -> Vec<ClaimRule> {
        let rules = claims.into_iter().flatten().filter_map(|(name, written)| {
            let path = path.child(name);
            let Some(pointer) = Pointer::parse(name) else {
                self.problems.add(&path, "expected a claim's name, or a JSON pointer such as /a/b (RFC 6901)");
                return None;
            };
            Some(ClaimRule { pointer, test: self.claim_test(written, &path)? })
        });
        rules.collect()
    }

    fn claim_test(&mut self, written: &Value, path: &FieldPath) -> Option<ClaimTest> {
        let test = match written {
            Value::Object(operators) => match operators.iter().next().filter(|_| operators.len() == 1) {
                Some((operator, value)) => operator_test(operator, value),
                None => None,
            },
            Value::Null | Value::Array(_) => None,
            Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(ClaimTest::Equals(written.clone())),
        };
        if let Some(Err(error)) = written.get("matches").and_then(Value::as_str).map(ClaimTest::matches) {
            // The library draws a picture of several lines; its last one says what is wrong.
            let error = error.to_string();
            let error = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            self.problems.add(&path.child("matches"), format!("not a regular expression that we can use: {error}"));
        } else if test.is_none() {
            let expected = "expected a value, or one of {one_of: [a list]}, {contains: a value}, {prefix: \"text\"}, \
                            {matches: \"a regular expression\"}, {exists: true}";
            self.problems.add(path, expected);
        }
        test
    }

    fn token(&mut self, file: Option<&TokenFile>, path: &FieldPath) -> Option<TokenLocation> {
        let Some(file) = file else {
            return Some(TokenLocation::Header { name: AUTHORIZATION, scheme: Some("Bearer".to_owned()) });
        };
        self.not_yet(path, &[("form", &file.form), ("json", &file.json), ("body", &file.body)]);
        if file.header.is_none() && file.scheme.is_some() {
            self.problems.add(&path.child("scheme"), "is for `header` only; remove it");
        }
        for (name, written) in [("scheme", &file.scheme), ("query", &file.query), ("cookie", &file.cookie)] {
            if written.as_deref() == Some("") {
                self.problems.add(&path.child(name), "is empty; write a name or remove it");
            }
        }
        match (&file.header, &file.query, &file.cookie) {
            (Some(header), None, None) => {
                let name = self.header_name(header, &path.child("header"))?;
                // Authorization always has a scheme (RFC 9110 §11.6.2).
                let implied = (name == AUTHORIZATION).then(|| "Bearer".to_owned());
                Some(TokenLocation::Header { name, scheme: file.scheme.clone().or(implied) })
            }
            (None, Some(query), None) => Some(TokenLocation::Query(query.clone())),
            (None, None, Some(cookie)) => Some(TokenLocation::Cookie(cookie.clone())),
            _none_or_several => {
                self.missing(path, "exactly one of header, query and cookie");
                None
            }
        }
    }

    fn header_name(&mut self, name: &str, path: &FieldPath) -> Option<HeaderName> {
        let parsed = HeaderName::try_from(name).ok();
        if parsed.is_none() {
            self.problems.add(path, "expected the name of a header");
        }
        parsed
    }

    fn timestamp(&mut self, file: &TimestampFile, policy: Option<&Policy>, path: &FieldPath) -> Option<TimestampRule> {
        self.not_yet(path, &[("json", &file.json)]);
        let max_age = self.deadline(file.max_age.as_ref(), &path.child("max_age"), Duration::from_secs(300));
        let max_future = self.duration(file.max_future.as_ref(), &path.child("max_future"), Duration::from_secs(60));
        let unit = match file.unit.unwrap_or_default() {
            UnitFile::S => TimestampUnit::Seconds,
            UnitFile::Ms => TimestampUnit::Milliseconds,
            UnitFile::Us => TimestampUnit::Microseconds,
            UnitFile::Rfc3339 => TimestampUnit::Rfc3339,
        };
        let source = self.timestamp_source(file, policy, path);
        Some(TimestampRule { source: source?, unit, max_age, max_future })
    }

    fn timestamp_source(
        &mut self,
        file: &TimestampFile,
        policy: Option<&Policy>,
        path: &FieldPath,
    ) -> Option<TimestampSource> {
        match (&file.header, &file.claim) {
            (Some(header), None) => {
                if file.covered != Some(false) {
                    let what = "`covered: false`: no signature covers this header, so that a thief can renew it";
                    self.problems.add(&path.child("covered"), format!("write {what}"));
                }
                self.header_name(header, &path.child("header")).map(TimestampSource::Header)
            }
            (None, Some(claim)) => {
                if matches!(policy, Some(Policy::Public)) {
                    self.problems.add(&path.child("claim"), "a public route has no claims; use header");
                }
                let pointer = Pointer::parse(claim);
                if pointer.is_none() {
                    self.problems.add(&path.child("claim"), "expected a claim's name, or a JSON pointer such as /a/b");
                }
                pointer.map(TimestampSource::Claim)
            }
            _none_or_both => {
                self.missing(path, "exactly one of header and claim");
                None
            }
        }
    }
}

/// What was written, and what must be there in any case: `exp` may be missing only where `max_age` bounds
/// the token's life by `iat`, and `iss` only where it is not compared.
fn required(written: Option<&[String]>, issuers: &[Issuer], bounded_by_age: bool) -> Vec<String> {
    let mut required: Vec<String> = written.unwrap_or_default().to_vec();
    let explicit = written.is_some();
    let no_iss = issuers.iter().any(|issuer| issuer.issuer.is_none());
    for name in ALWAYS_REQUIRED {
        let optional = (*name == "iss" && no_iss) || (*name == "exp" && bounded_by_age && explicit);
        if !optional && !required.iter().any(|written| written == name) {
            required.push((*name).to_owned());
        }
    }
    if bounded_by_age && !required.iter().any(|written| written == "iat") {
        required.push("iat".to_owned());
    }
    required
}

fn operator_test(operator: &str, value: &Value) -> Option<ClaimTest> {
    match (operator, value) {
        ("one_of", Value::Array(values)) if !values.is_empty() => Some(ClaimTest::OneOf(values.clone())),
        ("contains", Value::String(_) | Value::Number(_)) => Some(ClaimTest::Contains(value.clone())),
        ("prefix", Value::String(prefix)) if !prefix.is_empty() => Some(ClaimTest::Prefix(prefix.clone())),
        ("matches", Value::String(pattern)) => ClaimTest::matches(pattern).ok(),
        ("exists", Value::Bool(exists)) => Some(ClaimTest::Exists(*exists)),
        _other => None,
    }
}
