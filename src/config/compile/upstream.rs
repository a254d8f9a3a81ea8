//! `upstream` of a route: one or several endpoints over http, https or a Unix socket.

use std::os::unix::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::{Authority, Scheme};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::compiler::Compiler;
use crate::config::compiled::NamedServer;
use crate::config::file::{Parsed, UpstreamTimeoutsYaml, UpstreamYaml};
use crate::config::hints;
use crate::config::reader::{Field, Location, Section};
use crate::route::{
    Endpoint, EndpointAddress, HostHeader, PathMatch, PathPrefix, PathRewrite, Protocol, Trust, Upstream,
    UpstreamTimeouts,
};
use crate::tls;

/// How long the response headers may take, and how long the upstream may pause, without `timeouts.total`.
const HEADERS_WITHOUT_TOTAL: Duration = Duration::from_secs(30);
const IDLE_WITHOUT_TOTAL: Duration = Duration::from_secs(60);

/// The TLS settings of https endpoints: a [`Trust`] without its name.
struct EndpointTls {
    name: Option<ServerName<'static>>,
    ca: Option<Vec<u8>>,
    identity: Option<[u8; 32]>,
    config: Arc<ClientConfig>,
}

impl Compiler<'_> {
    pub(super) fn upstream(&mut self, file: &Section<UpstreamYaml>, has_lease: bool) -> Option<Upstream> {
        if !file.is_written {
            self.missing(file.at, "the URL of the upstream, such as { url: http://127.0.0.1:8000 }");
            return None;
        }
        let urls = self.upstream_urls(file)?;
        let tls = self.upstream_tls(file, &urls);
        let timeouts = self.upstream_timeouts(&file.timeouts, has_lease);
        let host = file.host.value().map(|host| (**host).clone());
        if host == Some(HostHeader::Endpoint) && urls.iter().any(|(url, _)| url.starts_with("unix:")) {
            self.problems.add(file.host.at, "a Unix socket has no host; write the name that the application expects");
        }
        let mut endpoints: Vec<Arc<Endpoint>> = Vec::new();
        for (url, at) in &urls {
            let Some(address) = self.upstream_address(url, tls.as_ref(), *at) else { continue };
            if self.is_own(&address) {
                let problem = "is the address of a listener of this gateway, which would forward each request to itself; write \
                               that of the application";
                self.problems.add(*at, problem);
            }
            if endpoints.iter().any(|other| other.address == address) {
                self.problems.add(*at, "duplicate URL; remove one of them");
            }
            let (connect, keepalive) = (file.timeouts.connect.get(), file.timeouts.keepalive.get());
            let protocol = file.protocol.or_default();
            let endpoint = Endpoint { url: (*url).to_owned(), address, connect, keepalive, protocol };
            let endpoint = self.endpoint(endpoint);
            self.server(*at, NamedServer::Upstream(Arc::clone(&endpoint)));
            endpoints.push(endpoint);
        }
        if endpoints.len() < urls.len() {
            return None;
        }
        let prefix = |field: &Field<Parsed<PathPrefix>>| field.value().map(|prefix| (**prefix).clone());
        let path = PathRewrite::new(prefix(&file.strip_prefix), prefix(&file.path_prefix)).map(Box::new);
        let mut endpoints = endpoints.into_iter();
        let (first, reuse) = (endpoints.next()?, file.reuse.or_default());
        Some(Upstream { first, others: endpoints.collect(), timeouts, reuse, host, path })
    }

    /// Reports a `strip_prefix` that is not the beginning of every path of the route.
    pub(super) fn check_strip_prefix(&mut self, field: &Field<Parsed<PathPrefix>>, path: &PathMatch) {
        if field.value().is_some_and(|prefix| !prefix.contains(path)) {
            self.problems.add(field.at, "must be the beginning of `match.path`, up to a `/`");
        }
    }

    /// `has_lease` is whether the request is reserved for as long as the upstream may process it.
    fn upstream_timeouts(&mut self, file: &UpstreamTimeoutsYaml, has_lease: bool) -> UpstreamTimeouts {
        let total: Option<Duration> = file.total.get();
        if total.is_none() && has_lease {
            let problem = "`none` cannot be combined with replay_protection or idempotency: a retry would be forwarded \
                           while the first request is still in flight; set a duration";
            self.problems.add(file.total.at, problem);
        }
        let headers = file.response_headers.duration().unwrap_or(total.unwrap_or(HEADERS_WITHOUT_TOTAL));
        let idle = file.response_body_idle.duration();
        UpstreamTimeouts {
            total,
            response_headers: total.map_or(headers, |total| headers.min(total)),
            response_body_idle: if total.is_none() { idle.or(Some(IDLE_WITHOUT_TOTAL)) } else { idle },
        }
    }

    /// The URLs, each with its place.
    fn upstream_urls<'f>(&mut self, file: &'f UpstreamYaml) -> Option<Vec<(&'f str, Location)>> {
        let (one, several) = (&file.url, &file.urls);
        if one.is_written() && several.is_written {
            self.problems.add(several.at, "cannot be combined with `url`; keep one of them");
            return None;
        }
        if several.is_written {
            if several.is_empty() {
                self.problems.add_follow_up(several.at, "must not be empty; set the URLs of the upstream");
                return None;
            }
            return several.iter().map(|url| Some((url.text()?, url.at))).collect();
        }
        let url = self.required(one, "the URL of the upstream, such as http://127.0.0.1:8000")?;
        Some(vec![(url, one.at)])
    }

    /// `None` if a file cannot be used, and if no URL is https.
    fn upstream_tls(&mut self, file: &UpstreamYaml, urls: &[(&str, Location)]) -> Option<EndpointTls> {
        if !urls.iter().any(|(url, _)| url.starts_with("https:")) {
            let keys = [file.ca.written_at(), file.server_name.written_at(), file.client_certificate.written_at()];
            self.unused(&keys, "is for https only; use https://host:port, or remove it");
            return None;
        }
        let name = file.server_name.if_written(|field| {
            let name = ServerName::try_from(field.value()?.0.clone()).map_err(|_| "expected a host name");
            self.check(field.at, name)
        });
        let ca = self.optional_file(&file.ca);
        let pair = &file.client_certificate;
        let certificate = if pair.is_written { self.certificate(pair).map(Some) } else { Some(None) };
        let (name, ca, certificate) = (name?, ca?, certificate?);
        let config = match &certificate {
            None => tls::client_config(ca.as_deref()),
            Some(certificate) => tls::client_config_presenting(ca.as_deref(), certificate),
        };
        let mut config = self.usable(file.ca.at, config)?;
        if file.protocol.or_default() == Protocol::Http2 {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        let (identity, config) = (certificate.map(|certificate| certificate.fingerprint()), Arc::new(config));
        Some(EndpointTls { name, ca, identity, config })
    }

    /// `tls` is `None` for an https URL if a problem with it has been reported.
    fn upstream_address(&mut self, url: &str, tls: Option<&EndpointTls>, at: Location) -> Option<EndpointAddress> {
        if let Some(socket) = url.strip_prefix("unix:") {
            return self.socket_address(socket, at);
        }
        let expected = "expected http://host:port, https://host:port or unix:/path, without path, query and user: \
                        `path_prefix` adds a path";
        match self.check(at, parse_url(url).ok_or_else(|| format!("{expected}{}", hints::upstream_url(url))))? {
            (uri, None) => Some(EndpointAddress::Tcp(uri)),
            (uri, Some(host)) => {
                let EndpointTls { name, ca, identity, config } = tls?;
                let (name, ca, config) = (name.clone().unwrap_or(host), ca.clone(), Arc::clone(config));
                Some(EndpointAddress::Tls(uri, Trust { name, ca, identity: *identity, config }))
            }
        }
    }

    fn socket_address(&mut self, socket: &str, at: Location) -> Option<EndpointAddress> {
        let resolved = self.sources.resolve(socket);
        let address = match SocketAddr::from_pathname(&resolved) {
            _ if socket.is_empty() => Err("expected the path of a socket after `unix:`"),
            Err(_) => Err("the path of a socket may have at most 107 bytes; use a shorter one"),
            Ok(_) => Ok(EndpointAddress::Unix(resolved)),
        };
        self.check(at, address)
    }

    /// Reuses an equal endpoint of another route or of the configuration in use, whose connections are kept.
    fn endpoint(&mut self, wanted: Endpoint) -> Arc<Endpoint> {
        let same = |other: &&Arc<Endpoint>| ***other == wanted;
        if let Some(ours) = self.handles.endpoints.iter().find(same) {
            return Arc::clone(ours);
        }
        let known = self.known.endpoints.iter().find(same).cloned();
        let endpoint = known.unwrap_or_else(|| Arc::new(wanted));
        self.handles.endpoints.push(Arc::clone(&endpoint));
        endpoint
    }
}

/// The URI, and for https the name that the upstream's certificate must contain.
fn parse_url(url: &str) -> Option<(Uri, Option<ServerName<'static>>)> {
    let (scheme, rest) = match url.split_once("://")? {
        ("http", rest) => (Scheme::HTTP, rest),
        ("https", rest) => (Scheme::HTTPS, rest),
        _ => return None,
    };
    let authority = Authority::try_from(rest.strip_suffix('/').unwrap_or(rest)).ok()?;
    let host = authority.host();
    // `Authority` accepts any port, and the client would use the scheme's default port instead of an invalid one.
    let port_is_one = authority.as_str() == host || authority.port_u16().is_some_and(|port| port > 0);
    if host.is_empty() || authority.as_str().contains('@') || !port_is_one {
        return None;
    }
    let name = match scheme == Scheme::HTTPS {
        true => Some(ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).ok()?),
        false => None,
    };
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build().ok()?;
    Some((uri, name))
}
