//! `jwt`: issuers, token location and required claims. Presets of providers that send JWTs are compiled here too.

use std::collections::BTreeMap;
use std::time::Duration;

use http::header::AUTHORIZATION;
use serde_json::Value;

use super::compiler::{Compiler, RouteScope};
use crate::auth::claims::{ClaimRule, ClaimTest, Pointer};
use crate::auth::encoding::Encoding;
use crate::auth::issuer::{Issuer, IssuerClaim, PATH_TENANT};
use crate::auth::jwt::binding::{Bindings, BodyHash, UrlEquals, UrlHash};
use crate::auth::jwt::{Audience, DEFAULT_TYPES, JwtPolicy};
use crate::auth::locator::{Locator, Scheme};
use crate::auth::time::TimestampRule;
use crate::config::file::{
    BodyHashYaml, JwtYaml, OneOrMany, Parsed, TimeClaimYaml, TokenYaml, UrlClaimYaml, UrlHashYaml,
};
use crate::config::reader::{Field, Location, nearest};

/// The registered claims that are required even if `required_claims` does not list them (RFC 7519 §4.1).
const ALWAYS_REQUIRED: &[&str] = &["iss", "aud", "exp"];

/// Claims that say nothing about the party for which a token was issued, so that a rule for them cannot take the place of
/// `audience`: registered ones, and the kind, version and tenant of a token.
const OF_ALL_PARTIES: &[&str] = &[
    "iss",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "typ",
    "ver",
    "token_use",
    "token_type",
    "tid",
    "scope",
    "scp",
    "acr",
    "amr",
    "auth_time",
    "nonce",
    "sid",
    "email_verified",
];

/// Claims that are lists by their standards (RFC 8176 §1, RFC 9068 §2.2.3.1) or at most issuers.
const LISTS: &[&str] = &["amr", "groups", "roles", "entitlements", "permissions", "cognito:groups", "wids"];

/// The author of the rules. A preset follows its provider, even if that leaves out a claim that is otherwise required.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Operator,
    Preset,
}

/// The largest `leeway`.
const MAX_LEEWAY: Duration = Duration::from_secs(300);

impl Compiler<'_> {
    pub(super) fn jwt(&mut self, file: &JwtYaml, scope: &RouteScope<'_>) -> Option<JwtPolicy> {
        let chosen = self.chosen_issuers(&file.issuer, scope.issuers);
        self.jwt_policy(file, chosen, Origin::Operator)
    }

    pub(super) fn jwt_policy(
        &mut self,
        file: &JwtYaml,
        issuers: Option<Vec<Issuer>>,
        origin: Origin,
    ) -> Option<JwtPolicy> {
        if file.bound_certificate.get() {
            self.asks_for_certificates(file.bound_certificate.at);
        }
        let token = self.token(&file.token_from);
        let bindings = self.bindings(file);
        let bound = bindings.binds_anything() || token.as_ref().is_some_and(Locator::is_in_body);
        let claims = self.claim_rules(&file.claims);
        let bound = bound || claims.iter().any(names_party);
        let audience = self.audience(&file.audience, bound, origin);
        let problem = "must not be empty: no `typ` would be accepted; set one or remove the key";
        self.not_empty(&file.allowed_types, problem);
        let time_claim = file.time_claim.value().map(|claim| self.time_claim(claim));
        let leeway = file.leeway.get();
        if leeway > MAX_LEEWAY {
            let problem =
                "is more than 5m: expired tokens would be accepted for this time; synchronize the clocks instead";
            self.problems.add(file.leeway.at, problem);
        }
        let (issuers, audience) = (issuers?, audience?);
        let audience = self.audience_of_tenant(audience, &issuers, file.audience.at);
        let max_age = file.max_age.duration();
        let required_claims = match origin {
            Origin::Operator => required(
                file.required_claims.written().map(|names| names.as_slice()),
                &issuers,
                &audience,
                max_age.is_some(),
            ),
            Origin::Preset => file.required_claims.to_vec(),
        };
        let allowed_types = file.allowed_types.written().map(|types| types.to_vec());
        Some(JwtPolicy {
            issuers,
            audience,
            required_claims,
            claims,
            allowed_types: allowed_types.unwrap_or_else(|| DEFAULT_TYPES.iter().map(|&name| name.to_owned()).collect()),
            max_age,
            max_lifetime: file.max_lifetime.duration(),
            leeway,
            token: token?,
            bindings,
            time_claim: time_claim.flatten(),
            replay_id: None,
        })
    }

    fn bindings(&mut self, file: &JwtYaml) -> Bindings {
        Bindings {
            body: file.body_hash.value().and_then(|file| self.body_hash(file)),
            url_hash: file.url_hash.value().and_then(|file| self.url_hash(file)),
            url: file.url.value().and_then(|file| self.url_claim(file)),
            method: file.method.value().and_then(|file| self.claim(&file.claim)),
            qsh: file.qsh.get(),
            certificate: file.bound_certificate.get(),
        }
    }

    fn body_hash(&mut self, file: &BodyHashYaml) -> Option<BodyHash> {
        Some(BodyHash {
            claim: self.claim(&file.claim)?,
            hash: file.algorithm.or_default(),
            encoding: file.encoding.value().copied().unwrap_or(Encoding::Hex),
            presence: file.presence.or_default(),
        })
    }

    fn url_hash(&mut self, file: &UrlHashYaml) -> Option<UrlHash> {
        Some(UrlHash {
            claim: self.claim(&file.claim)?,
            hash: file.algorithm.or_default(),
            encoding: file.encoding.value().copied().unwrap_or(Encoding::Hex),
            variants: file.variants.to_vec(),
        })
    }

    fn url_claim(&mut self, file: &UrlClaimYaml) -> Option<UrlEquals> {
        let claim = self.claim(&file.claim)?;
        let is_htu = file.claim.value().is_some_and(|claim| claim.text == "htu");
        Some(UrlEquals {
            claim,
            query: file.query.value().copied().unwrap_or(!is_htu),
            variants: file.variants.to_vec(),
        })
    }

    fn claim(&mut self, field: &Field<Parsed<Pointer>>) -> Option<Pointer> {
        self.required(field, "the claim's name").map(|claim| (**claim).clone())
    }

    fn time_claim(&mut self, file: &TimeClaimYaml) -> Option<TimestampRule> {
        let source = Locator::Claim(self.claim(&file.claim)?);
        let max_age: Duration = file.max_age.get();
        let max_future = max_age.min(Duration::from_secs(300));
        Some(TimestampRule { source, unit: file.unit.or_default(), max_age, max_future })
    }

    fn chosen_issuers(
        &mut self,
        field: &Field<OneOrMany<String>>,
        issuers: &BTreeMap<String, Issuer>,
    ) -> Option<Vec<Issuer>> {
        let names = field.value().filter(|names| !names.is_empty());
        let Some(names) = names else {
            self.missing(field.at, "a name under `issuers`");
            return None;
        };
        let chosen: Vec<_> = names.iter().map(|name| self.chosen_issuer(name, field.at, issuers)).collect();
        let chosen: Vec<Issuer> = chosen.into_iter().collect::<Option<_>>()?;
        // The unverified `iss` selects the key set, so each issuer needs one, and all must differ.
        let is_ambiguous = |(index, issuer): (usize, &Issuer)| {
            let others = chosen.iter().skip(index + 1);
            issuer.iss == IssuerClaim::Any || others.into_iter().any(|other| issuer.iss.overlaps(&other.iss))
        };
        if chosen.len() > 1 && chosen.iter().enumerate().any(is_ambiguous) {
            let problem = "several issuers on one route need different `issuer` values, none of them `none`";
            self.problems.add(field.at, problem);
        }
        if chosen.len() > 1 && chosen.iter().any(|issuer| issuer.iss.is_of_path()) {
            let problem = "an issuer with {tenant} must be the only one of its route: a client could otherwise learn by \
                           the time of a response which tenants exist";
            self.problems.add(field.at, problem);
        }
        Some(chosen)
    }

    /// The audience with `{tenant}`, which only tokens of a tenant have: others have the audience that their client chose.
    fn audience_of_tenant(&mut self, audience: Audience, issuers: &[Issuer], at: Location) -> Audience {
        match audience {
            Audience::OneOf(audiences) if audiences.iter().any(|one| one.contains(PATH_TENANT)) => {
                if !issuers.iter().all(|issuer| issuer.iss.is_of_path()) {
                    self.problems.add(at, "{tenant} requires an issuer with {tenant} in its `issuer`");
                }
                Audience::OfTenant(audiences)
            }
            other @ (Audience::OneOf(_) | Audience::OfTenant(_) | Audience::Any) => other,
        }
    }

    pub(super) fn chosen_issuer(
        &mut self,
        name: &str,
        at: Location,
        issuers: &BTreeMap<String, Issuer>,
    ) -> Option<Issuer> {
        let found = issuers.get(name).cloned();
        let all = &self.file.issuers;
        // An issuer that is defined and could not be compiled has been reported.
        let is_reported = all.contains_key(name) || (all.is_empty() && self.problems.has_under(all.at));
        if found.is_none() && !is_reported {
            let by_iss = all.iter().find(|(_, issuer)| issuer.issuer.text() == Some(name));
            let remedy = match (by_iss, nearest(name, all.keys().map(String::as_str))) {
                (Some((key, _)), _) => format!("it is the `issuer` of `{key}`: write that name"),
                (None, Some(meant)) => format!("did you mean `{meant}`?"),
                (None, None) => "define it under `issuers`".to_owned(),
            };
            self.problems.add(at, format!("unknown issuer `{}`; {remedy}", name.escape_debug()));
        }
        found
    }

    /// `none` is allowed if another rule binds the token to this endpoint, and in a preset, which follows its provider.
    fn audience(&mut self, field: &Field<OneOrMany<String>>, bound: bool, origin: Origin) -> Option<Audience> {
        let Some(audiences) = field.value().filter(|audiences| !audiences.is_empty()) else {
            let what =
                "the exact `aud` that names this endpoint: without it, a token for another service is accepted here";
            self.missing(field.at, what);
            return None;
        };
        if audiences.iter().any(String::is_empty) {
            self.problems.add(field.at, "must not be empty; set the exact `aud` that names this endpoint");
            return None;
        }
        if !audiences.iter().any(|audience| audience == "none") {
            return Some(Audience::OneOf(audiences.to_vec()));
        }
        if audiences.len() > 1 || !(bound || origin == Origin::Preset) {
            self.problems.add(
                field.at,
                "`none` must be the only value, and needs a rule under `claims` that names the client, such as \
                 client_id or azp with its value, or body_hash with `presence: required`, url_hash, url or qsh, or a \
                 token in the body",
            );
        }
        Some(Audience::Any)
    }

    pub(super) fn claim_rules(&mut self, claims: &BTreeMap<String, Field<Value>>) -> Vec<ClaimRule> {
        let rules = claims.iter().filter_map(|(name, field)| {
            let Some(pointer) = Pointer::parse(name) else {
                self.problems.add(field.at, "expected a claim name, or a JSON pointer such as /a/b (RFC 6901)");
                return None;
            };
            let rule = ClaimRule { pointer, test: self.claim_test(field)? };
            if let Some(problem) = never_holds(&rule) {
                self.problems.add(field.at, problem);
            } else if rule.test.is_of_one_value() && LISTS.iter().any(|name| rule.pointer.is_claim(name)) {
                let warning = "most issuers send a list here, for which this rule never holds: use `contains` or \
                               `contains_any`";
                self.warn(field.at, warning);
            }
            Some(rule)
        });
        rules.collect()
    }

    pub(super) fn claim_test(&mut self, field: &Field<Value>) -> Option<ClaimTest> {
        let written = field.value()?;
        let test = match written {
            Value::Object(operators) => {
                let only = operators.iter().next().filter(|_| operators.len() == 1);
                only.and_then(|(operator, value)| operator_test(operator, value))
            }
            Value::Null | Value::Array(_) => None,
            Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(ClaimTest::Equals(written.clone())),
        };
        if let Some(Err(error)) = written.get("matches").and_then(Value::as_str).map(ClaimTest::matches) {
            // The library's message is a drawing of several lines; the last one states the error.
            let error = error.to_string();
            let error = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            self.problems.add(field.at, format!("`matches` is not a supported regular expression: {error}"));
        } else if test.is_none() {
            let expected = "expected a value, or one of {one_of: [a list]}, {contains: a value}, \
                            {contains_any: [a list]}, {prefix: \"text\"}, \
                            {matches: \"a regular expression\"}, {exists: true}";
            self.problems.add(field.at, expected);
        }
        test
    }

    fn token(&mut self, field: &Field<TokenYaml>) -> Option<Locator> {
        if !field.is_written() {
            return Some(Locator::Header { name: AUTHORIZATION, scheme: Some(Scheme::of_token("Bearer")) });
        }
        let file = field.value()?;
        if !file.header.is_written() && file.scheme.is_written() {
            self.problems.add_unless_known(file.scheme.at, "is for `header` only; remove it");
        }
        for name in [&file.scheme, &file.query, &file.cookie, &file.form] {
            if name.text() == Some("") {
                self.problems.add(name.at, "must not be empty; set a name or remove it");
            }
        }
        let mut locator = self.locator(&file.places(), field.at)?;
        if let Locator::Header { name, scheme } = &mut locator {
            *scheme = match file.scheme.text() {
                // Authorization has a scheme (RFC 9110 §11.6.2) unless the file says `none`.
                None => (*name == AUTHORIZATION).then(|| Scheme::of_token("Bearer")),
                Some("none") => None,
                Some(scheme) => Some(Scheme::of_token(scheme)),
            };
        }
        Some(locator)
    }
}

/// The claims of `required_claims`, and those that are always required: `exp` may be left out only if `max_age` bounds
/// the token's lifetime by `iat`, and `iss` and `aud` only if they are not compared.
fn required(written: Option<&[String]>, issuers: &[Issuer], audience: &Audience, bounded_by_age: bool) -> Vec<String> {
    let mut required: Vec<String> = written.unwrap_or_default().to_vec();
    let explicit = written.is_some();
    let no_iss = issuers.iter().any(|issuer| issuer.iss.is_optional());
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

/// Whether a rule names the party for which a token was issued, or that has it: one of some texts, in a claim that is not
/// the same for all parties of an issuer.
fn names_party(rule: &ClaimRule) -> bool {
    let is_text = match &rule.test {
        ClaimTest::Equals(value) => value.is_string(),
        ClaimTest::OneOf(values) => values.iter().all(Value::is_string),
        ClaimTest::Contains(_) | ClaimTest::ContainsAny(_) | ClaimTest::Prefix(_) => false,
        ClaimTest::Matches(_) | ClaimTest::Exists(_) => false,
    };
    is_text && !OF_ALL_PARTIES.iter().any(|name| rule.pointer.is_claim(name))
}

/// Why no token can satisfy a rule: the types of the registered claims are fixed (RFC 7519 §4.1).
fn never_holds(rule: &ClaimRule) -> Option<&'static str> {
    let is = |names: &[&str]| names.iter().any(|name| rule.pointer.is_claim(name));
    let texts = match &rule.test {
        ClaimTest::Equals(value) | ClaimTest::Contains(value) => std::slice::from_ref(value),
        ClaimTest::OneOf(values) | ClaimTest::ContainsAny(values) => values.as_slice(),
        ClaimTest::Prefix(_) | ClaimTest::Matches(_) => &[],
        ClaimTest::Exists(true) => return None,
        ClaimTest::Exists(false) if is(ALWAYS_REQUIRED) => {
            return Some("never holds: every token must have this claim");
        }
        ClaimTest::Exists(false) => return None,
    };
    let is_number = texts.iter().any(Value::is_number);
    if is(&["exp", "nbf", "iat"]) && !is_number {
        return Some("never holds: this claim is a number of seconds; see max_age, max_lifetime and leeway");
    }
    let never = is(&["iss", "sub", "jti"]) && !texts.is_empty() && !texts.iter().any(Value::is_string);
    never.then_some("never holds: this claim is a text")
}

fn operator_test(operator: &str, value: &Value) -> Option<ClaimTest> {
    let is_plain = |values: &[Value]| !values.is_empty() && !values.iter().any(|one| one.is_array() || one.is_object());
    match (operator, value) {
        ("one_of", Value::Array(values)) if is_plain(values) => Some(ClaimTest::OneOf(values.clone())),
        ("contains_any", Value::Array(values)) if is_plain(values) => Some(ClaimTest::ContainsAny(values.clone())),
        ("contains", Value::String(_) | Value::Number(_)) => Some(ClaimTest::Contains(value.clone())),
        ("prefix", Value::String(prefix)) if !prefix.is_empty() => Some(ClaimTest::Prefix(prefix.clone())),
        ("matches", Value::String(pattern)) => ClaimTest::matches(pattern).ok(),
        ("exists", Value::Bool(exists)) => Some(ClaimTest::Exists(*exists)),
        _other => None,
    }
}
