//! `upstream` in its forms, valid and invalid.

use super::{VALID, problems, problems_of};

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
        ("{ url: \"https://a\", ca: gone.crt }", ".ca: file gone.crt: not found"),
        ("{ url: \"https://a\", ca: server.key }", ".ca: cannot be used: no certificate in PEM form"),
    ] {
        let told = problems_with(upstream);
        assert_eq!(told.len(), 1, "{upstream}: {told:#?}");
        assert!(told[0].contains(&format!("routes[0].upstream{expected}")), "{upstream}: {told:#?}");
    }
}

#[test]
fn the_problem_of_an_upstream_has_its_position() {
    let several = VALID.replace("{ url: \"http://127.0.0.1:8000\" }", "\n      urls:\n        - http://a\n        - b");
    let told = problems_of(&several);
    assert!(told[0].starts_with("15:11: routes[0].upstream.urls[1]: "), "{told:?}");
}
