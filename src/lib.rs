//! hookgate: a reverse proxy that forwards only webhooks that are proven authentic and fresh.
//!
//! The path of a request, in [`proxy::Gateway`]:
//!
//! 1. its headers are validated (host, path, size), and it is matched to a [`route::Route`] or rejected;
//! 2. a provider's endpoint verification challenge is answered ([`auth::challenge`]), at a bounded rate; one that must
//!    be authenticated, after step 3;
//! 3. [`auth::verify`] decides, a pure function of the rules, the request and the time: by the headers alone, if it
//!    can; otherwise the body is buffered, within [`limit::MemoryQuota`], and it decides again;
//! 4. a rejected request ends here, except in dry run; it may be captured for the operator;
//! 5. its replay ids and idempotency key are reserved in the [`store`], and its route's limits are counted;
//! 6. the headers are cleaned ([`proxy::headers`]), and the request is sent to the upstream ([`proxy::upstream`]);
//! 7. the client gets the upstream's response, or an error response from [`proxy::response`];
//! 8. one access log line and one set of metrics are written ([`proxy::record`]).
//!
//! All other modules support that path: [`config`] compiles gateway.yaml into a [`snapshot`], [`reload`] swaps it,
//! [`jwks`] keeps remote keys fresh, [`server`] enforces the limits of connections, [`app`] puts it together.
#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm, reason = "a test looks at the variants that it is about"))]
#![forbid(unsafe_code)]

pub mod acme;
pub mod admin;
pub mod app;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
pub mod exposure;
pub mod failure;
pub mod jwks;
pub mod limit;
pub mod metrics;
pub mod proxy;
pub mod reason;
pub mod reload;
pub mod route;
mod rows;
pub mod server;
pub mod services;
pub mod settings;
pub mod snapshot;
pub mod store;
pub mod telemetry;
pub mod tls;
