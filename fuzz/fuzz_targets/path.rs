//! Paths: an accepted path has no second reading, its route is the one that a plain second implementation finds, and no
//! variant of a guarded path falls to a public route.
#![no_main]

use std::sync::LazyLock;

use hookgate::config::{Config, Handles, compile};
use hookgate::route::validate_path;
use hookgate_fuzz::{percent_decode, sources};
use http::Method;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// Host (`None` for any) and path of each route; its index is its name.
const ROUTES: &[(Option<&str>, &str)] = &[
    (None, "/*"),
    (None, "/hooks/*"),
    (None, "/hooks/admin"),
    (None, "/hooks/admin/*"),
    (None, "/a%20b"),
    (Some("a.example"), "/hooks/*"),
    (Some("a.example"), "/admin/"),
];

/// A path that needs a token, next to the public routes of the same upstream.
const GUARDED: &str = "/guarded";

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let route = |(index, (host, path)): (usize, &(Option<&str>, &str))| {
        let matches = host.map_or(json!({"path": path}), |host| json!({"host": host, "path": path}));
        let upstream = json!({"url": "http://127.0.0.1:1"});
        json!({"name": format!("r{index}"), "match": matches, "upstream": upstream, "auth": "public"})
    };
    let mut routes: Vec<Value> = ROUTES.iter().enumerate().map(route).collect();
    let token = json!({"static_token": {"header": "X-Token", "secret": {"file": "token"}}});
    let upstream = json!({"url": "http://127.0.0.1:1"});
    routes.push(json!({"name": "guarded", "match": {"path": GUARDED}, "upstream": upstream, "auth": token}));
    let listeners = json!([{"address": "127.0.0.1:0", "plaintext": true}]);
    let text = json!({"listeners": listeners, "routes": routes}).to_string();
    compile(&sources(text, &[("token", b"a token of 32 characters or more")]), &Handles::default())
        .expect("a configuration")
});

fuzz_target!(|input: (bool, &str)| {
    let (named, path) = input;
    let Ok(decoded) = validate_path(path) else { return };
    assert_eq!(decoded.as_bytes(), percent_decode(path.as_bytes()), "{path:?}");
    assert_eq!(decoded.as_bytes(), percent_decode(decoded.as_bytes()), "{path:?} decodes twice");
    assert!(validate_path(&decoded).is_err() || validate_path(&decoded) == Ok((&*decoded).into()), "{path:?}");
    let ambiguous = |c: char| c.is_ascii_control() || matches!(c, '\\' | ';' | '%' | '?' | '#');
    assert!(!decoded.contains(ambiguous) && !decoded.contains("//"), "{path:?}");
    assert!(decoded.starts_with('/') && decoded.split('/').all(|segment| segment != "." && segment != ".."));
    assert_eq!(path.matches('/').count(), decoded.matches('/').count(), "{path:?} hides a slash");

    let host = if named { "A.example." } else { "b.example" };
    let is_variant = decoded.trim_end_matches('/').eq_ignore_ascii_case(GUARDED);
    let found = CONFIG.snapshot.routes.find(host, &decoded, &Method::POST).map(|route| route.name.to_string());
    if is_variant {
        let guarded = found == Ok("guarded".to_owned()) && decoded == GUARDED;
        assert!(guarded || found.is_err(), "{decoded:?} reaches {found:?}");
        return;
    }
    assert_eq!(found.ok(), expected(named, &decoded).map(|index| format!("r{index}")), "{decoded:?}");
});

/// The host's own routes before those of any host, an exact path before a prefix, a longer prefix before a shorter one.
fn expected(named: bool, path: &str) -> Option<usize> {
    let permits = |host: Option<&'static str>| ROUTES.iter().enumerate().filter(move |(_, route)| route.0 == host);
    let best = |host| {
        let exact = permits(host)
            .find(|(_, route)| percent_decode(route.1.as_bytes()) == path.as_bytes())
            .map(|(index, _)| index);
        let fits = |route: &str| route.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix));
        let prefix = permits(host).filter(|(_, route)| fits(route.1)).max_by_key(|(_, route)| route.1.len());
        exact.or(prefix.map(|(index, _)| index))
    };
    best(Some("a.example")).filter(|_| named).or_else(|| best(None))
}
