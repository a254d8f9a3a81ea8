//! `cors` of a route: web pages of which origins may read its responses (Fetch standard, CORS protocol).

use http::{HeaderName, HeaderValue};

use super::websocket::WebOrigin;

/// `cors` of a route.
#[derive(Clone, Debug)]
pub struct CorsRule {
    /// The origins of the web pages (`origins`).
    pub origins: Vec<WebOrigin>,
    /// The headers that a page may send: those that the decision reads, `Content-Type`, and `headers`.
    pub headers: Vec<HeaderName>,
    /// Whether a page may send the cookies and client certificate of its visitor (`credentials`).
    pub credentials: bool,
    /// For how many seconds a browser may remember the answer to a preflight (`max_age`).
    pub max_age: u64,
}

impl CorsRule {
    /// Whether pages of the origin in this header may read responses.
    pub fn allows(&self, origin: &HeaderValue) -> bool {
        self.origins.iter().any(|one| one.is(origin))
    }
}
