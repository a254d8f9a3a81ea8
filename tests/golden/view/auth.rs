//! The authentication policy and the challenges of a route.

use std::sync::Arc;

use hookgate::auth::Policy;
use hookgate::auth::challenge::{ChallengeRule, ConfirmationRule, ExpectedValue};
use hookgate::auth::claims::ClaimRule;
use hookgate::auth::detached::DetachedPolicy;
use hookgate::auth::issuer::Issuer;
use hookgate::auth::jwt::JwtPolicy;
use hookgate::auth::keys::Keys;
use hookgate::auth::message_signature::MessageSignaturePolicy;
use hookgate::auth::secret::{Secret, SecretKey};
use hookgate::auth::signature::SignaturePolicy;
use hookgate::auth::static_token::StaticTokenPolicy;
use serde_json::{Value, json};

use super::{all_debug, debug, optional, timestamp_rule};

pub fn policy(policy: &Policy) -> Value {
    let all = |policies: &[Policy]| policies.iter().map(self::policy).collect::<Value>();
    let (scheme, view) = (
        policy.kind().label(),
        match policy {
            Policy::Jwt(policy) => jwt(policy),
            Policy::Detached(policy) => detached(policy),
            Policy::MessageSignature(policy) => message_signature(policy),
            Policy::Signature(policy) => signature(policy),
            Policy::ClientCertificate(rule) => {
                let fingerprints = rule.sha256.iter().map(hex::encode);
                json!({
                    "san": rule.sans.iter().map(ToString::to_string).collect::<Value>(),
                    "sha256": fingerprints.collect::<Value>(),
                })
            }
            Policy::Token(policy) => {
                let StaticTokenPolicy { name, place, secrets } = &**policy;
                json!({"name": **name, "place": debug(place), "secrets": secrets_of(secrets)})
            }
            Policy::AllOf(policies) | Policy::AnyOf(policies) => all(policies),
            Policy::Public => return "public".into(),
        },
    );
    json!({ scheme: view })
}

fn jwt(policy: &JwtPolicy) -> Value {
    let JwtPolicy {
        issuers,
        audience,
        required_claims,
        claims,
        allowed_types,
        max_age,
        max_lifetime,
        leeway,
        token,
        bindings,
        time_claim,
        replay_id,
    } = policy;
    json!({
        "issuers": issuers.iter().map(issuer).collect::<Value>(),
        "audience": debug(audience),
        "required_claims": required_claims,
        "claims": claims.iter().map(claim).collect::<Value>(),
        "allowed_types": allowed_types,
        "max_age": debug(max_age),
        "max_lifetime": debug(max_lifetime),
        "leeway": debug(leeway),
        "token_from": debug(token),
        "bindings": debug(bindings),
        "time_claim": optional(time_claim.as_ref(), timestamp_rule),
        "replay_id": debug(replay_id),
    })
}

fn issuer(issuer: &Issuer) -> Value {
    let Issuer { name, iss, algorithms, keys, token_cache: _, preset: _ } = issuer;
    let keys = match keys {
        Keys::Fixed(_) => "fixed".into(),
        Keys::Remote(remote) => format!("fetched from {}", remote.source.url),
        Keys::Chain(_) => "in the token, with certificates".into(),
        Keys::OfTenants(all) => format!("of each of {} tenants", all.len()),
    };
    json!({"name": &**name, "iss": debug(iss), "algorithms": all_debug(algorithms), "keys": keys})
}

fn claim(rule: &ClaimRule) -> Value {
    let ClaimRule { pointer, test } = rule;
    format!("{pointer} {test:?}").into()
}

fn detached(policy: &DetachedPolicy) -> Value {
    let DetachedPolicy { payload, token, issuer, time, replay_id } = policy;
    json!({
        "payload": debug(payload), "token": debug(token), "issuer": self::issuer(issuer),
        "timestamp": optional(time.as_ref(), timestamp_rule), "replay_id": replay_id,
    })
}

fn message_signature(policy: &MessageSignaturePolicy) -> Value {
    let MessageSignaturePolicy {
        name,
        places: _,
        issuer,
        label,
        tag,
        required,
        requires_digest,
        required_parameters,
        max_age,
        leeway,
        replay_id,
    } = policy;
    json!({
        "name": Arc::clone(name).as_ref(),
        "issuer": self::issuer(issuer),
        "label": debug(label),
        "tag": debug(tag),
        "required_components": required.iter().map(ToString::to_string).collect::<Value>(),
        "requires_digest": requires_digest,
        "required_parameters": all_debug(required_parameters),
        "max_age": debug(max_age),
        "leeway": debug(leeway),
        "replay_id": debug(replay_id),
    })
}

fn signature(policy: &SignaturePolicy) -> Value {
    let SignaturePolicy {
        name,
        places,
        parse,
        encoding,
        algorithm,
        signed_payload,
        join,
        url_variants,
        time,
        key_id,
        required_headers,
        required_parts,
        required_json,
        body_hash,
        id,
        secrets,
        certificate,
        repeats,
        replay_id,
    } = policy;
    json!({
        "name": Arc::clone(name).as_ref(),
        "places": all_debug(places),
        "parse": debug(parse),
        "encoding": debug(encoding),
        "algorithm": debug(algorithm),
        "signed_payload": all_debug(signed_payload),
        "join": debug(join),
        "url_variants": all_debug(url_variants),
        "timestamp": optional(time.as_ref(), timestamp_rule),
        "key_id": debug(key_id),
        "require": {
            "headers": debug(required_headers),
            "parts": debug(required_parts),
            "json": optional(required_json.as_ref(), |rules| rules.iter().map(claim).collect()),
        },
        "body_hash": debug(body_hash),
        "id": debug(id),
        "repeats": repeats,
        "secrets": secrets_of(secrets),
        "certificate": debug(certificate),
        "replay_id": debug(replay_id),
    })
}

/// Number and kind of each secret, and its id.
fn secrets_of(secrets: &[Secret]) -> Value {
    let view = |Secret { index, id, sender, tenant: _, key, digest: _ }: &Secret| match key {
        SecretKey::Shared(_) => format!("{index}: shared, id {id:?}, sender {sender:?}"),
        SecretKey::Public(_) => format!("{index}: public key, id {id:?}, sender {sender:?}"),
    };
    secrets.iter().map(view).collect()
}

pub fn challenge(rule: &ChallengeRule) -> Value {
    let ChallengeRule { method, signed, query, json, headers, challenge, answer, answer_headers, secret, confirmation } =
        rule;
    let query = query.iter().map(|(name, expected)| match expected {
        ExpectedValue::Text(text) => format!("{name}={text}"),
        ExpectedValue::Secret(_) => format!("{name}=a secret"),
    });
    json!({
        "method": method.as_str(), "signed": signed, "query": query.collect::<Value>(),
        "json": json.iter().map(claim).collect::<Value>(), "headers": debug(headers), "value_from": debug(challenge),
        "response": debug(answer), "response_headers": debug(answer_headers), "has_secret": secret.is_some(),
        "confirmation": confirmation.as_deref().map(self::confirmation),
    })
}

fn confirmation(rule: &ConfirmationRule) -> Value {
    let ConfirmationRule { certificates, url, topic, json, query } = rule;
    json!({
        "hosts": certificates.source.hosts, "url": debug(url), "topic": debug(topic),
        "json": json.iter().map(claim).collect::<Value>(), "query": debug(query),
    })
}
