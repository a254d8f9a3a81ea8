//! Bodies that contain the credential, and endpoint verification challenges of providers. A lower-case letter sends an
//! input as an unauthenticated client would; an upper-case letter signs it with the run's own key, so that only its
//! rules are left to check. Responses contain a challenge of the strict alphabet, and no MAC in a response is accepted
//! as a signature.
#![no_main]

use std::sync::LazyLock;

use hookgate::auth::challenge::ChallengeResponse;
use hookgate::config::Config;
use hookgate::route::Route;
use hookgate_fuzz::keys::{CHAIN, NAMES, SECRET, SIGNERS, base64, base64url, hex, mac, token};
use hookgate_fuzz::used_value::{is_object, used_value};
use hookgate_fuzz::{NOW, Outcome, evaluate, fill, gateway, head, percent_decode, route};
use http::HeaderValue;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// In the order of the routes; the letters a to k select one.
const PRESETS: [&str; 11] = [
    "adyen",
    "apple-app-store",
    "mailgun",
    "meta-signed-request",
    "security-event-token",
    "twilio",
    "microsoft-graph",
    "slack",
    "zoom",
    "x",
    "azure-event-grid",
];

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let auths = PRESETS.map(|name| {
        let mut auth = json!({"preset": name, "secret": {"file": "secret"}});
        match name {
            "apple-app-store" => {
                auth = json!({"preset": name, "root_ca": {"file": "root"}, "parameters": {"bundle_id": "com.example"}});
            }
            "security-event-token" => {
                auth = json!({"preset": name, "jwks": SIGNERS.issuers()["set"]["jwks"]});
                auth["parameters"] = json!({"issuer": NAMES[0].1, "audience": "a"});
            }
            "azure-event-grid" => {
                let parameters = json!({"tenant": "t", "issuer": "https://sts.windows.net/t/", "audience": "a"});
                auth = json!({"preset": name, "parameters": parameters, "challenge": true});
            }
            "microsoft-graph" | "slack" => auth["challenge"] = true.into(),
            "zoom" | "x" => auth = json!({"preset": name, "secret": {"file": name}, "challenge": true}),
            _ => {}
        }
        auth
    });
    let [zoom, x] = ["zoom", "x"].map(|name| (name, secret(name)));
    let mut files = vec![("root", CHAIN.root.as_bytes()), ("secret", SECRET.as_bytes())];
    files.extend([&zoom, &x].map(|(name, secret)| (*name, secret.as_bytes())));
    gateway(&auths, json!({}), &files).expect("a configuration")
});

/// Where challenges are answered with a signature, a route shares its secret with no other route: it would sign on
/// demand.
fn secret(preset: &str) -> String {
    match preset {
        "zoom" | "x" => format!("{preset}{}", *SECRET),
        _ => SECRET.clone(),
    }
}

/// MACs of one Adyen and one Mailgun notification, and the certificate chain.
static VALUES: LazyLock<[(&str, String); 5]> = LazyLock::new(|| {
    let key: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&SECRET[2 * at..2 * at + 2], 16).expect("hex")).collect();
    let [leaf, middle, root] = CHAIN.x5c.clone();
    [
        ("$ADYEN", base64(&mac(&key, b"p:o:m:r:1:EUR:E:true"))),
        ("$MAILGUN", hex(&mac(SECRET.as_bytes(), format!("{NOW}tok").as_bytes()))),
        ("$LEAF", leaf),
        ("$MIDDLE", middle),
        ("$ROOT", root),
    ]
});

/// Requests that are granted or answered: a run in which no input could pass would find nothing.
const PASSING: [&str; 10] = [
    r#"aj
{"notificationItems":[{"NotificationRequestItem":{"pspReference":"p","originalReference":"o","merchantAccountCode":"m",
"merchantReference":"r","amount":{"value":1,"currency":"EUR"},"eventCode":"E","success":"true","additionalData":
{"hmacSignature":"$ADYEN"}}}]}"#,
    r#"Bt
{"alg":"ES256","x5c":["$LEAF","$MIDDLE","$ROOT"]}
{"notificationUUID":"u","signedDate":1700000000000,"data":{"bundleId":"com.example","environment":"Production"}}"#,
    "cj\n{\"signature\":{\"timestamp\":\"1700000000\",\"token\":\"tok\",\"signature\":\"$MAILGUN\"}}",
    "Dt\n\n{}",
    r#"Et
{"alg":"ES256","kid":"ec","typ":"secevent+jwt"}
{"iss":"https://set.example/","aud":"a","iat":1700000000,"jti":"j","events":{}}"#,
    "gjValidation%3A+x\n",
    "Hj\n{\"type\":\"url_verification\",\"challenge\":\"c\"}",
    "Ij\n{\"event\":\"endpoint.url_validation\",\"payload\":{\"plainToken\":\"c\"}}",
    "jgabc\n",
    "koeventgrid.example\n",
];

fuzz_target!(init: for input in PASSING {
    assert!(passed(input.as_bytes()) == Some(true), "{input}");
}, |input: &[u8]| {
    passed(input);
});

/// Whether the request was granted or answered; `None` where the input is no request.
fn passed(input: &[u8]) -> Option<bool> {
    let [letter, kind, input @ ..] = input else { return None };
    let preset = PRESETS.get(usize::from(letter.to_ascii_lowercase().wrapping_sub(b'a')))?;
    let signed = letter.is_ascii_uppercase();
    let values = VALUES.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let extra = parts.next()?;
    let body = fill(parts.next().unwrap_or_default(), &values);
    let body = if *kind == b't' { with_token(preset, signed, &body) } else { body };
    let (target, fields) = dressed(preset, signed, *kind, extra, &body)?;
    let method = match kind {
        b'g' => "GET",
        b'o' => "OPTIONS",
        _ => "POST",
    };
    let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()));
    let head = head(method, &target, fields)?;
    let route = route(&CONFIG, &head)?;
    match evaluate(&route, &head, &body) {
        Outcome::Rejected => return Some(false),
        Outcome::Granted(_) => assert!(may_pass(preset, signed, *kind, &body), "{preset} granted a forged request"),
        Outcome::Answered(answer) => must_be_harmless(preset, &route, &answer, extra),
    }
    Some(true)
}

/// Builds a token from header, payload and signature, one per line, as each sender does.
fn with_token(preset: &str, signed: bool, lines: &[u8]) -> Vec<u8> {
    let mut lines = lines.splitn(3, |byte| *byte == b'\n');
    let [header, payload, junk] = [(); 3].map(|()| lines.next().unwrap_or_default());
    let sign = |text: &[u8]| match preset {
        _ if !signed => junk.to_vec(),
        "apple-app-store" => CHAIN.sign(text),
        _ => SIGNERS.sign(0, text),
    };
    match preset {
        "meta-signed-request" => {
            let payload = base64url(payload);
            let mac = if signed { mac(SECRET.as_bytes(), payload.as_bytes()) } else { junk.to_vec() };
            format!("signed_request={}.{payload}", base64url(&mac)).into_bytes()
        }
        "apple-app-store" => json!({"signedPayload": token(header, payload, sign)}).to_string().into_bytes(),
        _ => token(header, payload, sign).into_bytes(),
    }
}

type Dressed = (Vec<u8>, Vec<(&'static str, Vec<u8>)>);

/// Target and headers.
fn dressed(preset: &str, signed: bool, kind: u8, extra: &[u8], body: &[u8]) -> Option<Dressed> {
    let index = PRESETS.iter().position(|name| *name == preset)?;
    let form = kind == b'f' || (kind == b't' && preset == "meta-signed-request");
    let content_type = if form { "application/x-www-form-urlencoded" } else { "application/json" };
    let mut target = format!("/{index}").into_bytes();
    let mut fields = vec![("content-type", content_type.as_bytes().to_vec())];
    let own = |text: &[&[u8]]| mac(secret(preset).as_bytes(), &text.concat());
    let time = NOW.to_string().into_bytes();
    match preset {
        "x" => target = [&target, &b"?crc_token="[..], extra].concat(),
        "microsoft-graph" => target = [&target, &b"?validationToken="[..], extra].concat(),
        "twilio" => target = [&target, &b"?"[..], extra].concat(),
        "azure-event-grid" if kind == b'o' => fields.push(("webhook-request-origin", extra.to_vec())),
        "azure-event-grid" => fields.push(("aeg-event-type", b"SubscriptionValidation".to_vec())),
        _ => {}
    }
    match (preset, signed) {
        ("slack", true) => {
            let value = format!("v0={}", hex(&own(&[b"v0:", &time, b":", body])));
            fields.extend([("x-slack-request-timestamp", time), ("x-slack-signature", value.into_bytes())]);
        }
        ("zoom", true) => {
            let value = format!("v0={}", hex(&own(&[b"v0:", &time, b":", body])));
            fields.extend([("x-zm-request-timestamp", time), ("x-zm-signature", value.into_bytes())]);
        }
        ("x", true) => {
            fields.push(("x-twitter-webhooks-signature", format!("sha256={}", base64(&own(&[body]))).into_bytes()));
        }
        ("slack", false) => {
            fields.extend([("x-slack-request-timestamp", time), ("x-slack-signature", extra.to_vec())]);
        }
        ("zoom", false) => fields.extend([("x-zm-request-timestamp", time), ("x-zm-signature", extra.to_vec())]),
        ("x", false) => fields.push(("x-twitter-webhooks-signature", extra.to_vec())),
        ("twilio", _) => fields.push(("x-twilio-signature", extra.to_vec())),
        _ => {}
    }
    Some((target, fields))
}

/// A second implementation of the rules other than the signature. Of a body it reads the values that the preset uses.
fn may_pass(preset: &str, signed: bool, kind: u8, body: &[u8]) -> bool {
    let payload = |token: &[u8]| {
        use base64::Engine;
        let payload = token.split(|byte| *byte == b'.').nth(1).unwrap_or_default();
        let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
        serde_json::from_slice::<Value>(&payload).unwrap_or_default()
    };
    match (preset, signed) {
        ("slack", true) => true,
        // Where challenges are answered with a signature of the same secret, a body must be a JSON object.
        ("zoom" | "x", true) => is_object(body),
        ("meta-signed-request", true) => kind == b't',
        ("apple-app-store", true) => {
            let says = payload(used_value(body, &["signedPayload"]).as_str().unwrap_or_default().as_bytes());
            let at = says["signedDate"].as_u64().or_else(|| says["signedDate"].as_str()?.parse().ok());
            let data = &says["data"];
            let ours = data["bundleId"] == "com.example" && data["environment"] == "Production";
            let fresh = at.is_some_and(|at| (at / 1000).abs_diff(NOW) <= 7 * 86_400);
            kind == b't' && ours && fresh && !says["notificationUUID"].is_null()
        }
        ("security-event-token", true) => {
            let says = payload(body);
            let ours = |audience: &Value| audience == "a";
            let audience = ours(&says["aud"]) || says["aud"].as_array().is_some_and(|many| many.iter().any(ours));
            let there = ["iat", "jti", "events"].iter().all(|name| !says[name].is_null());
            kind == b't' && says["iss"] == NAMES[0].1 && audience && there
        }
        ("adyen", _) => {
            let items = |rest: &[&str]| used_value(body, &[&["notificationItems"], rest].concat());
            let text = |path: &[&str]| {
                let value = items(&[&["0", "NotificationRequestItem"], path].concat());
                value.as_str().map_or_else(|| value.to_string(), str::to_owned)
            };
            let names = ["pspReference", "originalReference", "merchantAccountCode", "merchantReference"];
            let mut signed = names.map(|name| text(&[name])).to_vec();
            signed.extend([["amount", "value"], ["amount", "currency"]].map(|path| text(&path)));
            signed.extend(["eventCode", "success"].map(|name| text(&[name])));
            signed.join(":") == "p:o:m:r:1:EUR:E:true" && items(&["1"]).is_null()
        }
        ("mailgun", _) => {
            let time = used_value(body, &["signature", "timestamp"]);
            let is_now = time == NOW || time == NOW.to_string();
            is_now && used_value(body, &["signature", "token"]) == "tok"
        }
        _ => false,
    }
}

/// Asserts that a challenge, repeated or signed, has only allowed characters and an allowed length.
fn must_be_proper(challenge: &str, longest: usize, more: &str) {
    let plain = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
    assert!((1..=longest).contains(&challenge.len()) && challenge.chars().all(plain), "{challenge:?}");
}

fn must_be_harmless(preset: &str, route: &Route, answer: &ChallengeResponse, extra: &[u8]) {
    assert!(answer.headers.iter().all(|(_, value)| HeaderValue::from_str(value).is_ok()), "{answer:?}");
    let reply: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let own = |challenge: &str| mac(secret(preset).as_bytes(), challenge.as_bytes());
    match preset {
        "slack" | "microsoft-graph" => must_be_proper(&answer.body, 512, "-_.~+/=: "),
        "azure-event-grid" => {
            let challenge = reply["validationResponse"].as_str().or_else(|| Some(&answer.headers.first()?.1));
            must_be_proper(challenge.expect("a challenge"), 512, "-_.~+/=: ");
        }
        "zoom" => {
            let challenge = reply["plainToken"].as_str().expect("a challenge");
            must_be_proper(challenge, 128, "-_");
            assert_eq!(reply["encryptedToken"], hex(&own(challenge)));
        }
        "x" => {
            let written = extra.split(|byte| matches!(byte, b'&' | b'#')).next().unwrap_or_default();
            let challenge = String::from_utf8(percent_decode(written)).expect("text");
            must_be_proper(&challenge, 128, "-_");
            let made = format!("sha256={}", base64(&own(&challenge)));
            assert_eq!(reply["response_token"], made.as_str());
            let fields = [(&b"x-twitter-webhooks-signature"[..], made.as_bytes())];
            let head = head("POST", b"/9", fields).expect("a head");
            assert!(matches!(evaluate(route, &head, challenge.as_bytes()), Outcome::Rejected), "a signature to order");
        }
        _ => panic!("{preset} has no challenge"),
    }
}
