//! Signs a request as the sender of an `auth.signature` or of a preset does, and adds static tokens.

use std::borrow::Cow;

use anyhow::{Context, bail};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaKeyPair,
};
use http::HeaderName;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

use super::draft::{Draft, satisfying};
use super::jws::random_id;
use super::keyring::Keyring;
use crate::auth::locator::Locator;
use crate::auth::secret::{Secret, SignatureAlgorithm};
use crate::auth::signature::{Component, Digest, Parse, Presence, SignaturePolicy, SignatureReplayId, SignedTime};
use crate::auth::static_token::StaticTokenPolicy;
use crate::route::Route;

/// Why a certificate that is fetched by its URL has no private key here.
const OF_PROVIDER: &str = "the provider alone has the private key of the certificate, and so signs such requests";

const NO_SECRET: &str = "the route has no secret, or none for the tenant in the path of --url";

/// Adds the components that `policy` signs, and then a signature that passes it.
pub(super) fn add(policy: &SignaturePolicy, route: &Route, draft: &mut Draft, keys: &Keyring) -> anyhow::Result<()> {
    anyhow::ensure!(policy.certificate.is_none(), OF_PROVIDER);
    let secret = &policy.secrets.signing(draft.tenant(route)).context(NO_SECRET)?;
    prepare(policy, secret, draft, keys)?;
    let parts = parts(policy, secret, draft, keys);
    let head = draft.head()?;
    let text = policy.text_to_sign(&draft.view(&head, route), &parts, secret);
    let text = text.map_err(|error| anyhow::anyhow!("a component of the signed payload is missing ({error:?})"))?;
    let signature = match secret.key.mac(policy.algorithm, &[Cow::Borrowed(text.as_slice())]) {
        Some(mac) => mac,
        None => sign(policy.algorithm, &keys.private_key()?, &text)?,
    };
    let value = written(policy, &parts, &policy.encoding.encode(&signature));
    draft.place(policy.places.first().context("the route has no location for the signature")?, value)
}

/// Adds the headers, members, fields and the timestamp that must be in the request before it is signed.
fn prepare(policy: &SignaturePolicy, secret: &Secret, draft: &mut Draft, keys: &Keyring) -> anyhow::Result<()> {
    for (name, value) in &policy.required_headers {
        draft.set_header(name, value);
    }
    for rule in policy.required_json.iter().flatten() {
        if let Some(value) = satisfying(&rule.test) {
            draft.set_json(&rule.pointer, value)?;
        }
    }
    if let Some(SignedTime { source: Component::Located(locator, _), unit, .. }) = &policy.time {
        let text = unit.write(keys.now);
        let number = text.parse::<u64>().ok().map(serde_json::Value::from);
        draft.place(locator, number.unwrap_or_else(|| text.into()))?;
    }
    if let Some(Component::Located(locator, _)) = &policy.key_id {
        draft.place(locator, secret.id.as_deref().unwrap_or_default())?;
    }
    // The replay id may be made of nothing else.
    let filler = match policy.replay_id {
        Some(SignatureReplayId::Hash) => random_id(),
        Some(SignatureReplayId::Component(_)) | None => "development".to_owned(),
    };
    for piece in policy.signed_payload.iter().chain(&policy.key_id) {
        if let Component::Located(locator, Presence::Required) = piece
            && !draft.has(locator)
        {
            draft.place(locator, filler.clone())?;
        }
        if *piece == Component::FormSorted {
            as_form(policy, draft);
        }
        if let Component::QueryLower(name) = piece {
            draft.place(&Locator::Query(name.clone()), "Development")?;
        }
        if let Component::ListedBy(list, names) = piece {
            for name in names.iter().filter(|name| !draft.has_header(name)).cloned().collect::<Vec<_>>() {
                draft.set_header(&name, "development");
            }
            let listed: Vec<&str> = std::iter::once(list).chain(names).map(HeaderName::as_str).collect();
            draft.set_header(list, listed.join(","));
        }
    }
    Ok(())
}

/// Adds what Twilio signs: form fields or, of a body that is not a form, its hash in the URL.
fn as_form(policy: &SignaturePolicy, draft: &mut Draft) {
    let is_form = draft.headers.iter().any(|(_, value)| value.starts_with("application/x-www-form-urlencoded"));
    match &policy.body_hash {
        Some(name) if !is_form => draft.add_query(name, &Digest::hex_sha256(&draft.body)),
        Some(_) | None if is_form => {}
        Some(_) | None => draft.set_field("event", "test"),
    }
}

/// The parts of the signature value next to the signature, such as `t` of Stripe's `t=…,v1=…`.
fn parts(policy: &SignaturePolicy, secret: &Secret, draft: &Draft, keys: &Keyring) -> Vec<(String, String)> {
    let mut parts: Vec<(String, String)> = policy.required_parts.clone();
    let mut add = |name: &str, value: String| {
        if !parts.iter().any(|(known, _)| known == name) {
            parts.push((name.to_owned(), value));
        }
    };
    if let Some(Component::Part(name)) = policy.time.as_ref().map(|time| &time.source) {
        add(name, policy.time.as_ref().map(|time| time.unit.write(keys.now)).unwrap_or_default());
    }
    if let Some(Component::Part(name)) = &policy.key_id {
        add(name, secret.id.as_deref().unwrap_or_default().to_owned());
    }
    for piece in &policy.signed_payload {
        if let Component::ListedHeaders(name) = piece {
            let listed = draft.headers.first().map_or("", |(name, _)| name);
            add(name, listed.to_owned());
        }
    }
    for piece in &policy.signed_payload {
        if let Component::Part(name) = piece {
            add(name, "development".to_owned());
        }
    }
    parts
}

fn written(policy: &SignaturePolicy, parts: &[(String, String)], signature: &str) -> String {
    match &policy.parse {
        Parse::Raw => signature.to_owned(),
        Parse::Prefix(prefix) | Parse::List { prefix, .. } => format!("{prefix}{signature}"),
        Parse::Pairs { separator, equals, key } => {
            let pairs =
                parts.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain([(key.as_str(), signature)]);
            pairs.map(|(name, value)| format!("{name}{equals}{value}")).collect::<Vec<_>>().join(separator)
        }
        Parse::Split { separator, index, .. } | Parse::Rest { separator, index } => {
            let last = parts.iter().filter_map(|(name, _)| name.parse().ok()).max().unwrap_or(0).max(*index);
            let field = |at: usize| match parts.iter().find(|(name, _)| name.parse() == Ok(at)) {
                Some((_, value)) => value.as_str(),
                None if at == *index => signature,
                None => "",
            };
            (0..=last).map(field).collect::<Vec<_>>().join(separator)
        }
    }
}

fn sign(algorithm: SignatureAlgorithm, pem: &[u8], text: &[u8]) -> anyhow::Result<Vec<u8>> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem).ok().context("expected a private key in PKCS #8 PEM form")?;
    let der = der.secret_pkcs8_der();
    let random = SystemRandom::new();
    let wrong = "the key does not match this algorithm";
    match algorithm {
        SignatureAlgorithm::Ed25519 => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().context(wrong)?;
            Ok(pair.sign(text).as_ref().to_vec())
        }
        SignatureAlgorithm::EcdsaP256 => {
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der).ok().context(wrong)?;
            Ok(pair.sign(&random, text).ok().context(wrong)?.as_ref().to_vec())
        }
        SignatureAlgorithm::RsaSha256 | SignatureAlgorithm::RsaSha512 => {
            let pair = RsaKeyPair::from_pkcs8(der).ok().context(wrong)?;
            let padding =
                if algorithm == SignatureAlgorithm::RsaSha256 { &RSA_PKCS1_SHA256 } else { &RSA_PKCS1_SHA512 };
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(padding, &random, text, &mut signature).ok().context(wrong)?;
            Ok(signature)
        }
        SignatureAlgorithm::Hmac(_) | SignatureAlgorithm::Sha256 => bail!("this algorithm needs a shared secret"),
        SignatureAlgorithm::RsaSha1 => bail!(OF_PROVIDER),
    }
}

/// Adds the static token that a route requires.
pub(super) fn add_token(policy: &StaticTokenPolicy, route: &Route, draft: &mut Draft) -> anyhow::Result<()> {
    let secret = policy.secrets.signing(draft.tenant(route)).context(NO_SECRET)?;
    let secret =
        String::from_utf8(secret.key.shared().context(NO_SECRET)?.to_vec()).context("the secret is not UTF-8 text")?;
    let Locator::Json(pointer) = &policy.place else { return draft.place(&policy.place, secret) };
    // The first item of a list stands for every item.
    let first = Locator::parse("json", &pointer.to_string().replace("/*", "/0"));
    draft.place(&first.context("not a JSON pointer")?, secret)
}
