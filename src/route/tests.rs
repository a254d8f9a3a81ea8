//! Tests of route matching and path validation.

use std::time::Duration;

use http::Uri;

use super::*;
use crate::auth::Policy;

fn route(name: &str, host: Option<&str>, path: PathMatch, methods: Option<Vec<Method>>) -> Arc<Route> {
    Arc::new(Route {
        name: name.into(),
        matches: Match { host: host.map(str::to_owned), path, methods },
        rules: Rules::new(Policy::Public, None, None),
        upstream: Upstream {
            first: endpoint(),
            others: Vec::new(),
            timeout: Duration::from_secs(30),
            reuse: Reuse::Safe,
        },
        max_body: 1024,
        limits: RouteLimits::default(),
        allowed_ips: None,
        forward: Forward::default(),
        status_overrides: BTreeMap::new(),
        public_url: None,
        dry_run_until: None,
        challenges: Vec::new(),
        duplicates: None,
        shared_revocation: false,
        capture: None,
        errors: ErrorForm::default(),
    })
}

fn endpoint() -> Arc<Endpoint> {
    let (url, address) = ("http://127.0.0.1:8000", EndpointAddress::Tcp(Uri::from_static("http://127.0.0.1:8000")));
    Arc::new(Endpoint { url: url.into(), address, connect: Duration::from_secs(5), keepalive: Duration::from_secs(4) })
}

fn exact(path: &str) -> PathMatch {
    PathMatch::Exact(path.into())
}

fn prefix(path: &str) -> PathMatch {
    PathMatch::Prefix(path.into())
}

fn found<'a>(table: &'a RoutingTable, host: &str, path: &str) -> Result<&'a str, Unrouted> {
    table.find(host, path, &Method::POST).map(|route| &*route.name)
}

#[test]
fn the_narrowest_match_wins() {
    let table = RoutingTable::new(vec![
        route("all", None, prefix("/"), None),
        route("hooks", None, prefix("/hooks/"), None),
        route("deep", None, prefix("/hooks/deep/"), None),
        route("exact", None, exact("/hooks/deep/one"), None),
        route("host", Some("a.example"), prefix("/hooks/"), None),
    ])
    .unwrap();
    assert_eq!(found(&table, "b.example", "/hooks/deep/one"), Ok("exact"));
    assert_eq!(found(&table, "b.example", "/hooks/deep/two"), Ok("deep"));
    assert_eq!(found(&table, "b.example", "/hooks/x"), Ok("hooks"));
    assert_eq!(found(&table, "b.example", "/hooks"), Ok("all"));
    assert_eq!(found(&table, "A.Example.", "/hooks/deep/one"), Ok("host"));
    assert_eq!(found(&table, "a.example", "/other"), Ok("all"));
}

#[test]
fn a_path_without_route_is_not_found_in_any_case() {
    let table = RoutingTable::new(vec![route("a", None, exact("/webhook"), None)]).unwrap();
    for path in ["/Webhook", "/webhook/", "/webhoo", "/"] {
        assert_eq!(found(&table, "x", path), Err(Unrouted::NoRoute), "{path}");
    }
}

#[test]
fn a_wider_route_does_not_take_requests_that_a_narrow_one_rejects() {
    let table = RoutingTable::new(vec![
        route("all", None, prefix("/"), None),
        route("post", None, exact("/webhook"), Some(vec![Method::POST])),
    ])
    .unwrap();
    let rejection = table.find("x", "/webhook", &Method::GET).map(|route| route.name.clone());
    assert_eq!(rejection, Err(Unrouted::MethodNotAllowed(vec![Method::POST])));
}

#[test]
fn two_routes_for_one_request_are_an_error() {
    let overlap = RoutingTable::new(vec![
        route("a", None, exact("/w"), Some(vec![Method::POST, Method::PUT])),
        route("b", None, exact("/w"), Some(vec![Method::GET])),
        route("c", None, exact("/w"), Some(vec![Method::PUT])),
    ]);
    assert_eq!(overlap.unwrap_err(), vec![Overlap("a".into(), "c".into())]);
}

#[test]
fn an_address_is_compared_in_one_form() {
    let nets = |nets: &[&str]| Some(nets.iter().map(|net| net.parse().unwrap()).collect());
    let of = |allowed_ips| Route { allowed_ips, ..Arc::into_inner(route("a", None, exact("/"), None)).unwrap() };
    let admits = |route: &Route, peer: &str| route.admits(peer.parse().unwrap());
    let some = of(nets(&["203.0.113.0/24", "2001:db8::/32", "192.0.2.7/32"]));
    for peer in ["203.0.113.0", "203.0.113.255", "::ffff:203.0.113.9", "2001:db8:ffff::1", "192.0.2.7"] {
        assert!(admits(&some, peer), "{peer}");
    }
    for peer in ["203.0.114.0", "192.0.2.8", "2001:db9::", "::1", "::ffff:192.0.2.8", "::203.0.113.9"] {
        assert!(!admits(&some, peer), "{peer}");
    }
    // A CIDR range of one address family does not match the other.
    assert!(!admits(&of(nets(&["::/0"])), "::ffff:192.0.2.7") && !admits(&of(nets(&["0.0.0.0/0"])), "2001:db8::1"));
    assert!(admits(&of(None), "192.0.2.8") && !admits(&of(nets(&[])), "192.0.2.8"));
}

#[test]
fn plain_paths_pass() {
    for path in ["/", "/webhook", "/hooks/", "/a-b_c~d/e.f/g..h", "/a%20b", "/%C3%A9", "/a:b@c!$&'()*+,=", "/%41"] {
        assert!(validate_path(path).is_ok(), "{path}");
    }
}

/// Istio CVE-2021-31920, CVE-2021-39156, Oathkeeper CVE-2026-33494, Envoy CVE-2026-73511.
#[test]
fn ambiguous_paths_are_rejected() {
    let paths = [
        "",
        "*",
        "x",
        "/..",
        "/../a",
        "/a/../b",
        "/a/.",
        "/./a",
        "//",
        "//a",
        "/a//b",
        "/a\\b",
        "/a/%2e%2e/b",
        "/%2E",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/%252e",
        "/%25",
        "/%c0%ae",
        "/%u002e",
        "/%",
        "/%4",
        "/%zz",
        "/a;b",
        "/..;x/a",
        "/a%3Bb",
        "/a%00",
        "/a%0a",
        "/a%7f",
        "/a%23",
        "/a%3f",
        "/é",
        "/a b",
        "/%ff",
    ];
    for path in paths {
        assert_eq!(validate_path(path), Err(AmbiguousPath), "{path}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_parsed_without_panic(path in ".*") {
        let _ = validate_path(&path);
    }

    /// An accepted path means the same to an upstream that decodes it once before it splits it.
    #[test]
    fn accepted_paths_have_one_meaning(path in "/[a-z%2eEfF./;]{0,12}") {
        if validate_path(&path).is_ok() {
            proptest::prop_assert!(!path.to_lowercase().contains("%2e") && !path.contains("/../"));
        }
    }
}
