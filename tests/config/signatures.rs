//! `auth.signature`: a policy that proves nothing, or rejects every request, is rejected at load.

use super::schemes::{accepted, loaded, rejected, signature};

fn signature_rejected(cases: &[(&str, &str)]) {
    for (more, expected) in cases {
        rejected(&[(signature(more).as_str(), format!("signature{expected}").as_str())]);
    }
}

#[test]
fn an_unsigned_value_is_no_timestamp_and_no_id() {
    signature_rejected(&[
        ("id: \"header:X-Id\"", ".id: is not signed"),
        ("id: \"part:id\"", ".id: is not signed"),
        ("signed_payload: [\"json:/a\"], id: \"json:/b\"", ".id: is not signed"),
        ("timestamp: { header: X-Time }", ".timestamp: is not signed"),
        ("timestamp: { part: t }", ".timestamp: is not signed"),
        ("signed_payload: [\"header:X-Time\"], timestamp: { json: /time }", ".timestamp: is not signed"),
        ("timestamp: { header: X-Time, json: /t }", ".timestamp: has more than one of header, part"),
        ("body_hash: { query: h }", ".body_hash: the URL with the hash is not signed"),
    ]);
    let own = signature("signed_payload: [\"header:X-Time\", body], timestamp: { header: X-Time }, id: \"json:/id\"");
    accepted(&[
        &own,
        &signature("timestamp: { json: /t }"),
        &signature("signed_payload: [url], body_hash: { query: h }"),
    ]);
}

/// A route's own `timestamp` that the signature does not cover needs `signed: false`.
#[test]
fn a_timestamp_next_to_a_signature_is_signed_or_declared_unsigned() {
    let with_timestamp =
        |auth: &str, covered: &str| loaded(&format!("{auth}\n    timestamp: {{ header: X-Time{covered} }}"));
    let (unsigned, signed) = (signature("join: \"\""), signature("signed_payload: [\"header:X-Time\", body]"));
    let problems = with_timestamp(&unsigned, "").unwrap_err();
    assert!(problems.contains("routes[0].timestamp.signed: set `signed: false`"), "{problems}");
    assert!(with_timestamp(&unsigned, ", signed: false").is_ok() && with_timestamp(&signed, "").is_ok());
}

#[test]
fn a_signature_needs_a_secret_or_a_public_key() {
    let plain = |pieces: &str| {
        format!(
            "{{ signature: {{ algorithm: sha256, header: X-Sig, encoding: hex, signed_payload: [{pieces}], secret: {{ file: secret }} }} }}"
        )
    };
    let of = |algorithm: &str, secret: &str| {
        format!(
            "{{ signature: {{ algorithm: {algorithm}, header: X-Sig, encoding: hex, signed_payload: [body]{secret} }} }}"
        )
    };
    rejected(&[
        (&plain("body"), "signature.signed_payload: a plain sha256 authenticates the sender only with `secret`"),
        (
            &signature("signed_payload: [secret, body]"),
            "signature.signed_payload: `secret` is a component of plain sha256 only",
        ),
        (&of("hmac-sha256", ""), "signature.secret: missing; expected `secret`, or a list of 1 to 64 `secrets`"),
        (
            &of("hmac-sha256", ", secrets: []"),
            "signature.secret: missing; expected `secret`, or a list of 1 to 64 `secrets`",
        ),
        (
            &of("hmac-sha256", ", secret: { file: secret }, secrets: [ { file: secret } ]"),
            "signature.secret: cannot be combined with `secrets`",
        ),
        (&of("hmac-sha256", ", secret: { file: empty }"), "signature.secret: must not be empty"),
        (
            &of("hmac-sha256", ", secrets: [ { file: secret }, { file: empty } ]"),
            "signature.secrets[1]: must not be empty",
        ),
        (&of("hmac-sha256", ", secret: { file: gone }"), "signature.secret.file: file gone: not found"),
        (
            &of("hmac-sha256", ", secret: \"0123456789abcdef\""),
            "signature.secret: expected {env: NAME} or {file: path}",
        ),
        (&of("ed25519", ", public_key: { file: secret }"), "signature.public_key: expected the sender's public key"),
        (&of("ed25519", ", secret: { file: secret }"), "signature.secret: this scheme is verified with a public key"),
        (
            &of("hmac-sha256", ", public_key: { file: secret }"),
            "signature.public_key: this scheme is verified with a shared",
        ),
        (&of("ecdsa-p256", ", public_key: { file: private.pem }"), "signature.public_key: contains a private key"),
        (
            &of("rsa-sha256", ", public_key: { file: public.pem }"),
            "signature.public_key: expected the sender's public key",
        ),
        (
            &of("ecdsa-p256", ", public_key: { file: public.pem, encoding: hex }"),
            "signature.public_key.encoding: applies only to shared",
        ),
        (&of("hmac-md5", ", secret: { file: secret }"), "signature.algorithm: "),
    ]);
    accepted(&[&plain("secret, body"), &of("ecdsa-p256", ", public_key: { file: public.pem }")]);
}

#[test]
fn a_signature_has_all_its_fields() {
    signature_rejected(&[
        ("signed_payload: [boddy]", ".signed_payload[0]: expected a component"),
        ("signed_payload: []", ".signed_payload: expected 1 to 64 components"),
        ("query: s", ": has more than one of header, query"),
        ("parse: { prefix: a, list: { separator: b } }", ".parse: has more than one of prefix"),
        ("parse: { pairs: { separator: \"\" } }", ".parse.pairs.separator: missing"),
        ("parse: { split: { separator: \",\" } }", ".parse.split.index: missing"),
        ("key_id: \"part:k\"", ": each secret needs an `id`"),
        ("require: { headers: { \"a b\": c } }", ".require.headers[\"a b\"]: expected a header name"),
        ("nonsense: 1", ".nonsense: unknown field"),
    ]);
    let without = |field: &str| signature("").replace(field, "");
    rejected(&[
        (&without("encoding: hex, "), "signature.encoding: missing"),
        (&without("algorithm: hmac-sha256, "), "signature.algorithm: missing"),
        (&without("header: X-Sig, "), "signature: missing; expected exactly one of header"),
    ]);
}
