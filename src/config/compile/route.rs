//! `routes`: the requests that match, and how they are authenticated, limited and forwarded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::uri::Authority;
use ipnet::IpNet;

use super::compiler::Compiler;
use super::issuer::IssuerKeys;
use crate::auth::Policy;
use crate::auth::challenge::ChallengeRule;
use crate::auth::jwt::Audience;
use crate::auth::request::PublicUrl;
use crate::clock::UnixTime;
use crate::config::error::FieldPath;
use crate::config::file::{CaptureFile, MatchFile, ModeFile, RouteFile};
use crate::config::values::{parse_net, parse_size};
use crate::route::{Capture, Match, PathMatch, Route, validate_path};
use crate::snapshot::ADDRESS_SHARE;

/// Maximum of `capture.max_requests`.
const MAX_CAPTURED: usize = 10_000;

/// Whether a body is buffered until it is verified, rather than streamed to the upstream.
fn holds_bodies(leaf: &Policy) -> bool {
    match leaf {
        Policy::Jwt(policy) => policy.binds_body(),
        Policy::Token(policy) => policy.place.is_in_body(),
        Policy::Signature(_) | Policy::Detached(_) => true,
        Policy::ClientCertificate(_) | Policy::Public | Policy::AllOf(_) | Policy::AnyOf(_) => false,
    }
}

fn parse_public_url(text: &str) -> Option<PublicUrl> {
    let uri: http::Uri = text.parse().ok()?;
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "https" | "http"))?;
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
    let prefix = uri.path().trim_end_matches('/');
    (uri.query().is_none() && !text.contains('#')).then(|| PublicUrl {
        scheme: scheme.to_owned(),
        authority: authority.as_str().to_owned(),
        prefix: prefix.to_owned(),
    })
}

fn end_of_day(day: &str) -> Option<UnixTime> {
    let begins: jiff::Timestamp = if day.len() == 10 { format!("{day}T00:00:00Z").parse().ok()? } else { return None };
    Some(UnixTime::from_seconds(u64::try_from(begins.as_second()).ok()?)?.plus(Duration::from_secs(24 * 3600)))
}

impl Compiler<'_> {
    pub(super) fn route(
        &mut self,
        file: &RouteFile,
        issuers: &BTreeMap<String, IssuerKeys>,
        path: &FieldPath,
    ) -> Option<Route> {
        self.route_secrets = 0;
        let name = self.name(file.name.as_deref(), &path.child("name"));
        let matches = self.matches(file.matches.as_ref(), &path.child("match"));
        let upstream = self.upstream(file.upstream.as_ref(), &path.child("upstream"));
        let mut rules = self.rules(file, issuers, path);
        let challenges = std::mem::take(&mut self.route_challenges);
        let errors = std::mem::take(&mut self.route_errors);
        let shared_revocation = std::mem::take(&mut self.route_shares_revocation);
        let policy = rules.as_mut().map(|rules| &mut rules.policy);
        let duplicates = self.duplicate_rules(file, policy, name.as_ref(), path);
        let public_url = self.public_url(file.public_url.as_deref(), &path.child("public_url"));
        let dry_run_until = self.dry_run_until(file, path);
        let capture = self.capture(file.capture.as_ref(), &path.child("capture"));
        let max_body = self.max_body(file.limits.as_ref(), &path.child("limits"));
        let limits = self.route_limits(file.limits.as_ref(), &path.child("limits"));
        let allowed_ips = self.allow(file.allowed_ips.as_deref(), &path.child("allowed_ips"));
        let forward =
            self.forward(file.forward.as_ref(), rules.as_ref().map(|rules| &rules.policy), &path.child("forward"));
        let status_overrides = self.status_overrides(file.status_overrides.as_ref(), &path.child("status_overrides"));
        let rules = rules?;
        if !rules.policy.binds_body() && !matches!(rules.policy, Policy::Public) {
            let warning =
                "the credential is not bound to the body: an attacker with a stolen credential can send another body";
            self.warnings.push(format!("{path}: {warning}"));
        }
        self.warn_of_large_bodies(max_body, path);
        self.warn_of_no_subject(&limits, &rules.policy, path);
        let keyed = duplicates.as_ref().is_some_and(|duplicates| duplicates.idempotency.is_some());
        if (keyed || capture.is_some() || rules.policy.leaves().into_iter().any(holds_bodies))
            && max_body > self.buffered_bodies / ADDRESS_SHARE
        {
            let warning = "limits.max_body_size is more than a quarter of max_buffered_bytes, which is the share of one IP \
                           address: larger bodies are always rejected with 503; raise max_buffered_bytes";
            self.warnings.push(format!("{path}: {warning}"));
        }
        let matches = matches?;
        if public_url.is_none() && matches.host.is_none() {
            self.check_open_url(&rules.policy, path);
        }
        self.challenge_methods(&challenges, &matches, path);
        Some(Route {
            name: name?,
            matches,
            rules,
            upstream: upstream?,
            max_body,
            limits,
            allowed_ips,
            forward,
            status_overrides,
            public_url,
            dry_run_until,
            challenges,
            duplicates,
            shared_revocation,
            capture,
            errors,
        })
    }

    /// Reports a signed URL without `public_url` and `match.host`: the host comes from the request itself, and a
    /// request signed for another receiver contains that receiver's host.
    fn check_open_url(&mut self, policy: &Policy, path: &FieldPath) {
        let path = path.child("public_url");
        let by_url_alone = |leaf: &&Policy| matches!(leaf, Policy::Jwt(jwt) if jwt.audience == Audience::Any && jwt.bindings.binds_url());
        let signs_url = |leaf: &&Policy| matches!(leaf, Policy::Signature(signature) if signature.signs_url());
        if policy.leaves().iter().any(by_url_alone) {
            self.missing(
                &path,
                "public_url, or match.host: only the URL binds a token to this endpoint, and its host is taken from \
                 the request itself",
            );
        } else if policy.leaves().iter().any(signs_url) {
            let warning = "the sender signs the URL, and its host is taken from the request itself: set public_url";
            self.warnings.push(format!("{path}: {warning}"));
        }
    }

    fn warn_of_large_bodies(&mut self, max_body: u64, path: &FieldPath) {
        let Some((preset, written, never_retries)) = self.route_largest_body.take() else { return };
        if parse_size(&written).is_some_and(|largest| largest > max_body) {
            let lost = if never_retries { ", and never retries a rejected request" } else { "" };
            let warning = format!("{preset} sends up to {written}, more than limits.max_body_size{lost}");
            self.warnings.push(format!("{path}: {warning}"));
        }
        if never_retries {
            let warning =
                format!("{preset} never retries: an event that is rejected with 503 is lost unless it is fetched");
            self.warnings.push(format!("{path}: {warning}"));
        }
    }

    /// Reports a challenge whose method the route does not match: it would never be answered.
    fn challenge_methods(&mut self, challenges: &[ChallengeRule], matches: &Match, path: &FieldPath) {
        for challenge in challenges.iter().filter(|challenge| !matches.takes(&challenge.method)) {
            let message = format!("the challenge is sent with {}; add this method", challenge.method);
            self.problems.add(&path.child("match").child("methods"), message);
        }
    }

    fn public_url(&mut self, text: Option<&str>, path: &FieldPath) -> Option<PublicUrl> {
        let text = text?;
        let parsed = parse_public_url(text);
        if parsed.is_none() {
            let expected = "expected https://host, with a port if senders write one, and a path only where another \
                            proxy removes it";
            self.problems.add(path, expected);
        }
        parsed
    }

    /// The end of the dry run: midnight UTC after its last day.
    fn dry_run_until(&mut self, file: &RouteFile, path: &FieldPath) -> Option<UnixTime> {
        let at = path.child("dry_run_until");
        match (file.mode, &file.dry_run_until) {
            (Some(ModeFile::DryRun), Some(day)) => {
                let end = end_of_day(day);
                if end.is_none() {
                    self.problems.add(&at, "expected a day such as 2026-12-31");
                }
                end
            }
            (Some(ModeFile::DryRun), None) => {
                self.missing(
                    &at,
                    "the last day of the dry run, such as 2026-12-31: until then every request is forwarded",
                );
                None
            }
            (None | Some(ModeFile::Enforce), Some(_)) => {
                self.problems.add(&at, "requires `mode: dry_run`; set it too, or remove this key");
                None
            }
            (None | Some(ModeFile::Enforce), None) => None,
        }
    }

    fn capture(&mut self, file: Option<&CaptureFile>, path: &FieldPath) -> Option<Capture> {
        let file = file?;
        let max_requests = self.count(file.max_requests, &path.child("max_requests"), 100);
        if max_requests > MAX_CAPTURED {
            self.problems.add(&path.child("max_requests"), format!("must be {MAX_CAPTURED} or less"));
        }
        let Some(dir) = &file.dir else {
            self.missing(&path.child("dir"), "the directory in which captured requests are stored");
            return None;
        };
        let base = self.sources.path.parent().unwrap_or(std::path::Path::new(""));
        Some(Capture { max_requests, dir: base.join(dir) })
    }

    fn name(&mut self, name: Option<&str>, path: &FieldPath) -> Option<Arc<str>> {
        let Some(name) = name else {
            self.missing(path, "a name for logs and metrics");
            return None;
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        // Captured requests are stored in a directory of this name.
        let begins = name.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_');
        if !begins || name.len() > 64 || !name.bytes().all(plain) {
            self.problems.add(path, "expected 1 to 64 letters, digits, `-`, `_` or `.`, not starting with `-` or `.`");
            return None;
        }
        Some(name.into())
    }

    fn matches(&mut self, file: Option<&MatchFile>, path: &FieldPath) -> Option<Match> {
        let Some(file) = file else {
            self.missing(path, "at least a path, such as { path: /webhook }");
            return None;
        };
        let host = match &file.host {
            None => None,
            Some(host) => Some(self.host(host, &path.child("host"))?),
        };
        let matched = self.path_match(file.path.as_deref(), &path.child("path"));
        let methods = self.methods(file.methods.as_deref(), &path.child("methods"));
        Some(Match { host, path: matched?, methods })
    }

    fn host(&mut self, host: &str, path: &FieldPath) -> Option<String> {
        let plain = Authority::try_from(host).is_ok_and(|authority| authority.host() == host);
        if !plain || host.ends_with('.') || host.contains('*') {
            self.problems.add(path, "expected one host name without port, such as hooks.example.com");
            return None;
        }
        Some(host.to_ascii_lowercase())
    }

    fn path_match(&mut self, text: Option<&str>, path: &FieldPath) -> Option<PathMatch> {
        let Some(text) = text else {
            self.missing(path, "a path, such as /webhook or /hooks/*");
            return None;
        };
        let (plain, prefix) =
            text.strip_suffix("/*").map_or((text.to_owned(), false), |stem| (format!("{stem}/"), true));
        let Some(decoded) = validate_path(&plain).ok().filter(|_| !plain.contains('*')) else {
            let expected = "expected an exact path such as /webhook, or a prefix such as /hooks/*, without query, \
                            `//`, dot segments or encoded delimiters";
            self.problems.add(path, expected);
            return None;
        };
        let decoded = decoded.into_owned();
        Some(if prefix { PathMatch::Prefix(decoded) } else { PathMatch::Exact(decoded) })
    }

    fn methods(&mut self, names: Option<&[String]>, path: &FieldPath) -> Option<Vec<Method>> {
        let names = names?;
        if names.is_empty() {
            self.problems.add(path, "must not be empty: no request would match; set a method or remove the key");
        }
        let mut methods = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let upper = !name.bytes().any(|byte| byte.is_ascii_lowercase());
            match Method::from_bytes(name.as_bytes()) {
                Ok(method) if upper && method != Method::CONNECT && method != Method::TRACE => methods.push(method),
                Ok(_) | Err(_) => {
                    self.problems
                        .add(&path.index(index), "expected a method in capitals, such as POST (not CONNECT or TRACE)");
                }
            }
        }
        Some(methods)
    }

    fn allow(&mut self, texts: Option<&[String]>, path: &FieldPath) -> Option<Vec<IpNet>> {
        let texts = texts?;
        if texts.is_empty() {
            self.problems
                .add(path, "must not be empty: every request would be rejected; set a CIDR range or remove the key");
        }
        Some(self.nets(texts, path))
    }

    pub(super) fn nets(&mut self, texts: &[String], path: &FieldPath) -> Vec<IpNet> {
        let mut nets = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match parse_net(text) {
                Ok(net) => nets.push(net),
                Err(why) => self.problems.add(&path.index(index), why.to_string()),
            }
        }
        nets
    }
}
