//! hookgate: a reverse proxy that lets through only webhooks that are proven authentic and fresh.
//!
//! A request's path, in [`proxy::Gateway`]:
//!
//! 1. the head is judged (host, path, size) and finds its [`route::Route`], or is refused;
//! 2. [`auth::verify`] decides, a pure function of the rules, the request and the time: by the head alone, if it can;
//! 3. else the body is read, within [`limit::HeldBodies`], and it decides once more;
//! 4. a provider's question about the endpoint is answered here ([`auth::handshake`]), at a bounded rate;
//! 5. what is refused ends here, unless the route only observes; it may be kept for the operator;
//! 6. what crosses the gateway is cleaned ([`proxy::headers`]) and goes to the app ([`proxy::upstream`]);
//! 7. the app's reply goes back, or [`proxy::reply`] says why not;
//! 8. one access line and one set of metrics are written ([`proxy::record`]).
//!
//! Everything else keeps that path supplied: [`config`] compiles gateway.yaml into a [`snapshot`], [`reload`]
//! swaps it, [`jwks`] keeps remote keys fresh, [`server`] holds connections to their limits, [`app`] puts it
//! together.
#![forbid(unsafe_code)]

pub mod admin;
pub mod admission;
pub mod app;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
pub mod failure;
pub mod jwks;
pub mod limit;
pub mod metrics;
pub mod proxy;
pub mod reload;
pub mod route;
pub mod server;
pub mod snapshot;
pub mod telemetry;
pub mod tls;
