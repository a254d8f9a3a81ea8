//! Security event tokens by push: rejected with the error codes of RFC 8935 §2.3 and §2.4.

use jsonwebtoken::{Header, encode};
use serde_json::{Value, json};

use crate::support::configuration::{Jwks, Preset};
use crate::support::{Answer, Gateway, Issuer, NOW, Setup, Upstream};

const AUDIENCE: &str = "https://receiver.test/";

fn setup(upstream: &Upstream) -> Setup {
    Setup::new(upstream.address).auth(preset(Jwks::file("jwks.json")))
}

fn preset(jwks: Jwks) -> Preset {
    let parameters = json!({"issuer": "https://issuer.test/", "audience": AUDIENCE});
    Preset::new("security-event-token").parameters(parameters).jwks(jwks)
}

/// A valid token with these changes; `null` removes a claim.
fn event(issuer: &Issuer, changes: &Value) -> String {
    let mut claims = json!({
        "iss": "https://issuer.test/", "aud": AUDIENCE, "iat": NOW - 60, "jti": "756E69717565206964656E746966696572",
        "events": {"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {}},
    });
    let object = claims.as_object_mut().unwrap();
    object.extend(changes.as_object().unwrap().clone());
    object.retain(|_, value| !value.is_null());
    let header =
        Header { kid: Some(issuer.kid.clone()), typ: Some("secevent+jwt".into()), ..Header::new(issuer.algorithm) };
    encode(&header, &claims, &issuer.key).unwrap()
}

async fn push(gateway: &Gateway, body: &str) -> Answer {
    let request = gateway.client().request("/webhook").header("content-type", "application/secevent+jwt");
    gateway.client().send(request, body.to_owned()).await
}

/// The `err` of a rejection, which has the form of RFC 8935 §2.3.
fn err(answer: &Answer) -> String {
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (400, Some("application/json")));
    assert_eq!((answer.header("content-language"), answer.header("www-authenticate")), (Some("en"), None));
    assert_eq!((answer.header("server"), answer.header("cache-control")), (Some("hookgate"), Some("no-store")));
    let response = answer.json();
    assert_eq!(response.as_object().unwrap().len(), 2, "{response}");
    let description = response["description"].as_str().unwrap();
    let secret = ["issuer.test", "receiver.test", "k1", "756E"].iter().find(|expected| description.contains(*expected));
    assert_eq!((secret, description.is_empty()), (None, false), "{description}");
    response["err"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_rejected_event_gets_an_error_code_of_rfc_8935() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream).start();
    let genuine = |changes: Value| event(&gateway.issuer, &changes);
    let (namesake, unknown) = (Issuer::rs256("k1"), Issuer::rs256("k2"));
    for (body, expected) in [
        (String::new(), "invalid_request"),
        ("garbage".to_owned(), "invalid_request"),
        ("{\"err\": \"x\"}".to_owned(), "invalid_request"),
        (gateway.token(), "invalid_request"),
        (genuine(json!({"events": null})), "invalid_request"),
        (genuine(json!({"iat": NOW - 8 * 24 * 3600})), "invalid_request"),
        (event(&namesake, &json!({})), "authentication_failed"),
        (event(&unknown, &json!({})), "invalid_key"),
        (
            event(&Issuer { algorithm: jsonwebtoken::Algorithm::RS384, ..gateway.issuer.clone() }, &json!({})),
            "invalid_key",
        ),
        (genuine(json!({"iss": "https://other.test/"})), "invalid_issuer"),
        (genuine(json!({"aud": "https://other.test/"})), "invalid_audience"),
    ] {
        assert_eq!(err(&push(&gateway, &body).await), expected, "{body}");
    }
    assert!(upstream.seen().is_empty());
    assert_eq!(push(&gateway, &genuine(json!({}))).await.status, 200);
    assert_eq!(upstream.only().body, genuine(json!({})));
}

#[tokio::test]
async fn an_event_from_an_address_that_is_not_allowed_is_denied() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream).route(|route| route.allowed_ips(["203.0.113.0/24"])).start();
    assert_eq!(err(&push(&gateway, &event(&gateway.issuer, &json!({}))).await), "access_denied");
    assert!(upstream.seen().is_empty());
}

/// RFC 8935 §2.3 covers rejected tokens; other errors use HTTP statuses, and the transmitter retries.
#[tokio::test]
async fn other_errors_keep_their_own_status() {
    let upstream = Upstream::echo().await;
    let preset = preset(Jwks::url("http://127.0.0.1:9/jwks.json"));
    let gateway = setup(&upstream).auth(preset).route(|route| route.max_body_size("2KiB")).start();
    let answer = push(&gateway, &event(&gateway.issuer, &json!({}))).await;
    assert_eq!((answer.problem(), answer.header("retry-after")), ((503, "jwks_unavailable".into()), Some("10")));
    assert_eq!(push(&gateway, &"x".repeat(3000)).await.problem(), (413, "body_too_large".into()));
}

#[tokio::test]
async fn opaque_discloses_no_more_to_transmitters_than_to_others() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream).top(|top| top.error_detail("opaque")).start();
    for changes in [json!({"aud": "https://other.test/"}), json!({"events": null})] {
        let answer = push(&gateway, &event(&gateway.issuer, &changes)).await;
        assert_eq!(err(&answer), "authentication_failed");
        assert!(answer.text().contains("rejected: unauthorized"), "{}", answer.text());
    }
}
