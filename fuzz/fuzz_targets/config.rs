//! Configurations: one that compiles has an `auth` for each route, and only `auth: public` grants every client; each
//! error of one that does not compile names a position within the text.
#![no_main]

use hookgate::auth::Policy;
use hookgate::config::{Handles, compile, yaml};
use hookgate::route::validate_path;
use hookgate_fuzz::sources;
use http::Method;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use zeroize::Zeroizing;

fuzz_target!(|text: &str| {
    let secret = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let mut read = sources(text.to_owned(), &[("secret", secret)]);
    read.variables.insert("SECRET".to_owned(), Ok(Zeroizing::new(secret.to_vec())));
    let config = match compile(&read, &Handles::default()) {
        Ok(config) => config,
        Err(errors) => {
            // A lone carriage return ends a line in YAML.
            let lines = text.matches(['\n', '\r']).count() + 2;
            assert!(!errors.problems().is_empty() && !errors.to_string().is_empty());
            assert!(
                errors.problems().iter().all(|at| (1..=lines).contains(&at.position.line) && at.position.column > 0)
            );
            let secret = std::str::from_utf8(secret).expect("text");
            assert!(text.contains(secret) || !errors.to_string().contains(secret));
            return;
        }
    };
    let file = yaml::read(text).expect("YAML").value;
    let routes = file["routes"].as_array().expect("routes");
    assert!(!routes.is_empty());
    for route in routes {
        let auth = &route["auth"];
        assert!(!auth.is_null() && auth.as_object().is_none_or(|scheme| !scheme.is_empty()), "{route}");
        let matches = &route["match"];
        let host = matches["host"].as_str().unwrap_or("no.example");
        let path = matches["path"].as_str().expect("a path").trim_end_matches('*');
        let path = validate_path(path).expect("a path that requests may have");
        let method = matches["methods"][0].as_str().map_or(Method::POST, |method| method.parse().expect("a method"));
        // A more specific route may match the same path; that one is found.
        let found = config.snapshot.routes.find(host, &path, &method);
        if let Some(found) = found.ok().filter(|found| found.name.as_ref() == route["name"].as_str().expect("a name")) {
            let everybody = found.rules.policy.leaves().iter().any(|leaf| matches!(leaf, Policy::Public));
            assert_eq!(everybody, *auth == Value::from("public"), "{route}");
        }
    }
});
