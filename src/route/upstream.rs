//! `upstream` of a route: where its requests go, and how long that may take.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

/// `upstream` of a route.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The app.
    pub first: Arc<Endpoint>,
    /// Others that are like it (`urls`).
    pub others: Vec<Arc<Endpoint>>,
    /// From the end of the request's body to the end of the response.
    pub timeout: Duration,
}

/// A place where an app listens. Routes that name the same one share it, and a reload hands on one that has not changed:
/// each worker keeps its connections and what it knows of it by the endpoint's identity.
#[derive(Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// As it is written, for the log.
    pub url: String,
    /// Where it is.
    pub address: Address,
    /// For establishing a connection, the handshake included.
    pub connect: Duration,
    /// How long an unused connection is kept: less than the app's own keep-alive, so that the app never
    /// closes a connection that a request is just being sent on.
    pub idle: Duration,
}

/// How an app is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `http://host:port`
    Tcp(Uri),
    /// `https://host:port`
    Tls(Uri, Trust),
    /// `unix:/path`
    Unix(PathBuf),
}

/// Whom we take for the app.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The name that its certificate must bear.
    pub name: ServerName<'static>,
    /// What its certificate must hang from, in PEM form; `None` for the public roots.
    pub ca: Option<Vec<u8>>,
    /// What comes of it.
    pub config: Arc<ClientConfig>,
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.ca) == (&other.name, &other.ca)
    }
}

impl Eq for Trust {}
