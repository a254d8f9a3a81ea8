//! Bearer tokens, raw and generated: only tokens that the run's own keys have signed are granted, and of those only the
//! ones that the route's rules allow, as a second implementation here reads them by serde_json alone.
#![no_main]

use std::sync::LazyLock;

use hookgate::config::Config;
use hookgate_fuzz::keys::{NAMES, SECRET, SIGNERS, mac, token};
use hookgate_fuzz::{NOW, Outcome, evaluate, gateway, head, route};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let auth = json!({"jwt": {"issuer": ["set", "pem", "shared"], "audience": "https://hooks.example/"}});
    let pem = SIGNERS.pem();
    let files: [(&str, &[u8]); 2] = [("pem", pem.as_bytes()), ("secret", SECRET.as_bytes())];
    gateway(&[auth], SIGNERS.issuers(), &files).expect("a configuration")
});

static GENUINE: LazyLock<Vec<String>> = LazyLock::new(|| {
    let genuine = |(signer, (alg, iss, kid)): (usize, &(&str, &str, Option<&str>))| {
        let header = kid.map_or(json!({"alg": alg}), |kid| json!({"alg": alg, "kid": kid}));
        let payload = json!({"iss": iss, "aud": "https://hooks.example/", "exp": NOW + 300});
        token(header.to_string().as_bytes(), payload.to_string().as_bytes(), |text| SIGNERS.sign(signer, text))
    };
    NAMES.iter().enumerate().map(genuine).collect()
});

// A run in which no input could pass would find nothing.
fuzz_target!(init: for genuine in GENUINE.iter() {
    let value = format!("Bearer {genuine}");
    assert!(matches!(evaluated(value.as_bytes()), Some(Outcome::Granted(_))), "{genuine}");
}, |input: &[u8]| {
    let [mode, signer, input @ ..] = input else { return };
    let signer = usize::from(*signer) % NAMES.len();
    let mut parts = input.splitn(3, |byte| *byte == b'\n');
    let (header, payload) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let made = match mode {
        b'r' => return never(input),
        b'b' => input.to_vec(),
        b'e' => edited(GENUINE[signer].as_bytes(), input),
        b's' => token(header, payload, |text| SIGNERS.sign(signer, text)).into_bytes(),
        b'c' => token(header, payload, |text| mac(&SIGNERS.public(signer), text)).into_bytes(),
        _ => token(header, payload, |_| parts.next().unwrap_or_default().to_vec()).into_bytes(),
    };
    let value = [b"Bearer ", made.as_slice()].concat();
    let Some(Outcome::Granted(grant)) = evaluated(&value) else { return };
    if *mode == b's' {
        let payload: Value = serde_json::from_slice(payload).expect("a payload");
        assert_eq!(Value::Object(grant.claims().clone()), payload);
        return must_hold(signer, &serde_json::from_slice(header).expect("a header"), &payload);
    }
    assert!(GENUINE.iter().any(|genuine| genuine.as_bytes() == made), "a forged token was granted");
});

fn never(value: &[u8]) {
    let genuine = |value: &[u8]| GENUINE.iter().any(|genuine| value.ends_with(genuine.as_bytes()));
    assert!(!matches!(evaluated(value), Some(Outcome::Granted(_))) || genuine(value));
}

fn evaluated(value: &[u8]) -> Option<Outcome> {
    let head = head("POST", b"/0", [(&b"authorization"[..], value)])?;
    Some(evaluate(&*route(&CONFIG, &head)?, &head, b""))
}

/// Edits a token at the position that the first two bytes give: the third is the number of bytes that are removed, the
/// rest is inserted.
fn edited(genuine: &[u8], input: &[u8]) -> Vec<u8> {
    let [high, low, less, more @ ..] = input else { return genuine.to_vec() };
    let at = usize::from(u16::from_be_bytes([*high, *low])) % genuine.len();
    let (before, after) = genuine.split_at(at);
    [before, more, after.get(usize::from(*less)..).unwrap_or_default()].concat()
}

fn must_hold(signer: usize, header: &Value, payload: &Value) {
    let (alg, iss, kid) = NAMES[signer];
    assert!(header["alg"] == alg || (alg == "EdDSA" && header["alg"] == "Ed25519"), "{header}");
    assert!(header.get("kid").is_none_or(|named| kid.is_none_or(|kid| named == kid)), "{header}");
    assert!(["crit", "b64", "enc", "zip"].iter().all(|name| header.get(name).is_none()), "{header}");
    assert_eq!(payload["iss"], iss);
    let ours = |audience: &Value| audience == "https://hooks.example/";
    assert!(ours(&payload["aud"]) || payload["aud"].as_array().is_some_and(|several| several.iter().any(ours)));
    let seconds = |name: &str| payload.get(name).map(|value| value.as_f64().expect("a number"));
    let (now, leeway) = (NOW as f64, 30.0);
    assert!(seconds("exp").is_some_and(|expires| now < expires + leeway), "{payload}");
    assert!(["nbf", "iat"].iter().all(|name| seconds(name).is_none_or(|begins| begins <= now + leeway)), "{payload}");
}
