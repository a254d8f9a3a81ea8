//! Tests that need sockets, files or a whole gateway, in one crate, which links once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails may panic"
)]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at the variants that it is about")]
#![allow(unreachable_pub, reason = "everything here is used inside of this crate only")]

mod admin;
mod admission;
mod broken_responses;
mod capture;
mod challenges;
mod check;
mod circles;
mod cli;
mod completions;
mod config;
mod cors;
mod documents;
mod drain;
mod dry_run;
mod environments;
mod explain;
mod failed_connections;
mod filter;
mod fleet;
mod forwarding;
mod framing;
mod golden;
mod half_closed;
mod headers;
mod init;
mod issuers;
mod jwks;
mod layers;
mod leniency;
mod limits;
mod log;
mod memory;
mod message_signatures;
mod overlaps;
mod provider;
mod proxies;
mod rates;
mod rejections;
mod reload;
mod replay;
mod revocation;
mod schema;
mod secevent;
mod signatures;
mod signing_certificates;
mod support;
mod tenants;
mod tls;
mod trees;
mod upstreams;
mod vectors;
mod verdict;
mod websocket;
mod words;
