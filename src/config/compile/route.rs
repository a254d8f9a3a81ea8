//! `routes`: which requests, to where, and what the app is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use http::{HeaderName, Method, StatusCode};
use ipnet::IpNet;
use serde_json::Value;

use super::Compiler;
use super::issuer::IssuerKeys;
use crate::auth::Policy;
use crate::auth::claims::Pointer;
use crate::config::error::FieldPath;
use crate::config::file::{
    AuthFile, AuthWord, CredentialFile, ForwardFile, MatchFile, ModeFile, RouteFile, RouteLimitsFile, UpstreamFile,
};
use crate::config::values::parse_net;
use crate::failure::{Failure, is_retried};
use crate::route::{Forward, Match, PathMatch, Route, Upstream, judge_path};

const MAX_BODY: u64 = 1 << 20;

/// Fields that steer the connection or the request itself; a claim must not write them.
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

/// Letters, digits and `-` alone: another sign would be one more spelling of a field, to apps behind CGI.
fn may_carry_claims(name: &HeaderName) -> bool {
    let name = name.as_str();
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    plain && !NOT_FOR_CLAIMS.contains(&name) && !name.starts_with("x-forwarded-")
}

impl Compiler<'_> {
    pub(super) fn route(
        &mut self,
        file: &RouteFile,
        issuers: &BTreeMap<String, IssuerKeys>,
        path: &FieldPath,
    ) -> Option<Route> {
        self.not_yet(
            path,
            &[
                ("public_url", &file.public_url),
                ("observe_until", &file.observe_until),
                ("idempotency", &file.idempotency),
                ("revocation", &file.revocation),
                ("capture", &file.capture),
            ],
        );
        if file.mode == Some(ModeFile::Observe) {
            self.problems.add(&path.child("mode"), "`observe` is not supported yet; write enforce");
        }
        let name = self.name(file.name.as_deref(), &path.child("name"));
        let matches = self.matches(file.matches.as_ref(), &path.child("match"));
        let upstream = self.upstream(file.upstream.as_ref(), &path.child("upstream"));
        let rules = self.rules(file, issuers, path);
        let is_jwt = rules.as_ref().is_some_and(|rules| matches!(rules.policy, Policy::Jwt(_)));
        self.replay(file.replay.as_ref(), is_jwt, &path.child("replay"));
        let max_body = self.route_limits(file.limits.as_ref(), &path.child("limits"));
        let allow = file.limits.as_ref().and_then(|limits| limits.allow.as_deref());
        let allow = self.allow(allow, &path.child("limits").child("allow"));
        let forward = self.forward(file.forward.as_ref(), file, &path.child("forward"));
        let responses = self.responses(file.responses.as_ref(), &path.child("responses"));
        let route = Route {
            name: name?,
            matches: matches?,
            rules: rules?,
            upstream: upstream?,
            max_body,
            allow,
            forward,
            responses,
        };
        if is_jwt {
            let warning = "nothing binds the body: who gets hold of a token can send another body with it";
            self.warnings.push(format!("{path}: {warning}"));
        }
        Some(route)
    }

    fn name(&mut self, name: Option<&str>, path: &FieldPath) -> Option<Arc<str>> {
        let Some(name) = name else {
            self.missing(path, "a name for logs and metrics");
            return None;
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            self.problems.add(path, "expected 1 to 64 letters, digits, `-`, `_` or `.`");
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
        let Some(decoded) = judge_path(&plain).ok().filter(|_| !plain.contains('*')) else {
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
            self.problems.add(path, "is empty, so that nothing would match; name a method or remove the field");
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

    fn upstream(&mut self, file: Option<&UpstreamFile>, path: &FieldPath) -> Option<Upstream> {
        let Some(file) = file else {
            self.missing(path, "where the app is, such as { url: http://127.0.0.1:8000 }");
            return None;
        };
        self.not_yet(path, &[("urls", &file.urls), ("ca", &file.ca)]);
        let connect =
            self.deadline(file.connect_timeout.as_ref(), &path.child("connect_timeout"), Duration::from_secs(5));
        let timeout = self.deadline(file.timeout.as_ref(), &path.child("timeout"), Duration::from_secs(30));
        let idle = self.deadline(file.idle.as_ref(), &path.child("idle"), Duration::from_secs(4));
        let authority = self.upstream_authority(file.url.as_deref(), &path.child("url"))?;
        Some(Upstream { authority, connect, timeout, idle })
    }

    fn upstream_authority(&mut self, url: Option<&str>, path: &FieldPath) -> Option<Authority> {
        let Some(url) = url else {
            self.missing(path, "the app's address, such as http://127.0.0.1:8000");
            return None;
        };
        if url.starts_with("https:") || url.starts_with("unix:") {
            self.problems.add(path, "https and unix upstreams are not supported yet; write http://host:port");
            return None;
        }
        let rest = url.strip_prefix("http://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        let authority = rest.and_then(|rest| Authority::try_from(rest).ok());
        // The library takes any port, and the client then 80 for one that is none.
        let port_is_one = |authority: &Authority| {
            let bare = authority.as_str() == authority.host();
            bare || authority.port_u16().is_some_and(|port| port > 0)
        };
        let authority = authority.filter(|authority| {
            !authority.host().is_empty() && !authority.as_str().contains('@') && port_is_one(authority)
        });
        if authority.is_none() {
            let expected = "expected http://host:port, without path, query and user: requests keep their own path";
            self.problems.add(path, expected);
        }
        authority
    }

    /// What has no store yet cannot be promised, and what a JWT route leaves open must be written out.
    fn replay(&mut self, replay: Option<&Value>, is_jwt: bool, path: &FieldPath) {
        match replay {
            Some(Value::Bool(false)) => {}
            Some(Value::String(word)) if word == "off" => {}
            Some(Value::Object(_)) => {
                self.problems.add(path, "replay protection is not supported yet; write `replay: off` to go without");
            }
            Some(_) => self.problems.add(path, "expected `off`"),
            None if is_jwt => {
                self.missing(path, "`replay: off`: a token that somebody copies can be sent again until it expires");
            }
            None => {}
        }
    }

    fn route_limits(&mut self, file: Option<&RouteLimitsFile>, path: &FieldPath) -> u64 {
        let Some(file) = file else { return MAX_BODY };
        self.not_yet(
            path,
            &[
                ("rate", &file.rate),
                ("burst", &file.burst),
                ("concurrency", &file.concurrency),
                ("rate_unauthenticated", &file.rate_unauthenticated),
            ],
        );
        self.size(file.body.as_ref(), &path.child("body"), MAX_BODY)
    }

    fn allow(&mut self, texts: Option<&[String]>, path: &FieldPath) -> Option<Vec<IpNet>> {
        let texts = texts?;
        if texts.is_empty() {
            self.problems.add(path, "is empty, so that nobody would pass; name a net or remove the field");
        }
        let mut nets = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match parse_net(text) {
                Ok(net) => nets.push(net),
                Err(why) => self.problems.add(&path.index(index), why.to_string()),
            }
        }
        Some(nets)
    }

    fn forward(&mut self, forward: Option<&ForwardFile>, route: &RouteFile, path: &FieldPath) -> Forward {
        let Some(file) = forward else { return Forward::default() };
        let remove_credential = file.credential == Some(CredentialFile::Remove);
        let elsewhere =
            super::auth::token_file(route).is_some_and(|token| token.query.is_some() || token.cookie.is_some());
        if remove_credential && elsewhere {
            let message = "`remove` works for a token in a header; one in query or cookie stays, so write keep";
            self.problems.add(&path.child("credential"), message);
        }
        if matches!(route.auth, Some(AuthFile::Word(AuthWord::Public))) {
            self.problems.add(path, "a public route has no credential and no claims; remove it");
        }
        Forward { remove_credential, claims: self.forwarded_claims(file, &path.child("claims")) }
    }

    fn forwarded_claims(&mut self, file: &ForwardFile, path: &FieldPath) -> Vec<(Pointer, HeaderName)> {
        let mut claims: Vec<(Pointer, HeaderName)> = Vec::new();
        for (claim, header) in file.claims.iter().flatten() {
            let path = path.child(claim);
            match (Pointer::parse(claim), HeaderName::try_from(header.as_str())) {
                (None, _) => self.problems.add(&path, "expected a claim's name, or a JSON pointer such as /a/b"),
                (Some(_), Ok(name)) if claims.iter().any(|(_, other)| *other == name) => {
                    self.problems.add(&path, "another claim has this header already");
                }
                (Some(pointer), Ok(name)) if may_carry_claims(&name) => claims.push((pointer, name)),
                (Some(_), Ok(_) | Err(_)) => {
                    self.problems.add(&path, "expected the name of a header of your own, such as X-Hookgate-Subject");
                }
            }
        }
        claims
    }

    fn responses(
        &mut self,
        file: Option<&BTreeMap<String, u16>>,
        path: &FieldPath,
    ) -> BTreeMap<&'static str, StatusCode> {
        let mut responses = BTreeMap::new();
        for (code, status) in file.into_iter().flatten() {
            let path = path.child(code);
            let Some((code, proper)) = Failure::codes().find(|(known, _)| known == code) else {
                self.problems.add(&path, "no such code; the configuration reference lists them");
                continue;
            };
            if Failure::has_no_route(code) {
                self.problems.add(&path, "is answered before a route is known; remove it");
                continue;
            }
            match StatusCode::from_u16(*status) {
                Ok(status) if status.is_success() && is_retried(proper) => {
                    self.problems.add(&path, "the sender must try again, which it would not after a success");
                }
                Ok(status) if status.is_success() || status.is_client_error() || status.is_server_error() => {
                    responses.insert(code, status);
                }
                Ok(_) | Err(_) => self.problems.add(&path, "expected a status from 200 to 299 or 400 to 599"),
            }
        }
        responses
    }
}
