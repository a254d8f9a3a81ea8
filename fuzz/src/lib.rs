//! Code that the targets share: a configuration compiled once per run, and requests verified as in the gateway.
//!
//! No target opens a file or a socket, and none reads the clock: an input means the same in each run.

pub mod keys;
pub mod second_reader;
pub mod used_value;

use std::path::PathBuf;
use std::sync::Arc;

use hookgate::auth::challenge::ChallengeResponse;
use hookgate::auth::{Grant, RequestView, VerifyError, verify};
use hookgate::clock::UnixTime;
use hookgate::config::yaml::{Node, NodeValue};
use hookgate::config::{Config, Handles, Sources, compile};
use hookgate::route::{ChallengeStage, Route};
use http::Request;
use http::request::Parts;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// Time of every request; also in the dictionaries.
pub const NOW: u64 = 1_700_000_000;

/// Outcome of a request.
pub enum Outcome {
    Granted(Grant),
    Answered(ChallengeResponse),
    Rejected,
}

/// A configuration as it would be read, with these files next to it.
pub fn sources(text: String, files: &[(&str, &[u8])]) -> Sources {
    let files = files.iter().map(|(name, content)| ((*name).to_owned(), Ok(Zeroizing::new(content.to_vec()))));
    Sources::in_memory(PathBuf::from("gateway.yaml"), text, files.collect())
}

/// The values of a tree of YAML, without their positions.
pub fn to_json(node: &Node) -> Value {
    match &node.value {
        NodeValue::Null => Value::Null,
        NodeValue::Bool(value) => Value::from(*value),
        NodeValue::Number(number) => Value::from(number.clone()),
        NodeValue::String(text) => Value::from(text.as_str()),
        NodeValue::List(items) => items.iter().map(to_json).collect(),
        NodeValue::Mapping(entries) => entries.iter().map(|(key, node)| (key.clone(), to_json(node))).collect(),
    }
}

/// One route at `/0`, `/1` and so on for each `auth`.
pub fn routes(auths: &[Value]) -> Value {
    let route = |(index, auth): (usize, &Value)| {
        let path = format!("/{index}");
        let upstream = json!({"url": "http://127.0.0.1:1"});
        json!({"name": format!("r{index}"), "match": {"path": path}, "upstream": upstream, "auth": auth, "replay_protection": "disabled"})
    };
    auths.iter().enumerate().map(route).collect()
}

/// A configuration of these routes and issuers.
pub fn gateway(auths: &[Value], issuers: Value, files: &[(&str, &[u8])]) -> Result<Config, String> {
    let listeners = json!([{"address": "127.0.0.1:0", "plaintext": true}]);
    let text = json!({"listeners": listeners, "issuers": issuers, "routes": routes(auths)}).to_string();
    compile(&sources(text, files), &Handles::default()).map_err(|errors| errors.to_string())
}

/// Request line and headers; `None` where no HTTP parser could return them.
pub fn head<'f>(method: &str, target: &[u8], fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>) -> Option<Parts> {
    let request = Request::builder().method(method).uri(target);
    let request = fields.into_iter().fold(request, |request, (name, value)| request.header(name, value));
    Some(request.body(()).ok()?.into_parts().0)
}

/// The route of a request, by path and method.
pub fn route(config: &Config, head: &Parts) -> Option<Arc<Route>> {
    config.snapshot.routes.find("hooks.example", head.uri.path(), &head.method).ok().cloned()
}

/// Decides as the stage `authenticate` does: by the headers alone, and with the body where that is not enough. A decision by
/// the headers must not change with the body.
pub fn evaluate(route: &Route, head: &Parts, body: &[u8]) -> Outcome {
    let view = || RequestView::new(head, route.url_base("hooks.example"));
    let whole = decide(route, &view().with_body(body)).unwrap_or_else(|error| match error {
        VerifyError::Rejected(_) => Outcome::Rejected,
        VerifyError::NeedsBody => panic!("the body was there"),
    });
    match (decide(route, &view()), &whole) {
        (Err(VerifyError::NeedsBody), _)
        | (Ok(Outcome::Granted(_)), Outcome::Granted(_))
        | (Ok(Outcome::Answered(_)), Outcome::Answered(_))
        | (Err(VerifyError::Rejected(_)), Outcome::Rejected) => whole,
        (_, _) => panic!("the headers alone were decided otherwise"),
    }
}

fn decide(route: &Route, view: &RequestView<'_>) -> Result<Outcome, VerifyError> {
    if let Some(answer) = route.challenge_response(view, ChallengeStage::Unauthenticated)? {
        return Ok(Outcome::Answered(answer));
    }
    let grant = verify(&route.rules, view, UnixTime::from_seconds(NOW).expect("a time"))?;
    Ok(route
        .challenge_response(view, ChallengeStage::Authenticated)?
        .map_or(Outcome::Granted(grant), Outcome::Answered))
}

/// Percent-decoding (RFC 3986 §2.1) in its simplest form, to compare with; a broken escape is kept as is.
pub fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let escape = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = escape.filter(|digits| *first == b'%' && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    decoded
}

/// `text` with each name replaced by its value, so that an input can contain values that only the run knows.
pub fn fill(text: &[u8], values: &[(&str, &str)]) -> Vec<u8> {
    let mut filled = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        match values.iter().find(|(name, _)| rest.starts_with(name.as_bytes())) {
            Some((name, value)) => {
                filled.extend_from_slice(value.as_bytes());
                rest = &rest[name.len()..];
            }
            None => {
                filled.push(*first);
                rest = after;
            }
        }
    }
    filled
}
