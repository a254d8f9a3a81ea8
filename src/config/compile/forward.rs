//! `forward` and `status_overrides` of a route.

use std::collections::BTreeMap;

use http::{HeaderName, StatusCode};

use super::auth::has_jwt;
use super::compiler::Compiler;
use crate::auth::Policy;
use crate::auth::claims::Pointer;
use crate::config::error::FieldPath;
use crate::config::file::{CredentialFile, ForwardFile};
use crate::failure::{self, is_before_route, is_retried};
use crate::reason::Reason;
use crate::route::Forward;

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
    pub(super) fn forward(
        &mut self,
        forward: Option<&ForwardFile>,
        policy: Option<&Policy>,
        path: &FieldPath,
    ) -> Forward {
        let Some(file) = forward else { return Forward::default() };
        let remove_credential = file.credential == Some(CredentialFile::Remove);
        if remove_credential && policy.is_some_and(|policy| !stands_in_headers(policy)) {
            let message = "`remove` works only if each credential is in a header; use keep";
            self.problems.add(&path.child("credential"), message);
        }
        if matches!(policy, Some(Policy::Public)) {
            self.problems.add(path, "a public route has no credential and no claims; remove it");
        }
        if policy.is_some_and(|policy| !has_jwt(policy)) && file.claims_to_headers.is_some() {
            self.problems
                .add_follow_up(&path.child("claims_to_headers"), "without a JWT there are no claims; remove it");
        }
        Forward { remove_credential, claims: self.forwarded_claims(file, &path.child("claims_to_headers")) }
    }

    fn forwarded_claims(&mut self, file: &ForwardFile, path: &FieldPath) -> Vec<(Pointer, HeaderName)> {
        let mut claims: Vec<(Pointer, HeaderName)> = Vec::new();
        for (claim, header) in file.claims_to_headers.iter().flatten() {
            let path = path.child(claim);
            match (Pointer::parse(claim), HeaderName::try_from(header.as_str())) {
                (None, _) => self.problems.add(&path, "expected a claim name, or a JSON pointer such as /a/b"),
                (Some(_), Ok(name)) if claims.iter().any(|(_, other)| *other == name) => {
                    self.problems.add(&path, "duplicate header: another claim uses it");
                }
                (Some(pointer), Ok(name)) if may_carry_claims(&name) => claims.push((pointer, name)),
                (Some(_), Ok(_) | Err(_)) => {
                    self.problems.add(&path, "expected the name of a custom header, such as X-Hookgate-Subject");
                }
            }
        }
        claims
    }

    pub(super) fn status_overrides(
        &mut self,
        file: Option<&BTreeMap<String, u16>>,
        path: &FieldPath,
    ) -> BTreeMap<Reason, StatusCode> {
        let mut responses = BTreeMap::new();
        for (word, status) in file.into_iter().flatten() {
            let path = path.child(word);
            let Some(reason) = Reason::named(word) else {
                self.problems.add(&path, "unknown reason; the reference lists the reasons");
                continue;
            };
            if is_before_route(reason) {
                self.problems.add(&path, "occurs only before a route is matched; remove it");
                continue;
            }
            match StatusCode::from_u16(*status) {
                Ok(status) if status.is_success() && is_retried(failure::status(reason)) => {
                    self.problems.add(
                        &path,
                        "the sender must retry, but does not after a success; use a status from 400 to 599",
                    );
                }
                Ok(status) if status.is_success() || status.is_client_error() || status.is_server_error() => {
                    responses.insert(reason, status);
                }
                Ok(_) | Err(_) => self.problems.add(&path, "expected a status from 200 to 299 or 400 to 599"),
            }
        }
        responses
    }
}
