//! Tests of route matching.

use std::time::Duration;

use http::Uri;

use super::table::*;
use super::*;
use crate::auth::Policy;
use crate::auth::locator::Locator;
use crate::auth::time::{TimestampRule, TimestampUnit};

fn route(name: &str, host: Option<&str>, path: PathMatch, methods: Option<Vec<Method>>) -> Arc<Route> {
    Arc::new(Route {
        name: name.into(),
        matches: Match { host: host.map(str::to_owned), path, methods, encoded_slashes: false },
        rules: Rules::new(Policy::Public, None, None),
        upstream: Upstream {
            first: endpoint(),
            others: Vec::new(),
            timeouts: UpstreamTimeouts {
                total: Some(Duration::from_secs(30)),
                response_headers: Duration::from_secs(30),
                response_body_idle: None,
            },
            reuse: Reuse::Safe,
            host: None,
            path: None,
        },
        max_body: 1024,
        limits: RouteLimits::default(),
        allowed_ips: None,
        forward: Forward::default(),
        websocket: None,
        cors: None,
        status_overrides: BTreeMap::new(),
        public_url: None,
        dry_run_until: None,
        challenges: Vec::new(),
        filter: Vec::new(),
        duplicates: None,
        shared_revocation: false,
        capture: None,
        errors: ErrorForm::default(),
    })
}

fn endpoint() -> Arc<Endpoint> {
    let (url, address) = ("http://127.0.0.1:8000", EndpointAddress::Tcp(Uri::from_static("http://127.0.0.1:8000")));
    Arc::new(Endpoint {
        url: url.into(),
        address,
        connect: Duration::from_secs(5),
        keepalive: Duration::from_secs(4),
        protocol: Protocol::Http1,
    })
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

fn template(before: &str, after: &str, is_prefix: bool) -> PathMatch {
    PathMatch::Template(PathTemplate { before: before.into(), after: after.into(), is_prefix })
}

/// A wider route never gets the request of a tenant, with any name.
#[test]
fn a_path_with_a_tenant_is_between_exact_paths_and_prefixes() {
    let table = RoutingTable::new(vec![
        route("all", None, prefix("/"), None),
        route("deep", None, prefix("/hooks/acme/"), None),
        route("tenant", None, template("/hooks/", "", false), None),
        route("inside", None, template("/hooks/", "/", true), None),
        route("push", None, template("/hooks/", "/push/", true), None),
        route("one", None, template("/hooks/", "/push", false), None),
        route("first", None, template("/", "/push", false), None),
        route("exact", None, exact("/hooks/admin"), None),
    ])
    .unwrap();
    for (path, name) in [
        ("/hooks/acme", "tenant"),
        ("/hooks/ACME", "tenant"),
        ("/hooks/admin", "exact"),
        ("/hooks/acme/", "inside"),
        ("/hooks/acme/x", "inside"),
        ("/hooks/acme/push", "one"),
        ("/hooks/acme/push/x", "push"),
        ("/hooks/push", "tenant"),
        ("/other/push", "first"),
        ("/hooks/", "all"),
        ("/hooks", "all"),
    ] {
        assert_eq!(found(&table, "x", path), Ok(name), "{path}");
    }
    let twice = [template("/hooks/", "", false), template("/hooks/", "", false)];
    let [one, other] = twice.map(|path| route("a", None, path, None));
    assert_eq!(RoutingTable::new(vec![one, other]).unwrap_err().len(), 1);
}

#[test]
fn variants_of_a_path_with_a_tenant_are_guarded() {
    let open = |path| route("open", None, path, None);
    let tenant = || guarded(template("/hooks/", "", false));
    for path in ["/Hooks/acme", "/hooks/acme/", "/HOOKS/x/"] {
        assert!(is_guarded(open(prefix("/")), tenant(), path), "{path}");
    }
    assert!(is_guarded(open(template("/Hooks/", "", false)), tenant(), "/Hooks/acme"));
    assert!(is_guarded(open(template("/hooks/", "", false)), guarded(exact("/hooks/admin")), "/hooks/Admin"));
    assert!(is_guarded(open(prefix("/")), guarded(template("/hooks/", "/", true)), "/Hooks/a/b"));
    for path in ["/hooks/acme/x", "/hooks", "/other"] {
        assert!(!is_guarded(open(prefix("/")), tenant(), path), "{path}");
    }
    // A path of its own is an exception from the template.
    assert!(!is_guarded(open(exact("/hooks/admin")), tenant(), "/hooks/admin"));
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

/// Whether POST to the path is rejected because the other route guards it.
fn is_guarded(weaker: Arc<Route>, stricter: Arc<Route>, path: &str) -> bool {
    let table = RoutingTable::new(vec![weaker, stricter]).unwrap();
    table.find("a.example", path, &Method::POST).map(|route| route.name.clone()) == Err(Unrouted::Ambiguous)
}

fn changed(route: Arc<Route>, change: impl FnOnce(&mut Route)) -> Arc<Route> {
    let mut route = Arc::into_inner(route).unwrap();
    change(&mut route);
    Arc::new(route)
}

/// A public route that only some addresses may use is stricter than one without that rule.
fn guarded(path: PathMatch) -> Arc<Route> {
    changed(route("guarded", None, path, None), |route| route.allowed_ips = Some(vec!["192.0.2.0/24".parse().unwrap()]))
}

#[test]
fn a_route_guards_the_variants_of_its_paths() {
    for path in ["/Webhook", "/webhook/", "/WEBHOOK/", "/\u{ff57}ebhook"] {
        assert!(is_guarded(route("open", None, prefix("/"), None), guarded(exact("/webhook")), path), "{path}");
    }
    for path in ["/webhook", "/webhook.json", "/webhook/a", "/webhooks", "/"] {
        assert!(!is_guarded(route("open", None, prefix("/"), None), guarded(exact("/webhook")), path), "{path}");
    }
    for path in ["/a", "/A/", "/A/b", "/A/B/C/"] {
        assert!(is_guarded(route("open", None, prefix("/"), None), guarded(prefix("/a/")), path), "{path}");
    }
    assert!(is_guarded(route("open", None, exact("/Webhook/"), None), guarded(exact("/webhook")), "/Webhook/"));
    // A route of its own inside of a guarded prefix is an exception.
    assert!(!is_guarded(route("open", None, exact("/a/b"), None), guarded(prefix("/a/")), "/a/b"));
    assert!(!is_guarded(route("open", None, exact("/"), None), guarded(prefix("/")), "/"));
    let open = route("open", Some("a.example"), prefix("/"), None);
    assert!(!is_guarded(open, guarded(exact("/webhook")), "/Webhook"), "no path of that host is guarded");
}

/// A stripped or added prefix, and a fixed host, count like the path and the host that they make.
#[test]
fn paths_and_hosts_are_compared_as_the_upstream_gets_them() {
    let prefixed = |route: Arc<Route>, strip: &str, added: &str| {
        let prefix = |text: &str| PathPrefix::parse(text);
        changed(route, |route| route.upstream.path = PathRewrite::new(prefix(strip), prefix(added)).map(Box::new))
    };
    let open = |path| route("open", None, path, None);
    let stripping = || prefixed(open(prefix("/open/")), "/open", "");
    for path in ["/open/webhook", "/open/Webhook/"] {
        assert!(is_guarded(stripping(), guarded(exact("/webhook")), path), "{path}");
        assert!(!is_guarded(stripping(), guarded(exact("/other")), path), "{path}");
    }
    // `check` reports a path that is the same one at the upstream: no request shows which route is meant.
    assert!(!is_guarded(prefixed(open(exact("/x")), "/x", "/webhook"), guarded(exact("/webhook")), "/x"));
    assert!(is_guarded(open(prefix("/")), prefixed(guarded(exact("/in")), "/in", "/webhook"), "/webhook"));
    assert!(!is_guarded(open(prefix("/")), prefixed(guarded(exact("/in")), "/in", "/webhook"), "/In"));
    let named = |route: Arc<Route>, host: &str| {
        let host = HostHeader::Literal { value: http::HeaderValue::from_str(host).unwrap(), host: host.to_owned() };
        changed(route, |route| (route.upstream.host, route.matches.host) = (Some(host), Some("b.example".to_owned())))
    };
    let at_host = |route: Arc<Route>| changed(route, |route| route.matches.host = Some("a.example".to_owned()));
    let to = |host: &str| {
        let table =
            RoutingTable::new(vec![named(open(prefix("/")), host), at_host(guarded(exact("/webhook")))]).unwrap();
        table.find("b.example", "/webhook", &Method::POST).is_err()
    };
    assert!(to("a.example") && !to("c.example"));
    // A route for every host guards its path also where the other one replaces the host, and the reverse.
    for path in ["/webhook/", "/Webhook"] {
        let replaced = changed(open(prefix("/")), |route| route.upstream.host = Some(HostHeader::Endpoint));
        assert!(is_guarded(replaced, guarded(exact("/webhook")), path), "{path}");
        let replaced = changed(guarded(exact("/webhook")), |route| route.upstream.host = Some(HostHeader::Endpoint));
        assert!(is_guarded(open(prefix("/")), replaced, path), "{path}");
    }
}

#[test]
fn only_a_weaker_route_with_the_same_upstream_is_a_bypass() {
    let open = || route("open", None, prefix("/"), None);
    let to = |address: EndpointAddress| {
        let (connect, keepalive) = (Duration::from_secs(1), Duration::from_secs(1));
        Arc::new(Endpoint { url: String::new(), address, connect, keepalive, protocol: Protocol::Http1 })
    };
    let tcp = |uri| to(EndpointAddress::Tcp(Uri::from_static(uri)));
    let at = |endpoint: Arc<Endpoint>| changed(open(), |route| route.upstream.first = endpoint);
    for same in ["http://localhost:8000", "http://[::1]:8000", "http://127.0.0.2:8000", "http://0.0.0.0:8000"] {
        assert!(is_guarded(at(tcp(same)), guarded(exact("/webhook")), "/Webhook"), "{same}");
    }
    for other in ["http://localhost:8001", "http://localhost", "http://app:8000"] {
        assert!(!is_guarded(at(tcp(other)), guarded(exact("/webhook")), "/Webhook"), "{other}");
    }
    assert!(!is_guarded(at(to(EndpointAddress::Unix("/run/app".into()))), guarded(exact("/webhook")), "/Webhook"));
    let several = changed(open(), |route| {
        route.upstream.first = tcp("http://app:8000");
        route.upstream.others = vec![endpoint()];
    });
    assert!(is_guarded(several, guarded(exact("/webhook")), "/Webhook"), "one endpoint is enough");
    let as_strict = changed(guarded(prefix("/")), |route| route.name = "as strict".into());
    assert!(!is_guarded(as_strict, guarded(exact("/webhook")), "/Webhook"));
    let timed = |route: Arc<Route>, max_age| {
        let source = Locator::header_named(http::HeaderName::from_static("x-time"));
        let max_age = Duration::from_secs(max_age);
        let rule = TimestampRule { source, unit: TimestampUnit::Seconds, max_age, max_future: Duration::ZERO };
        changed(route, |route| route.rules.timestamp = Some(rule))
    };
    for (max_age, is_weaker) in [(300, false), (301, true)] {
        let wide = timed(changed(guarded(prefix("/")), |route| route.name = "wide".into()), max_age);
        assert_eq!(is_guarded(wide, timed(guarded(exact("/webhook")), 300), "/Webhook"), is_weaker, "{max_age}");
    }
    let public = || route("public", None, exact("/webhook"), None);
    assert!(!is_guarded(guarded(prefix("/")), public(), "/Webhook"), "a stricter route is no bypass");
    let until = |seconds| changed(open(), |route| route.dry_run_until = UnixTime::from_seconds(seconds));
    assert!(is_guarded(until(9), public(), "/Webhook"), "a dry run forwards everything");
}

/// The path of another method would be rejected, and so are its variants.
#[test]
fn variants_are_guarded_for_every_method_that_has_no_route_of_its_own() {
    let post = |name, path, method| route(name, None, path, Some(vec![method]));
    let guarded = || changed(guarded(exact("/webhook")), |route| route.matches.methods = Some(vec![Method::POST]));
    let find = |routes, method| {
        let table = RoutingTable::new(routes).unwrap();
        table.find("x", "/Webhook", &method).map(|route| route.name.clone())
    };
    let all = || route("open", None, prefix("/"), None);
    assert_eq!(find(vec![all(), guarded()], Method::POST), Err(Unrouted::Ambiguous));
    assert_eq!(find(vec![all(), guarded()], Method::GET), Err(Unrouted::Ambiguous));
    let own = || post("own", exact("/webhook"), Method::GET);
    assert_eq!(find(vec![all(), guarded(), own()], Method::GET), Ok("open".into()));
    assert_eq!(find(vec![all(), guarded(), own()], Method::POST), Err(Unrouted::Ambiguous));
}
