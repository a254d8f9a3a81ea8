//! Requests with any headers, query and cookies: without the run's own token or MAC (`$TOKEN`, `$STRIPE` and so on in
//! an input) no request is granted, and with them only the requests for which they were made.
#![no_main]

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookgate::config::Config;
use hookgate_fuzz::keys::{NAMES, SECRET, SIGNERS, base64, hex, mac, token};
use hookgate_fuzz::{NOW, Outcome, evaluate, fill, gateway, head, percent_decode, route};
use http::request::Parts;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

const BODY: &str = "{}";

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let jwt = |token| json!({"jwt": {"issuer": "shared", "audience": "a", "token_from": token}});
    let preset = |name| json!({"preset": name, "secret": {"file": "secret"}});
    let routes = [
        jwt(json!({"header": "Authorization"})),
        jwt(json!({"query": "token"})),
        jwt(json!({"cookie": "token"})),
        preset("stripe"),
        json!({"preset": "worldpay", "secrets": [{"file": "secret", "id": "1"}]}),
        preset("hook0"),
        preset("standard-webhooks"),
    ];
    let pem = SIGNERS.pem();
    let files: [(&str, &[u8]); 2] = [("pem", pem.as_bytes()), ("secret", SECRET.as_bytes())];
    gateway(&routes, SIGNERS.issuers(), &files).expect("a configuration")
});

/// The credentials in a genuine request of each route.
static GENUINE: LazyLock<[(&str, String); 5]> = LazyLock::new(|| {
    let by = |secret: &[u8], text: &str| mac(secret, text.as_bytes());
    let claims = json!({"iss": NAMES[3].1, "aud": "a", "exp": NOW + 300}).to_string();
    let bytes = STANDARD.decode(SECRET.as_bytes()).expect("base64");
    [
        ("$TOKEN", token(b"{\"alg\":\"HS256\"}", claims.as_bytes(), |text| SIGNERS.sign(3, text))),
        ("$STRIPE", hex(&by(SECRET.as_bytes(), &format!("{NOW}.{BODY}")))),
        ("$WORLDPAY", hex(&by(SECRET.as_bytes(), BODY))),
        ("$HOOK0", hex(&by(SECRET.as_bytes(), &format!("{NOW}.x-id.1.{BODY}")))),
        ("$STANDARD", base64(&by(&bytes, &format!("m.{NOW}.{BODY}")))),
    ]
});

/// One request for each route; a run in which no input could pass would find nothing.
const GENUINE_HEADS: [&str; 7] = [
    "/0\nAuthorization: Bearer $TOKEN",
    "/1?token=$TOKEN",
    "/2\nCookie: a=b; token=$TOKEN",
    "/3\nStripe-Signature: t=1700000000,v1=$STRIPE",
    "/4\nEvent-Signature: 1/SHA256/$WORLDPAY",
    "/5\nX-Hook0-Signature: t=1700000000,h=x-id,v1=$HOOK0\nX-Id: 1",
    "/6\nwebhook-id: m\nwebhook-timestamp: 1700000000\nwebhook-signature: v1,$STANDARD",
];

fuzz_target!(init: for input in GENUINE_HEADS {
    assert!(evaluated(input.as_bytes()).is_some_and(|(granted, genuine)| granted && genuine), "{input}");
}, |input: &[u8]| {
    if let Some((granted, genuine)) = evaluated(input) {
        assert!(genuine || !granted, "{}", String::from_utf8_lossy(input));
    }
});

/// Whether the request was granted, and whether it is genuine.
fn evaluated(input: &[u8]) -> Option<(bool, bool)> {
    let values = GENUINE.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut lines = input.split(|byte| *byte == b'\n').map(|line| fill(line, &values));
    let target = lines.next()?;
    let lines: Vec<Vec<u8>> = lines.collect();
    let fields = lines.iter().filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    });
    let head = head("POST", &target, fields)?;
    let route = route(&CONFIG, &head)?;
    let granted = matches!(evaluate(&route, &head, BODY.as_bytes()), Outcome::Granted(_));
    Some((granted, granted && is_genuine(&route.name, &head)))
}

fn is_genuine(route: &str, head: &Parts) -> bool {
    let [token, stripe, worldpay, hook0, standard] = GENUINE.each_ref().map(|(_, value)| value.as_str());
    let all = |name: &str| head.headers.get_all(name).into_iter().map(|value| value.to_str().unwrap_or("?"));
    let one = |name: &str| all(name).next().filter(|_| all(name).count() == 1).unwrap_or_default();
    let holds = |name: &str, items: &[String]| {
        let there: Vec<&str> = one(name).split(',').map(str::trim).collect();
        items.iter().all(|item| there.contains(&item.as_str()))
            && there.iter().filter(|item| item.starts_with("t=")).count() < 2
    };
    // Split at `;` as well, as in the gateway.
    let named = |wanted: &str| -> Vec<(&str, &str)> {
        let pairs = head.uri.query().unwrap_or_default().split(['&', ';']).filter_map(|pair| pair.split_once('='));
        pairs.filter(|(name, _)| percent_decode(name.as_bytes()) == wanted.as_bytes()).collect()
    };
    match route {
        "r0" => one("authorization").ends_with(token) && named("access_token").is_empty(),
        "r1" => named("token") == [("token", token)],
        "r2" => {
            let cookies = || all("cookie").flat_map(|field| field.split(';')).map(str::trim);
            let tokens = cookies().filter_map(|pair| pair.split_once('=')).filter(|(name, _)| name.trim() == "token");
            tokens.map(|(_, value)| value).eq([token])
        }
        "r3" => holds("stripe-signature", &[format!("t={NOW}"), format!("v1={stripe}")]),
        "r4" => one("event-signature").contains(&format!("1/SHA256/{worldpay}")),
        "r5" => {
            let items = [format!("t={NOW}"), "h=x-id".to_owned(), format!("v1={hook0}")];
            holds("x-hook0-signature", &items) && one("x-id") == "1"
        }
        _ => {
            let time = one("webhook-timestamp") == NOW.to_string();
            time && one("webhook-id") == "m" && one("webhook-signature").contains(&format!("v1,{standard}"))
        }
    }
}
