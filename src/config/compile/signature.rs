//! `signature` and `static_token`: the schemes that presets and operators can describe.

use std::time::Duration;

use zeroize::Zeroizing;

use super::compiler::{Compiler, RouteScope};
use super::secrets::{KeyMaterial, WrittenKeys, material_of};
use crate::auth::claims::ClaimRule;
use crate::auth::encoding::Encoding;
use crate::auth::locator::{Locator, Scheme};
use crate::auth::secret::{Hash, SecretKey, SignatureAlgorithm};
use crate::auth::signature::{Component, Parse, Presence, SignaturePolicy, SignedTime};
use crate::auth::static_token::StaticTokenPolicy;
use crate::auth::tenants::Secrets;
use crate::config::file::SecretEncoding;
use crate::config::file::signature::{
    ParseYaml, RequireYaml, SignatureAlgorithmYaml, SignatureYaml, SignedTimeYaml, StaticTokenYaml,
};
use crate::config::file::signing_certificate::CertificateAccessYaml;
use crate::config::reader::{Field, Location};

/// Maximum number of components of a signed payload.
const MAX_COMPONENTS: usize = 64;

/// Maximum number of secrets without key id: a rotation needs two, and a forged signature is verified with each.
const MAX_TRIED: usize = 10;

/// Settings of a signature that are not in its [`SignatureYaml`].
pub(super) struct Written<'a> {
    /// The preset's name, or `signature`, for the log.
    pub(super) name: &'a str,
    /// The secrets; `None` if one of them has a problem.
    pub(super) secrets: Option<Secrets>,
    /// A maximum age instead of the preset's.
    pub(super) tolerance: Option<Duration>,
    /// How the certificate of a preset is fetched.
    pub(super) access: Option<&'a CertificateAccessYaml>,
}

impl Compiler<'_> {
    pub(super) fn signature(
        &mut self,
        field: &Field<Box<SignatureYaml>>,
        scope: &mut RouteScope<'_>,
    ) -> Option<SignaturePolicy> {
        let file = field.value()?;
        let algorithm = self.required(&file.algorithm, "the signature algorithm, such as hmac-sha256");
        let algorithm = algorithm.copied().map(algorithm_of);
        let material = algorithm.map_or(KeyMaterial::Shared(SecretEncoding::Utf8), material_of);
        let keys = WrittenKeys::of_signature(file, material);
        for material in [KeyMaterial::Shared(SecretEncoding::Utf8), KeyMaterial::PublicKey] {
            self.only_material(&WrittenKeys::of_signature(file, material), &keys);
        }
        let secrets = match file.certificate.written_at() {
            None => self.secrets(&keys, algorithm, scope),
            Some(at) => self.no_secrets(&keys, at),
        };
        if !file.key_id.is_written() {
            self.unused_ids(&keys.files(), "the signature has no key id; set key_id, or `sender` instead of this key");
        }
        self.signature_policy(file, Written { name: "signature", secrets, tolerance: None, access: None }, field.at)
    }

    pub(super) fn signature_policy(
        &mut self,
        file: &SignatureYaml,
        written: Written<'_>,
        at: Location,
    ) -> Option<SignaturePolicy> {
        let algorithm = file.algorithm.value().copied().map(algorithm_of);
        let places = self.places(file, at);
        let parse = self.parse(&file.parse);
        let encoding = self.required(&file.encoding, "hex, hex_upper, base64, base64url or base64_of_hex");
        let signed_payload = self.components(file, algorithm);
        let time = file.timestamp.if_written(|field| self.signed_time(field, written.tolerance, &signed_payload));
        if let Some(secrets) = &written.secrets {
            self.check_key_ids(file, secrets, at);
        }
        let id = self.event_id(file, &signed_payload);
        let certificate = self.named_certificate(file, &written, algorithm);
        let require = file.require.value();
        let (required_headers, required_json) = require.map(|file| self.require(file)).unwrap_or_default();
        let required_parts = require.into_iter().flat_map(|require| &*require.parts);
        let body_hash =
            file.body_hash.value().and_then(|hash| self.required(&hash.query, "the name of the query parameter"));
        if body_hash.is_some() && !signed_payload.contains(&Component::Url) {
            let problem = "the URL with the hash is not signed; add url to `signed_payload`";
            self.problems.add(file.body_hash.at, problem);
        }
        Some(SignaturePolicy {
            name: written.name.into(),
            places: places?,
            parse: parse?,
            encoding: encoding.copied().unwrap_or(Encoding::Hex),
            algorithm: algorithm?,
            signed_payload,
            join: file.join.or_default(),
            url_variants: file.url_variants.to_vec(),
            time: time?,
            key_id: file.key_id.value().map(|component| (**component).clone()),
            required_headers,
            required_parts: required_parts
                .filter_map(|(part, value)| Some((part.clone(), value.value()?.clone())))
                .collect(),
            required_json,
            body_hash: body_hash.cloned(),
            id,
            secrets: written.secrets?,
            certificate: certificate?,
            repeats: false,
            replay_id: None,
        })
    }

    fn places(&mut self, file: &SignatureYaml, at: Location) -> Option<Vec<Locator>> {
        let headers = file.header.or_default();
        if file.header.value().is_some_and(|headers| headers.is_empty()) {
            self.problems.add_follow_up(file.header.at, "must not be empty; set a header name");
            return Some(Vec::new());
        }
        let first = self.locator(&file.places(), at)?;
        let others = headers.iter().skip(1).map(|name| self.locator_under(("header", name, file.header.at)));
        std::iter::once(Some(first)).chain(others).collect()
    }

    fn parse(&mut self, field: &Field<ParseYaml>) -> Option<Parse> {
        if !field.is_written() {
            return Some(Parse::Raw);
        }
        let file = field.value()?;
        let forms = [
            ("prefix", file.prefix.is_written()),
            ("pairs", file.pairs.is_written()),
            ("list", file.list.is_written()),
            ("split", file.split.is_written()),
        ];
        let several = "has more than one of prefix, pairs, list and split; keep one";
        match self.only_one(field.at, &forms, ("exactly one of prefix, pairs, list and split", several))? {
            "prefix" => Some(Parse::Prefix(file.prefix.value()?.clone())),
            "pairs" => {
                let pairs = file.pairs.value()?;
                let separator = self.text(&pairs.separator, Some(","));
                let equals = self.text(&pairs.equals, Some("="));
                let key = self.text(&pairs.key, None);
                Some(Parse::Pairs { separator: separator?, equals: equals?, key: key? })
            }
            "list" => {
                let list = file.list.value()?;
                let separator = self.text(&list.separator, None)?;
                Some(Parse::List { separator, prefix: list.prefix.or_default() })
            }
            _split => {
                let split = file.split.value()?;
                self.required(&split.index, "the index of the field that is the signature, from 0");
                let separator = self.text(&split.separator, None);
                let list = split.list.value().cloned();
                if split.rest.get() {
                    self.unused(&[split.list.written_at()], "cannot be combined with `rest`; keep one of them");
                    return Some(Parse::Rest { separator: separator?, index: split.index.number()? });
                }
                Some(Parse::Split { separator: separator?, index: split.index.number()?, list })
            }
        }
    }

    /// A text that must not be empty.
    fn text(&mut self, field: &Field<String>, default: Option<&str>) -> Option<String> {
        let text = field.text().or(default.filter(|_| !field.is_written()));
        let text = text.filter(|text| !text.is_empty()).map(str::to_owned);
        if text.is_none() {
            self.missing(field.at, "a text that is not empty");
        }
        text
    }

    fn components(&mut self, file: &SignatureYaml, algorithm: Option<SignatureAlgorithm>) -> Vec<Component> {
        let (written, at) = (&file.signed_payload, file.signed_payload.at);
        if written.is_empty() || written.len() > MAX_COMPONENTS {
            let problem = format!("expected 1 to {MAX_COMPONENTS} components, such as [part:t, body]");
            self.problems.add_follow_up(at, problem);
        }
        let components: Vec<Component> = written.iter().map(|component| (**component).clone()).collect();
        let holds_secret = components.contains(&Component::Secret);
        let is_plain_hash = algorithm == Some(SignatureAlgorithm::Sha256);
        if is_plain_hash && !holds_secret {
            let problem = "a plain sha256 authenticates the sender only with `secret` as one of the components";
            self.problems.add(at, problem);
        } else if holds_secret && !is_plain_hash && algorithm.is_some() {
            self.problems.add(at, "`secret` is a component of plain sha256 only; an HMAC uses it as its key");
        }
        components
    }

    fn signed_time(
        &mut self,
        field: &Field<SignedTimeYaml>,
        tolerance: Option<Duration>,
        signed_payload: &[Component],
    ) -> Option<SignedTime> {
        let file = field.value()?;
        let source = match self.only_key(&file.places(), field.at)? {
            ("part", part, _) => Component::Part(part.to_owned()),
            key => Component::Located(self.locator_under(key)?, Presence::Required),
        };
        if !source.is_covered_by(signed_payload) {
            let problem = "is not signed, so that an attacker can change it; add it to `signed_payload`, or, where the \
                           sender does not sign it, write it as the route's `timestamp` with `signed: false`";
            self.problems.add(field.at, problem);
        }
        let written: Duration = file.max_age.get();
        let ahead = file.max_future.duration().unwrap_or(written);
        // A timestamp in the future means clock skew: a larger tolerance for old requests is no reason to accept more.
        let max_future = tolerance.map_or(ahead, |tolerance| tolerance.min(ahead));
        Some(SignedTime { source, unit: file.unit.or_default(), max_age: tolerance.unwrap_or(written), max_future })
    }

    fn check_key_ids(&mut self, file: &SignatureYaml, secrets: &Secrets, at: Location) {
        if !file.key_id.is_written() && secrets.len() > MAX_TRIED {
            let problem = "and each signature would be tried with every one of them; use key_id";
            self.problems.add(at, format!("more than {MAX_TRIED} secrets, {problem}"));
        }
        if file.key_id.is_written() && secrets.tenants.is_some() {
            let problem = "the signature has a key id, and the files of tenants have none; list the secrets instead";
            self.problems.add(at, problem);
        }
        if file.key_id.is_written() && secrets.iter().any(|secret| secret.id.is_none()) {
            self.problems.add(at, "each secret needs an `id`, by which the signature refers to it");
        }
    }

    /// An id that an attacker can change does not protect against replay (PageSpace#2199).
    fn event_id(&mut self, file: &SignatureYaml, signed_payload: &[Component]) -> Option<Component> {
        let component = file.id.value()?;
        if !component.is_covered_by(signed_payload) {
            let problem = "is not signed: an attacker who replays the request could change it; remove it";
            self.problems.add(file.id.at, problem);
        }
        if matches!(**component, Component::Located(_, Presence::Optional)) {
            let problem = "may be absent, and all events without it would have one id; write it without `?`";
            self.problems.add(file.id.at, problem);
        }
        Some((**component).clone())
    }

    fn require(&mut self, file: &RequireYaml) -> (Vec<(http::HeaderName, String)>, Option<Vec<ClaimRule>>) {
        let mut headers = Vec::new();
        for (name, value) in &*file.headers {
            if let (Some(name), Some(value)) = (self.header_name(name, value.at), value.value()) {
                headers.push((name, value.clone()));
            }
        }
        (headers, file.json.written().map(|rules| self.claim_rules(rules)))
    }

    pub(super) fn static_token(
        &mut self,
        field: &Field<StaticTokenYaml>,
        scope: &mut RouteScope<'_>,
    ) -> Option<StaticTokenPolicy> {
        let file = field.value()?;
        let material = KeyMaterial::Shared(SecretEncoding::Utf8);
        let keys = WrittenKeys { one: &file.secret, several: Some(&file.secrets), material };
        let secrets = self.secrets(&keys, None, scope);
        self.unused_ids(&keys.files(), "a static token has no key id; set `sender` instead of this key");
        self.token_policy(file, "static_token", secrets, field.at)
    }

    pub(super) fn token_policy(
        &mut self,
        file: &StaticTokenYaml,
        name: &str,
        secrets: Option<Secrets>,
        at: Location,
    ) -> Option<StaticTokenPolicy> {
        if !file.header.is_written() && file.scheme.is_written() {
            self.problems.add_unless_known(file.scheme.at, "is for `header` only; remove it");
        }
        let mut place = self.locator(&file.places(), at)?;
        if let Locator::Header { scheme, .. } = &mut place {
            *scheme = file.scheme.value().cloned().filter(|scheme| scheme != "none").map(Scheme::Word);
        }
        let mut secrets = secrets?;
        if file.scheme.value().is_some_and(|scheme| scheme.eq_ignore_ascii_case("Basic")) {
            if secrets.tenants.is_some() {
                let problem = "the secrets of tenants must be those that are sent: leave it out, and write `Basic `, base64 and all, into the files";
                self.problems.add(file.scheme.at, problem);
            }
            for secret in secrets.iter_mut() {
                secret.key = self.check(at, basic_credentials(&secret.key))?;
            }
        }
        Some(StaticTokenPolicy { name: name.into(), place, secrets })
    }
}

/// The token of the scheme Basic (RFC 7617 §2): base64 of `user:password`. Base64 contains no colon, so that a secret
/// which is in that form already is told apart.
fn basic_credentials(secret: &SecretKey) -> Result<SecretKey, &'static str> {
    let is_pair = |bytes: &[u8]| bytes.contains(&b':');
    let bytes = secret.bytes();
    if is_pair(bytes) {
        return Ok(SecretKey::Shared(Zeroizing::new(Encoding::Base64.encode(bytes).into_bytes())));
    }
    let text = std::str::from_utf8(bytes).ok();
    let pair = text.and_then(|text| Encoding::Base64.decode(text)).filter(|pair| is_pair(pair));
    pair.map(|_| secret.clone()).ok_or("expected `user:password`, or its base64, as the secret of the scheme Basic")
}

pub(super) const fn algorithm_of(file: SignatureAlgorithmYaml) -> SignatureAlgorithm {
    match file {
        SignatureAlgorithmYaml::HmacSha1 => SignatureAlgorithm::Hmac(Hash::Sha1),
        SignatureAlgorithmYaml::HmacSha256 => SignatureAlgorithm::Hmac(Hash::Sha256),
        SignatureAlgorithmYaml::HmacSha384 => SignatureAlgorithm::Hmac(Hash::Sha384),
        SignatureAlgorithmYaml::HmacSha512 => SignatureAlgorithm::Hmac(Hash::Sha512),
        SignatureAlgorithmYaml::Sha256 => SignatureAlgorithm::Sha256,
        SignatureAlgorithmYaml::Ed25519 => SignatureAlgorithm::Ed25519,
        SignatureAlgorithmYaml::EcdsaP256 => SignatureAlgorithm::EcdsaP256,
        SignatureAlgorithmYaml::RsaSha1 => SignatureAlgorithm::RsaSha1,
        SignatureAlgorithmYaml::RsaSha256 => SignatureAlgorithm::RsaSha256,
        SignatureAlgorithmYaml::RsaSha512 => SignatureAlgorithm::RsaSha512,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_base64_of_user_and_password() {
        let token = |secret: &str| {
            let key = SecretKey::from_secret(Zeroizing::new(secret.as_bytes().to_vec())).unwrap();
            basic_credentials(&key).map(|key| String::from_utf8(key.bytes().to_vec()).unwrap())
        };
        // RFC 7617 §2.
        let expected = Ok("QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_owned());
        assert_eq!((token("Aladdin:open sesame"), token("QWxhZGRpbjpvcGVuIHNlc2FtZQ==")), (expected.clone(), expected));
        assert_eq!(token(":only a password").as_deref(), Ok("Om9ubHkgYSBwYXNzd29yZA=="));
        for secret in ["a password alone", "b25seQ==", "QWxhZGRpbjpvcGVuIHNlc2FtZQ"] {
            assert!(token(secret).is_err(), "{secret}");
        }
    }
}
