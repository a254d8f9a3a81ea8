//! The authentication decision: given a request and the current time, returns a [`Grant`] or a [`VerifyError`].
//!
//! This code is pure: it does not wait, read a clock, a file or a socket, write logs or update metrics. The gateway
//! calls it for each request; `hookgate explain` calls it to report the gateway's decision.
//!
//! The modules form three storeys. A module uses those of the storeys below, and no two modules use each other:
//!
//! 1. The rules of a route: [`rules`] has [`verify`], [`policy`] combines schemes by `all_of` and `any_of`,
//!    [`replay_protection`] selects the replay id, [`revocation`] rejects revoked tokens, [`challenge`] answers endpoint
//!    verification challenges, and [`strictness`] compares two policies.
//! 2. The schemes, each of which verifies one kind of credential and returns a [`Grant`]: [`jwt`], [`detached`],
//!    [`message_signature`], [`signature`], [`static_token`] and [`certificate_rule`]. No scheme uses another one.
//! 3. The ground: the [`request`] and what is read from it ([`locator`], [`claims`], [`time`], [`json`],
//!    [`encoding`], `jws`, `structured_field`, [`content_digest`], [`client_certificate`], [`proxied_certificate`]), the keys that verify it ([`keys`], [`secret`], [`tenants`], [`issuer`],
//!    [`signing_certificate`]), and the
//!    result (`grant`, [`sender`], `rejection`, [`explanation`]).

pub mod certificate_rule;
pub mod challenge;
pub mod claims;
pub mod client_certificate;
pub mod content_digest;
pub mod detached;
pub mod encoding;
pub mod explanation;
mod grant;
pub mod issuer;
pub mod json;
pub mod json_text;
mod jws;
pub mod jwt;
pub mod keys;
pub mod locator;
pub mod message_signature;
pub mod policy;
pub mod proxied_certificate;
pub mod quoted;
mod rejection;
pub mod replay_protection;
pub mod request;
pub mod revocation;
pub mod rules;
pub mod secret;
pub mod sender;
pub mod signature;
pub mod signing_certificate;
pub mod static_token;
pub mod strictness;
mod structured_field;
pub mod tenants;
pub mod time;

#[cfg(test)]
mod testing;

pub use crate::reason::Reason;
pub use grant::{CredentialId, Grant, Permit, ReplayId, SignatureCheck};
pub use policy::{Policy, PolicyKind};
pub use rejection::{MissingKey, Rejection, VerifyError};
pub use request::RequestView;
pub use rules::{Rules, verify, verify_explained};
