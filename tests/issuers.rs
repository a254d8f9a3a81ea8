//! docs/issuers.md: each configuration compiles, and accepts a token with the claims that are next to it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hookgate::auth::keys::KeySet;
use hookgate::auth::request::UrlBase;
use hookgate::auth::{Reason, RequestView, verify};
use hookgate::clock::UnixTime;
use hookgate::config::{Config, Handles, Sources, compile};
use http::Request;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::support::{Issuer, NOW, certificate};

struct Section {
    title: String,
    yaml: String,
    claims: Value,
}

/// The sections with a configuration.
fn sections() -> Vec<Section> {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/issuers.md");
    let page = std::fs::read_to_string(page).unwrap();
    let sections = page.split("\n## ").skip(1).filter_map(|text| {
        let block = |language: &str| Some(text.split_once(&format!("\n```{language}\n"))?.1.split_once("\n```")?.0);
        let claims = serde_json::from_str(block("json")?).unwrap();
        Some(Section { title: text.lines().next()?.to_owned(), yaml: block("yaml")?.to_owned(), claims })
    });
    sections.collect()
}

/// The compiled configuration with the keys of `signer`, as these issuers publish theirs.
fn load(yaml: &str, signer: &Issuer) -> Config {
    let text = format!("listeners: [{{ address: '127.0.0.1:0', plaintext: true }}]\n{yaml}\n");
    let folder = "/var/run/secrets/kubernetes.io/serviceaccount";
    let files = [("ca.crt", certificate(&["localhost"]).0), ("token", signer.token(&json!({})))];
    let files = files.map(|(name, text)| (format!("{folder}/{name}"), Ok(Zeroizing::new(text.into_bytes()))));
    let sources = Sources::in_memory(PathBuf::from("gateway.yaml"), text, BTreeMap::from(files));
    let config = compile(&sources, &Handles::default()).unwrap_or_else(|errors| panic!("{errors}"));
    let mut jwk = signer.jwk();
    let members = jwk.as_object_mut().unwrap();
    members.remove("alg");
    members.insert("use".into(), if yaml.contains("spiffe://") { "jwt-svid" } else { "sig" }.into());
    members.insert("x5c".into(), json!(["MIIC"]));
    let others = [json!({"kty": "RSA", "use": "enc", "alg": "RSA-OAEP"}), json!({"kty": "EC", "use": "x509-svid"})];
    let set = json!({ "keys": [&others[0], jwk, &others[1]] }).to_string();
    for remote in &config.handles.remote_keys {
        let (keys, skipped) = KeySet::from_jwks(set.as_bytes(), &remote.source.algorithms).unwrap();
        assert_eq!((keys.len(), skipped.len()), (1, 2));
        remote.replace(keys, UnixTime::from_seconds(NOW).unwrap());
    }
    config
}

fn evaluate(config: &Config, token: &str) -> Result<(), Reason> {
    let route = config.snapshot.routes.find("any", "/webhook", &http::Method::POST).unwrap();
    let request = Request::post("/webhook").header("authorization", format!("Bearer {token}"));
    let head = request.header("x-amzn-oidc-accesstoken", token).body(()).unwrap().into_parts().0;
    let view = RequestView::new(&head, UrlBase::Host("hooks.test"));
    let verified = verify(&route.rules, &view, UnixTime::from_seconds(NOW).unwrap());
    verified.map(|_| ()).map_err(|error| error.reason().unwrap())
}

/// The claims with these times.
fn timed(claims: &Value) -> Value {
    let mut claims = claims.clone();
    let times = [("iat", NOW - 5), ("nbf", NOW - 5), ("exp", NOW + 300)];
    claims.as_object_mut().unwrap().extend(times.map(|(name, time)| (name.to_owned(), time.into())));
    claims
}

#[test]
fn each_issuer_of_the_page_can_be_configured_and_its_tokens_pass() {
    let (rsa, p256, other) = (Issuer::rs256("k1"), Issuer::es256("k1"), Issuer::rs256("k1"));
    let sections = sections();
    assert_eq!(sections.len(), 17);
    for Section { title, yaml, claims } in sections {
        let signer = if yaml.contains("[ES256]") { &p256 } else { &rsa };
        assert!(signer.algorithm == Algorithm::RS256 || title == "SPIFFE", "{title}");
        let config = load(&yaml, signer);
        let claims = timed(&claims);
        assert_eq!(evaluate(&config, &signer.token(&claims)), Ok(()), "{title}");
        assert!(evaluate(&config, &other.token(&claims)).is_err(), "{title}");
        let changed = |name: &str, value: Value| {
            let mut claims = claims.clone();
            claims[name] = value;
            evaluate(&config, &signer.token(&claims))
        };
        let iss = if claims.get("iss").is_some() { "iss" } else { "sub" };
        let other = format!("{}x", claims[iss].as_str().unwrap().replacen("://", "://x", 1));
        assert_eq!(changed(iss, other.into()), Err(Reason::InvalidIssuer), "{title}");
        let party =
            ["client_id", "azp"].into_iter().find(|name| yaml.contains("audience: none") && yaml.contains(name));
        match party {
            Some(name) => assert_eq!(changed(name, "other".into()), Err(Reason::ClaimMismatch), "{title}"),
            None => assert_eq!(changed("aud", "other".into()), Err(Reason::InvalidAudience), "{title}"),
        }
    }
}
