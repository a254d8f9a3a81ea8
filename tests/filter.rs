//! `filter` of a route: verified events that are acknowledged and not forwarded.

use serde_json::{Value, json};

use crate::support::configuration::{Configuration, Jwt, Preset, Signature, Store, file, usual};
use crate::support::{Answer, Gateway, Setup, Upstream, claims, hmac, until};

const SECRET: &str = "the secret of the sender";

fn setup(upstream: &Upstream, filter: Value) -> Setup {
    let auth = Signature::hmac("X-Signature", &["header:X-Topic", "body"]).join(".").secret(file("secret"));
    let setup = Setup::new(upstream.address).auth(auth).file("secret", SECRET);
    setup.route(|route| route.replay_protection("disabled").filter(filter))
}

/// Events of the type `ping`, in the signed body.
fn pings() -> Value {
    json!({ "name": "pings", "json": "/type", "is": "ping" })
}

/// POST of a body, signed together with the topic.
async fn post(gateway: &Gateway, topic: &str, body: &str) -> Answer {
    let client = gateway.client();
    let request = client.request("/webhook").header("x-topic", topic);
    let request = request.header("x-signature", hmac(SECRET, format!("{topic}.{body}")));
    client.send(request, body.to_owned()).await
}

async fn by_rule(gateway: &Gateway, rule: &str, result: &str) -> Option<f64> {
    let labels = format!("{{result=\"{result}\",route=\"webhook\",rule=\"{rule}\"}}");
    gateway.metric(&format!("hookgate_filtered_requests_total{labels}")).await
}

#[tokio::test]
async fn an_event_that_a_rule_matches_is_acknowledged_and_not_forwarded() {
    let upstream = Upstream::echo().await;
    let topics = json!({ "name": "topics", "header": "X-Topic", "is_not": { "prefix": "orders/" }, "status": 202 });
    let gateway = setup(&upstream, json!([pings(), topics])).start();
    let ping = post(&gateway, "orders/new", r#"{"type":"ping"}"#).await;
    assert_eq!((ping.status.as_u16(), ping.text()), (200, String::new()));
    assert_eq!(post(&gateway, "users/new", r#"{"type":"push"}"#).await.status, 202);
    assert!(upstream.seen().is_empty());
    assert_eq!(post(&gateway, "orders/new", r#"{"type":"push"}"#).await.text(), r#"{"type":"push"}"#);
    assert_eq!(gateway.counted("filtered", "").await, Some(2.0));
    assert_eq!(
        (by_rule(&gateway, "pings", "filtered").await, by_rule(&gateway, "topics", "filtered").await),
        (Some(1.0), Some(1.0))
    );
}

/// The gateway acknowledges nothing that it has not verified.
#[tokio::test]
async fn a_forged_event_is_rejected_and_not_filtered() {
    let upstream = Upstream::echo().await;
    let gateway = setup(&upstream, json!([pings()])).start();
    let client = gateway.client();
    let forged = client.request("/webhook").header("x-topic", "t").header("x-signature", hmac("other", "t.{}"));
    assert_eq!(client.send(forged, r#"{"type":"ping"}"#).await.status, 401);
    assert_eq!(client.send(client.request("/webhook"), r#"{"type":"ping"}"#).await.status, 401);
    assert_eq!(gateway.counted("filtered", "").await, None);
    // In a dry run of the route it is forwarded without having been verified, and matches no rule.
    gateway.edit_route(|route| route.dry_run_until("2026-12-31"));
    until("the route is in dry run", async || {
        client.send(client.request("/webhook"), r#"{"type":"ping"}"#).await.status == 200
    })
    .await;
    assert_eq!(by_rule(&gateway, "pings", "dry_run").await, None);
}

#[tokio::test]
async fn what_cannot_be_read_is_forwarded() {
    let upstream = Upstream::echo().await;
    let not = json!({ "name": "others", "json": "/type", "is_not": { "one_of": ["push"] } });
    let gateway = setup(&upstream, json!([pings(), not])).start();
    for body in [
        "",
        "{}",
        "ping",
        r#"[{"type":"ping"}]"#,
        r#"{"type":null}"#,
        r#"{"type":"ping","type":"push"}"#,
        r#"{"type":5}"#,
    ] {
        assert_eq!(post(&gateway, "t", body).await.text(), body, "{body}");
    }
    assert_eq!(post(&gateway, "t", r#"{"type":"pull"}"#).await.text(), "");
}

/// Otherwise the event would be a duplicate of itself once the rule has changed, and be lost.
#[tokio::test]
async fn a_filtered_event_leaves_no_id_and_consumes_no_quota() {
    let upstream = Upstream::echo().await;
    let setup = setup(&upstream, json!([pings()])).top(|top| top.store(Store::memory()));
    let gateway = setup
        .route(|route| route.replay_protection(json!({ "ttl": "1h", "on_duplicate": "acknowledge" })).rate("1/h"))
        .start();
    let body = r#"{"type":"ping"}"#;
    for _ in 0..3 {
        assert_eq!(post(&gateway, "t", body).await.text(), "");
    }
    gateway.edit_route(|route| route.without("filter"));
    until("the event is forwarded", async || post(&gateway, "t", body).await.text() == body).await;
    assert_eq!(post(&gateway, "t", body).await.text(), "");
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_rule_in_dry_run_is_counted_and_forwards() {
    let upstream = Upstream::echo().await;
    let mut observed = pings();
    observed["mode"] = "dry_run".into();
    let gateway = setup(&upstream, json!([observed])).start();
    let body = r#"{"type":"ping"}"#;
    assert_eq!(post(&gateway, "t", body).await.text(), body);
    assert_eq!((by_rule(&gateway, "pings", "dry_run").await, gateway.counted("filtered", "").await), (Some(1.0), None));
    // So is every rule of a route in dry run.
    gateway.edit_route(|route| route.filter(json!([pings()])).dry_run_until("2026-12-31"));
    until("the route is in dry run", async || post(&gateway, "t", body).await.text() == body).await;
    until("it is counted", async || by_rule(&gateway, "pings", "dry_run").await >= Some(2.0)).await;
    assert_eq!(gateway.counted("filtered", "").await, None);
}

#[tokio::test]
async fn claims_and_bodies_of_a_jwt_route_are_filtered_too() {
    let upstream = Upstream::echo().await;
    let by_claim = json!({ "name": "scope", "claim": "event_scope", "is": "webhook" });
    let by_body = json!({ "name": "pings", "json": "/type", "is": "ping", "allow_unsigned": true });
    let gateway = Setup::new(upstream.address).route(|route| route.filter(json!([by_body]))).start();
    let post = async |body: &'static str| {
        let token = gateway.issuer.token(&claims());
        let request = gateway.client().request("/webhook").header("authorization", format!("Bearer {token}"));
        gateway.client().send(request, body).await.text()
    };
    assert_eq!((post(r#"{"type":"ping"}"#).await, post("x").await), (String::new(), "x".to_owned()));
    gateway.edit_route(|route| route.filter(json!([by_claim])));
    until("the claim is compared", async || post("x").await.is_empty()).await;
}

/// The problems of a configuration with this filter.
fn problems(auth: impl Into<Value>, filter: Value) -> Vec<String> {
    let folder = tempfile::TempDir::new().unwrap();
    let write = |name: &str, content: &str| std::fs::write(folder.path().join(name), content).unwrap();
    let (_, certificate, key) = crate::support::certificate(&["localhost"]);
    write("server.crt", &certificate);
    write("server.key", &key);
    write("secret", SECRET);
    write("jwks.json", &crate::support::Issuer::rs256("k").jwks());
    let top: Configuration = usual("127.0.0.1:9".parse().unwrap());
    let top = top.route(|route| route.auth(auth).replay_protection("disabled").filter(filter));
    write("gateway.yaml", &top.to_string());
    let path = folder.path().join("gateway.yaml");
    match crate::support::schema::load(&path, &hookgate::config::Handles::default()) {
        Ok(_) => Vec::new(),
        Err(errors) => {
            errors.problems().iter().map(|problem| format!("{}: {}", problem.field, problem.message)).collect()
        }
    }
}

#[test]
fn a_field_that_is_not_signed_needs_consent() {
    let github = || Preset::new("github").secret(file("secret"));
    let header = |unsigned: Option<bool>| {
        let mut rule = json!({ "name": "pings", "header": "X-GitHub-Event", "is": "ping" });
        unsigned.into_iter().for_each(|unsigned| rule["allow_unsigned"] = unsigned.into());
        json!([rule])
    };
    for unsigned in [None, Some(false)] {
        let found = problems(github(), header(unsigned));
        assert!(found.len() == 1 && found[0].contains("set `allow_unsigned: true`"), "{found:#?}");
    }
    assert_eq!(problems(github(), header(Some(true))), Vec::<String>::new());
    assert_eq!(problems(github(), json!([pings()])), Vec::<String>::new());
    let mut needless = pings();
    needless["allow_unsigned"] = true.into();
    let found = problems(github(), json!([needless]));
    assert!(found.len() == 1 && found[0].contains("the credential signs this field"), "{found:#?}");
    // Bytes can be moved between the names and values of a form that are signed without separators.
    let signed = |component: &str| Signature::hmac("X-Signature", &[component]);
    let by = |key: &str, name: &str| {
        let mut rule = json!({ "name": "a", "is": "b" });
        rule[key] = name.into();
        json!([rule])
    };
    for (component, filter) in [("form.sorted", by("form", "Status")), ("json:/id", by("json", "/type"))] {
        let found = problems(signed(component), filter);
        assert!(found.len() == 1 && found[0].contains("set `allow_unsigned: true`"), "{component}: {found:#?}");
    }
    for (component, filter) in [
        ("form:Status", by("form", "Status")),
        ("json:/type", by("json", "/type")),
        ("header:X-A", by("header", "X-A")),
    ] {
        assert_eq!(problems(signed(component), filter), Vec::<String>::new(), "{component}");
    }
    // A JWT signs its claims and not the body.
    let jwt = || Jwt::new("acme").audience("https://hooks.test/webhook");
    let found = problems(jwt(), json!([pings()]));
    assert!(found.len() == 1 && found[0].contains("set `allow_unsigned: true`"), "{found:#?}");
    assert_eq!(
        problems(jwt(), json!([{ "name": "a", "claim": "scope", "is": { "contains": "a" } }])),
        Vec::<String>::new()
    );
}

#[test]
fn a_rule_has_one_field_and_one_condition() {
    let rule = |changes: Value| {
        let mut rule = pings();
        for (key, value) in changes.as_object().unwrap() {
            rule[key] = value.clone();
        }
        json!([rule])
    };
    let github = || Preset::new("github").secret(file("secret"));
    let without = |key: &str| {
        let mut rule = pings();
        rule.as_object_mut().unwrap().remove(key);
        json!([rule])
    };
    for (filter, words) in [
        (json!([]), "must not be empty"),
        (without("name"), "missing; expected a name"),
        (without("json"), "exactly one of header, json, form and claim"),
        (without("is"), "exactly one of is and is_not"),
        (rule(json!({ "is_not": "x" })), "has both is and is_not"),
        (rule(json!({ "header": "X" })), "has more than one of header, json, form and claim"),
        (rule(json!({ "is": { "exists": true } })), "`exists` has no effect"),
        (rule(json!({ "is": [] })), "expected a value, or one of"),
        (rule(json!({ "status": 201 })), "expected 200 or 202"),
        (rule(json!({ "status": 204 })), "expected a whole number from 200 to 202"),
        (rule(json!({ "name": "a b" })), "expected 1 to 64 letters"),
        (rule(json!({ "mode": "off" })), "enforce"),
        (json!([{ "name": "a", "claim": "b", "is": "c" }]), "without a JWT there are no claims"),
        (json!([{ "name": "a", "header": "X-A", "is": 5, "allow_unsigned": true }]), "put the value in quotes"),
        (json!([pings(), pings()]), "duplicate name: filter[0] has it"),
    ] {
        let found = problems(github(), filter.clone());
        assert!(found.len() == 1 && found[0].contains(words), "{filter}: {found:#?}");
    }
}
