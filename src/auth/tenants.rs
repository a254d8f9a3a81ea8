//! The secrets of a scheme: those that gateway.yaml lists, or, for a route whose path names the tenant, those of the
//! tenant's files.
//!
//! The secrets of tenants are stored behind a handle that outlives reloads, so that one tenant's file changes without the
//! configuration. This module reads no file: `config` fills the handle, `reload` fills it again, and the schemes look up
//! one tenant in a map.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::secret::Secret;

/// The longest name of a tenant, in bytes.
const MAX_NAME: usize = 64;

/// The secrets of a scheme. It dereferences to those that gateway.yaml lists, which are none if tenants have their own.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    listed: Vec<Secret>,
    /// The secrets of tenants, if the scheme has those instead.
    pub tenants: Option<Arc<TenantSecrets>>,
}

/// The handle of the secrets of one folder.
#[derive(Debug)]
pub struct TenantSecrets(ArcSwap<Tenants>);

/// The secrets by their tenants.
#[derive(Debug, Default)]
pub struct Tenants {
    by_name: HashMap<Arc<str>, Arc<[Secret]>>,
    /// A secret that a request of an unknown tenant is verified with: its result is discarded, so that only the time is
    /// the same.
    decoy: Option<Arc<[Secret]>>,
}

/// The secrets that may have signed one request.
#[derive(Debug)]
pub(super) enum Candidates<'s> {
    /// Those that gateway.yaml lists.
    Listed(&'s [Secret]),
    /// Those of the request's tenant.
    OfTenant(Arc<[Secret]>),
    /// Those of another tenant: the request names none, or one without a file.
    Decoy(Arc<[Secret]>),
    /// The key of the certificate that the request names.
    OfCertificate(Arc<[Secret]>),
}

impl Secrets {
    /// The secrets that may have signed a request of this tenant.
    pub(super) fn candidates(&self, tenant: Option<&str>) -> Candidates<'_> {
        let Some(tenants) = &self.tenants else { return Candidates::Listed(&self.listed) };
        let tenants = tenants.0.load();
        match tenant.and_then(|tenant| tenants.by_name.get(tenant)) {
            Some(secrets) => Candidates::OfTenant(Arc::clone(secrets)),
            None => Candidates::Decoy(tenants.decoy.clone().unwrap_or_default()),
        }
    }

    /// The secret with which `hookgate sign` signs for this tenant.
    pub fn signing(&self, tenant: Option<&str>) -> Option<Secret> {
        let candidates = self.candidates(tenant);
        candidates.first().filter(|_| !candidates.is_decoy()).cloned()
    }

    /// The secrets of this tenant, or those that gateway.yaml lists.
    pub fn of(&self, tenant: Option<&str>) -> Vec<Secret> {
        let candidates = self.candidates(tenant);
        if candidates.is_decoy() { Vec::new() } else { candidates.to_vec() }
    }

    /// Whether both have the secrets of tenants in the same folder.
    pub fn has_common_tenants(&self, other: &Self) -> bool {
        self.tenants.is_some() && self.has_same_tenants(other)
    }

    /// Whether both have the secrets of the same folder, or neither has those of tenants.
    pub(super) fn has_same_tenants(&self, other: &Self) -> bool {
        match (&self.tenants, &other.tenants) {
            (Some(mine), Some(theirs)) => Arc::ptr_eq(mine, theirs),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

impl Deref for Secrets {
    type Target = Vec<Secret>;

    fn deref(&self) -> &Vec<Secret> {
        &self.listed
    }
}

impl DerefMut for Secrets {
    fn deref_mut(&mut self) -> &mut Vec<Secret> {
        &mut self.listed
    }
}

impl FromIterator<Secret> for Secrets {
    fn from_iter<I: IntoIterator<Item = Secret>>(secrets: I) -> Self {
        secrets.into_iter().collect::<Vec<_>>().into()
    }
}

impl From<Vec<Secret>> for Secrets {
    fn from(listed: Vec<Secret>) -> Self {
        Self { listed, tenants: None }
    }
}

impl From<Arc<TenantSecrets>> for Secrets {
    fn from(tenants: Arc<TenantSecrets>) -> Self {
        Self { listed: Vec::new(), tenants: Some(tenants) }
    }
}

impl Candidates<'_> {
    /// Whether a valid signature proves nothing.
    pub(super) const fn is_decoy(&self) -> bool {
        matches!(self, Self::Decoy(_))
    }

    /// The index of a secret of these among those of its route, as a list; a certificate has none.
    pub(super) fn index_of(&self, secret: &Secret) -> Vec<usize> {
        if matches!(self, Self::OfCertificate(_)) { Vec::new() } else { vec![secret.index] }
    }

    /// The finding, for `explain`, that none of them has made the signature.
    pub(super) const fn without_match(&self) -> &'static str {
        match self {
            Self::Listed(_) => "matches none of the route's secrets",
            Self::OfTenant(_) => "matches none of the tenant's secrets",
            Self::Decoy(_) => "no tenant of this name has a file",
            Self::OfCertificate(_) => "does not match the key of the certificate",
        }
    }
}

impl Deref for Candidates<'_> {
    type Target = [Secret];

    fn deref(&self) -> &[Secret] {
        match self {
            Self::Listed(secrets) => secrets,
            Self::OfTenant(secrets) | Self::Decoy(secrets) | Self::OfCertificate(secrets) => secrets,
        }
    }
}

impl TenantSecrets {
    /// A handle without tenants.
    pub fn empty() -> Self {
        Self(ArcSwap::default())
    }

    /// The secrets of a tenant.
    pub fn get(&self, tenant: &str) -> Option<Arc<[Secret]>> {
        self.0.load().by_name.get(tenant).map(Arc::clone)
    }

    /// The number of tenants.
    pub fn len(&self) -> usize {
        self.0.load().by_name.len()
    }

    /// Whether there are no tenants.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first tenant in the order of names, for which `hookgate sign` signs unless its URL names another one.
    pub fn first(&self) -> Option<Arc<str>> {
        self.0.load().by_name.keys().min().cloned()
    }

    /// Replaces the secrets of all tenants.
    pub fn replace(&self, by_name: HashMap<Arc<str>, Arc<[Secret]>>) {
        // One secret, as most tenants have: two would take twice the time.
        let decoy = by_name.values().next().and_then(|secrets| Some([secrets.first()?.clone()].into()));
        self.0.store(Arc::new(Tenants { by_name, decoy }));
    }
}

/// Whether a text is the name of a tenant: letters in lower case, digits, `-` and `_`. In another case it could be the
/// same tenant to an application that ignores the case of paths.
pub fn is_tenant_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::secret::SecretKey;
    use zeroize::Zeroizing;

    fn secret(text: &str) -> Secret {
        Secret::new(0, SecretKey::from_secret(Zeroizing::new(text.as_bytes().to_vec())).unwrap())
    }

    #[test]
    fn a_tenant_has_its_own_secrets_and_an_unknown_one_those_of_another() {
        let handle = Arc::new(TenantSecrets::empty());
        let secrets = Secrets::from(Arc::clone(&handle));
        assert!(secrets.candidates(Some("acme")).is_empty() && secrets.candidates(None).is_decoy());
        handle.replace([(Arc::from("acme"), Arc::from([secret("1"), secret("2")]))].into());
        let of_acme = secrets.candidates(Some("acme"));
        assert!(of_acme.len() == 2 && !of_acme.is_decoy());
        for unknown in [None, Some("acm"), Some("ACME"), Some(""), Some("../acme")] {
            let decoy = secrets.candidates(unknown);
            assert!(decoy.len() == 1 && decoy.is_decoy(), "{unknown:?}");
            assert!(secrets.signing(unknown).is_none() && secrets.of(unknown).is_empty(), "{unknown:?}");
        }
    }

    #[test]
    fn a_name_has_one_spelling() {
        for name in ["a", "acme-1_x", "0", &"x".repeat(64)] {
            assert!(is_tenant_name(name), "{name}");
        }
        for other in ["", "Acme", "a.b", "..", "a/b", "é", "a b", &"x".repeat(65)] {
            assert!(!is_tenant_name(other), "{other}");
        }
    }
}
