//! Weaknesses that the responses to invalid requests show.

use std::collections::BTreeSet;

use http::StatusCode;

use super::run::Answered;
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
];

/// Headers that name a framework.
const FRAMEWORK_HEADERS: &[&str] = &["x-powered-by", "x-aspnet-version", "x-runtime"];

/// Each rule with the responses that break it.
pub(super) fn findings(answers: &[Answered]) -> Vec<(&'static str, Vec<&Answered>)> {
    let all = |test: &dyn Fn(&Answered) -> bool| answers.iter().filter(|answered| test(answered)).collect::<Vec<_>>();
    vec![
        ("server-error", all(&|answered| answered.answer.status.is_server_error())),
        ("error-page-framework", all(&|answered| reveals_framework(&answered.answer)).into_iter().take(2).collect()),
        ("secret-in-response", all(&reveals_secret)),
        ("credential-oracle", told_apart(answers)),
    ]
}

fn reveals_framework(answer: &Answer) -> bool {
    let text = String::from_utf8_lossy(&answer.body).replace("&#x2F;", "/");
    FRAMEWORK_TEXTS.iter().any(|known| text.contains(known))
        || FRAMEWORK_HEADERS.iter().any(|name| answer.headers.contains_key(*name))
}

fn reveals_secret(answered: &Answered) -> bool {
    let text = String::from_utf8_lossy(&answered.answer.body);
    answered.secrets.iter().any(|secret| text.contains(secret.as_str()))
}

/// One response of each kind, if invalid credentials get 401 with several kinds of bodies. 403 is for a genuine sender
/// that lacks rights.
fn told_apart(answers: &[Answered]) -> Vec<&Answered> {
    let mut seen = BTreeSet::new();
    let rejected =
        answers.iter().filter(|answered| answered.has_credential && answered.answer.status == StatusCode::UNAUTHORIZED);
    let kinds: Vec<&Answered> = rejected.filter(|answered| seen.insert(normalized(&answered.answer))).collect();
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
