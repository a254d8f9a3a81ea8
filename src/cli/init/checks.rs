//! Checks single answers of `hookgate init` as soon as they are given: a small configuration with the answer is compiled, and
//! the problems of its key are those of the answer.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::config::file::SecretEncoding;
use crate::config::values::decode_secret;
use crate::config::{Handles, Sources, compile};

/// The URL of the application.
pub(super) fn upstream(url: &str) -> Result<String, String> {
    let problem = problem_of("routes[0].upstream.url", "/routes/0/upstream/url", url);
    problem.map_or_else(|| Ok(url.to_owned()), Err)
}

/// The `iss` of an issuer, or `dev`.
pub(super) fn issuer(iss: &str) -> Result<String, String> {
    let problem = Some(iss).filter(|iss| *iss != "dev");
    let problem = problem.and_then(|iss| problem_of("issuers.main.issuer", "/issuers/main/issuer", iss));
    problem.map_or_else(|| Ok(iss.to_owned()), Err)
}

/// The URL of a key set.
pub(super) fn jwks_url(url: &str) -> Result<String, String> {
    let problem = problem_of("issuers.main.jwks.url", "/issuers/main/jwks/url", url);
    problem.map_or_else(|| Ok(url.to_owned()), Err)
}

/// A claim that tokens must have, as NAME=VALUE; the value may be JSON.
pub(super) fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("--claim {text}: expected NAME=VALUE"))?;
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
}

/// A secret in the encoding of its preset; an empty one is generated.
pub(super) fn secret(secret: &str, encoding: SecretEncoding) -> Result<(), String> {
    let form = match encoding {
        SecretEncoding::Utf8 => "text",
        SecretEncoding::Hex => "hexadecimal",
        SecretEncoding::Base64 => "base64",
        SecretEncoding::Whsec => "whsec_ and base64",
    };
    let is_valid = secret.is_empty() || decode_secret(secret.as_bytes(), encoding).is_some();
    is_valid.then_some(()).ok_or_else(|| format!("expected {form}"))
}

/// The first problem of a key that has this value.
fn problem_of(field: &str, pointer: &str, value: &str) -> Option<String> {
    let route = json!({
        "name": "a", "match": { "path": "/" }, "upstream": { "url": "http://127.0.0.1:1" }, "auth": "public",
    });
    let issuer =
        json!({ "issuer": "https://a.example/", "algorithms": ["RS256"], "jwks": { "url": "https://a.example/" } });
    let mut file = json!({
        "listeners": [{ "address": "127.0.0.1:0", "plaintext": true }], "issuers": { "main": issuer }, "routes": [route],
    });
    *file.pointer_mut(pointer)? = value.into();
    let sources = Sources::in_memory("gateway.yaml".into(), file.to_string(), BTreeMap::new());
    let errors = compile(&sources, &Handles::default()).err()?;
    let mut problems = errors.problems().iter();
    problems.find(|problem| problem.field.to_string() == field).map(|problem| problem.message.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_problem_of_its_key() {
        for (url, problem) in
            [("8000", "expected"), ("app", "expected"), ("127.0.0.1:8000", "write http://127.0.0.1:8000")]
        {
            let found = upstream(url).unwrap_err();
            assert!(found.contains(problem), "{url}: {found}");
        }
        assert_eq!(upstream("http://app:8000"), Ok("http://app:8000".to_owned()));
        assert!(issuer("https://auth.example.com/").is_ok() && issuer("dev").is_ok() && issuer("").is_err());
        assert!(jwks_url("https://auth.example.com/keys").is_ok() && jwks_url("ftp://a").is_err());
        assert!(secret("", SecretEncoding::Hex).is_ok() && secret("0f", SecretEncoding::Hex).is_ok());
        assert_eq!(secret("whsec_ !", SecretEncoding::Whsec), Err("expected whsec_ and base64".to_owned()));
        assert_eq!(claim("n=1"), Ok(("n".to_owned(), json!(1))));
        assert!(claim("n").is_err());
    }
}
