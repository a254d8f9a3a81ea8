//! Tokens of tenants: an issuer with `{tenant}`, whose tenant is that of the path.

use super::*;
use crate::support::Issuer;
use crate::support::configuration::Jwks;
use crate::support::key_server::{KeyServer, ok};

/// `/hooks/{tenant}` with tokens of acme and bob, whose keys are at this address or in jwks.json.
fn before(upstream: &Upstream, jwks: Option<Jwks>) -> Setup {
    let setup = Setup::new(upstream.address).top(|top| {
        top.issuer("acme", |issuer| {
            let issuer = issuer.with("issuer", "https://issuer.test/{tenant}").with("tenants", json!(["acme", "bob"]));
            match jwks {
                Some(jwks) => issuer.jwks(jwks),
                None => issuer,
            }
        })
    });
    setup.route(|route| {
        let route = route.path("/hooks/{tenant}").replay_protection("disabled");
        route.jwt(|jwt| jwt.audience("https://hooks.test/{tenant}"))
    })
}

/// A token of this issuer for a tenant, with an audience of another one.
fn token(issuer: &Issuer, tenant: &str, audience: &str) -> String {
    let (iss, aud) = (format!("https://issuer.test/{tenant}"), format!("https://hooks.test/{audience}"));
    issuer.token_with(json!({ "iss": iss, "aud": aud, "jti": "1" }))
}

async fn send(gateway: &Gateway, path: &str, token: &str) -> Answer {
    let client = gateway.client();
    client.send(client.request(path).header("authorization", format!("Bearer {token}")), "{}").await
}

/// The response without what differs in each.
async fn shown(gateway: &Gateway, path: &str, token: &str) -> (u16, Value) {
    let answer = send(gateway, path, token).await;
    let mut body = answer.json();
    body["instance"].take();
    (answer.status.as_u16(), body)
}

#[tokio::test]
async fn a_token_passes_for_its_tenant_alone() {
    let upstream = Upstream::echo().await;
    let gateway = before(&upstream, None).start();
    for tenant in ["acme", "bob"] {
        let answer = send(&gateway, &format!("/hooks/{tenant}"), &token(&gateway.issuer, tenant, tenant)).await;
        assert_eq!(answer.status, 200, "{tenant}: {}", answer.text());
    }
    for (path, tenant, audience, reason) in [
        ("bob", "acme", "acme", "unauthorized"),
        ("bob", "acme", "bob", "unauthorized"),
        ("carol", "acme", "acme", "unauthorized"),
        ("carol", "acme", "carol", "unauthorized"),
        ("bob", "bob", "acme", "invalid_audience"),
        ("acme", "acme", "{tenant}", "invalid_audience"),
        // The issuer has signed them for tenants that are not listed.
        ("carol", "carol", "carol", "invalid_issuer"),
        ("Acme", "Acme", "Acme", "invalid_issuer"),
        ("{tenant}", "{tenant}", "{tenant}", "invalid_issuer"),
    ] {
        let path = format!("/hooks/{}", path.replace('{', "%7B").replace('}', "%7D"));
        let answer = send(&gateway, &path, &token(&gateway.issuer, tenant, audience)).await;
        assert_eq!(answer.problem(), (401, reason.to_owned()), "{path} {tenant} {audience}");
    }
    assert_eq!(upstream.seen().len(), 2);
}

/// Each tenant has its keys, at an address that is known when the configuration is loaded.
#[tokio::test]
async fn each_tenant_has_its_key_set_and_none_is_fetched_for_another_name() {
    let (acme, bob) = (Issuer::es256("k"), Issuer::es256("k"));
    let server = KeyServer::start(ok(&acme.jwks())).await;
    server.answers_at("/keys/bob", ok(&bob.jwks()));
    let upstream = Upstream::echo().await;
    let url = format!("http://localhost:{}/keys/{{tenant}}", server.address.port());
    let gateway = before(&upstream, Some(Jwks::url(&url))).start();
    for (tenant, issuer) in [("acme", &acme), ("bob", &bob)] {
        let path = format!("/hooks/{tenant}");
        until("the keys are there", async || send(&gateway, &path, &token(issuer, tenant, tenant)).await.status == 200)
            .await;
    }
    // Signed by another tenant, or by the one whose keys an unknown tenant is verified with.
    let wrong = shown(&gateway, "/hooks/bob", &token(&acme, "bob", "bob")).await;
    assert_eq!(wrong.0, 401);
    for (path, issuer, tenant) in [
        ("/hooks/acme", &bob, "acme"),
        ("/hooks/bob", &acme, "acme"),
        ("/hooks/carol", &acme, "acme"),
        ("/hooks/carol", &acme, "carol"),
        ("/hooks/carol", &bob, "carol"),
    ] {
        assert_eq!(shown(&gateway, path, &token(issuer, tenant, tenant)).await, wrong, "{path} {tenant}");
    }
    let invalid = gateway.counted("rejected", "invalid_signature").await;
    assert_eq!(invalid, Some(4.0), "an unknown tenant has the reason of a wrong signature");
    // Neither is fetched for a new key: the fetch, or its cooldown, would tell that the tenant exists.
    let (unknown, fetches) = (Issuer { kid: "other".to_owned(), ..acme.clone() }, server.fetches());
    for path in ["acme", "carol", "bob", "acme"] {
        let answer = shown(&gateway, &format!("/hooks/{path}"), &token(&unknown, path, path)).await;
        assert_eq!(answer, wrong, "{path}");
    }
    assert_eq!(server.fetches(), fetches);
    let paths: Vec<_> =
        server.requests().iter().map(|request| request[..request.find(" HTTP").unwrap()].to_owned()).collect();
    assert!(paths.iter().all(|path| ["GET /keys/acme", "GET /keys/bob"].contains(&path.as_str())), "{paths:?}");
    assert_eq!(upstream.seen().len(), 2);
}

/// The tenant is a part of the sender: the same id of another tenant is no duplicate.
#[tokio::test]
async fn the_tenant_of_a_token_is_a_part_of_its_sender() {
    let upstream = Upstream::echo().await;
    let setup = before(&upstream, None).top(|top| top.store(Store::memory()));
    let gateway = setup.route(|route| route.replay_protection(json!({ "id": { "claim": "jti" } }))).start();
    for (tenant, status) in [("acme", 200), ("bob", 200), ("acme", 409)] {
        let answer = send(&gateway, &format!("/hooks/{tenant}"), &token(&gateway.issuer, tenant, tenant)).await;
        assert_eq!(answer.status, status, "{tenant}");
    }
}

#[test]
fn an_issuer_with_a_tenant_has_a_list_and_a_path() {
    let problems = |changes: &[(&str, Value)], route: fn(Route) -> Route| {
        let folder = tempfile::TempDir::new().unwrap();
        let (_, certificate, key) = crate::support::certificate(&["localhost"]);
        for (name, content) in [("server.crt", certificate.as_str()), ("server.key", &key)] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        std::fs::write(folder.path().join("jwks.json"), Issuer::rs256("k").jwks()).unwrap();
        let top = crate::support::configuration::usual("127.0.0.1:9".parse().unwrap());
        let issuer = json!("https://issuer.test/{tenant}");
        let top = top.issuer("acme", |it| {
            let it = it.with("issuer", issuer).with("tenants", json!(["acme"]));
            changes.iter().fold(it, |it, (key, value)| match value {
                Value::Null => it.without(key),
                value => it.with(key, value.clone()),
            })
        });
        let top = top.route(|it| route(it.path("/hooks/{tenant}")));
        let path = folder.path().join("gateway.yaml");
        std::fs::write(&path, top.to_string()).unwrap();
        schema::load(&path, &Handles::default()).map_or_else(|errors| errors.to_string(), |_| String::new())
    };
    let same = |route: Route| route;
    assert_eq!(problems(&[], same), "");
    for (changes, words) in [
        (vec![("tenants", json!([]))], "the tenants whose tokens are accepted"),
        (vec![("tenants", json!(["Acme"]))], "names of tenants as in the path"),
        (vec![("tenants", json!(vec!["a"; 1001]))], "more than 1000 tenants"),
        (vec![("issuer", json!("https://{tenant}.test/{tenant}"))], "the only placeholders are"),
        (vec![("issuer", json!("https://issuer.test/{tenantid}"))], "`{tenant}` requires `secrets"),
        (
            vec![
                ("issuer", json!("https://issuer.test/")),
                ("tenants", Value::Null),
                ("jwks", json!({ "url": "https://issuer.test/{tenant}" })),
            ],
            "{tenant} requires {tenant} in `issuer`",
        ),
    ] {
        let found = problems(&changes, same);
        assert!(found.contains(words), "{words}: {found}");
    }
    let found = problems(&[], |route| route.path("/hooks"));
    assert!(found.contains("so does an issuer with {tenant}"), "{found}");
}
