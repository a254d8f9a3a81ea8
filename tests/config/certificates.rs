//! `certificate` of a signature and of a preset: a URL that a client chooses leads to the provider's host alone.

use super::schemes::{accepted, loaded, rejected};

/// A signature by a certificate with these keys of `certificate` and of the signature.
fn named(certificate: &str, more: &str) -> String {
    let more = if more.contains("algorithm:") { more.to_owned() } else { format!("algorithm: rsa-sha256, {more}") };
    format!(
        "{{ signature: {{ header: X-Sig, encoding: base64, signed_payload: [body], {more} certificate: {{ {certificate} }} }} }}"
    )
}

const GOOD: &str = "url_from: header:X-Url, hosts: [keys.test], path: \"/[0-9]+\\\\.pem\", subject: signer.test";

#[test]
fn a_certificate_has_a_url_a_host_a_path_and_a_name() {
    accepted(&[
        &named(GOOD, ""),
        &named(GOOD, "algorithm: rsa-sha1,"),
        &named(&GOOD.replace("keys.test", "KEYS.test"), ""),
        &named(&format!("{GOOD}, proxy: \"http://proxy.test:3128\", ca: server.crt, root_ca: server.crt"), ""),
        &named(
            &GOOD.replace("signer.test", "[a.test, b.test]").replace("keys.test", "\"keys.test:8443\", 10.0.0.1"),
            "",
        ),
        &named(&GOOD.replace("header:X-Url", "json:/a/url"), "algorithm: ecdsa-p256,"),
    ]);
    let without = |key: &str| {
        let kept: Vec<&str> = GOOD.split(", ").filter(|one| !one.starts_with(key)).collect();
        named(&kept.join(", "), "")
    };
    let hosts = "signature.certificate.hosts: expected host names, with a port";
    for (auth, expected) in [
        (without("url_from"), "signature.certificate.url_from: missing"),
        (without("hosts"), "signature.certificate.hosts: expected 1 to 16 hosts"),
        (without("path"), "signature.certificate.path: missing"),
        (without("subject"), "signature.certificate.subject: missing"),
        (named(&GOOD.replace("header:X-Url", "query:url"), ""), "signature.certificate.url_from: expected header:NAME"),
        (
            named(&GOOD.replace("header:X-Url", "header?:X-Url"), ""),
            "signature.certificate.url_from: expected header:NAME",
        ),
        (named(&GOOD.replace("keys.test", "\"keys.test:443\""), ""), hosts),
        (named(&GOOD.replace("keys.test", "\"https://keys.test\""), ""), hosts),
        (named(&GOOD.replace("keys.test", "\"a@keys.test\""), ""), hosts),
        (named(&GOOD.replace("keys.test", "keys.test/a"), ""), hosts),
        (named(&GOOD.replace("[0-9]+", "[0-9"), ""), "signature.certificate.path: expected a regular expression"),
        (named(&GOOD.replace("signer.test", "\"*.test\""), ""), "signature.certificate.subject: expected a DNS name"),
        (named(&format!("{GOOD}, proxy: proxy.test"), ""), "signature.certificate.proxy: expected http://HOST:PORT"),
        (named(&format!("{GOOD}, ca: secret"), ""), "signature.certificate.ca: "),
        (named(&format!("{GOOD}, root_ca: secret"), ""), "signature.certificate.root_ca: expected a file with cert"),
        (named(GOOD, "algorithm: hmac-sha256,"), "signature.algorithm: a certificate has a public key"),
        (
            named(GOOD, "public_key: { file: public.pem },"),
            "signature.certificate: cannot be combined with `public_key`",
        ),
        (
            "{ signature: { algorithm: rsa-sha1, header: X-Sig, encoding: hex, signed_payload: [body], public_key: \
             { file: public.pem } } }"
                .to_owned(),
            "signature.algorithm: is weak, and only allowed with `certificate`",
        ),
    ] {
        rejected(&[(auth.as_str(), expected)]);
    }
}

#[test]
fn presets_of_certificates_have_their_parameters_and_no_keys() {
    let sns = |more: &str, topics: &str| {
        format!("{{ preset: aws-sns, parameters: {{ region: eu-central-1, topic_arns: {topics} }}{more} }}")
    };
    accepted(&[
        &sns("", "arn:aws:sns:eu-central-1:1:a"),
        &sns("", "[\"arn:aws:sns:eu-central-1:1:a\", \"arn:aws:sns:eu-central-1:1:b\"]"),
        &sns(", certificate: { ca: server.crt, root_ca: server.crt, proxy: \"http://proxy.test:3128\" }", "a"),
        "{ preset: paypal, parameters: { webhook_id: \"1\" }, tolerance: 10m }",
    ]);
    for (auth, expected) in [
        ("{ preset: aws-sns, parameters: { region: eu-central-1 } }".to_owned(), "parameters.topic_arns: missing"),
        ("{ preset: aws-sns, parameters: { topic_arns: a } }".to_owned(), "parameters.region: missing"),
        ("{ preset: paypal }".to_owned(), "parameters.webhook_id: missing"),
        (sns("", "[]"), "parameters.topic_arns: missing"),
        (sns("", "[a, \"\"]"), "parameters.topic_arns: missing"),
        (sns("", "[a, none]"), "parameters.topic_arns: must be the value itself"),
        (
            "{ preset: paypal, parameters: { webhook_id: [\"1\", \"2\"] } }".to_owned(),
            "parameters.webhook_id: must be one",
        ),
        (sns(", secret: { file: secret }", "a"), "secret: this preset uses a certificate that it fetches"),
        (sns(", certificate: { proxy: proxy.test }", "a"), "certificate.proxy: expected http://HOST:PORT"),
        (
            "{ preset: github, secret: { file: secret }, certificate: { ca: server.crt } }".to_owned(),
            "certificate: this preset fetches no certificate",
        ),
        (
            "{ static_token: { header: X-Token, secret: { file: secret } }, certificate: { ca: server.crt } }"
                .to_owned(),
            "certificate: requires `preset`",
        ),
    ] {
        rejected(&[(auth.as_str(), expected)]);
    }
    let warnings = loaded(&sns("", "a")).unwrap();
    assert!(!warnings.iter().any(|warning| warning.contains("evidence")), "{warnings:?}");
}
