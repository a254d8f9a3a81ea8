//! One request through configuration → compilation → decision, without sockets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookgate::auth::challenge::ChallengeResponse;
use hookgate::auth::{RequestView, VerifyError, verify};
use hookgate::clock::UnixTime;
use hookgate::config::presets::find;
use hookgate::config::{Config, Handles, Sources, compile};
use hookgate::route::{ChallengeStage, Route};
use http::Request;
use http::request::Parts;
use serde_json::{Value, json};
use std::sync::Arc;
use zeroize::Zeroizing;

use crate::support::schema::assert_valid;

/// A request and the configuration of its route.
#[derive(Clone, Debug)]
pub struct Case {
    pub auth: Value,
    pub secrets: Vec<Vec<u8>>,
    pub jwks: Option<Value>,
    pub tolerance: Option<u64>,
    pub request: Value,
    pub now: u64,
}

/// The result of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Granted,
    Rejected(&'static str),
    NotLoaded(String),
}

/// The project's own vectors.
pub fn read(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(file);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The id of each case, the case, and whether it must pass.
pub fn cases(file: &str) -> Vec<(String, Case, bool)> {
    let vectors = read(file).into_iter();
    vectors.map(|vector| (vector["id"].to_string(), Case::read(&vector), vector["expected"] == "valid")).collect()
}

fn is_shared(algorithm: &str) -> bool {
    algorithm.starts_with("hmac-") || algorithm == "sha256"
}

impl Case {
    pub fn read(vector: &Value) -> Self {
        let mut auth = json!({"preset": vector["preset"]});
        if vector["parameters"].as_object().is_some_and(|parameters| !parameters.is_empty()) {
            auth["parameters"] = vector["parameters"].clone();
        }
        let ids = vector["secrets"].as_array().into_iter().flatten().map(|secret| secret.get("id").cloned());
        let ids: Vec<Option<Value>> = ids.collect();
        if ids.iter().any(Option::is_some) {
            auth["secret_ids"] = json!(ids);
        }
        let text = |secret: &Value| {
            let text = secret.get("secret").unwrap_or(secret).as_str().unwrap();
            text.as_bytes().to_vec()
        };
        let one = vector.get("secret").filter(|secret| secret.is_string()).map(text);
        let several = vector["secrets"].as_array().into_iter().flatten().map(text);
        let secrets: Vec<_> = one.into_iter().chain(several).collect();
        let by_key_set = vector["preset"].as_str().and_then(find).is_some_and(|preset| preset.jwks.is_some());
        Self {
            auth,
            jwks: vector.get("jwks").filter(|_| secrets.is_empty() || by_key_set).cloned(),
            secrets: if by_key_set { Vec::new() } else { secrets },
            tolerance: None,
            request: vector["request"].clone(),
            now: vector["now"].as_u64().unwrap(),
        }
    }

    /// The configuration of its route.
    fn configuration(&self, challenge: Option<&Value>) -> Value {
        let mut auth = self.auth.clone();
        let ids = auth.as_object_mut().unwrap().remove("secret_ids").unwrap_or_default();
        let file = |index: usize| {
            let mut file = json!({"file": format!("secret{index}")});
            if let Some(id) = ids.get(index).filter(|id| id.is_string()) {
                file["id"] = id.clone();
            }
            file
        };
        let inside = auth.get("signature").is_some();
        let (one, several) = self.key_names();
        let holder = if inside { &mut auth["signature"] } else { &mut auth };
        match self.secrets.len() {
            0 => {}
            1 if ids.is_null() => holder[one] = file(0),
            count => holder[several] = (0..count).map(file).collect(),
        }
        if let Some(jwks) = &self.jwks {
            auth["jwks"] = json!({ "inline": jwks });
        }
        if let Some(tolerance) = self.tolerance {
            auth["tolerance"] = format!("{tolerance}s").into();
        }
        if let Some(challenge) = challenge {
            auth["challenge"] = challenge.clone();
        }
        json!({
            "listeners": [{"address": "127.0.0.1:0", "plaintext": true}],
            "routes": [{
                "name": "route", "match": {"path": "/*"}, "upstream": {"url": "http://127.0.0.1:1"},
                "public_url": self.base(), "auth": auth,
            }],
        })
    }

    /// The configuration of its route, and the files that it names.
    fn sources(&self, challenge: Option<&Value>) -> Sources {
        let mut files: BTreeMap<String, _> = BTreeMap::new();
        for (index, secret) in self.secrets.iter().enumerate() {
            files.insert(format!("secret{index}"), Ok(Zeroizing::new(secret.clone())));
        }
        files.insert("token".to_owned(), Ok(Zeroizing::new(b"a token".to_vec())));
        let yaml = self.configuration(challenge).to_string();
        Sources::in_memory(PathBuf::from("gateway.yaml"), yaml, files)
    }

    /// The names of the fields for one and for several secrets or keys of the scheme.
    fn key_names(&self) -> (&'static str, &'static str) {
        let preset = self.auth["preset"].as_str().and_then(find);
        let asymmetric = self.auth["signature"]["algorithm"].as_str().is_some_and(|name| !is_shared(name));
        match preset {
            Some(preset) if preset.root_ca.is_some() => ("root_ca", "root_ca"),
            Some(preset) if preset.public_key.is_some() => ("public_key", "public_keys"),
            _ if asymmetric => ("public_key", "public_keys"),
            _ => ("secret", "secrets"),
        }
    }

    fn url(&self) -> http::Uri {
        self.request["url"].as_str().unwrap().parse().unwrap()
    }

    /// Scheme and host as the sender wrote them.
    fn base(&self) -> String {
        let url = self.url();
        format!("{}://{}", url.scheme_str().unwrap(), url.authority().unwrap())
    }

    pub fn head(&self) -> Parts {
        let url = self.url();
        let target = url.path_and_query().unwrap().as_str().to_owned();
        let mut request = Request::builder().method(self.request["method"].as_str().unwrap()).uri(target);
        request = request.header("host", url.authority().unwrap().as_str());
        for (name, value) in self.request["headers"].as_object().unwrap() {
            request = request.header(name, value.as_str().unwrap());
        }
        request.body(()).unwrap().into_parts().0
    }

    pub fn body(&self) -> Vec<u8> {
        match self.request.get("body_base64").and_then(Value::as_str) {
            Some(body) => STANDARD.decode(body).unwrap(),
            None => self.request["body"].as_str().unwrap_or_default().as_bytes().to_vec(),
        }
    }

    pub fn compile(&self) -> Result<Config, String> {
        let config = compile(&self.sources(None), &Handles::default()).map_err(|errors| errors.to_string())?;
        self.give_certificate(&config);
        assert_valid(&self.configuration(None).to_string());
        Ok(config)
    }

    /// Gives the gateway the file that it would fetch from the URL in the request.
    fn give_certificate(&self, config: &Config) {
        let Some(certificate) = self.request.get("certificate") else { return };
        let (url, pem) = (certificate["url"].as_str().unwrap(), certificate["pem"].as_str().unwrap());
        for certificates in &config.handles.signing_certificates {
            certificates.add(url, pem.as_bytes(), UnixTime::from_seconds(self.now).unwrap()).unwrap();
        }
    }

    pub fn decide(&self) -> Verdict {
        match self.compile() {
            Ok(config) => decide(&config, &self.head(), &self.body(), self.now),
            Err(errors) => Verdict::NotLoaded(errors),
        }
    }

    /// The response to this challenge request; signed challenges are answered only after the decision, as in the
    /// gateway.
    pub fn challenge(&self, token: &Value) -> Result<ChallengeResponse, String> {
        let switch = if token.is_string() { json!({"token": {"file": "token"}}) } else { json!(true) };
        let mut sources = self.sources(Some(&switch));
        if let Some(token) = token.as_str() {
            sources.files.insert("token".to_owned(), Ok(Zeroizing::new(token.as_bytes().to_vec())));
        }
        let config = compile(&sources, &Handles::default()).map_err(|errors| errors.to_string())?;
        let (head, body) = (self.head(), self.body());
        let route = route(&config, &head);
        let view = || RequestView::new(&head, route.url_base("unused")).with_body(&body);
        if let Ok(Some(answer)) = route.challenge_response(&view(), ChallengeStage::Unauthenticated) {
            return Ok(answer);
        }
        let granted = verify(&route.rules, &view(), UnixTime::from_seconds(self.now).unwrap());
        granted.map_err(|stop| format!("{stop:?}"))?;
        route.challenge_response(&view(), ChallengeStage::Authenticated).unwrap().ok_or_else(|| "no answer".to_owned())
    }
}

fn route(config: &Config, head: &Parts) -> Arc<Route> {
    Arc::clone(config.snapshot.routes.find("any", head.uri.path(), &head.method).unwrap())
}

/// Decides with and without the body, as the gateway does: both verdicts must be equal, unless the body is needed.
pub fn decide(config: &Config, head: &Parts, body: &[u8], now: u64) -> Verdict {
    decide_at(config, head, body, "unused", now)
}

/// Like [`decide`], for a route without `public_url`, where the host of the request counts.
pub fn decide_at(config: &Config, head: &Parts, body: &[u8], host: &str, now: u64) -> Verdict {
    let route = route(config, head);
    let now = UnixTime::from_seconds(now).unwrap();
    let view = || RequestView::new(head, route.url_base(host));
    let whole = match verify(&route.rules, &view().with_body(body), now) {
        Ok(_) => Verdict::Granted,
        Err(VerifyError::Rejected(rejection)) => Verdict::Rejected(rejection.reason.word()),
        Err(VerifyError::NeedsBody) => panic!("the body was given"),
    };
    match verify(&route.rules, &view(), now) {
        Ok(_) => assert_eq!(whole, Verdict::Granted),
        Err(VerifyError::Rejected(rejection)) => assert_eq!(whole, Verdict::Rejected(rejection.reason.word())),
        Err(VerifyError::NeedsBody) => {}
    }
    whole
}
