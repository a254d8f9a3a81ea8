//! Warnings of what people forget: certificates that expire or have other names, routes that another one hides, an
//! upstream that is the gateway itself, retries without replay protection, and the end of a dry run.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use super::compiler::Compiler;
use crate::auth::Policy;
use crate::auth::replay_protection::NoReplayId;
use crate::clock::UnixTime;
use crate::config::compiled::TimedWarning;
use crate::config::error::Problem;
use crate::config::file::RouteYaml;
use crate::config::file::preset::RedeliveryYaml;
use crate::config::presets;
use crate::config::reader::Location;
use crate::route::{EndpointAddress, PathMatch, Route};
use crate::tls::{Certificate, covers};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long before its end a certificate is due, and overdue, in days, and in parts of its lifetime if these are shorter.
/// Certificates of public authorities are usually renewed when a third of their lifetime is left.
const DUE: [(u32, u32); 2] = [(30, 3), (7, 12)];

/// The longest dry run that is not a warning, in days.
const LONG_DRY_RUN: u32 = 90;

impl Compiler<'_> {
    /// Records a warning that applies from one time until another.
    pub(super) fn warn_between(&mut self, at: Location, (from, until): (UnixTime, UnixTime), message: String) {
        let problem = Problem { message, ..self.problems.at(at) };
        self.timed_warnings.push(TimedWarning { problem, from, until });
    }

    /// Warns before a certificate that the gateway presents is valid, before its end, and after it.
    pub(super) fn warn_of_certificate(&mut self, certificate: &Certificate, at: Location) {
        let Certificate { begins, expires, .. } = *certificate;
        let (from, end) = (date(begins), date(expires));
        let early = format!("is not valid before {from}: until then it is rejected; compare the clocks");
        self.warn_between(at, (UnixTime::default(), begins), early);
        let lifetime = expires.since(begins);
        let [due, overdue] = DUE.map(|(days, part)| (DAY * days).min(lifetime / part));
        let soon = |left: Duration| {
            let (days, hours) = (left.as_secs() / DAY.as_secs(), left.as_secs() / 3600);
            let left = if days > 1 { format!("{days} days") } else { format!("{hours} hours") };
            format!("expires at {end}, in less than {left}; renew it")
        };
        self.warn_between(at, (expires.minus(due), expires.minus(overdue)), soon(due));
        self.warn_between(at, (expires.minus(overdue), expires), soon(overdue));
        self.warn_between(at, (expires, UnixTime::MAX), format!("expired at {end}, and is rejected; renew it"));
    }

    /// Warns of a dry run: while it lasts, more clearly if it goes on for long, and after its end.
    pub(super) fn warn_of_dry_run(&mut self, until: UnixTime, at: Location) {
        let long =
            format!("is more than {LONG_DRY_RUN} days away, and until then no request is rejected; set an earlier day");
        let begin = until.minus(DAY * LONG_DRY_RUN);
        self.warn_between(at, (UnixTime::default(), begin), long);
        let lasts = "until then no request is rejected, not even one without a credential".to_owned();
        self.warn_between(at, (begin, until), lasts);
        let over = "has passed: the route rejects requests; remove it and `mode`, or set a later day".to_owned();
        self.warn_between(at, (until, UnixTime::MAX), over);
    }

    /// Warns of each host that no certificate has. Where a listener is plaintext, another proxy may terminate TLS.
    pub(super) fn warn_of_hosts(&mut self, routes: &[Arc<Route>], names: &BTreeMap<Arc<str>, usize>) {
        let listeners = &self.file.listeners;
        if listeners.iter().any(|listener| listener.tls.certificates.is_empty()) || self.certificate_names.is_empty() {
            return;
        }
        for route in routes {
            let Some(host) = route.matches.host.as_deref().filter(|host| host.parse::<IpAddr>().is_err()) else {
                continue;
            };
            let Some(file) = names.get(&route.name).and_then(|index| self.file.routes.get(*index)) else { continue };
            if !self.certificate_names.iter().any(|name| covers(name, host)) {
                let has = self.certificate_names.join(", ");
                let warning =
                    format!("no certificate has this name: clients reject the connection; the certificates have {has}");
                self.warn(file.matches.host.at, &warning);
            }
        }
    }

    /// Warns of each route without a host whose requests another route gets, if they have its host.
    pub(super) fn warn_of_hidden(&mut self, routes: &[Arc<Route>], names: &BTreeMap<Arc<str>, usize>) {
        for route in routes.iter().filter(|route| route.matches.host.is_none()) {
            let hides = |other: &&Arc<Route>| {
                let prefix = match &other.matches.path {
                    PathMatch::Prefix(prefix) if other.matches.host.is_some() => prefix,
                    PathMatch::Prefix(_) | PathMatch::Exact(_) | PathMatch::Template(_) => return false,
                };
                match &route.matches.path {
                    PathMatch::Exact(path) => path.starts_with(prefix),
                    PathMatch::Prefix(path) => path.starts_with(prefix) && path != prefix,
                    PathMatch::Template(template) => template.before.starts_with(prefix),
                }
            };
            let Some(other) = routes.iter().find(hides) else { continue };
            let Some(file) = names.get(&route.name).and_then(|index| self.file.routes.get(*index)) else { continue };
            let (host, other) = (other.matches.host.as_deref().unwrap_or_default(), &other.name);
            let warning = format!(
                "requests to {host} go to route `{other}`, because a `host` comes before a path; set `host: {host}` here \
                 too, if this route is for them"
            );
            self.warn(file.matches.at, &warning);
        }
    }

    /// Whether the address is that of a listener: a request would be forwarded to the gateway itself, again and again.
    pub(super) fn is_own(&self, address: &EndpointAddress) -> bool {
        let (EndpointAddress::Tcp(uri) | EndpointAddress::Tls(uri, _)) = address else { return false };
        let listeners = self.file.listeners.iter().filter_map(|listener| listener.address.value());
        listeners.into_iter().any(|listener| reaches(uri, **listener))
    }

    /// Warns of a preset without `replay_protection` whose provider retries, and whose events have an id.
    pub(super) fn warn_of_retries(&mut self, file: &RouteYaml, policy: &Policy) {
        let preset = |leaf: &&Policy| match leaf {
            Policy::Signature(policy) => presets::find(&policy.name)
                .is_some_and(|preset| preset.redelivery == Some(RedeliveryYaml::Automatic) && preset.repeats.is_none()),
            Policy::Jwt(_)
            | Policy::Detached(_)
            | Policy::MessageSignature(_)
            | Policy::Token(_)
            | Policy::ClientCertificate(_)
            | Policy::AllOf(_)
            | Policy::AnyOf(_)
            | Policy::Public => false,
        };
        let leaves = policy.leaves();
        let Some(Policy::Signature(signature)) = leaves.iter().find(|leaf| preset(leaf)) else { return };
        let ttl = match policy.clone().identify(None, false) {
            Ok(()) => "",
            Err(NoReplayId::Endless) => ", ttl: 3d",
            Err(_) => return,
        };
        let warning = format!(
            "missing: {} sends an event again when it gets no response in time, and a copied request is accepted again; \
             write `store: {{ type: memory }}` at the top level and {{ on_duplicate: acknowledge{ttl} }} here, or \
             `disabled` if the application recognizes duplicates",
            signature.name
        );
        self.warn(file.replay_protection.at, &warning);
    }
}

/// Whether a connection to the URL reaches the listener.
fn reaches(uri: &Uri, listener: SocketAddr) -> bool {
    let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_listening = |ip: IpAddr| {
        let is_local = ip.is_loopback() || ip.is_unspecified();
        let is_any = listener.ip().is_unspecified() && (listener.is_ipv6() || ip.is_ipv4());
        listener.ip() == ip || (is_local && is_any) || (ip.is_unspecified() && listener.ip().is_loopback())
    };
    let is_same = match host.parse() {
        Ok(ip) => is_listening(ip),
        Err(_) => host.eq_ignore_ascii_case("localhost") && is_listening(IpAddr::from([127, 0, 0, 1])),
    };
    listener.port() != 0 && uri.port_u16().unwrap_or(default) == listener.port() && is_same
}

fn date(time: UnixTime) -> jiff::Timestamp {
    i64::try_from(time.seconds())
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_reaches_its_own_listener() {
        let own = |uri: &str, listener: &str| reaches(&uri.parse().unwrap(), listener.parse().unwrap());
        for (uri, listener) in [
            ("http://127.0.0.1:8443", "0.0.0.0:8443"),
            ("http://127.0.0.1:8443", "127.0.0.1:8443"),
            ("https://localhost:8443", "[::]:8443"),
            ("http://0.0.0.0", "127.0.0.1:80"),
            ("http://[::1]:8443", "[::]:8443"),
            ("http://10.0.0.1:8443", "10.0.0.1:8443"),
        ] {
            assert!(own(uri, listener), "{uri} {listener}");
        }
        for (uri, listener) in [
            ("http://127.0.0.1:8000", "0.0.0.0:8443"),
            ("http://app:8443", "0.0.0.0:8443"),
            ("http://10.0.0.1:8443", "0.0.0.0:8443"),
            ("http://[::1]:8443", "0.0.0.0:8443"),
            ("http://127.0.0.1:80", "127.0.0.1:0"),
        ] {
            assert!(!own(uri, listener), "{uri} {listener}");
        }
    }
}
