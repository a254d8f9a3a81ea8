//! HTTP Message Signatures (RFC 9421): an honest signer signs the components that the input's `Signature-Input` lists (`$MAC`
//! in the input), so that every such request has a valid signature. It is granted only if that covers what the route requires:
//! no change of the method, the target, the host or the body of a granted request is granted too.
#![no_main]

use std::sync::LazyLock;

use hookgate::auth::RequestView;
use hookgate::auth::message_signature::base_to_sign;
use hookgate::config::Config;
use hookgate::route::Route;
use hookgate_fuzz::keys::{SECRET, base64, mac};
use hookgate_fuzz::{Outcome, evaluate, fill, gateway, head, route};
use http::request::Parts;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

const BODY: &[u8] = b"{}";

/// SHA-256 of [`BODY`].
const DIGEST: &str = "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:";

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let auth = json!({"http_message_signature": {"algorithm": "hmac-sha256", "secret": {"file": "secret"}}});
    gateway(&[auth], json!({}), &[("secret", SECRET.as_bytes())]).expect("a configuration")
});

/// Requests that must be granted; a run in which no input could pass would find nothing.
const GENUINE: [&str; 4] = [
    "/0?a=b\nContent-Digest: $DIGEST\nSignature-Input: sig1=(\"@method\" \"@target-uri\" \"content-digest\");created=1700000000\nSignature: sig1=:$MAC:",
    "/0\nRepr-Digest: $DIGEST\nSignature-Input: sig1=(\"@path\" \"@query\" \"repr-digest\";sf \"@authority\" \"@method\");created=1700000000;alg=\"hmac-sha256\"\nSignature: sig1=:$MAC:",
    "/0\nX-D: a=1, b=(c d)\nContent-Digest: $DIGEST\nSignature-Input: sig1=(\"@method\" \"@authority\" \"@request-target\" \"x-d\";key=\"b\" \"x-d\";bs \"content-digest\");created=1700000000;expires=1700000060;nonce=\"n\";tag=\"t\"\nSignature: sig1=:$MAC:",
    "/0?x=%20y\nContent-Digest: $DIGEST\nSignature-Input: other=();created=1, sig1=(\"@method\" \"@target-uri\" \"@query-param\";name=\"x\" \"content-digest\");created=1700000000\nSignature: sig1=:$MAC:",
];

fuzz_target!(init: for input in GENUINE {
    assert!(is_granted_as_signed(input.as_bytes()) == Some(true), "{input}");
}, |input: &[u8]| {
    is_granted_as_signed(input);
});

/// Whether the request is granted; panics if it is granted with something else in it.
fn is_granted_as_signed(input: &[u8]) -> Option<bool> {
    let parse = |mac: &str| {
        let lines: Vec<Vec<u8>> =
            input.split(|byte| *byte == b'\n').map(|line| fill(line, &[("$MAC", mac), ("$DIGEST", DIGEST)])).collect();
        let (target, lines) = lines.split_first()?;
        let fields = lines.iter().filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((&line[..colon], line[colon + 1..].trim_ascii()))
        });
        head("POST", target, fields)
    };
    let unsigned = parse("AAAA")?;
    let route = route(&CONFIG, &unsigned)?;
    let base = base_to_sign(&RequestView::new(&unsigned, route.url_base("hooks.example")), "sig1").unwrap_or_default();
    let signed = parse(&base64(&mac(SECRET.as_bytes(), base.as_bytes())))?;
    if !is_granted(&route, &signed, BODY) {
        return Some(false);
    }
    let shown = || String::from_utf8_lossy(input).into_owned();
    let mut changed = signed.clone();
    changed.method = http::Method::PUT;
    assert!(!is_granted(&route, &changed, BODY), "the method is not signed: {}", shown());
    for target in ["/0?forged=1", "/forged", "/0?"] {
        let mut changed = signed.clone();
        changed.uri = target.parse().expect("a target");
        let same = changed.uri == signed.uri || (target == "/0?" && signed.uri == "/0");
        assert!(same || !is_granted(&route, &changed, BODY), "the target is not signed: {}", shown());
    }
    assert!(!is_granted(&route, &signed, b"{ }"), "the body is not signed: {}", shown());
    let elsewhere = hookgate::auth::verify(
        &route.rules,
        &RequestView::new(&signed, route.url_base("other.example")).with_body(BODY),
        hookgate::clock::UnixTime::from_seconds(hookgate_fuzz::NOW).expect("a time"),
    );
    assert!(elsewhere.is_err(), "the host is not signed: {}", shown());
    Some(true)
}

fn is_granted(route: &Route, head: &Parts, body: &[u8]) -> bool {
    matches!(evaluate(route, head, body), Outcome::Granted(_))
}
