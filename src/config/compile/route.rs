//! `routes`: the requests that match, and how they are authenticated, limited and forwarded.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::compiler::{Compiler, LargestBody, RouteScope};
use crate::auth::Policy;
use crate::auth::challenge::ChallengeRule;
use crate::auth::issuer::Issuer;
use crate::auth::jwt::Audience;
use crate::clock::UnixTime;
use crate::config::file::store::ReplayProtectionYaml;
use crate::config::file::{CaptureYaml, MatchYaml, ModeYaml, RouteYaml};
use crate::config::hints;
use crate::config::reader::{Field, Location, Section};
use crate::config::values::{self, parse_size};
use crate::route::{Capture, Match, PathMatch, PathTemplate, REDUCED_MAX_BODY, Route, TENANT, validate_path};
use crate::snapshot::ADDRESS_SHARE;

/// Whether a body is buffered until it is verified, rather than streamed to the upstream.
fn holds_bodies(leaf: &Policy) -> bool {
    match leaf {
        Policy::Jwt(policy) => policy.binds_body(),
        Policy::Token(policy) => policy.place.is_in_body(),
        Policy::Signature(_) | Policy::MessageSignature(_) | Policy::Detached(_) => true,
        Policy::ClientCertificate(_) | Policy::Public | Policy::AllOf(_) | Policy::AnyOf(_) => false,
    }
}

impl Compiler<'_> {
    /// `share` is the number of store entries that one route may have.
    pub(super) fn route(
        &mut self,
        file: &Section<RouteYaml>,
        issuers: &BTreeMap<String, Issuer>,
        share: usize,
    ) -> Option<Route> {
        let mut scope = RouteScope::new(issuers);
        let name = self.name(&file.name);
        let matches = self.matches(&file.matches);
        let replay = file.replay_protection.value();
        let has_lease = matches!(replay, Some(ReplayProtectionYaml::Rule(_))) || file.idempotency.is_written();
        let upstream = self.upstream(&file.upstream, has_lease);
        let mut rules = self.rules(file, &mut scope);
        let policy = rules.as_mut().map(|rules| &mut rules.policy);
        let duplicates = self.duplicate_rules(file, policy, name.as_ref(), share);
        let filter = self.filter(&file.filter, rules.as_ref().map(|rules| &rules.policy));
        let dry_run_until = self.dry_run_until(file);
        let capture = self.capture(&file.capture);
        let limits = self.route_limits(file);
        let problem = "must not be empty: every request would be rejected; set a CIDR range or remove the key";
        self.not_empty(&file.allowed_ips, problem);
        let forward = self.forward(&file.forward, rules.as_ref().map(|rules| &rules.policy));
        let status_overrides = self.status_overrides(file);
        let (rules, matches) = (rules?, matches?);
        let websocket = self.websocket(file, &rules.policy, &matches);
        let cors = self.cors(&file.cors, &rules);
        self.check_strip_prefix(&file.upstream.strip_prefix, &matches.path);
        let max_body = file.limits.max_body_size.get();
        self.check_tenants(&rules.policy, &matches, file);
        self.warn_of_no_subject(&limits, &rules.policy, file);
        let reads_bodies = rules.policy.leaves().into_iter().any(holds_bodies);
        if let (Some(preset), Some(_), true) =
            (&scope.preset, limits.failed_auth, reads_bodies && max_body > REDUCED_MAX_BODY)
        {
            self.warn_of_shared_addresses(preset, file.limits.failed_auth_rate.at);
        }
        let holds_body = rules.policy.leaves().into_iter().any(holds_bodies)
            || capture.is_some()
            || filter.iter().any(|rule| rule.source.is_in_body())
            || duplicates.as_ref().is_some_and(|duplicates| duplicates.idempotency.is_some());
        self.warn_of_bodies(&rules.policy, max_body, holds_body, scope.largest_body.as_ref(), file.at);
        if !file.public_url.is_written() && matches.host.is_none() {
            self.check_open_url(&rules.policy, file);
        }
        self.challenge_methods(&scope.challenges, &matches, file.matches.methods.at);
        Some(Route {
            name: name?,
            matches,
            rules,
            upstream: upstream?,
            max_body,
            limits,
            allowed_ips: file.allowed_ips.written().map(|ranges| ranges.iter().map(|range| **range).collect()),
            forward,
            websocket: websocket?,
            cors,
            status_overrides,
            public_url: file.public_url.value().map(|url| (**url).clone()),
            dry_run_until,
            challenges: scope.challenges,
            filter,
            duplicates,
            shared_revocation: file.revocation.value().is_some_and(|revocation| revocation.shared.get()),
            capture,
            errors: scope.errors,
        })
    }

    fn warn_of_bodies(
        &mut self,
        policy: &Policy,
        max_body: u64,
        holds_body: bool,
        largest: Option<&LargestBody>,
        at: Location,
    ) {
        if !policy.binds_body() && !matches!(policy, Policy::Public) {
            let warning =
                "the credential is not bound to the body: an attacker with a stolen credential can send another body";
            self.warn(at, warning);
        }
        if let Some(LargestBody { preset, size, never_retries }) = largest {
            if parse_size(size).is_some_and(|largest| largest > max_body) {
                let lost = if *never_retries { ", and never retries a rejected request" } else { "" };
                self.warn(at, &format!("{preset} sends up to {size}, more than limits.max_body_size{lost}"));
            }
            if *never_retries {
                let lost = "never retries: an event that is rejected with 503 is lost unless it is fetched";
                self.warn(at, &format!("{preset} {lost}"));
            }
        }
        if holds_body && max_body > self.file.max_buffered_bytes.get::<u64>() / ADDRESS_SHARE {
            let warning = "limits.max_body_size is more than a quarter of max_buffered_bytes, which is the share of one IP \
                           address: larger bodies are always rejected with 503; raise max_buffered_bytes";
            self.warn(at, warning);
        }
    }

    /// Reports a route with `allow_encoded_slashes` whose upstream other routes use: an application that reads `%2F` as
    /// `/` would run the handler of another route's path by the rules of this one.
    pub(super) fn check_encoded_slashes(&mut self, routes: &[Arc<Route>], names: &BTreeMap<Arc<str>, usize>) {
        for route in routes.iter().filter(|route| route.matches.encoded_slashes) {
            let mut others = routes.iter().filter(|other| !Arc::ptr_eq(route, other));
            let other = others.find(|other| other.upstream.shares_endpoint(&route.upstream));
            let file = names.get(&route.name).and_then(|index| self.file.routes.get(*index));
            if let (Some(other), Some(file)) = (other, file) {
                let problem = format!(
                    "route `{}` has the same upstream: give one of them another, or remove this key",
                    other.name
                );
                self.problems.add(file.matches.allow_encoded_slashes.at, problem);
            }
        }
    }

    /// Reports a signed URL without `public_url` and `match.host`: the host comes from the request itself, and a
    /// request signed for another receiver contains that receiver's host.
    fn check_open_url(&mut self, policy: &Policy, file: &Section<RouteYaml>) {
        let by_url_alone = |leaf: &&Policy| matches!(leaf, Policy::Jwt(jwt) if jwt.audience == Audience::Any && jwt.bindings.binds_url());
        let signs_url = |leaf: &&Policy| match leaf {
            Policy::Signature(signature) => signature.signs_url(),
            Policy::MessageSignature(signature) => signature.signs_url(),
            Policy::Jwt(_)
            | Policy::Detached(_)
            | Policy::ClientCertificate(_)
            | Policy::Token(_)
            | Policy::AllOf(_)
            | Policy::AnyOf(_)
            | Policy::Public => false,
        };
        if policy.leaves().iter().any(by_url_alone) {
            let what = "public_url, or match.host: only the URL binds a token to this endpoint, and its host is taken \
                        from the request itself";
            self.missing(file.public_url.at, what);
        } else if policy.leaves().iter().any(signs_url) {
            let warning = "the sender signs the URL, and its host is taken from the request itself: set public_url";
            self.warn(file.public_url.at, warning);
        }
    }

    /// Reports a challenge whose method the route does not match: it would never be answered.
    fn challenge_methods(&mut self, challenges: &[ChallengeRule], matches: &Match, at: Location) {
        for challenge in challenges.iter().filter(|challenge| !matches.takes(&challenge.method)) {
            self.problems
                .add_follow_up(at, format!("the challenge is sent with {}; add this method", challenge.method));
        }
    }

    /// The end of the dry run: midnight UTC after its last day.
    fn dry_run_until(&mut self, file: &RouteYaml) -> Option<UnixTime> {
        let field = &file.dry_run_until;
        if file.mode.or_default() == ModeYaml::DryRun {
            let what = "the last day of the dry run, such as 2026-12-31: until then every request is forwarded";
            let until = self.required(field, what).map(|day| day.0)?;
            self.warn_of_dry_run(until, field.at);
            return Some(until);
        }
        self.unused(&[field.written_at()], "requires `mode: dry_run`; set it too, or remove this key");
        None
    }

    fn capture(&mut self, field: &Field<CaptureYaml>) -> Option<Capture> {
        let file = field.value()?;
        let dir = self.required(&file.dir, "the directory in which captured requests are stored")?;
        Some(Capture { max_requests: file.max_requests.get(), dir: self.sources.resolve(dir) })
    }

    fn name(&mut self, field: &Field<String>) -> Option<Arc<str>> {
        let name = self.required(field, "a name for logs and metrics")?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        // Captured requests are stored in a directory of this name.
        let begins = name.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_');
        let is_plain = begins && name.len() <= 64 && name.bytes().all(plain);
        let expected = "expected 1 to 64 letters, digits, `-`, `_` or `.`, not starting with `-` or `.`";
        self.check(field.at, is_plain.then(|| name.as_str().into()).ok_or(expected))
    }

    fn matches(&mut self, file: &Section<MatchYaml>) -> Option<Match> {
        if !file.is_written {
            self.missing(file.at, "at least a path, such as { path: /webhook }");
            return None;
        }
        let host = file.host.if_written(|field| self.host(field));
        let path = self.path_match(&file.path);
        let problem = "must not be empty: no request would match; set a method or remove the key";
        self.not_empty(&file.methods, problem);
        let methods = file.methods.written().map(|methods| methods.iter().map(|method| (**method).clone()).collect());
        let (path, encoded_slashes) = (path?, file.allow_encoded_slashes.get());
        if encoded_slashes && path != PathMatch::Prefix("/".to_owned()) {
            let problem =
                "works only with `path: /*`: with `%2F`, a path could be that of this route or of another one";
            self.problems.add(file.allow_encoded_slashes.at, problem);
        }
        Some(Match { host: host?, path, methods, encoded_slashes })
    }

    fn host(&mut self, field: &Field<String>) -> Option<String> {
        let host = field.text()?;
        let expected = "expected one host name without port, such as hooks.example.com";
        self.check(field.at, values::parse_host(host).ok_or_else(|| format!("{expected}{}", hints::host(host))))
    }

    /// Reports a path with a tenant that no credential proves, and secrets of tenants that no path names.
    fn check_tenants(&mut self, policy: &Policy, matches: &Match, file: &RouteYaml) {
        match (&matches.path, policy.leaves().into_iter().any(Policy::binds_tenant)) {
            (PathMatch::Template(_), _) if !policy.binds_tenant() && !self.problems.has_within(file.auth.at) => {
                let problem = "`{tenant}` requires `secrets: { dir: secrets/{tenant} }` in `auth`, or a `jwt` whose issuer has \
                               {tenant}, in each alternative of an `any_of`: otherwise the credential of one tenant would \
                               be accepted for all of them";
                self.problems.add(file.matches.path.at, problem);
            }
            (PathMatch::Exact(_) | PathMatch::Prefix(_), true) => {
                let problem = "the secrets of tenants require `{tenant}` in the path, such as /hooks/{tenant}; so does an \
                               issuer with {tenant}";
                self.problems.add(file.matches.path.at, problem);
            }
            (PathMatch::Template(_) | PathMatch::Exact(_) | PathMatch::Prefix(_), _) => {}
        }
    }

    fn path_match(&mut self, field: &Field<String>) -> Option<PathMatch> {
        let text = self.required(field, "a path, such as /webhook or /hooks/*")?;
        if text.contains(['{', '}']) {
            let expected = "expected a path such as /hooks/{tenant} or /hooks/{tenant}/*: `{tenant}` is one whole segment, \
                            once, and nothing else is in braces";
            return self.check(field.at, template(text).map(PathMatch::Template).ok_or(expected));
        }
        let (plain, prefix) = text.strip_suffix("/*").map_or((text.clone(), false), |stem| (format!("{stem}/"), true));
        let expected = "expected an exact path such as /webhook, or a prefix such as /hooks/*, without query, `//`, \
                        dot segments or encoded delimiters";
        let decoded = validate_path(&plain).ok().filter(|_| !plain.contains('*'));
        let decoded = decoded.ok_or_else(|| format!("{expected}{}", hints::path(text)));
        let decoded = self.check(field.at, decoded)?.into_owned();
        Some(if prefix { PathMatch::Prefix(decoded) } else { PathMatch::Exact(decoded) })
    }
}

/// `/hooks/{tenant}` or `/hooks/{tenant}/*`.
fn template(text: &str) -> Option<PathTemplate> {
    let (stem, is_prefix) = text.strip_suffix("/*").map_or((text, false), |stem| (stem, true));
    let (before, after) = stem.split_once(TENANT)?;
    let after = if is_prefix { format!("{after}/") } else { after.to_owned() };
    let is_plain = |part: &str| !part.contains(['{', '}', '*']);
    let is_segment = before.ends_with('/') && (after.is_empty() || after.starts_with('/'));
    if !is_segment || !is_plain(before) || !is_plain(&after) {
        return None;
    }
    let before = validate_path(before).ok()?.into_owned();
    let after = if after.is_empty() { after } else { validate_path(&after).ok()?.into_owned() };
    Some(PathTemplate { before, after, is_prefix })
}
