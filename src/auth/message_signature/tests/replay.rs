//! Replay ids and senders.

use super::*;
use crate::auth::Policy;
use crate::auth::replay_protection::{NoReplayId, ReplayIdSource};
use crate::auth::signature::Component;
use crate::auth::testing::{Signer, pem};

fn identified(policy: MessageSignaturePolicy, source: Option<&str>) -> Result<MessageReplayId, NoReplayId> {
    let source = source.map(|text| ReplayIdSource::Component(Component::parse(text).unwrap()));
    let mut policy = Policy::MessageSignature(Box::new(policy));
    policy.identify(source.as_ref(), false)?;
    let Policy::MessageSignature(policy) = policy else { panic!("another policy") };
    Ok(policy.replay_id.unwrap())
}

fn ids(policy: &MessageSignaturePolicy, fields: &[(String, String)]) -> Vec<(&'static str, Vec<u8>)> {
    let grant = verified(policy, fields, Some(BODY)).unwrap();
    grant.replay_ids().map(|one| (one.replay_id.kind, one.replay_id.id.clone())).collect()
}

#[test]
fn the_replay_id_is_a_nonce_a_covered_header_or_the_hash_of_the_base() {
    let with_nonce = MessageSignaturePolicy {
        required_parameters: vec![SignatureParameter::Created, SignatureParameter::Nonce],
        ..policy()
    };
    let with_id = |form: &str| {
        let required = policy().required.into_iter().chain([ComponentIdentifier::parse(form).unwrap()]).collect();
        MessageSignaturePolicy { required, ..policy() }
    };
    assert_eq!(identified(policy(), None), Ok(MessageReplayId::Hash));
    assert_eq!(identified(with_nonce.clone(), None), Ok(MessageReplayId::Nonce));
    let header = MessageReplayId::Header(HeaderName::from_static("x-id"));
    assert_eq!(identified(with_id("x-id"), Some("header:x-id")), Ok(header.clone()));
    assert_eq!(identified(policy(), Some("header:x-id")), Err(NoReplayId::Unsigned));
    assert_eq!(identified(with_id("\"x-id\";key=\"a\""), Some("header:x-id")), Err(NoReplayId::Unsigned));
    assert_eq!(identified(policy(), Some("json:/id")), Err(NoReplayId::NoId));

    let covering = |id: &str| {
        let input =
            usual(";keyid=\"ed\";nonce=\"n-1\"").replacen("content-digest\"", &format!("content-digest\" {id}"), 1);
        signed(&[("sig1", &input)], &[("x-id", "7"), ("idempotency-key", "7")])
    };
    let fields = covering("\"x-id\"");
    let by = |replay_id, policy: &MessageSignaturePolicy| {
        ids(&MessageSignaturePolicy { replay_id: Some(replay_id), ..policy.clone() }, &fields)
    };
    assert_eq!(by(MessageReplayId::Nonce, &with_nonce), [("nonce", b"n-1".to_vec())]);
    assert_eq!(by(header, &policy()), [("piece", b"7".to_vec())]);
    // With `sf`, `07` would be a new id under the same signature.
    let header = MessageReplayId::Header(HeaderName::from_static("idempotency-key"));
    let structured = MessageSignaturePolicy { replay_id: Some(header), ..policy() };
    let rejected = verified(&structured, &covering("\"idempotency-key\";sf"), Some(BODY)).unwrap_err();
    assert_eq!(rejected.reason(), Some(Reason::RequirementNotMet));
    let [(kind, hash)] = by(MessageReplayId::Hash, &policy()).try_into().unwrap();
    assert_eq!((kind, hash.len()), ("hash", 32));
}

/// Otherwise a copy without one of two signatures would be a new request.
#[test]
fn every_valid_signature_has_a_replay_id() {
    let policy = MessageSignaturePolicy { replay_id: Some(MessageReplayId::Hash), ..policy() };
    let inputs = [("a", usual(";keyid=\"ed\"")), ("b", usual(";keyid=\"p256\"")), ("c", usual(";keyid=\"other\""))];
    let inputs = inputs.each_ref().map(|(label, input)| (*label, &**input));
    let whole = ids(&policy, &signed(&inputs, &[]));
    assert_eq!(whole.len(), 2);
    for one in inputs.iter().take(2) {
        let copy = ids(&policy, &signed(&[*one], &[]));
        assert!(copy.iter().all(|id| whole.contains(id)) && copy.len() == 1);
    }
}

/// A retry after the last second in which a copy is accepted is a new request.
#[test]
fn a_replay_id_is_kept_as_long_as_the_signature_is_valid() {
    let policy = MessageSignaturePolicy { replay_id: Some(MessageReplayId::Hash), ..policy() };
    let until = |more: &str| {
        let fields = signed(&[("sig1", &usual(&format!(";keyid=\"ed\"{more}")))], &[]);
        let grant = verified(&policy, &fields, Some(BODY)).unwrap();
        let id = grant.replay_ids().next().unwrap().replay_id.clone();
        (id.issued.unwrap().seconds() as i64 - NOW as i64, id.until.unwrap().seconds() as i64 - NOW as i64)
    };
    assert_eq!(until(""), (-30, 331));
    assert_eq!(until(&format!(";expires={}", NOW + 60)), (-30, 91));
}

#[test]
fn senders_are_those_of_their_keys() {
    let own = |keys: &[(&Signer, Option<&str>, Option<&str>)]| {
        let mut set = KeySet::default();
        for (index, (signer, id, sender)) in keys.iter().enumerate() {
            let algorithm = if matches!(signer, Signer::P256(_)) { Algorithm::ES256 } else { Algorithm::EdDSA };
            let one = KeySet::from_pem(pem("PUBLIC KEY", &signer.spki()).as_bytes(), algorithm).unwrap();
            let sender = sender.map(Arc::from);
            set.extend(one.belonging_to(index, *id, sender.as_ref()));
        }
        let issuer = Issuer { preset: true, ..issuer(fixed(set)) };
        MessageSignaturePolicy { issuer, ..policy() }
    };
    let sender = |policy: &MessageSignaturePolicy, key: &str| {
        let grant =
            verified(policy, &signed(&[("sig1", &usual(&format!(";keyid=\"{key}\"")))], &[]), Some(BODY)).unwrap();
        (grant.sender().to_string(), grant.secrets().to_vec())
    };
    let of_issuer = policy();
    assert_eq!(sender(&of_issuer, "ed"), ("acme".to_owned(), vec![]));
    assert!(of_issuer.has_one_sender());
    let two = own(&[(&ED25519, Some("ed"), None), (&P256, Some("p256"), Some("b"))]);
    assert_eq!(sender(&two, "ed"), ("http_message_signature/ed".to_owned(), vec![0]));
    assert_eq!(sender(&two, "p256"), ("b".to_owned(), vec![1]));
    assert!(!two.has_one_sender());
    // Without ids the keys are those of a rotation, under any key id.
    let rotating = own(&[(&P256, None, None), (&ED25519, None, None)]);
    assert_eq!(sender(&rotating, "ed"), ("http_message_signature".to_owned(), vec![1]));
    assert_eq!(sender(&rotating, "p256"), ("http_message_signature".to_owned(), vec![0]));
    assert!(rotating.has_one_sender());
}
