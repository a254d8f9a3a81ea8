//! Everything that needs sockets, files or a whole gateway. One crate, so that it links once.

#![allow(unreachable_pub, reason = "everything here is used inside of this crate only")]

mod admin;
mod config;
mod documents;
mod drain;
mod forwarding;
mod jwks;
mod layers;
mod limits;
mod refusals;
mod reload;
mod support;
