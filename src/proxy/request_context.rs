//! A request on its path through the gateway: made once its route is known, read by every stage, and taken apart when
//! the request is forwarded.

use std::sync::Arc;

use http::Method;
use http::request::Parts;

use super::connection_info::ConnectionInfo;
use super::head::RequestTarget;
use crate::auth::RequestView;
use crate::auth::client_certificate::ClientTrust;
use crate::auth::request::PresentedCertificate;
use crate::clock::UnixTime;
use crate::failure::Limited;
use crate::route::{Route, WebSocketRule};
use crate::snapshot::Snapshot;

/// A request, without its body and its record.
pub struct RequestContext<'a> {
    /// The configuration that applies to the request.
    pub snapshot: &'a Snapshot,
    /// Its route.
    pub route: &'a Arc<Route>,
    /// Its client.
    pub connection: &'a ConnectionInfo,
    /// Request line and headers, as received.
    pub head: Parts,
    /// Its validated host and path.
    pub target: RequestTarget,
    /// Time at which it arrived.
    pub now: UnixTime,
    /// Its id.
    pub request_id: Arc<str>,
    /// The limit `failed_auth_rate` if its address exceeds it: rejections are then cheaper.
    pub over_failed_auth_rate: Option<Limited>,
    /// The method for which a browser asks, if the request is a CORS preflight that the route answers.
    pub preflight: Option<Method>,
    /// The route's rules for WebSocket, if the request opens such a connection.
    pub tunnel: Option<&'a WebSocketRule>,
}

impl RequestContext<'_> {
    /// The request as the decision sees it, without its body.
    pub fn view(&self) -> RequestView<'_> {
        let url = self.route.url_base(self.target.authority().as_str());
        let tenant = self.route.matches.tenant(self.target.path());
        RequestView::new(&self.head, url).with_client(self.client()).with_tenant(tenant)
    }

    /// False if the listener requires client certificates, and the certificate of this connection has expired or was
    /// revoked since the TLS handshake.
    pub fn client_certificate_still_trusted(&self) -> bool {
        let required = self.trust().is_some_and(ClientTrust::is_required);
        !required || self.client().is_some_and(|client| client.is_trusted(self.now))
    }

    fn client(&self) -> Option<PresentedCertificate<'_>> {
        let certificate = self.connection.client_certificate.as_deref()?;
        Some(PresentedCertificate { certificate, trust: self.trust() })
    }

    /// Client CAs that the listener trusts now; they may differ from those at the start of the connection.
    fn trust(&self) -> Option<&ClientTrust> {
        self.snapshot.listeners.get(self.connection.listener)?.client_trust.as_deref()
    }
}
