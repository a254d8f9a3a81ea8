//! An issuer of tokens, with its keys and the cache of tokens that they have verified.
//!
//! The cache has tokens whose signature has been verified. A sender may present one token many times, and verifying its
//! signature is the most expensive part of a request. A cache hit proves only that this key set has verified these
//! bytes; the claims are checked on every request.
//!
//! A token is cached once it is verified twice in a row in its slot. Most senders make a new token for each event, and
//! caching those would evict the tokens that do recur.
//!
//! Each issuer has its own cache, and an entry belongs to the key set that verified it: another issuer, a key set that
//! was fetched again or a reload starts without entries (Oathkeeper CVE-2026-33496). The cache never changes a
//! decision.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};

use serde_json::{Map, Value};

use super::client_certificate::is_spiffe_id;
use super::grant::SignatureCheck;
use super::jws::{JwsParts, Token, header_text};
use super::keys::{Algorithm, Key, KeySet, Keys};
use super::quoted::quoted;
use super::rejection::{MissingKey, Rejection};
use super::sender::{Holder, HolderKind, KeyDigest};
use crate::clock::UnixTime;
use crate::reason::Reason;

/// Number of lock stripes, so that workers do not wait for each other.
const STRIPES: usize = 16;

/// Tokens per stripe: two thousand in total, about 2 KiB each.
const SLOTS: usize = 128;

/// Longest token that is cached, in bytes; longer tokens are verified on every request.
const MAX_TOKEN: usize = 4 * 1024;

/// A trusted issuer.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The issuer's name in gateway.yaml.
    pub name: Arc<str>,
    /// Whether that is the name of a preset, under which routes may have different keys.
    pub preset: bool,
    /// The `iss` of its tokens.
    pub iss: IssuerClaim,
    /// Allowed algorithms.
    pub algorithms: Vec<Algorithm>,
    /// The issuer's keys; another issuer's keys are never searched.
    pub keys: Keys,
    /// Cache of tokens that these keys have verified.
    pub token_cache: Arc<VerifiedTokenCache>,
}

/// The place of a tenant in an issuer template, as Microsoft writes it in its discovery document.
pub const TENANT: &str = "{tenantid}";

/// The place of the tenant in an issuer template and an audience, where it must be the tenant in the path of the request.
pub const PATH_TENANT: &str = "{tenant}";

/// The `iss` that the tokens of an issuer have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerClaim {
    /// Any value, or none (`none` in gateway.yaml, only together with a pinned key).
    Any,
    /// Exactly this value.
    Exact(String),
    /// This value with one of these tenants in the place of [`TENANT`] or [`PATH_TENANT`].
    Tenants(String, Vec<String>),
    /// The tokens are JWT-SVIDs (SPIFFE JWT-SVID §3): `sub` is a SPIFFE id in this trust domain, and `iss` is ignored.
    TrustDomain(String),
}

impl IssuerClaim {
    /// Whether a token with these claims is one of the issuer's.
    pub fn matches(&self, claims: &Map<String, Value>) -> bool {
        let text = |name| claims.get(name).and_then(Value::as_str);
        match self {
            Self::Any => true,
            Self::Exact(iss) => text("iss") == Some(iss),
            Self::Tenants(..) => self.tenant(claims).is_some(),
            // Programs that resolve dots or decode escapes would read the id of another workload.
            Self::TrustDomain(domain) => text("sub").is_some_and(|sub| {
                sub.strip_prefix(domain.as_str()).is_some_and(|path| path.starts_with('/')) && is_spiffe_id(sub)
            }),
        }
    }

    /// The tenant that `iss` names, of a template.
    fn tenant(&self, claims: &Map<String, Value>) -> Option<&str> {
        let Self::Tenants(template, tenants) = self else { return None };
        let found = tenant_in(template, placeholder(template), claims.get("iss")?.as_str()?)?;
        tenants.iter().find(|tenant| *tenant == found).map(String::as_str)
    }

    /// Whether its tokens are accepted for the tenant in the path of the request alone.
    pub fn is_of_path(&self) -> bool {
        matches!(self, Self::Tenants(template, _) if template.contains(PATH_TENANT))
    }

    /// Rejects a token that says to be of another tenant than the path, before its signature is verified: it is the same
    /// for a tenant that is not configured.
    pub(super) fn check_path(&self, claims: &Map<String, Value>, tenant: Option<&str>) -> Result<(), Rejection> {
        let Self::Tenants(template, _) = self else { return Ok(()) };
        let iss = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
        if self.is_of_path() && (tenant.is_none() || tenant_in(template, PATH_TENANT, iss) != tenant) {
            return Err(self.mismatch(claims));
        }
        Ok(())
    }

    /// The rejection of a token of another issuer. Both values are public.
    pub(super) fn mismatch(&self, claims: &Map<String, Value>) -> Rejection {
        let (name, expected) = match self {
            Self::Any => ("iss", "any issuer".to_owned()),
            Self::Exact(iss) => ("iss", quoted(iss)),
            Self::Tenants(template, _) if self.is_of_path() => {
                ("iss", format!("{} with the tenant of the path, one of its `tenants`", quoted(template)))
            }
            Self::Tenants(template, _) => ("iss", format!("{} with one of its `tenants`", quoted(template))),
            Self::TrustDomain(domain) => ("sub", format!("a SPIFFE id in {}", quoted(domain))),
        };
        match claims.get(name) {
            None => {
                Rejection::detailed(Reason::MissingClaim, format!("the token has no `{name}`; expected {expected}"))
            }
            // A subject may name a person.
            Some(_) if name == "sub" => Rejection::detailed(Reason::InvalidIssuer, format!("`sub` is not {expected}")),
            Some(found) => {
                let found = found.as_str().map_or_else(|| "no string".to_owned(), quoted);
                Rejection::detailed(Reason::InvalidIssuer, format!("expected iss {expected}, got {found}"))
            }
        }
    }

    /// Whether a token could be one of both issuers.
    pub fn overlaps(&self, other: &Self) -> bool {
        let claims = |iss: &str| Map::from_iter([("iss".to_owned(), Value::from(iss))]);
        match (self, other) {
            (Self::Exact(iss), Self::Exact(_) | Self::Tenants(..)) => other.matches(&claims(iss)),
            (Self::Tenants(template, tenants), Self::Exact(_) | Self::Tenants(..)) => {
                let iss = |tenant: &String| template.replace(placeholder(template), tenant);
                tenants.iter().any(|tenant| other.matches(&claims(&iss(tenant))))
            }
            // The trust domain of a subject cannot be that of an issuer with another `iss`, which may have any subject.
            (Self::TrustDomain(domain), Self::TrustDomain(other)) => domain == other,
            (Self::TrustDomain(_), _) | (_, Self::TrustDomain(_) | Self::Any) | (Self::Any, _) => true,
        }
    }

    /// An `iss` that matches, for a development token for this tenant of the path.
    pub fn example(&self, tenant: Option<&str>) -> Option<String> {
        match self {
            Self::Any | Self::TrustDomain(_) => None,
            Self::Exact(iss) => Some(iss.clone()),
            Self::Tenants(template, tenants) => {
                let named = tenant.filter(|_| self.is_of_path());
                named.or(tenants.first().map(String::as_str)).map(|name| template.replace(placeholder(template), name))
            }
        }
    }

    /// A `sub` that matches, for a development token; `None` if any does.
    pub fn example_subject(&self) -> Option<String> {
        match self {
            Self::Any | Self::Exact(_) | Self::Tenants(..) => None,
            Self::TrustDomain(domain) => Some(format!("{domain}/development")),
        }
    }

    /// Whether `iss` is not compared, so that a token may be without it.
    pub const fn is_optional(&self) -> bool {
        matches!(self, Self::Any | Self::TrustDomain(_))
    }
}

/// The placeholder of an issuer template.
fn placeholder(template: &str) -> &'static str {
    if template.contains(PATH_TENANT) { PATH_TENANT } else { TENANT }
}

/// The part of a text in the place of the placeholder.
pub(super) fn tenant_in<'t>(template: &str, placeholder: &str, text: &'t str) -> Option<&'t str> {
    let (before, after) = template.split_once(placeholder)?;
    text.strip_prefix(before)?.strip_suffix(after)
}

impl Issuer {
    /// The holder of a token that this key has verified: the sender that the key names, or else the issuer with the
    /// tenant. No `kid` is part of it, since issuers rotate their keys.
    pub(super) fn holder(&self, key: &Key, claims: &Map<String, Value>) -> Holder {
        let tenant = self.iss.tenant(claims).map(Into::into);
        let issuer = || Holder { kind: HolderKind::Issuer, name: Arc::clone(&self.name), key_id: tenant };
        key.sender.as_ref().map_or_else(issuer, Holder::named)
    }

    /// Verifies the signature of a token, unless the cache proves that the same keys have. Returns the key set with the
    /// index of the key.
    ///
    /// # Errors
    /// `unsupported_algorithm`, `jwks_unavailable`, `unknown_key`, `invalid_signature`.
    pub(super) fn verify_signature(
        &self,
        (parts, token): (&JwsParts<'_>, &Arc<Token>),
        (name, known): (Option<TokenHash>, Option<CachedToken>),
        tenant: Option<&str>,
        now: UnixTime,
    ) -> Result<(Arc<KeySet>, usize, SignatureCheck), Rejection> {
        if !self.algorithms.contains(&token.algorithm) {
            let allowed: Vec<&str> = self.algorithms.iter().map(|algorithm| algorithm.name()).collect();
            let detail = format!("the token's alg is {}; allowed are {}", token.algorithm.name(), allowed.join(", "));
            return Err(Rejection::detailed(Reason::UnsupportedAlgorithm, detail));
        }
        // No key set, or a key that is not in it: a fetch may resolve this rejection. Of one tenant's key set, only the
        // first: a client could otherwise learn by the fetch, or by its cooldown, that the tenant exists.
        let (keys, is_decoy) = self.keys.of(tenant);
        let undecided = |rejection| Rejection { remote: MissingKey::of(keys), ..rejection };
        let replaced = |rejection| Rejection { remote: MissingKey::of(&self.keys), ..rejection };
        let keys = match keys {
            Keys::Chain(root) => Arc::new(root.key(&token.chain()?, token.algorithm, now)?),
            keys @ (Keys::Fixed(_) | Keys::Remote(_) | Keys::OfTenants(_)) => {
                keys.current(now).ok_or_else(|| undecided(Reason::JwksUnavailable.into()))?
            }
        };
        // A cached result holds only for the same key set, which would select and verify the same key again.
        if let Some(known) = known.filter(|known| Arc::ptr_eq(&known.keys, &keys) && !is_decoy) {
            return Ok((keys, known.key, SignatureCheck::Cached));
        }
        let kid = token.kid.as_deref();
        let candidates = keys.select(kid, token.algorithm).map_err(|reason| {
            if reason == Reason::UnknownKey {
                replaced(Rejection::detailed(reason, self.with_iss(keys.unknown_key(kid, token.algorithm), token)))
            } else {
                Rejection::detailed(reason, format!("the key of this kid is not for {}", token.algorithm.name()))
            }
        })?;
        let (place, _) = parts.signed_by(&candidates).map_err(|reason| {
            let rejection = Rejection::detailed(reason, self.with_iss(header_text(token.algorithm, kid), token));
            // The issuer may have replaced a key that was chosen without its `kid`.
            let unnamed = kid.is_none() || candidates.iter().any(|(_, key)| key.name().is_none());
            if unnamed && reason == Reason::InvalidSignature { replaced(rejection) } else { rejection }
        })?;
        if is_decoy {
            let detail = self.with_iss(header_text(token.algorithm, kid), token);
            return Err(Rejection::detailed(Reason::InvalidSignature, detail));
        }
        if let Some(name) = name {
            let known = || CachedToken { token: Arc::clone(token), keys: Arc::clone(&keys), key: place };
            self.token_cache.add(name, known);
        }
        Ok((keys, place, SignatureCheck::Verified))
    }

    /// Adds to a detail that the token says to be of another issuer, which is the cause then.
    fn with_iss(&self, detail: String, token: &Token) -> String {
        if self.iss.matches(&token.claims) {
            return detail;
        }
        let mismatch = self.iss.mismatch(&token.claims).detail.unwrap_or_default();
        format!("{detail}; {mismatch}")
    }

    /// Whether the key may sign for the issuer of these claims: Microsoft's common key set has keys of single tenants.
    pub(super) fn may_sign(&self, key: &Key, claims: &Map<String, Value>) -> bool {
        match (&self.iss, key.issuer.as_deref()) {
            (IssuerClaim::Tenants(template, _), Some(of)) => {
                of == template || claims.get("iss").and_then(Value::as_str) == Some(of)
            }
            (IssuerClaim::Tenants(..) | IssuerClaim::Any | IssuerClaim::Exact(_) | IssuerClaim::TrustDomain(_), _) => {
                true
            }
        }
    }

    /// The key, unless the name of the holder is unique in gateway.yaml.
    pub(super) fn unnamed(&self, key: &Key) -> Option<KeyDigest> {
        (self.preset && key.sender.is_none()).then_some(key.digest)
    }
}

/// SHA-256 of a token. Not truncated, because a collision would be a forgery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TokenHash([u8; 32]);

/// A token with a valid signature.
#[derive(Clone)]
pub(super) struct CachedToken {
    pub(super) token: Arc<Token>,
    /// The key set that verified it.
    pub(super) keys: Arc<KeySet>,
    /// Index of its key in `keys`.
    pub(super) key: usize,
}

/// One slot of a direct-mapped cache: bounded memory without eviction work.
#[derive(Default)]
struct CacheSlot {
    /// The token verified last.
    last: Option<TokenHash>,
    /// The last token verified twice in a row.
    kept: Option<(TokenHash, CachedToken)>,
}

/// The cached tokens of one issuer.
#[derive(Default)]
pub struct VerifiedTokenCache([Mutex<Vec<CacheSlot>>; STRIPES]);

impl fmt::Debug for VerifiedTokenCache {
    /// Omits the tokens, which are credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedTokenCache").finish_non_exhaustive()
    }
}

impl VerifiedTokenCache {
    /// The cache key of a token; `None` if it is too long to be cached.
    pub(super) fn name(token: &str) -> Option<TokenHash> {
        let hash = (token.len() <= MAX_TOKEN).then(|| digest(&SHA256, token.as_bytes()))?;
        hash.as_ref().try_into().ok().map(TokenHash)
    }

    pub(super) fn get(&self, name: TokenHash) -> Option<CachedToken> {
        let (stripe, at) = self.place(name)?;
        let slots = stripe.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, known) = slots.get(at)?.kept.as_ref()?;
        (*found == name).then(|| known.clone())
    }

    /// Records that a token was verified. Calls `known` and caches the entry if the slot verified the same token last.
    pub(super) fn add(&self, name: TokenHash, known: impl FnOnce() -> CachedToken) {
        let Some((stripe, at)) = self.place(name) else { return };
        let mut slots = stripe.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.is_empty() {
            slots.resize_with(SLOTS, CacheSlot::default);
        }
        let Some(slot) = slots.get_mut(at) else { return };
        if slot.last.replace(name) != Some(name) {
            return;
        }
        let before = slot.kept.replace((name, known()));
        drop(slots);
        drop(before);
    }

    fn place(&self, name: TokenHash) -> Option<(&Mutex<Vec<CacheSlot>>, usize)> {
        let [stripe, slot, ..] = name.0;
        Some((self.0.get(usize::from(stripe) % STRIPES)?, usize::from(slot) % SLOTS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Map;

    fn known() -> CachedToken {
        let token = Token {
            algorithm: crate::auth::keys::Algorithm::RS256,
            kid: None,
            typ: None,
            x5c: None,
            claims: Arc::new(Map::new()),
        };
        CachedToken { token: Arc::new(token), keys: Arc::default(), key: 0 }
    }

    #[test]
    fn it_stays_as_large_as_it_is() {
        let memory = VerifiedTokenCache::default();
        let names: Vec<TokenHash> =
            (0..20_000).map(|number| VerifiedTokenCache::name(&number.to_string()).unwrap()).collect();
        assert!(memory.get(names[0]).is_none());
        names.iter().for_each(|name| memory.add(*name, known));
        assert!(names.iter().all(|name| memory.get(*name).is_none()), "each was verified only once");
        names.iter().for_each(|name| (0..2).for_each(|_| memory.add(*name, known)));
        let held = names.iter().filter(|name| memory.get(**name).is_some()).count();
        assert!((STRIPES * SLOTS / 2..=STRIPES * SLOTS).contains(&held), "{held}");
        assert!(memory.get(*names.last().unwrap()).is_some());
        assert_eq!(VerifiedTokenCache::name(&"a".repeat(MAX_TOKEN + 1)), None);
    }
}
