//! `forward` and `status_overrides` of a route.

use std::collections::BTreeMap;

use http::{HeaderName, StatusCode};

use super::auth::has_jwt;
use super::compiler::Compiler;
use crate::auth::Policy;
use crate::auth::claims::Pointer;
use crate::config::file::{CredentialYaml, ForwardYaml, Parsed, RouteYaml};
use crate::config::reader::{Field, List, Location, Section, nearest};
use crate::failure::{self, is_before_route, is_retried};
use crate::reason::Reason;
use crate::route::{Forward, HeaderPattern, NEEDED_BY_HTTP, Route, Upstream};

/// Headers that control the connection or the request itself; a claim must not overwrite them.
const NOT_FOR_CLAIMS: &[&str] = &[
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "te",
    "keep-alive",
    "proxy-connection",
    "trailer",
    "upgrade",
    "expect",
    "authorization",
    "cookie",
    "forwarded",
    "x-request-id",
];

/// Whether the pattern matches a header without which the request would be another one.
fn is_needed(pattern: &HeaderPattern) -> bool {
    NEEDED_BY_HTTP.iter().any(|name| pattern.matches(name))
}

fn patterns(list: &List<Field<Parsed<HeaderPattern>>>) -> Vec<HeaderPattern> {
    list.iter().filter_map(|pattern| Some((**pattern.value()?).clone())).collect()
}

/// Adds to each route the headers that carry claims or the verdict on other routes with the same upstream: the application reads them
/// on each of its paths.
pub(super) fn share_claim_headers(routes: &mut [(Location, Route)]) {
    let claimed: Vec<(Upstream, Vec<HeaderName>)> = routes
        .iter()
        .map(|(_, route)| {
            let claims = route.forward.claims.iter().map(|(_, name)| name);
            (route.upstream.clone(), claims.chain(&route.forward.verdict).cloned().collect::<Vec<_>>())
        })
        .filter(|(_, names)| !names.is_empty())
        .collect();
    for (_, route) in routes {
        let shared = claimed.iter().filter(|(upstream, _)| route.upstream.shares_endpoint(upstream));
        let mut names: Vec<HeaderName> = shared.flat_map(|(_, names)| names.clone()).collect();
        names.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        names.dedup();
        route.forward.claim_headers = names;
    }
}

/// Whether a claim may be written to the header. Only letters, digits and `-` are allowed: to an upstream behind CGI,
/// another character such as `_` would be a second spelling of the same header.
fn may_carry_claims(name: &HeaderName) -> bool {
    let name = name.as_str();
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    plain && !NOT_FOR_CLAIMS.contains(&name) && !name.starts_with("x-forwarded-")
}

/// Whether every credential is in a header.
fn stands_in_headers(policy: &Policy) -> bool {
    policy.leaves().into_iter().flat_map(Policy::places).all(|place| place.header().is_some())
}

impl Compiler<'_> {
    pub(super) fn forward(&mut self, file: &Section<ForwardYaml>, policy: Option<&Policy>) -> Forward {
        if !file.is_written {
            return Forward::default();
        }
        let remove_credential = file.credential.or_default() == CredentialYaml::Remove;
        if remove_credential && policy.is_some_and(|policy| !stands_in_headers(policy)) {
            let message = "`remove` works only if each credential is in a header; use keep";
            self.problems.add(file.credential.at, message);
        }
        let claims = &file.claims_to_headers;
        if matches!(policy, Some(Policy::Public)) {
            let keys = [file.credential.written_at(), claims.is_written.then_some(claims.at)];
            self.unused(&keys, "a public route has no credential and no claims; remove it");
        } else if policy.is_some_and(|policy| !has_jwt(policy)) && claims.is_written {
            self.problems.add_follow_up(claims.at, "without a JWT there are no claims; remove it");
        }
        let problem = "must not be empty; name a header or remove the key";
        self.not_empty(&file.remove, problem);
        self.not_empty(&file.allow, problem);
        for pattern in file.remove.iter().filter(|pattern| pattern.value().is_some_and(|pattern| is_needed(pattern))) {
            self.problems.add(pattern.at, "would remove a header that HTTP needs; name others");
        }
        let claims = self.forwarded_claims(claims);
        let verdict = self.verdict(&file.verdict, &claims);
        Forward {
            remove_credential,
            claims,
            verdict,
            claim_headers: Vec::new(),
            remove: patterns(&file.remove),
            allow: file.allow.is_written.then(|| patterns(&file.allow)),
        }
    }

    fn verdict(&mut self, field: &Field<String>, claims: &[(Pointer, HeaderName)]) -> Option<HeaderName> {
        let name = field.text()?;
        let name = HeaderName::try_from(name).ok().filter(may_carry_claims);
        let name =
            self.check(field.at, name.ok_or("expected the name of a custom header, such as X-Hookgate-Verdict"))?;
        if claims.iter().any(|(_, claim)| *claim == name) {
            self.problems.add(field.at, "duplicate header: a claim uses it");
        }
        Some(name)
    }

    fn forwarded_claims(&mut self, file: &BTreeMap<String, Field<String>>) -> Vec<(Pointer, HeaderName)> {
        let mut claims: Vec<(Pointer, HeaderName)> = Vec::new();
        for (claim, header) in file {
            let Some(name) = header.value() else { continue };
            match (Pointer::parse(claim), HeaderName::try_from(name)) {
                (None, _) => self.problems.add(header.at, "expected a claim name, or a JSON pointer such as /a/b"),
                (Some(_), Ok(name)) if claims.iter().any(|(_, other)| *other == name) => {
                    self.problems.add(header.at, "duplicate header: another claim uses it");
                }
                (Some(pointer), Ok(name)) if may_carry_claims(&name) => claims.push((pointer, name)),
                (Some(_), Ok(_) | Err(_)) => {
                    self.problems.add(header.at, "expected the name of a custom header, such as X-Hookgate-Subject");
                }
            }
        }
        claims
    }

    pub(super) fn status_overrides(&mut self, route: &RouteYaml) -> BTreeMap<Reason, StatusCode> {
        let mut responses = BTreeMap::new();
        for (word, status) in &*route.status_overrides {
            let Some(reason) = Reason::named(word) else {
                let meant = nearest(word, Reason::ALL.iter().map(|reason| reason.word()));
                let meant = meant.map(|meant| format!(", did you mean `{meant}`?")).unwrap_or_default();
                self.problems.add(status.at, format!("unknown reason{meant} (the reference lists the reasons)"));
                continue;
            };
            if is_before_route(reason) {
                self.problems.add(status.at, "occurs only before a route is matched; remove it");
                continue;
            }
            let Some(status_code) = status.number().and_then(|number| StatusCode::from_u16(number).ok()) else {
                continue;
            };
            if status_code.is_success() && is_retried(failure::status(reason)) {
                let problem = "the sender must retry, but does not after a success; use a status from 400 to 599";
                self.problems.add(status.at, problem);
            } else if status_code.is_redirection() {
                self.problems.add(status.at, "expected a status from 200 to 299 or 400 to 599");
            } else {
                responses.insert(reason, status_code);
            }
        }
        responses
    }
}
