//! Signs a request with an HTTP Message Signature (RFC 9421), over the components that the route requires.

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::draft::Draft;
use super::jws::random_id;
use super::keyring::Keyring;
use crate::auth::content_digest::{CONTENT_DIGEST, written};
use crate::auth::keys::Keys;
use crate::auth::message_signature::{
    ComponentSource, MessageSignaturePolicy, SIGNATURE, SIGNATURE_INPUT, SignatureParameter, base_to_sign,
    registered_name,
};
use crate::route::Route;

/// Adds the headers that the signature must cover, and then a signature that passes `policy`.
pub(super) fn add(
    policy: &MessageSignaturePolicy,
    route: &Route,
    draft: &mut Draft,
    keys: &Keyring,
) -> anyhow::Result<()> {
    for component in &policy.required {
        if let ComponentSource::Header(name, _) = component.source()
            && !draft.has_header(name)
        {
            draft.set_header(name, "development");
        }
    }
    let mut components: Vec<String> = policy.required.iter().map(ToString::to_string).collect();
    if policy.requires_digest && !draft.body.is_empty() {
        draft.set_header(&CONTENT_DIGEST, written(&draft.body));
        components.push(format!("\"{CONTENT_DIGEST}\""));
    }
    let label = policy.label.as_deref().unwrap_or("sig1");
    let input = format!("({}){}", components.join(" "), parameters(policy, keys)?);
    draft.set_header(&SIGNATURE_INPUT, format!("{label}={input}"));
    let head = draft.head()?;
    let base = base_to_sign(&draft.view(&head, route), label);
    let base = base.map_err(|reason| anyhow::anyhow!("cannot sign the request: {}", reason.word()))?;
    let signature = URL_SAFE_NO_PAD.decode(keys.sign(&policy.issuer, base.as_bytes())?)?;
    draft.set_header(&SIGNATURE, format!("{label}=:{}:", STANDARD.encode(signature)));
    Ok(())
}

/// The parameters of the signature, each with the semicolon before it.
fn parameters(policy: &MessageSignaturePolicy, keys: &Keyring) -> anyhow::Result<String> {
    let needs = |parameter| policy.required_parameters.contains(&parameter);
    let mut parameters = format!(";created={}", keys.now);
    if needs(SignatureParameter::Expires) {
        parameters.push_str(&format!(";expires={}", keys.now + policy.max_age.as_secs()));
    }
    if needs(SignatureParameter::Nonce) {
        parameters.push_str(&format!(";nonce=\"{}\"", random_id()));
    }
    let first = match &policy.issuer.keys {
        Keys::Fixed(set) => set.get(0).and_then(|key| key.name()),
        Keys::Remote(_) | Keys::Chain(_) | Keys::OfTenants(_) => None,
    };
    if let Some(id) = keys.kid.as_deref().or(first) {
        parameters.push_str(&format!(";keyid=\"{id}\""));
    }
    if needs(SignatureParameter::Alg) {
        let name = registered_name(keys.algorithm(&policy.issuer)?);
        parameters.push_str(&format!(";alg=\"{}\"", name.context("the issuer's algorithm has no name for `alg`")?));
    }
    if let Some(tag) = policy.tag.as_deref().or(needs(SignatureParameter::Tag).then_some("development")) {
        parameters.push_str(&format!(";tag=\"{tag}\""));
    }
    Ok(parameters)
}
