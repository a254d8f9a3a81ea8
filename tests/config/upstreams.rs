//! `upstream` in its forms, valid and invalid.

use serde_json::json;

use super::{VALID, problems, problems_of, valid};
use crate::support::configuration::{Route, Store};

/// The problems of the valid configuration with this upstream.
fn problems_with(upstream: &str) -> Vec<String> {
    problems("{ url: \"http://127.0.0.1:8000\" }", upstream)
}

#[test]
fn every_form_of_an_upstream_is_accepted() {
    for upstream in [
        "{ url: \"http://app\" }",
        "{ url: \"http://[::1]:8000/\" }",
        "{ url: \"https://app.test\" }",
        "{ url: \"https://[::1]:8443\", ca: server.crt }",
        "{ url: \"unix:/run/app.sock\" }",
        "{ url: \"http://app\", reuse: never }",
        "{ urls: [\"http://a:1\", \"https://b\", \"unix:c\"], ca: server.crt }",
        "{ url: \"http://app\", host: upstream }",
        "{ url: \"unix:/run/app.sock\", host: \"[::1]:8000\" }",
        "{ url: \"https://10.0.0.1\", server_name: app.test, host: \"app.test:443\" }",
        "{ url: \"https://app\", client_certificate: { cert: server.crt, key: server.key } }",
        "{ url: \"http://app\", path_prefix: /base/v1 }",
        "{ url: \"http://app\", timeouts: { total: 1h, response_headers: 2h, response_body_idle: 1m } }",
    ] {
        assert_eq!(problems_with(upstream), Vec::<String>::new(), "{upstream}");
    }
}

#[test]
fn an_invalid_upstream_is_rejected() {
    let long = format!("{{ url: \"unix:/{}\" }}", "a".repeat(107));
    for (upstream, expected) in [
        ("{}", ".url: missing; expected the URL of the upstream"),
        ("{ url: \"app:8000\" }", ".url: expected http://host:port, https://host:port or unix:/path"),
        ("{ url: \"ftp://app\" }", ".url: expected http://"),
        ("{ url: \"https://app/base\" }", ".url: expected http://"),
        ("{ url: \"https://user@app\" }", ".url: expected http://"),
        ("{ url: \"https://app:0\" }", ".url: expected http://"),
        ("{ url: \"https://a_b.-c\" }", ".url: expected http://"),
        ("{ url: \"unix:\" }", ".url: expected the path of a socket after `unix:`"),
        (&long, ".url: the path of a socket may have at most 107 bytes"),
        ("{ urls: [] }", ".urls: must not be empty; set the URLs of the upstream"),
        ("{ urls: [\"http://a\", \"ftp://b\"] }", ".urls[1]: expected http://"),
        ("{ urls: [\"http://a\", \"http://a/\"] }", ".urls[1]: duplicate URL"),
        ("{ url: \"http://a\", urls: [\"http://b\"] }", ".urls: cannot be combined with `url`; keep one of them"),
        ("{ url: \"http://a\", ca: server.crt }", ".ca: is for https only; use https://host:port, or remove it"),
        ("{ url: \"http://a\", reuse: sometimes }", ".reuse: "),
        ("{ url: \"http://a\", server_name: b }", ".server_name: is for https only; use https://host:port"),
        ("{ url: \"unix:a\", host: upstream }", ".host: a Unix socket has no host; write the name"),
        ("{ url: \"http://a\", host: \"b:0\" }", ".host: expected a host name such as app.internal"),
        ("{ url: \"http://a\", host: \"http://b\" }", ".host: expected a host name"),
        ("{ url: \"http://a\", host: \"u@b\" }", ".host: expected a host name"),
        ("{ url: \"http://a\", host: \"*.b\" }", ".host: expected a host name"),
        ("{ url: \"http://a\", path_prefix: /base/ }", ".path_prefix: expected a path such as /base, without a slash"),
        ("{ url: \"http://a\", path_prefix: / }", ".path_prefix: expected a path"),
        ("{ url: \"http://a\", path_prefix: /a/../b }", ".path_prefix: expected a path"),
        ("{ url: \"http://a\", path_prefix: \"/a?b\" }", ".path_prefix: expected a path"),
        ("{ url: \"http://a\", strip_prefix: /other }", ".strip_prefix: must be the beginning of `match.path`"),
        ("{ url: \"http://a\", timeouts: { total: 0s } }", ".timeouts.total: must be longer than zero"),
        ("{ url: \"http://a\", timeouts: { total: never } }", ".timeouts.total: expected a duration: a whole number"),
        (
            "{ url: \"http://a\", client_certificate: { cert: server.crt, key: server.key } }",
            ".client_certificate: is for https only",
        ),
        (
            "{ url: \"https://a\", client_certificate: { cert: server.crt, key: other.key } }",
            ".client_certificate: certificate and key cannot be used: ",
        ),
        ("{ url: \"https://a\", client_certificate: { cert: server.crt } }", ".client_certificate.key: missing"),
        ("{ url: \"https://a\", ca: gone.crt }", ".ca: file gone.crt: not found"),
        ("{ url: \"https://a\", ca: server.key }", ".ca: cannot be used: no certificate in PEM form"),
    ] {
        let told = problems_with(upstream);
        assert_eq!(told.len(), 1, "{upstream}: {told:#?}");
        assert!(told[0].contains(&format!("routes[0].upstream{expected}")), "{upstream}: {told:#?}");
    }
}

/// Its lease would end before the response, and a retry would be forwarded as well.
#[test]
fn a_response_without_total_has_no_reservation() {
    let told = |key: &str, value: serde_json::Value| {
        let route = |route: Route| route.with("upstream.timeouts.total", "none").with(key, value);
        let configuration = valid().store(Store::memory()).route(route);
        problems_of(&configuration.to_string())
    };
    for (key, value) in [
        ("replay_protection", json!({ "id": { "claim": "jti" } })),
        ("idempotency", json!({ "key": { "header": "K" } })),
    ] {
        let told = told(key, value);
        assert!(told.len() == 1 && told[0].contains("routes[0].upstream.timeouts.total: `none` cannot be"), "{told:?}");
    }
    assert_eq!(told("replay_protection", json!("disabled")), [""; 0]);
}

#[test]
fn the_problem_of_an_upstream_has_its_position() {
    let several = VALID.replace("{ url: \"http://127.0.0.1:8000\" }", "\n      urls:\n        - http://a\n        - b");
    let told = problems_of(&several);
    assert!(told[0].starts_with("15:11: routes[0].upstream.urls[1]: "), "{told:?}");
}
