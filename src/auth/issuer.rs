//! An issuer of tokens, with its keys.

use std::sync::Arc;

use super::keys::{Algorithm, Keys};
use super::token_cache::VerifiedTokenCache;

/// A trusted issuer.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The issuer's name in gateway.yaml.
    pub name: Arc<str>,
    /// The exact `iss`. `None` skips the comparison (`none` in gateway.yaml, only together with one pinned key).
    pub issuer: Option<String>,
    /// Allowed algorithms.
    pub algorithms: Vec<Algorithm>,
    /// The issuer's keys; another issuer's keys are never searched.
    pub keys: Keys,
    /// Cache of tokens that these keys have verified.
    pub known: Arc<VerifiedTokenCache>,
}
