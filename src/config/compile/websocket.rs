//! `websocket` and `cors` of a route.

use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE};

use super::compiler::Compiler;
use crate::auth::locator::{Locator, Scheme};
use crate::auth::{Policy, Rules};
use crate::config::file::{CorsYaml, ModeYaml, RouteYaml};
use crate::config::reader::Section;
use crate::route::{CorsRule, Match, Protocol, WebSocketRule};

/// Whether a browser adds the credential to the requests of every web page, or a web page can write it into a URL: only
/// the origin tells then whether the page is one of the operator's.
fn is_ambient(leaf: &Policy) -> bool {
    let in_place = |place: &Locator| match place {
        Locator::Cookie(_) | Locator::Query(_) => true,
        Locator::Header { name, scheme } => {
            let is_basic = matches!(scheme, Some(Scheme::Word(word)) if word.eq_ignore_ascii_case("basic"));
            *name == AUTHORIZATION && is_basic
        }
        Locator::Form(_) | Locator::Json(_) | Locator::Body | Locator::Claim(_) => false,
    };
    matches!(leaf, Policy::ClientCertificate(_)) || leaf.places().iter().any(in_place)
}

impl Compiler<'_> {
    /// The outer `None` is a problem.
    pub(super) fn websocket(
        &mut self,
        route: &RouteYaml,
        policy: &Policy,
        matches: &Match,
    ) -> Option<Option<WebSocketRule>> {
        let file = &route.websocket;
        if !file.is_written {
            return Some(None);
        }
        let mut problem = |problem: &str| {
            self.problems.add(file.at, problem);
            None
        };
        if matches!(policy, Policy::Public) {
            return problem("requires authentication: a public route cannot have WebSocket connections");
        }
        if route.mode.or_default() == ModeYaml::DryRun {
            return problem("cannot be combined with `mode: dry_run`: a WebSocket connection needs a verified request");
        }
        if route.upstream.protocol.or_default() == Protocol::Http2 {
            return problem(
                "works with `upstream.protocol: http1` only: RFC 8441 (WebSocket over HTTP/2) is not supported",
            );
        }
        if !matches.takes(&Method::GET) {
            return problem("a WebSocket connection begins with GET; add it to `match.methods`");
        }
        if !file.origins.is_written && policy.leaves().into_iter().any(is_ambient) {
            let what = "the origins of your web pages, such as [https://app.example.com]: browsers add a cookie, `Basic` \
                        or a client certificate to the WebSocket connections of every web page (cross-site WebSocket \
                        hijacking), and a query parameter is in URLs";
            self.missing(file.origins.at, what);
            return None;
        }
        self.not_empty(&file.origins, "must not be empty: every connection would be rejected; set an origin");
        Some(Some(WebSocketRule {
            origins: file.origins.written().map(|origins| origins.iter().map(|origin| (**origin).clone()).collect()),
            max_tunnels: file.max_tunnels.get(),
            max_tunnels_per_sender: file.max_tunnels_per_sender.get(),
            max_tunnels_per_ip: file.max_tunnels_per_ip.get(),
            idle_timeout: file.idle_timeout.get(),
        }))
    }

    /// `None` if the route has no `cors`, and if there is a problem, which fails the load.
    pub(super) fn cors(&mut self, file: &Section<CorsYaml>, rules: &Rules) -> Option<CorsRule> {
        if !file.is_written {
            return None;
        }
        if !file.origins.is_written {
            self.missing(file.origins.at, "the origins of your web pages, such as [https://app.example.com]");
        }
        self.not_empty(
            &file.origins,
            "must not be empty: no page could read a response; set an origin or remove `cors`",
        );
        let mut headers = vec![CONTENT_TYPE];
        headers.extend(rules.headers().iter().cloned());
        headers.extend(file.headers.iter().map(|name| (**name).clone()));
        headers.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        headers.dedup();
        Some(CorsRule {
            origins: file.origins.iter().map(|origin| (**origin).clone()).collect(),
            headers,
            credentials: file.credentials.get(),
            max_age: file.max_age.get::<std::time::Duration>().as_secs(),
        })
    }
}
