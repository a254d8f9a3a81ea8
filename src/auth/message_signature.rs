//! Verification of HTTP Message Signatures (RFC 9421), with the digest of the body (RFC 9530). A signature names the
//! components of the request that it covers; the route says which ones it must cover, since the sender's list alone could
//! leave out anything.
//!
//! Everything but the digest is in the headers, so that a forged request is rejected before its body is read. Called by
//! [`super::verify`].

mod base;
mod component;
mod input;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Map;

use super::content_digest::{self, is_digest};
use super::explanation::Explanation;
use super::grant::{Grant, ReplayId, hash_of};
use super::issuer::Issuer;
use super::keys::{Algorithm, Key, Keys};
use super::locator::Locator;
use super::rejection::{MissingKey, Rejection, VerifyError};
use super::request::RequestView;
use super::sender::{Holder, HolderKind};
use crate::clock::UnixTime;
use crate::reason::Reason;
pub use base::base_to_sign;
use base::signature_base;
pub use component::{ComponentError, ComponentIdentifier, ComponentSource, HeaderForm};
use input::{LabelledSignatures, SignatureParameters};
pub use input::{SIGNATURE, SIGNATURE_INPUT};

/// How many signatures of one request are verified: each costs an unauthenticated client nothing.
const MAX_TRIED: usize = 3;

/// `auth.http_message_signature` of a route.
#[derive(Clone, Debug)]
pub struct MessageSignaturePolicy {
    /// The scheme's name.
    pub name: Arc<str>,
    /// The headers that carry signatures: always those of [`Self::headers_of_signatures`].
    pub places: [Locator; 2],
    /// The keys.
    pub issuer: Issuer,
    /// The label that the signature must have; `None` for any.
    pub label: Option<String>,
    /// The `tag` that the signature must have; `None` for any.
    pub tag: Option<String>,
    /// The components that the signature must cover, without digests.
    pub required: Vec<ComponentIdentifier>,
    /// Whether the signature must cover a digest of the body, if there is a body.
    pub requires_digest: bool,
    /// The parameters that the signature must have.
    pub required_parameters: Vec<SignatureParameter>,
    /// Maximum of now − `created`.
    pub max_age: Duration,
    /// Tolerated clock skew.
    pub leeway: Duration,
    /// Source of the replay id, if the route needs one.
    pub replay_id: Option<MessageReplayId>,
}

/// The source of the replay id of a request with a message signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageReplayId {
    /// The parameter `nonce`.
    Nonce,
    /// A header that the signature must cover.
    Header(HeaderName),
    /// The SHA-256 of the signature base.
    Hash,
}

/// A parameter of a signature (RFC 9421 §2.3)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignatureParameter {
    /// The time at which the signature was made.
    Created,
    /// The time at which it ends.
    Expires,
    /// A value that is used once.
    Nonce,
    /// The name of the algorithm.
    Alg,
    /// The key id.
    Keyid,
    /// The name of the application.
    Tag,
}

impl MessageSignaturePolicy {
    /// Verifies the signature of one request. Of several signatures that are of this route by label and tag, one that
    /// holds suffices.
    ///
    /// # Errors
    /// `missing_credential` without such a signature; otherwise the first rejection, or the one for keys that are not
    /// available.
    pub(super) fn verify(
        &self,
        request: &RequestView<'_>,
        now: UnixTime,
        explanation: &mut Explanation,
    ) -> Result<Grant, VerifyError> {
        let Some(signatures) = LabelledSignatures::read(request)? else {
            explanation.add("signatures", || "no Signature-Input header".into());
            return Err(Reason::MissingCredential.into());
        };
        explanation.add("signatures", || signatures.labels());
        let ours: Vec<_> = signatures.inputs().filter(|(label, input)| self.is_ours(label, input)).collect();
        if ours.len() > MAX_TRIED {
            explanation.add("signature", || format!("more than {MAX_TRIED} signatures: set `label` or `tag`"));
            return Err(Reason::MultipleCredentials.into());
        }
        // All of them are verified: were only the first one's replay id taken, a copy without it would be no duplicate.
        let (mut granted, mut worst): (Option<Grant>, Option<VerifyError>) = (None, None);
        for (label, input) in ours {
            let parameters = SignatureParameters::read(input).map_err(|why| {
                explanation.add("signature parameters", || format!("{label}: {why}"));
                why.reason().into()
            });
            let bytes = signatures.bytes(label);
            let verified =
                parameters.and_then(|parameters| self.verify_one(&parameters, bytes, request, now, explanation));
            match verified {
                Ok(grant) => {
                    granted = Some(match granted {
                        Some(first) => first.beside(grant),
                        None => grant,
                    });
                }
                Err(VerifyError::NeedsBody) => return Err(VerifyError::NeedsBody),
                Err(error) if worst.is_none() || is_undecided(&error) => worst = Some(error),
                Err(_not_the_first) => {}
            }
        }
        granted.ok_or_else(|| {
            worst.unwrap_or_else(|| {
                explanation.add("signature", || "none has the label and the tag of this route".into());
                Reason::MissingCredential.into()
            })
        })
    }

    fn is_ours(&self, label: &str, input: &sfv::ListEntry) -> bool {
        let has_label = self.label.as_deref().is_none_or(|ours| ours == label);
        has_label && (self.tag.is_none() || SignatureParameters::tag_of(input) == self.tag.as_deref())
    }

    fn verify_one(
        &self,
        parameters: &SignatureParameters,
        signature: Option<&[u8]>,
        request: &RequestView<'_>,
        now: UnixTime,
        explanation: &mut Explanation,
    ) -> Result<Grant, VerifyError> {
        explanation.add("signature parameters", || parameters.serialized.clone());
        let signature = signature.ok_or(Reason::MalformedCredential)?;
        self.check_parameters(parameters, explanation)?;
        self.check_coverage(parameters, explanation)?;
        let validity = self.check_times(parameters, now, explanation)?;
        let base = signature_base(parameters, request, explanation)?;
        let reject = |reason| Rejection { issuer: Some(Arc::clone(&self.issuer.name)), ..Rejection::from(reason) };
        let undecided = |reason| Rejection { remote: MissingKey::of(&self.issuer.keys), ..reject(reason) };
        let keys = self.issuer.keys.current(now).ok_or_else(|| undecided(Reason::JwksUnavailable))?;
        let fits =
            |algorithm| parameters.algorithm.as_deref().is_none_or(|name| registered_name(algorithm) == Some(name));
        let candidates = keys.select_by_key_id(parameters.key_id.as_deref(), fits).map_err(|reason| {
            explanation
                .add("key", || format!("none for keyid {:?}, alg {:?}", parameters.key_id, parameters.algorithm));
            if reason == Reason::UnknownKey { undecided(reason) } else { reject(reason) }
        })?;
        let Some(key) = candidates.into_iter().find(|key| key.verify(base.as_bytes(), signature).is_ok()) else {
            explanation.add("signature", || "does not match the signature base".into());
            return Err(reject(Reason::InvalidSignature).into());
        };
        explanation.add("signature", || "valid".into());
        let proven = |error: VerifyError| error.proven(&self.issuer.name);
        self.check_body(parameters, request, explanation).map_err(proven)?;
        let replay_id = self.replay_id_of(parameters, request, &base).map_err(|reason| proven(reason.into()))?;
        let replay_id = replay_id.map(|(kind, id)| ReplayId {
            kind,
            id,
            // Each component has a line of its own: no byte of an id can be moved.
            text: None,
            until: validity.1.map(|last| last.plus(Duration::from_secs(1))),
            issued: validity.0,
        });
        Ok(Grant {
            issuer: Some(Arc::clone(&self.issuer.name)),
            kid: parameters.key_id.clone().or_else(|| key.name().map(str::to_owned)),
            secrets: key.secret.into_iter().collect(),
            replay_id,
            holder: Some(self.holder(key)),
            key: self.issuer.unnamed(key),
            ..Grant::anonymous()
        })
    }

    fn check_parameters(&self, parameters: &SignatureParameters, explanation: &mut Explanation) -> Result<(), Reason> {
        let is_missing = |parameter: &&SignatureParameter| match parameter {
            SignatureParameter::Created => parameters.created.is_none(),
            SignatureParameter::Expires => parameters.expires.is_none(),
            SignatureParameter::Nonce => parameters.nonce.is_none(),
            SignatureParameter::Alg => parameters.algorithm.is_none(),
            SignatureParameter::Keyid => parameters.key_id.is_none(),
            SignatureParameter::Tag => parameters.tag.is_none(),
        };
        let Some(missing) = self.required_parameters.iter().find(is_missing) else { return Ok(()) };
        explanation.add("required parameter", || format!("{missing:?} is absent").to_ascii_lowercase());
        Err(match missing {
            SignatureParameter::Created | SignatureParameter::Expires => Reason::MissingTimestamp,
            SignatureParameter::Nonce
            | SignatureParameter::Alg
            | SignatureParameter::Keyid
            | SignatureParameter::Tag => Reason::RequirementNotMet,
        })
    }

    fn check_coverage(&self, parameters: &SignatureParameters, explanation: &mut Explanation) -> Result<(), Reason> {
        let Some(missing) = self.required.iter().find(|required| !required.is_covered_by(&parameters.components))
        else {
            return Ok(());
        };
        explanation.add("required component", || format!("{missing} is not covered by the signature"));
        Err(Reason::MissingSignedComponent)
    }

    /// Returns the first and the last second in which the signature is accepted, as far as it states them.
    fn check_times(
        &self,
        parameters: &SignatureParameters,
        now: UnixTime,
        explanation: &mut Explanation,
    ) -> Result<(Option<UnixTime>, Option<UnixTime>), Reason> {
        let first = parameters.created.map(|created| created.minus(self.leeway));
        let oldest = parameters.created.map(|created| created.plus(self.max_age).plus(self.leeway));
        let end = parameters.expires.map(|expires| expires.plus(self.leeway));
        let last = [oldest, end].into_iter().flatten().min();
        explanation.add("timestamp", || {
            let text = |time: Option<UnixTime>| time.map_or("absent".to_owned(), |time| time.seconds().to_string());
            format!("created {}, expires {}", text(parameters.created), text(parameters.expires))
        });
        // Without `created`, the end bounds how long a copy is valid.
        let end_is_far = first.is_none() && end.is_some_and(|end| end > now.plus(self.max_age).plus(self.leeway));
        if end_is_far || first.is_some_and(|first| now < first) {
            return Err(Reason::TimestampInFuture);
        }
        // One that expires before it is made was never valid.
        let never = parameters.created.zip(parameters.expires).is_some_and(|(created, expires)| expires < created);
        if never || last.is_some_and(|last| last < now) { Err(Reason::TimestampTooOld) } else { Ok((first, last)) }
    }

    /// Compares the body with each digest that the signature covers.
    fn check_body(
        &self,
        parameters: &SignatureParameters,
        request: &RequestView<'_>,
        explanation: &mut Explanation,
    ) -> Result<(), VerifyError> {
        let mut is_compared = false;
        for component in &parameters.components {
            let ComponentSource::Header(name, form) = component.source() else { continue };
            // A signature over one member leaves the others open.
            if !is_digest(name) || matches!(form, HeaderForm::Member(_)) {
                continue;
            }
            let checked = content_digest::check(name, request, request.body()?);
            explanation.add("body", || match checked {
                Ok(()) => format!("matches {name}"),
                Err(Reason::BodyMismatch) => format!("does not match {name}"),
                Err(_) => format!("{name} has no digest with sha-256 or sha-512"),
            });
            checked?;
            is_compared = true;
        }
        if self.requires_digest && !is_compared && !request.body()?.is_empty() {
            explanation.add("required component", || "content-digest is not covered by the signature".into());
            return Err(Reason::MissingSignedComponent.into());
        }
        Ok(())
    }

    fn replay_id_of(
        &self,
        parameters: &SignatureParameters,
        request: &RequestView<'_>,
        base: &str,
    ) -> Result<Option<(&'static str, Vec<u8>)>, Reason> {
        Ok(match &self.replay_id {
            None => None,
            Some(MessageReplayId::Hash) => Some(("hash", hash_of(base.as_bytes()))),
            Some(MessageReplayId::Nonce) => {
                let nonce = parameters.nonce.as_deref().filter(|nonce| !nonce.is_empty());
                Some(("nonce", nonce.ok_or(Reason::RequirementNotMet)?.as_bytes().to_vec()))
            }
            Some(MessageReplayId::Header(name)) => {
                // With `sf`, other bytes of the header have the same signed value.
                let as_is = ComponentSource::Header(name.clone(), HeaderForm::AsIs);
                let bytes = ComponentSource::Header(name.clone(), HeaderForm::Bytes);
                if !parameters.components.iter().any(|one| [&as_is, &bytes].contains(&one.source())) {
                    return Err(Reason::RequirementNotMet);
                }
                let id = request.header(name)?.ok_or(Reason::MissingSignedComponent)?;
                Some(("piece", id.as_bytes().to_vec()))
            }
        })
    }

    /// The holder of a signature that this key has verified: the sender that the key names, or else the key id of one of
    /// the route's own keys, or the issuer, which rotates its keys.
    fn holder(&self, key: &Key) -> Holder {
        if key.sender.is_some() || key.secret.is_none() {
            return self.issuer.holder(key, &Map::new());
        }
        Holder { kind: HolderKind::Scheme, name: Arc::clone(&self.name), key_id: key.name().map(Arc::from) }
    }

    /// Whether all requests that pass have the same sender.
    pub fn has_one_sender(&self) -> bool {
        match &self.issuer.keys {
            Keys::Fixed(set) => {
                let mut holders = (0..set.len()).filter_map(|place| set.get(place)).map(|key| self.holder(key));
                holders.next().is_none_or(|first| holders.all(|other| other == first))
            }
            Keys::Remote(_) | Keys::Chain(_) | Keys::OfTenants(_) => true,
        }
    }

    /// Whether a digest of the body is signed.
    pub const fn binds_body(&self) -> bool {
        self.requires_digest
    }

    /// Whether the URL is signed, with its host.
    pub fn signs_url(&self) -> bool {
        self.signs(&ComponentSource::Authority)
    }

    /// Whether the path is signed.
    pub fn signs_path(&self) -> bool {
        self.signs(&ComponentSource::Path)
    }

    /// Whether this header is signed.
    pub fn signs_header(&self, name: &HeaderName) -> bool {
        self.signs(&ComponentSource::Header(name.clone(), HeaderForm::AsIs))
    }

    fn signs(&self, source: &ComponentSource) -> bool {
        source.is_covered(&|wanted| self.required.iter().any(|required| required.source() == wanted))
    }

    /// The headers that carry signatures.
    pub fn headers_of_signatures() -> [Locator; 2] {
        [SIGNATURE_INPUT, SIGNATURE].map(Locator::header_named)
    }

    /// The headers that this policy reads.
    pub fn headers(&self) -> impl Iterator<Item = HeaderName> {
        let required = self.required.iter().filter_map(|component| {
            if let ComponentSource::Header(name, _) = component.source() { Some(name.clone()) } else { None }
        });
        [content_digest::CONTENT_DIGEST, content_digest::REPR_DIGEST].into_iter().chain(required)
    }
}

/// Whether a rejection may turn into a grant by a fetch of keys or a retry.
fn is_undecided(error: &VerifyError) -> bool {
    matches!(error, VerifyError::Rejected(Rejection { remote: Some(_), .. }))
}

/// The name of an algorithm in the registry of RFC 9421 §6.2.2; `None` for those of JOSE alone, which `alg` cannot name
/// (§3.3.7).
pub fn registered_name(algorithm: Algorithm) -> Option<&'static str> {
    Some(match algorithm {
        Algorithm::PS512 => "rsa-pss-sha512",
        Algorithm::RS256 => "rsa-v1_5-sha256",
        Algorithm::HS256 => "hmac-sha256",
        Algorithm::ES256 => "ecdsa-p256-sha256",
        Algorithm::ES384 => "ecdsa-p384-sha384",
        Algorithm::EdDSA => "ed25519",
        Algorithm::HS384 | Algorithm::HS512 | Algorithm::RS384 | Algorithm::RS512 => return None,
        Algorithm::PS256 | Algorithm::PS384 | Algorithm::ES512 => return None,
    })
}

#[cfg(test)]
mod tests;
