//! `upstream` of a route: one or several endpoints over http, https or a Unix socket.

use std::os::unix::net::SocketAddr;
use std::sync::Arc;

use http::Uri;
use http::uri::{Authority, Scheme};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::compiler::Compiler;
use crate::config::file::UpstreamYaml;
use crate::config::reader::{Location, Section};
use crate::route::{Endpoint, EndpointAddress, Trust, Upstream};
use crate::tls;

/// The root certificates that an upstream's certificate must chain to, and the TLS configuration with them.
type Roots = (Option<Vec<u8>>, Arc<ClientConfig>);

impl Compiler<'_> {
    pub(super) fn upstream(&mut self, file: &Section<UpstreamYaml>) -> Option<Upstream> {
        if !file.is_written {
            self.missing(file.at, "the URL of the upstream, such as { url: http://127.0.0.1:8000 }");
            return None;
        }
        let timeouts = &file.timeouts;
        let urls = self.upstream_urls(file)?;
        let roots = self.upstream_roots(file, &urls);
        let mut endpoints: Vec<Arc<Endpoint>> = Vec::new();
        for (url, at) in &urls {
            let Some(address) = self.upstream_address(url, roots.as_ref(), *at) else { continue };
            if endpoints.iter().any(|other| other.address == address) {
                self.problems.add(*at, "duplicate URL; remove one of them");
            }
            let (connect, keepalive) = (timeouts.connect.get(), timeouts.keepalive.get());
            endpoints.push(self.endpoint(Endpoint { url: (*url).to_owned(), address, connect, keepalive }));
        }
        if endpoints.len() < urls.len() {
            return None;
        }
        let mut endpoints = endpoints.into_iter();
        let (timeout, reuse) = (timeouts.total.get(), file.reuse.or_default());
        Some(Upstream { first: endpoints.next()?, others: endpoints.collect(), timeout, reuse })
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

    /// `None` if `ca` cannot be used, and if no URL is https.
    fn upstream_roots(&mut self, file: &UpstreamYaml, urls: &[(&str, Location)]) -> Option<Roots> {
        let needed = urls.iter().any(|(url, _)| url.starts_with("https:"));
        if file.ca.is_written() && !needed {
            self.problems.add(file.ca.at, "is for https only; use https://host:port, or remove it");
        }
        if !needed {
            return None;
        }
        let ca = self.optional_file(&file.ca)?;
        let config = self.usable(file.ca.at, tls::client_config(ca.as_deref()))?;
        Some((ca, Arc::new(config)))
    }

    /// `roots` is `None` for an https URL if a problem with `ca` has been reported.
    fn upstream_address(&mut self, url: &str, roots: Option<&Roots>, at: Location) -> Option<EndpointAddress> {
        if let Some(socket) = url.strip_prefix("unix:") {
            return self.socket_address(socket, at);
        }
        let expected = "expected http://host:port, https://host:port or unix:/path, without path, query and user: \
                        requests keep their own path";
        match self.check(at, parse_url(url).ok_or(expected))? {
            (uri, None) => Some(EndpointAddress::Tcp(uri)),
            (uri, Some(name)) => {
                let (ca, config) = roots?.clone();
                Some(EndpointAddress::Tls(uri, Trust { name, ca, config }))
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
