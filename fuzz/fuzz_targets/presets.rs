//! Preset files: one that can be read is also written into a route as the operator's own scheme, and if that compiles,
//! no request of an unauthenticated client is granted.
#![no_main]

use std::collections::BTreeMap;

use hookgate::config::reader::{Location, Report};
use hookgate::config::{presets, yaml};
use hookgate_fuzz::keys::SECRET;
use hookgate_fuzz::{Outcome, evaluate, gateway, head, route, to_json};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|text: &str| {
    let Ok(bare) = presets::read(text) else { return };
    let names = bare.parameters.keys();
    let parameters: BTreeMap<String, Vec<String>> =
        names.map(|name| (name.clone(), vec!["https://p.example/".into()])).collect();
    let (_, report) = presets::fill(text, &parameters, Location::ROOT, Report::default());
    if !report.problems.is_empty() {
        return;
    }
    // No `${…}` is left in the text that is compiled.
    let written = parameters
        .keys()
        .fold(text.to_owned(), |text, name| text.replace(&format!("${{{name}}}"), "https://p.example/"));
    let Ok(document) = yaml::read(&written) else { return };
    let Some((auth, issuers)) = scheme(&to_json(&document)) else { return };
    let Ok(config) = gateway(&[auth], issuers, &[("secret", SECRET.as_bytes())]) else { return };
    for (method, body) in
        [("POST", &b"{\"signature\":{\"signature\":\"00\",\"timestamp\":1700000000}}"[..]), ("POST", b"")]
    {
        let names = ["authorization", "x-signature", "stripe-signature", "x-hub-signature-256", "signature"];
        let fields = names.map(|name| (name.as_bytes(), &b"sha256=00"[..]));
        let head = head(method, b"/0?token=00&signature=00", fields).expect("a head");
        let Some(route) = route(&config, &head) else { continue };
        assert!(!matches!(evaluate(&route, &head, body), Outcome::Granted(_)), "a forged request passes: {written}");
    }
});

/// The preset's scheme with a secret, as a value of `auth`, and its issuer.
fn scheme(preset: &Value) -> Option<(Value, Value)> {
    let secret = json!({"file": "secret"});
    for name in ["signature", "static_token"] {
        if let Some(Value::Object(scheme)) = preset.get(name) {
            let mut scheme = scheme.clone();
            let public = scheme.get("algorithm").and_then(Value::as_str).is_some_and(|name| !name.starts_with("hmac"));
            let public = public && scheme.get("algorithm").is_some_and(|name| name != "sha256");
            scheme.insert(if public { "public_key" } else { "secret" }.to_owned(), secret);
            return Some((json!({ name: scheme }), json!({})));
        }
    }
    let mut jwt = preset.get("jwt")?.clone();
    jwt.as_object_mut()?.insert("issuer".to_owned(), "own".into());
    Some((json!({ "jwt": jwt }), json!({"own": preset.get("issuer")?})))
}
