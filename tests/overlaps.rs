//! Routes of one upstream with different rules: requests and headers that reach the application of the stricter route
//! by the weaker one.

use http::Method;
use serde_json::json;

use crate::support::configuration::{Configuration, Route, file};
use crate::support::{Gateway, Setup, Upstream, schema, until};
use hookgate::config::{Config, ConfigErrors, Handles};

/// A public route for every path, to this upstream.
fn open(upstream: &str) -> Route {
    Route::new("open").path("/*").upstream(upstream).auth("public")
}

/// `/webhook` and `/hooks/*` with a JWT, all other paths public, to one application.
fn beside_a_public_route(upstream: &Upstream) -> Gateway {
    let hooks = |top: Configuration| {
        let hooks = top.first_route().name("hooks").path("/hooks/*").without("match.methods");
        // Another spelling of the address is the same upstream.
        top.add_route(hooks).add_route(open(&format!("http://localhost:{}", upstream.address.port())))
    };
    Setup::new(upstream.address).top(hooks).start()
}

/// Express and ASP.NET ignore case and a final slash by default, others normalize text.
#[tokio::test]
async fn variants_of_a_guarded_path_do_not_fall_to_a_weaker_route() {
    let upstream = Upstream::echo().await;
    let gateway = beside_a_public_route(&upstream);
    let variants = [
        "/webhook/",
        "/Webhook",
        "/WEBHOOK/",
        "/%57ebhook",
        "/webhoo%4B/?a=1",
        // U+FF57 and U+212A, which NFKC and lower case turn into `w` and `k`.
        "/%EF%BD%97ebhook",
        "/webhoo%E2%84%AA",
        "/hooks",
        "/Hooks/a",
        "/hOOks/a/b/",
    ];
    for client in [gateway.client(), gateway.client_http2()] {
        for (path, method) in variants.iter().flat_map(|path| [(path, Method::POST), (path, Method::GET)]) {
            let request = client.request(path).method(method.clone());
            // No method of a form or of a header turns GET into POST.
            let answer = client.send(request.header("x-http-method-override", "POST"), "").await;
            assert_eq!(answer.problem(), (400, "ambiguous_path".into()), "{method} {path}");
        }
    }
    assert!(upstream.seen().is_empty());
    for path in ["/", "/other/", "/Other", "/webhooks", "/hook", "/webhook/deeper"] {
        assert_eq!(gateway.client().send(gateway.client().request(path), "").await.status, 200, "{path}");
    }
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    assert_eq!(gateway.client().post("x").await.status, 401);
}

#[tokio::test]
async fn variants_are_other_paths_where_nothing_could_be_bypassed() {
    let (upstream, other) = (Upstream::echo().await, Upstream::echo().await);
    let another_upstream = Setup::new(upstream.address);
    let another_upstream = another_upstream.top(|top| top.add_route(open(&format!("http://{}", other.address))));
    let the_same_rules = Setup::new(upstream.address)
        .top(|top| top.clone().add_route(top.first_route().name("wide").path("/*").without("match.methods")));
    for setup in [another_upstream, the_same_rules] {
        let gateway = setup.start();
        for path in ["/webhook/", "/Webhook"] {
            let request = gateway.client().request(path).header("authorization", format!("Bearer {}", gateway.token()));
            assert_eq!(gateway.client().send(request, "").await.status, 200, "{path}");
        }
    }
}

/// A path that a route names itself is meant to have that route's rules.
#[tokio::test]
async fn a_route_that_names_a_path_in_a_guarded_prefix_is_an_exception() {
    let upstream = Upstream::echo().await;
    let address = format!("http://{}", upstream.address);
    let routes = |top: Configuration| {
        let all = top.first_route().name("all").path("/*").without("match.methods");
        let health = Route::new("health").path("/health").upstream(address.clone()).auth("public");
        top.add_route(all).add_route(health)
    };
    let gateway = Setup::new(upstream.address).top(routes).start();
    assert_eq!(gateway.client().send(gateway.client().request("/health"), "").await.status, 200);
    assert_eq!(gateway.client().send(gateway.client().request("/health/"), "").await.status, 401);
}

/// A stripped prefix leads a public route to the paths of the guarded one, and an added one the other way round.
#[tokio::test]
async fn a_prefix_opens_no_guarded_path() {
    let upstream = Upstream::echo().await;
    let address = format!("http://{}", upstream.address);
    let stripping = open(&address).path("/open/*").with("upstream.strip_prefix", "/open");
    let adding = |top: Configuration| {
        top.route(|route| {
            route.path("/in").with("upstream.strip_prefix", "/in").with("upstream.path_prefix", "/webhook")
        })
        .add_route(open(&address))
    };
    let by_host = |top: Configuration| {
        let named = |route: Route| route.with("upstream.host", "app.internal");
        top.route(|route| named(route.host("a.example"))).add_route(named(open(&address)))
    };
    let setup = || Setup::new(upstream.address);
    for (setup, prefix) in
        [(setup().top(|top| top.add_route(stripping)), "/open"), (setup().top(adding), ""), (setup().top(by_host), "")]
    {
        let gateway = setup.start();
        for variant in ["/webhook", "/Webhook", "/webhook/", "/%57ebhook"] {
            let path = format!("{prefix}{variant}");
            let answer = gateway.client().send(gateway.client().request(&path), "").await;
            assert_eq!(answer.problem(), (400, "ambiguous_path".into()), "{path}");
        }
        assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
        let other = gateway.client().request(&format!("{prefix}/other"));
        assert_eq!(gateway.client().send(other, "").await.status, 200);
        assert_eq!(upstream.only().target, "/other");
        upstream.forget();
    }
}

/// A sender of one route could otherwise use its own secret for the path of another sender.
#[tokio::test]
async fn another_credential_does_not_reach_a_guarded_path_by_its_variants() {
    let upstream = Upstream::echo().await;
    let token = |name: &str| json!({ "static_token": { "header": "X-Token", "secret": file(name) } });
    let route = |name: &str, path: &str| {
        let route = Route::new(name).path(path).upstream(format!("http://{}", upstream.address));
        route.auth(token(name))
    };
    let setup = Setup::new(upstream.address).file("one", "the token of the one").file("two", "the token of the two");
    let gateway =
        setup.top(|top| top.add_route(route("one", "/tenants/one")).add_route(route("two", "/tenants/*"))).start();
    let send = async |path: &str| {
        let request = gateway.client().request(path).header("x-token", "the token of the two");
        gateway.client().send(request, "").await.status.as_u16()
    };
    assert_eq!((send("/tenants/one").await, send("/tenants/One").await, send("/tenants/two").await), (401, 400, 200));
}

fn warnings(configuration: &Configuration) -> Vec<String> {
    let warnings = load(configuration).unwrap_or_else(|errors| panic!("{errors}")).warnings;
    warnings.iter().map(ToString::to_string).filter(|warning| warning.contains("weaker authentication")).collect()
}

fn load(configuration: &Configuration) -> Result<Config, ConfigErrors> {
    let folder = tempfile::TempDir::new().unwrap();
    let (_, certificate, key) = crate::support::certificate(&["localhost"]);
    for (name, content) in [("server.crt", &certificate), ("server.key", &key)] {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    std::fs::write(folder.path().join("jwks.json"), crate::support::Issuer::es256("k").jwks()).unwrap();
    std::fs::write(folder.path().join("gateway.yaml"), configuration.to_string()).unwrap();
    schema::load(&folder.path().join("gateway.yaml"), &Handles::default())
}

#[test]
fn a_wider_route_with_weaker_authentication_is_a_warning() {
    let upstream = "127.0.0.1:8000".parse().unwrap();
    let usual = || crate::support::configuration::usual(upstream);
    let told = warnings(&usual().add_route(open("http://localhost:8000")));
    let expected = "routes[1].match.path: this route has weaker authentication than routes[0] (`webhook`)";
    assert!(told.len() == 1 && told[0].starts_with(expected), "{told:?}");
    assert!(told[0].contains("set the same `auth` or another upstream"), "{told:?}");
    let neighbour = |path: &str| open("http://127.0.0.1:8000").path(path).host("other.example");
    assert_eq!(warnings(&usual().add_route(neighbour("/Webhook/"))).len(), 1);
    let unlisted = open("http://127.0.0.1:8000").name("a").path("/a").with("allowed_ips", json!(["192.0.2.0/24"]));
    let told = warnings(
        &usual().add_route(unlisted).add_route(open("http://127.0.0.1:8001")).add_route(neighbour("/A/").name("b")),
    );
    assert!(told.len() == 1 && told[0].contains("routes[1] (`a`)"), "fewer requirements: {told:?}");
    let no_bypass = [
        open("http://127.0.0.1:8001"),
        open("http://127.0.0.1:8000").methods(["GET"]),
        neighbour("/other"),
        usual().first_route().name("wide").path("/*"),
    ];
    for route in no_bypass {
        assert_eq!(warnings(&usual().add_route(route.clone())), [""; 0]);
    }
}

#[test]
fn a_prefix_that_leads_to_the_paths_of_another_route_is_a_problem_or_a_warning() {
    let upstream = "127.0.0.1:8000".parse().unwrap();
    let guarded = |prefix: &str| {
        let usual = crate::support::configuration::usual(upstream);
        usual.route(|route| route.path("/hooks/*").with("upstream.strip_prefix", prefix))
    };
    let stripping = open("http://127.0.0.1:8000").path("/open/*").with("upstream.strip_prefix", "/open");
    let told = load(&guarded("/hooks").add_route(stripping.clone())).unwrap_err().to_string();
    let expected = "routes[1].upstream.strip_prefix: with strip_prefix and path_prefix, the upstream gets the same paths \
                    as from routes[0] (`webhook`), which has stricter authentication";
    assert!(told.contains(expected), "{told}");
    // GET, which the guarded route does not take; another upstream; and paths within the guarded ones.
    let public = stripping.clone().with("upstream.path_prefix", "/public");
    for (route, count) in
        [(stripping.clone().methods(["GET"]), 0), (stripping.upstream("http://127.0.0.1:8001"), 0), (public, 1)]
    {
        assert_eq!(warnings(&guarded("/hooks").add_route(route)).len(), count);
    }
}

/// The application reads the header on each of its paths.
#[tokio::test]
async fn headers_that_carry_claims_are_removed_on_every_route_of_their_upstream() {
    let (upstream, other) = (Upstream::echo().await, Upstream::echo().await);
    let public =
        |name: &str, address: String| Route::new(name).path(format!("/{name}")).upstream(address).auth("public");
    let setup = Setup::new(upstream.address).route(|route| route.claims_to_headers(json!({ "sub": "X-Who" })));
    let same = public("same", format!("http://localhost:{}", upstream.address.port()));
    let elsewhere = public("elsewhere", format!("http://{}", other.address));
    let gateway = setup.top(|top| top.add_route(same).add_route(elsewhere)).start();
    for path in ["/same", "/elsewhere"] {
        let request = gateway.client().request(path).header("X-Who", "evil");
        let request = request.header("x_who", "evil").header("X.WHO", "evil").header("x-other", "kept");
        assert_eq!(gateway.client().send(request, "").await.status, 200);
    }
    let seen = upstream.only();
    assert!(seen.headers.values().all(|value| value != "evil"), "{:?}", seen.headers);
    assert_eq!((seen.header("x-other"), other.only().header("x-who")), (Some("kept"), Some("evil")));
    assert_eq!(gateway.client().post(&gateway.token()).await.status, 200);
    until("the claim is sent", async || upstream.seen().iter().any(|seen| seen.header("x-who") == Some("shop-42")))
        .await;
}
