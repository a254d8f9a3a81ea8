//! Endpoint verification challenges of providers. The response contains a value from an unauthenticated client, and
//! sometimes its MAC. So only challenges in the provider's form are answered, never as HTML, and never with a MAC that
//! could sign a request.

use hookgate::auth::encoding::Encoding;
use hookgate::auth::locator::Locator;
use hookgate::auth::signature::Parse;
use hookgate::auth::{Policy, RequestView};
use hookgate::config::presets::{PRESETS, find};
use hookgate::route::ChallengeStage;
use serde_json::{Value, json};

use crate::support::configuration::{Preset, Route, file};
use crate::support::{Answer, Client, NOW, Setup, Upstream, hmac};
use crate::vectors::{Case, Verdict, cases, read};

const SECRET: &str = "the secret of a sender";

fn setup(upstream: &Upstream, preset: &str, challenge: impl Into<Value>) -> Setup {
    let setup = Setup::new(upstream.address).file("secret", SECRET).file("token", "the verify token");
    let auth = Preset::new(preset).secret(file("secret")).challenge(challenge);
    setup.route(|route| route.methods(["GET", "POST"])).auth(auth)
}

async fn get(client: &Client, query: &str) -> Answer {
    client.send(client.request(&format!("/webhook?{query}")).method("GET"), "").await
}

/// The body of a response to a challenge, whose headers keep a browser from rendering it as a page.
fn answered(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let kind = answer.header("content-type").unwrap();
    assert!(["text/plain; charset=utf-8", "application/json"].contains(&kind), "{kind}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!((answer.header("cache-control"), answer.header("server")), (Some("no-store"), Some("hookgate")));
    assert!(answer.body.len() <= 1024 && answer.header("x-request-id").is_some());
    answer.text()
}

#[tokio::test]
async fn challenges_are_rejected_where_they_are_off() {
    let upstream = Upstream::echo().await;
    for preset in ["meta", "x", "dropbox"] {
        let auth = Preset::new(preset).secret(file("secret"));
        for auth in [auth.clone(), auth.challenge(false)] {
            let gateway = setup(&upstream, preset, false).auth(auth).start();
            let query = "hub.mode=subscribe&hub.challenge=riddle&hub.verify_token=x&crc_token=riddle&challenge=riddle";
            let answer = get(&gateway.client(), query).await;
            assert_eq!(answer.problem(), (401, "unauthorized".into()), "{preset}");
            let response = format!("{:?}{}", answer.headers, answer.text());
            assert!(!response.contains("riddle") && !response.contains(&hmac(SECRET, "riddle")), "{response}");
        }
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_challenge_with_a_token_is_answered_for_that_token_only() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream, "meta", json!({ "token": file("token") })).start();
    let ask = async |token: &str, more: &str| {
        let query = format!("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}{more}");
        get(&gateway.client(), &query).await
    };
    assert_eq!(answered(&ask("the%20verify%20token", "").await), "1158201444");
    for (token, more) in [
        ("the%20verify%20toke", ""),
        ("the%20verify%20token2", ""),
        ("The%20verify%20token", ""),
        ("", ""),
        ("the%20verify%20token", "&hub.verify_token=x"),
        ("the%20verify%20token", "&hub.challenge=2"),
        ("x", "&hub.verify_token=the%20verify%20token"),
    ] {
        assert_eq!(ask(token, more).await.problem(), (401, "unauthorized".into()), "{token}{more}");
    }
    assert!(upstream.seen().is_empty());
    assert_eq!(gateway.counted("challenge_answered", "").await, Some(1.0));
}

#[tokio::test]
async fn a_signed_challenge_is_answered_only_after_its_signature() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream, "slack", true).start();
    let body = "{\"type\":\"url_verification\",\"challenge\":\"3eZbrw1aBm\"}";
    let ask = async |time: u64, signature: &str| {
        let request = gateway.client().request("/webhook").header("x-slack-request-timestamp", time);
        gateway.client().send(request.header("x-slack-signature", format!("v0={signature}")), body).await
    };
    let signed = |time: u64| hmac(SECRET, format!("v0:{time}:{body}"));
    for (time, signature) in [(NOW, signed(NOW - 1)), (NOW, "00".to_owned()), (NOW - 301, signed(NOW - 301))] {
        assert_eq!(ask(time, &signature).await.status, 401);
    }
    let unsigned = gateway.client().send(gateway.client().request("/webhook"), body).await;
    assert!(unsigned.status == 401 && !unsigned.text().contains("3eZbrw1aBm"));
    assert_eq!(answered(&ask(NOW, &signed(NOW)).await), "3eZbrw1aBm");
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_crc_is_answered_by_its_hmac() {
    use base64::Engine;
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream, "x", true).start();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = aws_lc_rs::hmac::sign(&key, b"MDk0ZmUyZTktZDQ5Zi00");
    let expected = format!("sha256={}", base64::engine::general_purpose::STANDARD.encode(tag));
    for client in [gateway.client(), gateway.client_http2()] {
        let response = answered(&get(&client, "crc_token=MDk0ZmUyZTktZDQ5Zi00&nonce=1").await);
        assert_eq!(serde_json::from_str::<Value>(&response).unwrap(), serde_json::json!({"response_token": expected}));
    }
}

/// A value that a browser could render, or that could start a log line, is no challenge.
#[tokio::test]
async fn a_challenge_has_a_strict_alphabet_and_length() {
    let upstream = Upstream::echo().await;
    for (preset, name, longest) in [("dropbox", "challenge", 512), ("x", "crc_token", 128)] {
        let gateway = setup(&upstream, preset, true).start();
        for bad in [
            "a%0D%0ASet-Cookie:%20x=1",
            "%3Cscript%3Ealert(1)%3C/script%3E",
            "%00",
            "",
            "%C3%A4",
            "a%22b",
            "a&challenge=b&crc_token=b",
            &"a".repeat(longest + 1),
        ] {
            let answer = get(&gateway.client(), &format!("{name}={bad}")).await;
            assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (401, None), "{bad}");
            assert!(!answer.text().contains("script"), "{}", answer.text());
        }
        answered(&get(&gateway.client(), &format!("{name}={}", "a".repeat(longest))).await);
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn more_than_twenty_answers_a_second_are_too_many() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream, "dropbox", true).start();
    let client = gateway.client();
    for _ in 0..20 {
        answered(&get(&client, "challenge=a").await);
    }
    let answer = get(&client, "challenge=riddle").await;
    assert_eq!((answer.problem(), answer.header("retry-after")), ((429, "rate_limited".into()), Some("10")));
    assert_eq!(gateway.counted("rejected", "rate_limited").await, Some(1.0));
    gateway.clock.forward(1);
    answered(&get(&client, "challenge=a").await);
    assert_eq!(gateway.counted("challenge_answered", "").await, Some(21.0));
}

/// Payloads that an attacker would like to have signed.
const WANTED: &[&str] = &[
    "{\"event\":\"payment\"}",
    "{}",
    "[1]",
    "\"text\"",
    "12345",
    "true",
    "null",
    "plain",
    "form=1",
    "v0:TIME:{\"event\":\"payment\"}",
    "v0:TIME:",
    "v0:TIME:12345",
    "v1:TIME:plain",
    "TIME.plain",
    "{\"a\":1} ",
    "\u{feff}{}",
];

/// The preset's challenge request with another value in the place of its own.
fn with_value(case: &Case, place: &str, value: &str) -> Case {
    let mut case = case.clone();
    match place.split_once(':').unwrap() {
        ("query", name) => {
            let encoded: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
            let base = case.request["url"].as_str().unwrap().split('?').next().unwrap().to_owned();
            case.request["url"] = format!("{base}?{name}={encoded}").into();
        }
        ("json", pointer) => {
            let mut body: Value = serde_json::from_slice(&case.body()).unwrap();
            *body.pointer_mut(pointer).unwrap() = value.into();
            case.request["body"] = body.to_string().into();
        }
        ("header", name) => case.request["headers"][name] = value.into(),
        other => panic!("{other:?}"),
    }
    case
}

/// The response to a challenge, whether or not it needs a verified signature.
fn answer(case: &Case) -> Option<String> {
    let config = case.compile().unwrap();
    let (head, body) = (case.head(), case.body());
    let route = config.snapshot.routes.find("any", head.uri.path(), &head.method).unwrap();
    let view = || RequestView::new(&head, route.url_base("unused")).with_body(&body);
    let asked = [ChallengeStage::Unauthenticated, ChallengeStage::Authenticated]
        .map(|asker| route.challenge_response(&view(), asker).unwrap());
    asked.into_iter().flatten().next().map(|answer| answer.body)
}

/// Every text in a response.
fn texts(answer: &str) -> Vec<String> {
    let value: Value = serde_json::from_str(answer).unwrap_or_else(|_| answer.into());
    match value {
        Value::Object(members) => members.values().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::String(text) => vec![text],
        other => panic!("{other}"),
    }
}

/// Requests of the preset whose string to sign would be `wish`, with `mac` as the signature in each spelling.
fn forgeries(good: &Case, wish: &str, mac: &str) -> Vec<Case> {
    let config = good.compile().unwrap();
    let head = good.head();
    let route = config.snapshot.routes.find("any", head.uri.path(), &head.method).unwrap();
    let Policy::Signature(policy) = &route.rules.policy else { panic!("no signature") };
    let [Locator::Header { name, .. }] = policy.places.as_slice() else { panic!("not in a header") };
    let Parse::Prefix(prefix) = &policy.parse else { panic!("no prefix") };
    assert!(matches!(policy.encoding, Encoding::Hex | Encoding::Base64));
    let bodies = [Some(wish), wish.splitn(3, ':').nth(2)];
    let values = [mac.to_owned(), format!("{prefix}{mac}")];
    let pairs = bodies.into_iter().flatten().flat_map(|body| values.iter().map(move |value| (body, value)));
    let forge = |(body, value): (&str, &String)| {
        let mut case = good.clone();
        case.request["body"] = body.into();
        let headers = case.request["headers"].as_object_mut().unwrap();
        headers.retain(|found, _| !found.eq_ignore_ascii_case(name.as_str()));
        headers.insert(name.to_string(), value.as_str().into());
        case
    };
    pairs.map(forge).collect()
}

/// X's own CRC signs with the key that signs bodies. Without the strict alphabet, and the rule that a body is a JSON
/// object, an attacker could have any body signed.
#[test]
fn no_answer_signs_a_request_that_the_preset_would_accept() {
    let challenges: Vec<_> =
        ["signature_handshakes.json", "token_handshakes.json"].iter().flat_map(|file| read(file)).collect();
    let mut oracles = Vec::new();
    for (name, text) in PRESETS.iter().filter(|(_, text)| text.contains("$hmac")) {
        let place = find(name).unwrap().challenge.iter().find_map(|one| one.value_from.clone()).unwrap();
        let mut asked = Case::read(challenges.iter().find(|vector| vector["preset"] == **name).unwrap());
        let mut good = cases("signatures.json").into_iter().map(|(_, case, valid)| (case, valid));
        let (mut good, _) = good.find(|(case, valid)| *valid && case.auth["preset"] == **name).unwrap();
        asked.auth["challenge"] = true.into();
        (good.auth, good.secrets) = (asked.auth.clone(), asked.secrets.clone());
        let mut answers = 0;
        for wish in WANTED {
            let wish = wish.replace("TIME", &good.now.to_string());
            let Some(response) = answer(&with_value(&asked, &place, &wish)) else { continue };
            answers += 1;
            for forged in texts(&response).iter().flat_map(|mac| forgeries(&good, &wish, mac)) {
                assert!(matches!(forged.decide(), Verdict::Rejected(_)), "{name} signs {wish:?}: {response} {text}");
            }
        }
        assert!(answers > 0, "{name} answers no challenge, so nothing was tested");
        oracles.push(*name);
    }
    assert_eq!(oracles, ["x", "zoom"]);
}

/// The challenges of one route, or those of an attacker, must not block those of a provider.
#[tokio::test]
async fn a_flood_of_challenges_blocks_only_its_client_on_its_route() {
    let upstream = Upstream::echo().await;
    let crc = Route::new("x")
        .path("/x")
        .methods(["GET", "POST"])
        .upstream(format!("http://{}", upstream.address))
        .auth(Preset::new("x").secret(file("other")).challenge(true));
    let gateway =
        setup(&upstream, "dropbox", true).file("other", "another secret").top(|top| top.add_route(crc)).start();
    let ask = async |last: u8, target: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        gateway.wire_from(last).await.write(request).await.rest().await
    };
    for number in 0..25 {
        let response = ask(9, "/webhook?challenge=riddle").await;
        assert_eq!(response.starts_with("HTTP/1.1 429"), number >= 20, "{number}: {response}");
    }
    for (last, target) in [(9, "/x?crc_token=abc"), (2, "/x?crc_token=abc"), (2, "/webhook?challenge=riddle")] {
        let response = ask(last, target).await;
        assert!(response.starts_with("HTTP/1.1 200"), "{target}: {response}");
    }
}
