//! Verification of a webhook signature: finds and parses the signature value, checks the timestamp, builds the string
//! to sign from its components as the sender did, and tries each secret.
//!
//! A preset or `auth.signature` describes all of this as data; no provider has its own code.
//! Called by [`super::verify`].

mod certificate;
mod component;
mod form;
mod json_lines;
mod parse;
mod replay_id;
mod shown;
mod signed_time;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::claims::ClaimRule;
use super::encoding::Encoding;
use super::explanation::Explanation;
use super::grant::Grant;
use super::locator::{LocatedValue, Locator};
use super::rejection::{Rejection, VerifyError};
use super::request::{RequestView, UrlVariant, target_spellings};
use super::secret::{Secret, SignatureAlgorithm};
use super::tenants::{Candidates, Secrets};
use crate::clock::UnixTime;
use crate::reason::Reason;
pub use certificate::NamedCertificate;
pub use component::{BodyForm, Component, Digest, Presence, SigningVariant, UrlSpelling};
pub use json_lines::JsonLines;
pub use parse::{Parse, Value};
pub use replay_id::SignatureReplayId;
use shown::shown;
pub use signed_time::SignedTime;
use signed_time::check_time;

/// `auth.signature` of a route, or the signature scheme of a preset.
#[derive(Clone, Debug)]
pub struct SignaturePolicy {
    /// The preset's name, or `signature`; a field of the access log.
    pub name: Arc<str>,
    /// Where the request carries signatures; each one present is tried.
    pub places: Vec<Locator>,
    /// How the signature is parsed out of its value.
    pub parse: Parse,
    /// Encoding of the signature's bytes.
    pub encoding: Encoding,
    /// Signature algorithm.
    pub algorithm: SignatureAlgorithm,
    /// Components of the string to sign, in order (`signed_payload`).
    pub signed_payload: Vec<Component>,
    /// Separator between the components.
    pub join: String,
    /// Other spellings of the URL that senders may have signed.
    pub url_variants: Vec<UrlVariant>,
    /// The signed timestamp.
    pub time: Option<SignedTime>,
    /// The component that identifies the secret.
    pub key_id: Option<Component>,
    /// Headers and the values that they must have (`require.headers`).
    pub required_headers: Vec<(HeaderName, String)>,
    /// Parts of the signature's value and the text that they must have (`require.parts`).
    pub required_parts: Vec<(String, String)>,
    /// Rules for the members of the body, which must then be a JSON object (`require.json`).
    pub required_json: Option<Vec<ClaimRule>>,
    /// Name of a signed query parameter that may replace the body: it holds the body's SHA-256 in hex.
    pub body_hash: Option<String>,
    /// The component that identifies the event across retries.
    pub id: Option<Component>,
    /// Secrets and public keys; a signature under any of them is valid.
    pub secrets: Secrets,
    /// The certificate with the key, instead of `secrets`.
    pub certificate: Option<NamedCertificate>,
    /// Whether two events may have the same string to sign, so that its hash is no replay id by default.
    pub repeats: bool,
    /// Source of the replay id, if the route needs one.
    pub replay_id: Option<SignatureReplayId>,
}

impl SignaturePolicy {
    /// Verifies the signature of one request.
    ///
    /// # Errors
    /// `missing_credential` if the request carries no signature at all, or a list without one of this scheme;
    /// `requirement_not_met` if a rule of
    /// `require` does not hold; `missing_timestamp`, `malformed_timestamp`, `timestamp_too_old`, `timestamp_in_future`;
    /// `missing_signed_component`; `signing_certificate_not_allowed`, `signing_certificate_unavailable`; `body_mismatch`; `malformed_body` if the body must be parsed and cannot; otherwise
    /// `invalid_signature`.
    pub(super) fn verify(
        &self,
        request: &RequestView<'_>,
        now: UnixTime,
        explanation: &mut Explanation,
    ) -> Result<Grant, VerifyError> {
        let values = self.values(request)?;
        if values.is_empty() {
            return Err(Reason::MissingCredential.into());
        }
        self.check_headers(request)?;
        let mut values: Vec<Value<'_>> = values.iter().flat_map(|value| self.parse.read(value)).collect();
        if values.is_empty() {
            // A list may have signatures of other versions alone, which are those of another alternative.
            let is_list = matches!(self.parse, Parse::List { .. });
            let reason = if is_list { Reason::MissingCredential } else { Reason::InvalidSignature };
            return Err(Rejection::detailed(reason, self.without_form()).into());
        }
        values.retain(|value| self.has_its_parts(value));
        if values.is_empty() {
            let detail = "a part of the signature's value that `require.parts` names is absent or has another value";
            return Err(Rejection::detailed(Reason::RequirementNotMet, detail).into());
        }
        // Checks that need no body run first: the body of a request that cannot be valid need not be read.
        let mut validity = None;
        if let Some(time) = self.time.as_ref().filter(|time| !time.source.needs_body()) {
            validity = check_time(time, request, &values, now, explanation)?;
        }
        if !values.iter().any(|value| self.has_signature(value)) {
            return Err(Rejection::detailed(Reason::InvalidSignature, self.without_length()).into());
        }
        self.check_json(request, explanation)?;
        let mut grants = self.signed_by(request, &values, now, explanation)?;
        if let Some(time) = self.time.as_ref().filter(|time| time.source.needs_body()) {
            validity =
                check_time(time, request, &values, now, explanation).map_err(|error| error.proven(&self.name))?;
        }
        for replay_id in grants.iter_mut().filter_map(|grant| grant.replay_id.as_mut()) {
            replay_id.issued = validity.map(|(first, _)| first);
            replay_id.until = validity.map(|(_, last)| last.plus(Duration::from_secs(1)));
        }
        // All of them count: were only the first one's replay id taken, a copy without its signature would be no
        // duplicate.
        grants.into_iter().reduce(Grant::beside).ok_or(Reason::InvalidSignature.into())
    }

    /// Each signature value in the request.
    fn values<'v>(&self, request: &'v RequestView<'v>) -> Result<Vec<Cow<'v, str>>, VerifyError> {
        let mut found = Vec::new();
        for place in &self.places {
            found.extend(place.find(request)?.and_then(LocatedValue::into_text));
        }
        Ok(found)
    }

    /// Whether the value has bytes of the encoding and the length of a signature.
    pub fn has_signature(&self, value: &Value<'_>) -> bool {
        let lengths = self.algorithm.lengths();
        value.decoded(self.encoding).iter().any(|signature| lengths.contains(&signature.len()))
    }

    fn has_its_parts(&self, value: &Value<'_>) -> bool {
        self.required_parts.iter().all(|(key, wanted)| value.part(key) == Some(wanted.as_str()))
    }

    fn check_headers(&self, request: &RequestView<'_>) -> Result<(), VerifyError> {
        for (name, wanted) in &self.required_headers {
            if request.header(name)? != Some(wanted.as_str()) {
                let detail = format!("the header {name} is not {wanted:?}");
                return Err(Rejection::detailed(Reason::RequirementNotMet, detail).into());
            }
        }
        Ok(())
    }

    fn check_json(&self, request: &RequestView<'_>, explanation: &mut Explanation) -> Result<(), VerifyError> {
        let Some(rules) = &self.required_json else { return Ok(()) };
        let holds_in = |body| rules.iter().try_fold(true, |all, rule| Ok(all && rule.holds_in(body)?));
        let holds = request.unambiguous(request.json()?.map(holds_in).transpose())?;
        explanation.add("required body", || match holds {
            Some(true) => "matches `require.json`".into(),
            Some(false) => "does not match `require.json`".into(),
            None => "is not a JSON object".into(),
        });
        match holds {
            Some(true) => Ok(()),
            Some(false) => {
                Err(Rejection::detailed(Reason::RequirementNotMet, "the body does not match `require.json`").into())
            }
            None => Err(Rejection::detailed(Reason::MalformedBody, "the body is not a JSON object").into()),
        }
    }

    /// The grants of all secrets that made one of the signatures; at least one.
    fn signed_by(
        &self,
        request: &RequestView<'_>,
        values: &[Value<'_>],
        now: UnixTime,
        explanation: &mut Explanation,
    ) -> Result<Vec<Grant>, VerifyError> {
        let body = self.check_body_hash(request, explanation)?;
        let secrets = match &self.certificate {
            None => self.secrets.candidates(request.tenant),
            Some(certificate) => certificate.key(request, now, explanation, |explanation| {
                let time = self.time.as_ref().filter(|time| time.source.needs_body());
                time.map_or(Ok(()), |time| check_time(time, request, values, now, explanation).map(|_| ()))
            })?,
        };
        let mut granted = Vec::new();
        for (value, signatures) in self.attempts(values) {
            match self.grants_of(request, (value, &signatures), body, &secrets, explanation) {
                Ok(grants) => granted.extend(grants),
                Err(error) if granted.is_empty() => return Err(error),
                Err(_of_a_further_value) => {}
            }
        }
        if granted.is_empty() {
            explanation.add("signature", || secrets.without_match().into());
            let detail = self.without_match(request.body.is_none_or(|body| !body.is_empty()));
            return Err(Rejection::detailed(Reason::InvalidSignature, detail).into());
        }
        Ok(granted)
    }

    /// Tries every spelling of the URL with every secret, until each signature has its secret. Timing may reveal which one
    /// matches; that is not a secret. Each string to sign is built and hashed once, however many signatures the request
    /// has.
    fn grants_of(
        &self,
        request: &RequestView<'_>,
        (value, signatures): (&Value<'_>, &[Vec<u8>]),
        body: BodyForm,
        secrets: &Candidates<'_>,
        explanation: &mut Explanation,
    ) -> Result<Vec<Grant>, VerifyError> {
        let key_id = self.key_id.as_ref().map(|component| component.text(request, value)).transpose();
        let key_id = key_id.map_err(without_key_id)?;
        let parts = (
            &*self.signed_payload,
            self.time.as_ref().filter(|time| time.unit.has_fixed_length()).map(|time| &time.source),
        );
        let mut grants = Vec::new();
        for url in self.urls(request) {
            let mut built = None;
            for secret in secrets.iter().filter(|secret| secret.answers_to(key_id.as_deref())) {
                let text = match built.take().filter(|_| !self.signed_payload.contains(&Component::Secret)) {
                    Some(text) => text,
                    None => self.text(request, value, &SigningVariant { url: &url, body, secret })?,
                };
                explanation.add("string to sign", || shown(&text, secret));
                if secret.key.verifies_any(self.algorithm, &text, signatures) && !secrets.is_decoy() {
                    explanation.add("signature", || format!("valid, made with secret {}", secret.index));
                    let replay_id = self.replay_id.as_ref().map(|source| source.of(request, value, &text, parts));
                    grants.push(Grant {
                        issuer: Some(Arc::clone(&self.name)),
                        secrets: secrets.index_of(secret),
                        replay_id: replay_id.transpose()?,
                        holder: Some(secret.holder(&self.name)),
                        key: secret.sender.is_none().then_some(secret.digest),
                        ..Grant::anonymous()
                    });
                    if grants.len() == signatures.len() {
                        return Ok(grants);
                    }
                }
                built = Some(text);
            }
        }
        Ok(grants)
    }

    /// The values, each with its decoded signatures; one with all signatures if what is signed is the same for each.
    fn attempts<'v>(&self, values: &'v [Value<'v>]) -> Vec<(&'v Value<'v>, Vec<Vec<u8>>)> {
        let replay_id = match &self.replay_id {
            Some(SignatureReplayId::Component(component)) => Some(component),
            Some(SignatureReplayId::Hash) | None => None,
        };
        let each = values.iter().map(|value| (value, value.decoded(self.encoding)));
        if self.signed_payload.iter().chain(&self.key_id).chain(replay_id).any(Component::is_of_value) {
            return each.collect();
        }
        let all = each.flat_map(|(_, signatures)| signatures).collect();
        values.first().map(|value| (value, all)).into_iter().collect()
    }

    /// The spellings of the URL to try; one empty spelling if the URL is not signed.
    fn urls(&self, request: &RequestView<'_>) -> Vec<UrlSpelling> {
        let variants = &self.url_variants;
        let signs = |wanted: fn(&Component) -> bool| self.signed_payload.iter().any(wanted);
        let (url, path) = (signs(Component::is_url), signs(|component| *component == Component::Path));
        let target = request.path_and_query();
        match (url, path) {
            (true, _) => request.url.spellings(target, variants).into_iter().map(UrlSpelling::of_url).collect(),
            (false, true) => target_spellings(target, variants).into_iter().map(UrlSpelling::of_path).collect(),
            (false, false) => vec![UrlSpelling::default()],
        }
    }

    /// The string to sign, as a list of its components and the separators between them.
    ///
    /// # Errors
    /// `missing_signed_component` if a component is absent; `malformed_body` if the body cannot be parsed for one.
    pub fn text<'a>(
        &'a self,
        request: &'a RequestView<'a>,
        value: &Value<'a>,
        ways: &SigningVariant<'a>,
    ) -> Result<Vec<Cow<'a, [u8]>>, VerifyError> {
        let mut text = Vec::with_capacity(2 * self.signed_payload.len());
        for component in &self.signed_payload {
            if !text.is_empty() && !self.join.is_empty() {
                text.push(Cow::Borrowed(self.join.as_bytes()));
            }
            text.push(component.bytes(request, value, ways)?);
        }
        Ok(text)
    }

    /// The string that a sender with this secret signs, given the parts of the signature value.
    ///
    /// # Errors
    /// Those of [`Self::text`].
    pub fn text_to_sign(
        &self,
        request: &RequestView<'_>,
        parts: &[(String, String)],
        secret: &Secret,
    ) -> Result<Vec<u8>, VerifyError> {
        let body = self.check_body_hash(request, &mut Explanation::off())?;
        let urls = self.urls(request);
        let url = urls.first().ok_or(Reason::InvalidSignature)?;
        Ok(self.text(request, &Value::of_parts(parts), &SigningVariant { url, body, secret })?.concat())
    }

    /// Compares the body with the hash in the signed query parameter, if it is present. The hash then represents the
    /// body in the string to sign. A form is signed by its fields, without separators: a hash in one of them would be at
    /// the end of the URL if the fields were moved there, and a captured signature would be valid for any body with that
    /// hash. So the hash must be the last parameter, and no form is verified by it.
    fn check_body_hash(
        &self,
        request: &RequestView<'_>,
        explanation: &mut Explanation,
    ) -> Result<BodyForm, VerifyError> {
        let Some(name) = self.body_hash.as_deref().filter(|_| !request.is_form()) else { return Ok(BodyForm::AsItIs) };
        if request.query(name)?.is_none() {
            return Ok(BodyForm::AsItIs);
        }
        let last = request.head.uri.query().and_then(|query| query.rsplit('&').next()).unwrap_or_default();
        let wanted = last.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
        let hash = Digest::hex_sha256(request.body()?);
        let fits = wanted.is_some_and(|wanted| hash.eq_ignore_ascii_case(wanted));
        explanation.add("body hash", || match wanted {
            Some(_) => format!("{name} {} the body", if fits { "matches" } else { "does not match" }),
            None => format!("{name} is not the last query parameter"),
        });
        if fits { Ok(BodyForm::ByItsHash) } else { Err(Reason::BodyMismatch.into()) }
    }

    /// Whether the replay id is a hash that two events may share.
    pub fn may_lose_events(&self) -> bool {
        self.repeats && self.replay_id == Some(SignatureReplayId::Hash)
    }

    /// Whether the body or a hash of it is signed.
    pub fn binds_body(&self) -> bool {
        self.signed_payload.iter().any(Component::is_whole_body)
    }

    /// Whether the URL is signed, with its host.
    pub fn signs_url(&self) -> bool {
        self.signed_payload.iter().any(Component::is_url)
    }

    /// Whether the path is signed.
    pub fn signs_path(&self) -> bool {
        self.signed_payload.contains(&Component::Path)
    }

    /// Whether this header is signed.
    pub fn signs_header(&self, name: &HeaderName) -> bool {
        self.signed_payload.iter().flat_map(Component::headers).any(|signed| signed == name)
    }

    /// The headers that this policy reads.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        let places = self.places.iter().filter_map(Locator::header);
        let time = self.time.iter().map(|time| &time.source);
        let components = self.signed_payload.iter().chain(time).chain(&self.key_id).flat_map(Component::headers);
        let certificate = self.certificate.iter().filter_map(|certificate| certificate.url.header());
        places.chain(components).chain(certificate).chain(self.required_headers.iter().map(|(name, _)| name))
    }
}

/// Maps an absent key id to `invalid_signature`: a key id need not be signed.
fn without_key_id(error: VerifyError) -> VerifyError {
    let absent = error.reason() == Some(Reason::MissingSignedComponent);
    if absent { error.with_reason(Reason::InvalidSignature) } else { error }
}

#[cfg(test)]
mod tests;
