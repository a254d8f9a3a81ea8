//! `jwt`: issuers, token location and required claims. Presets of providers that send JWTs are compiled here too.

use std::collections::BTreeMap;
use std::time::Duration;

use http::header::AUTHORIZATION;
use serde_json::Value;

use super::auth::unit;
use super::compiler::Compiler;
use super::issuer::IssuerKeys;
use crate::auth::claims::{ClaimRule, ClaimTest, Pointer};
use crate::auth::encoding::Encoding;
use crate::auth::issuer::Issuer;
use crate::auth::jwt::binding::{BindingHash, Bindings, BodyHash, HashPresence, UrlEquals, UrlHash};
use crate::auth::jwt::{Audience, DEFAULT_TYPES, JwtPolicy};
use crate::auth::locator::{Locator, Scheme};
use crate::auth::request::UrlVariant;
use crate::auth::time::TimestampRule;
use crate::config::error::FieldPath;
use crate::config::file::signature::{SignatureEncodingFile, UrlVariantFile};
use crate::config::file::{
    BodyHashFile, HashFile, HashPresenceFile, JwtFile, OneOrMany, TimeClaimFile, TokenFile, UrlClaimFile, UrlHashFile,
};

/// The registered claims that are required even if `required_claims` does not list them (RFC 7519 §4.1).
const ALWAYS_REQUIRED: &[&str] = &["iss", "aud", "exp"];

/// The author of the rules. A preset follows its provider, even if that leaves out a claim that is otherwise required.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Operator,
    Preset,
}

impl Compiler<'_> {
    pub(super) fn jwt(
        &mut self,
        file: &JwtFile,
        issuers: &BTreeMap<String, IssuerKeys>,
        path: &FieldPath,
    ) -> Option<JwtPolicy> {
        let chosen = self.chosen_issuers(file.issuer.as_ref(), issuers, &path.child("issuer"));
        self.jwt_policy(file, chosen, Origin::Operator, path)
    }

    pub(super) fn jwt_policy(
        &mut self,
        file: &JwtFile,
        issuers: Option<Vec<Issuer>>,
        origin: Origin,
        path: &FieldPath,
    ) -> Option<JwtPolicy> {
        if file.bound_certificate == Some(true) {
            self.asks_for_certificates(&path.child("bound_certificate"));
        }
        let token = self.token(file.token_from.as_ref(), &path.child("token_from"));
        let bindings = self.bindings(file, path);
        let bound = bindings.binds_anything() || token.as_ref().is_some_and(Locator::is_in_body);
        let audience = self.audience(file.audience.as_ref(), bound, origin, &path.child("audience"));
        let claims = self.claim_rules(file.claims.as_ref(), &path.child("claims"));
        let max_age = self.optional_nonzero_duration(file.max_age.as_ref(), &path.child("max_age"));
        let max_lifetime = self.optional_nonzero_duration(file.max_lifetime.as_ref(), &path.child("max_lifetime"));
        if file.allowed_types.as_ref().is_some_and(Vec::is_empty) {
            let problem = "must not be empty: no `typ` would be accepted; set one or remove the key";
            self.problems.add(&path.child("allowed_types"), problem);
        }
        let time_claim = self.time_claim(file.time_claim.as_ref(), &path.child("time_claim"));
        let leeway = self.leeway(file, path);
        let (issuers, audience) = (issuers?, audience?);
        let required_claims = match origin {
            Origin::Operator => required(file.required_claims.as_deref(), &issuers, &audience, max_age.is_some()),
            Origin::Preset => file.required_claims.clone().unwrap_or_default(),
        };
        let allowed_types =
            file.allowed_types.clone().unwrap_or_else(|| DEFAULT_TYPES.iter().map(|name| (*name).to_owned()).collect());
        let token = token?;
        Some(JwtPolicy {
            issuers,
            audience,
            required_claims,
            claims,
            allowed_types,
            max_age,
            max_lifetime,
            leeway,
            token,
            bindings,
            time_claim,
            replay_id: None,
        })
    }

    fn bindings(&mut self, file: &JwtFile, path: &FieldPath) -> Bindings {
        let method = file.method.as_ref();
        Bindings {
            body: file.body_hash.as_ref().and_then(|file| self.body_hash(file, &path.child("body_hash"))),
            url_hash: file.url_hash.as_ref().and_then(|file| self.url_hash(file, &path.child("url_hash"))),
            url: file.url.as_ref().and_then(|file| self.url_claim(file, &path.child("url"))),
            method: method.and_then(|file| self.claim(file.claim.as_deref(), &path.child("method"))),
            qsh: file.qsh == Some(true),
            certificate: file.bound_certificate == Some(true),
        }
    }

    fn body_hash(&mut self, file: &BodyHashFile, path: &FieldPath) -> Option<BodyHash> {
        Some(BodyHash {
            claim: self.claim(file.claim.as_deref(), path)?,
            hash: hash(file.algorithm),
            encoding: encoding(file.encoding.unwrap_or(SignatureEncodingFile::Hex)),
            presence: match file.presence.unwrap_or_default() {
                HashPresenceFile::Required => HashPresence::Required,
                HashPresenceFile::Optional => HashPresence::Optional,
                HashPresenceFile::WithBody => HashPresence::WithBody,
                HashPresenceFile::AbsentIfEmpty => HashPresence::AbsentIfEmpty,
            },
        })
    }

    fn url_hash(&mut self, file: &UrlHashFile, path: &FieldPath) -> Option<UrlHash> {
        Some(UrlHash {
            claim: self.claim(file.claim.as_deref(), path)?,
            hash: hash(file.algorithm),
            encoding: encoding(file.encoding.unwrap_or(SignatureEncodingFile::Hex)),
            variants: variants(file.variants.as_deref()),
        })
    }

    fn url_claim(&mut self, file: &UrlClaimFile, path: &FieldPath) -> Option<UrlEquals> {
        let claim = self.claim(file.claim.as_deref(), path)?;
        let query = file.query.unwrap_or(file.claim.as_deref() != Some("htu"));
        Some(UrlEquals { claim, query, variants: variants(file.variants.as_deref()) })
    }

    fn claim(&mut self, name: Option<&str>, path: &FieldPath) -> Option<Pointer> {
        let Some(name) = name else {
            self.missing(&path.child("claim"), "the claim's name");
            return None;
        };
        self.pointer(name, &path.child("claim"))
    }

    fn time_claim(&mut self, file: Option<&TimeClaimFile>, path: &FieldPath) -> Option<TimestampRule> {
        let file = file?;
        let max_age = self.nonzero_duration(file.max_age.as_ref(), &path.child("max_age"), Duration::from_secs(300));
        let source = Locator::Claim(self.claim(file.claim.as_deref(), path)?);
        let max_future = max_age.min(Duration::from_secs(300));
        Some(TimestampRule { source, unit: unit(file.unit.unwrap_or_default()), max_age, max_future })
    }

    fn leeway(&mut self, file: &JwtFile, path: &FieldPath) -> Duration {
        let path = path.child("leeway");
        let leeway = self.duration(file.leeway.as_ref(), &path, Duration::from_secs(30));
        if leeway > Duration::from_secs(300) {
            self.problems.add(
                &path,
                "is more than 5m: expired tokens would be accepted for this time; synchronize the clocks instead",
            );
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
        // The unverified `iss` selects the key set, so each issuer needs one, and all must differ.
        let mut seen: Vec<&str> = chosen.iter().filter_map(|issuer| issuer.iss.as_deref()).collect();
        seen.sort_unstable();
        seen.dedup();
        if chosen.len() > 1 && seen.len() != chosen.len() {
            self.problems.add(path, "several issuers on one route need different `issuer` values, none of them `none`");
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
            self.problems.add(path, format!("unknown issuer `{name}`; define it under `issuers`"));
        }
        found.map(|found| found.issuer.clone())
    }

    /// `none` is allowed if another rule binds the token to this endpoint, and in a preset, which follows its provider.
    fn audience(
        &mut self,
        audience: Option<&OneOrMany>,
        bound: bool,
        origin: Origin,
        path: &FieldPath,
    ) -> Option<Audience> {
        let audiences = audience.map(OneOrMany::to_vec).unwrap_or_default();
        if audiences.is_empty() {
            let what =
                "the exact `aud` that names this endpoint: without it, a token for another service is accepted here";
            self.missing(path, what);
            return None;
        }
        if audiences.iter().any(String::is_empty) {
            self.problems.add(path, "must not be empty; set the exact `aud` that names this endpoint");
            return None;
        }
        if !audiences.iter().any(|audience| audience == "none") {
            return Some(Audience::OneOf(audiences));
        }
        if audiences.len() > 1 || !(bound || origin == Origin::Preset) {
            self.problems.add(
                path,
                "`none` must be the only value, and needs body_hash (required, or absent_if_empty), url_hash, url or \
                 qsh, or a token in the body",
            );
        }
        Some(Audience::Any)
    }

    pub(super) fn claim_rules(&mut self, claims: Option<&BTreeMap<String, Value>>, path: &FieldPath) -> Vec<ClaimRule> {
        let rules = claims.into_iter().flatten().filter_map(|(name, written)| {
            let path = path.child(name);
            let Some(pointer) = Pointer::parse(name) else {
                self.problems.add(&path, "expected a claim name, or a JSON pointer such as /a/b (RFC 6901)");
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
            // The library's message is a drawing of several lines; the last one states the error.
            let error = error.to_string();
            let error = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            self.problems.add(&path.child("matches"), format!("not a supported regular expression: {error}"));
        } else if test.is_none() {
            let expected = "expected a value, or one of {one_of: [a list]}, {contains: a value}, {prefix: \"text\"}, \
                            {matches: \"a regular expression\"}, {exists: true}";
            self.problems.add(path, expected);
        }
        test
    }

    fn token(&mut self, file: Option<&TokenFile>, path: &FieldPath) -> Option<Locator> {
        let Some(file) = file else {
            return Some(Locator::Header { name: AUTHORIZATION, scheme: Some(Scheme::of_token("Bearer")) });
        };
        if file.header.is_none() && file.scheme.is_some() {
            self.problems.add(&path.child("scheme"), "is for `header` only; remove it");
        }
        for (name, written) in
            [("scheme", &file.scheme), ("query", &file.query), ("cookie", &file.cookie), ("form", &file.form)]
        {
            if written.as_deref() == Some("") {
                self.problems.add(&path.child(name), "must not be empty; set a name or remove it");
            }
        }
        let mut locator = self.locator(&file.places(), path)?;
        if let Locator::Header { name, scheme } = &mut locator {
            *scheme = match file.scheme.as_deref() {
                // Authorization has a scheme (RFC 9110 §11.6.2) unless the file says `none`.
                None => (*name == AUTHORIZATION).then(|| Scheme::of_token("Bearer")),
                Some("none") => None,
                Some(scheme) => Some(Scheme::of_token(scheme)),
            };
        }
        Some(locator)
    }
}

pub(super) const fn encoding(file: SignatureEncodingFile) -> Encoding {
    match file {
        SignatureEncodingFile::Hex => Encoding::Hex,
        SignatureEncodingFile::Base64 => Encoding::Base64,
        SignatureEncodingFile::Base64url => Encoding::Base64Url,
    }
}

fn hash(file: Option<HashFile>) -> BindingHash {
    match file.unwrap_or_default() {
        HashFile::Sha256 => BindingHash::Sha256,
        HashFile::Sha384 => BindingHash::Sha384,
        HashFile::Sha512 => BindingHash::Sha512,
    }
}

pub(super) fn variants(files: Option<&[UrlVariantFile]>) -> Vec<UrlVariant> {
    let variants = files.unwrap_or_default().iter().map(|file| match file {
        UrlVariantFile::Port => UrlVariant::Port,
        UrlVariantFile::Slash => UrlVariant::Slash,
    });
    variants.collect()
}

/// The claims of `required_claims`, and those that are always required: `exp` may be left out only if `max_age` bounds
/// the token's lifetime by `iat`, and `iss` and `aud` only if they are not compared.
fn required(written: Option<&[String]>, issuers: &[Issuer], audience: &Audience, bounded_by_age: bool) -> Vec<String> {
    let mut required: Vec<String> = written.unwrap_or_default().to_vec();
    let explicit = written.is_some();
    let no_iss = issuers.iter().any(|issuer| issuer.iss.is_none());
    for name in ALWAYS_REQUIRED {
        let optional = (*name == "iss" && no_iss)
            || (*name == "aud" && *audience == Audience::Any)
            || (*name == "exp" && bounded_by_age && explicit);
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
