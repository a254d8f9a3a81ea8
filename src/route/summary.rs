//! A route in one line for a person: its requests, its upstream, and the checks that its requests must pass. Printed by
//! `check` and at the start of the gateway.

use std::fmt;

use http::Method;

use super::{Match, PathMatch, Route};
use crate::auth::Policy;

/// The requests that the route matches, as `POST hooks.example.com/orders/*`.
impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(methods) = &self.methods {
            write!(f, "{} ", methods.iter().map(Method::as_str).collect::<Vec<_>>().join("|"))?;
        }
        write!(f, "{}{}", self.host.as_deref().unwrap_or_default(), self.path)
    }
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => f.write_str(path),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Template(template) => {
                let rest = if template.is_prefix { "*" } else { "" };
                write!(f, "{}{rest}", template.path_of(super::TENANT))
            }
        }
    }
}

impl Route {
    /// The line.
    pub fn summary(&self) -> String {
        format!("{}: {} -> {}: {}", self.name, self.matches, self.upstream_summary(), self.checks_summary())
    }

    /// The first endpoint of the upstream, and the number of the others.
    pub fn upstream_summary(&self) -> String {
        match self.upstream.others.len() {
            0 => self.upstream.first.url.clone(),
            more => format!("{} and {more} more", self.upstream.first.url),
        }
    }

    /// The checks that a request must pass.
    pub fn checks_summary(&self) -> String {
        let mut checks = vec![scheme(&self.rules.policy)];
        if let Some(rules) = &self.duplicates {
            checks.extend(rules.replay.as_ref().map(|_| "replay protection".to_owned()));
            checks.extend(rules.idempotency.as_ref().map(|_| "idempotency keys".to_owned()));
        }
        if self.allowed_ips.is_some() {
            checks.push("allowed_ips".to_owned());
        }
        if let Some(until) = self.dry_run_end() {
            checks.push(format!("dry run until {until} (no request is rejected)"));
        }
        checks.join(", ")
    }

    /// The end of the dry run, as a text has it.
    pub fn dry_run_end(&self) -> Option<jiff::Timestamp> {
        let until = i64::try_from(self.dry_run_until?.seconds()).ok()?;
        Some(jiff::Timestamp::from_second(until).unwrap_or_default())
    }
}

/// The credential that a policy demands.
fn scheme(policy: &Policy) -> String {
    match policy {
        Policy::Jwt(jwt) => {
            let issuers: Vec<&str> = jwt.issuers.iter().map(|issuer| &*issuer.name).collect();
            format!("JWT of {}", issuers.join(" or "))
        }
        Policy::Detached(jws) => format!("detached JWS of {}", jws.issuer.name),
        Policy::MessageSignature(signature) => {
            named("HTTP message signature", "http_message_signature", &signature.name)
        }
        Policy::Signature(signature) => named("signature", "signature", &signature.name),
        Policy::Token(token) => named("static token", "static_token", &token.name),
        Policy::ClientCertificate(_) => "client certificate".to_owned(),
        Policy::AllOf(all) => joined(all, " and "),
        Policy::AnyOf(some) => joined(some, " or "),
        Policy::Public => "public (no authentication)".to_owned(),
    }
}

/// A kind of scheme, with its preset if it has one.
fn named(kind: &str, own: &str, name: &str) -> String {
    if name == own { kind.to_owned() } else { format!("{kind} ({name})") }
}

fn joined(policies: &[Policy], between: &str) -> String {
    let each = policies.iter().map(|policy| {
        let is_combined = matches!(policy, Policy::AllOf(_) | Policy::AnyOf(_));
        if is_combined { format!("({})", scheme(policy)) } else { scheme(policy) }
    });
    each.collect::<Vec<_>>().join(between)
}
