//! Weaknesses that the responses to invalid requests show.

use std::collections::BTreeSet;

use http::StatusCode;

use super::super::sign::Draft;
use super::target::Answer;

/// Texts by which an error page names its framework or shows its code.
const FRAMEWORK_TEXTS: &[&str] = &[
    "Traceback (most recent call last)",
    "at Object.<anonymous>",
    "node_modules/",
    "node:internal",
    "Werkzeug",
    "ActionController::",
    "ActionDispatch::",
    "Sinatra doesn",
    "JSON::ParserError",
    "site-packages/",
    "/gems/",
    "Whoops, looks like something went wrong",
    "Stack trace:",
    "DEBUG = True",
    "Whitelabel Error Page",
    "at java.base/",
];

/// Headers that name a framework.
const FRAMEWORK_HEADERS: &[&str] = &["x-powered-by", "x-aspnet-version", "x-aspnetmvc-version", "x-runtime"];

/// A response to an invalid request.
pub(super) struct ProbeResponse {
    pub(super) probe: String,
    pub(super) draft: Draft,
    pub(super) answer: Answer,
    /// Whether the request had a credential, which was invalid.
    pub(super) has_credential: bool,
    /// Texts that the response may not contain.
    pub(super) secrets: Vec<String>,
}

/// Each rule that these responses could break, with those that do. `tells_apart`: a request gets the same response again.
pub(super) fn findings(answers: &[ProbeResponse], tells_apart: bool) -> Vec<(&'static str, Vec<&ProbeResponse>)> {
    let all =
        |test: &dyn Fn(&ProbeResponse) -> bool| answers.iter().filter(|answered| test(answered)).collect::<Vec<_>>();
    let mut findings = vec![
        ("server-error", all(&|answered| is_unexpected(answered.answer.status))),
        ("error-page-framework", all(&|answered| reveals_framework(&answered.answer)).into_iter().take(2).collect()),
    ];
    if answers.iter().any(|answered| !answered.secrets.is_empty()) {
        findings.push(("secret-in-response", all(&reveals_secret)));
    }
    if tells_apart {
        findings.push(("credential-oracle", told_apart(answers)));
    }
    findings
}

/// Whether a status says that a request caused an exception: 501 names a missing feature, 503 asks to come again.
pub(super) fn is_unexpected(status: StatusCode) -> bool {
    status.is_server_error() && !matches!(status, StatusCode::NOT_IMPLEMENTED | StatusCode::SERVICE_UNAVAILABLE)
}

fn reveals_framework(answer: &Answer) -> bool {
    let text = String::from_utf8_lossy(&answer.body).replace("&#x2F;", "/");
    FRAMEWORK_TEXTS.iter().any(|known| text.contains(known))
        || FRAMEWORK_HEADERS.iter().any(|name| answer.headers.contains_key(*name))
        || answer.headers.get(http::header::SERVER).is_some_and(|value| has_version(value.as_bytes()))
}

/// Whether a Server header has a version, as in `Werkzeug/3.1.9` (RFC 9110 §10.2.4).
fn has_version(value: &[u8]) -> bool {
    value.windows(2).any(|pair| matches!(pair, [b'/', b'0'..=b'9']))
}

fn reveals_secret(answered: &ProbeResponse) -> bool {
    let values = answered.answer.headers.values().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let texts: Vec<_> = values.chain([String::from_utf8_lossy(&answered.answer.body)]).collect();
    answered.secrets.iter().any(|secret| texts.iter().any(|text| text.contains(secret.as_str())))
}

/// One response of each kind, if invalid credentials get 401 with several kinds of bodies. 403 is for a genuine sender
/// that lacks rights.
fn told_apart(answers: &[ProbeResponse]) -> Vec<&ProbeResponse> {
    let mut seen = BTreeSet::new();
    let rejected =
        answers.iter().filter(|answered| answered.has_credential && answered.answer.status == StatusCode::UNAUTHORIZED);
    let kinds: Vec<&ProbeResponse> = rejected.filter(|answered| seen.insert(normalized(&answered.answer))).collect();
    if kinds.len() > 1 { kinds } else { Vec::new() }
}

/// Status and body, with `#` for numbers and ids.
pub(super) fn normalized(answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let word = |word: &str| {
        let is_id = word.len() >= 8 && word.chars().any(|c| c.is_ascii_digit());
        if is_id || word.chars().all(|c| c.is_ascii_digit()) { "#".to_owned() } else { word.to_owned() }
    };
    let words = text
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-')
        .filter(|word| !word.is_empty())
        .map(word);
    format!("{} {}", answer.status, words.collect::<Vec<_>>().join(" "))
}
