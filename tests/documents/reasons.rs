//! docs/reference/reasons.md, generated from the rows of `src/reason.rs`.

use std::collections::BTreeMap;

use hookgate::failure::{is_before_route, secevent_error, status};
use hookgate::reason::Reason;

use super::generated::{assert_page, heading, origin, row, sentence};

const INTRODUCTION: &str = "\
A reason is the word for why a request was rejected or failed. It is the same in the access log, in the label `reason` of
the metrics, in `reason` of the response, in `hookgate explain` and in `status_overrides`.

A response may say `unauthorized` or `forbidden` instead, or `invalid_request` and the like in the form of RFC 8935:
[`error_detail`](configuration/index.md#error_detail) decides how much the response contains. The log and the
metrics always have the reason, except `tls_required`, which is sent before there is a request. [Why was my request
rejected?](../explain.md) leads from a response to its reason.

`Retry-After` is 10 s for each 503 and for `duplicate_in_flight`, 1 s for `concurrency_limited`, and the time until the
limit allows the next request for `rate_limited`.
";

const OVERRIDES: &str = "\
## Statuses that can be changed

[`status_overrides`](configuration/routes.md#routes.status_overrides) of a route gives a reason another status. A reason
with the status 408, 409, 429 or 5xx cannot get a success, since the sender must retry. These reasons cannot be changed:
their response is sent before a route is known, or to no client:
";

const SECEVENT: &str = "\
## Errors of RFC 8935

A route with the preset `security-event-token` rejects with status 400 and an `err` of RFC 8935 §2.4. Every other reason
gets the same response as on other routes.
";

fn page() -> String {
    let mut page = format!("# Reasons\n\n{}{INTRODUCTION}\n", origin("`src/reason.rs`"));
    page.push_str(&heading(&["reason", "status", "meaning", "operator", "sender"]));
    for reason in Reason::ALL {
        let word = reason.word();
        page.push_str(&row(&[
            format!("<a id=\"{word}\"></a>[`{word}`](#{word})"),
            status(*reason).as_u16().to_string(),
            sentence(reason.cause()),
            reason.operator().to_owned(),
            reason.sender().to_owned(),
        ]));
    }
    let unchangeable = Reason::ALL.iter().filter(|reason| is_before_route(**reason));
    page.push_str(&format!("\n{OVERRIDES}{}.\n\n{SECEVENT}\n", listed(unchangeable)));
    page.push_str(&heading(&["`err`", "reasons"]));
    let mut errors: BTreeMap<&str, Vec<&Reason>> = BTreeMap::new();
    for reason in Reason::ALL {
        if let Some(error) = secevent_error(*reason) {
            errors.entry(error).or_default().push(reason);
        }
    }
    let errors = errors.into_iter().map(|(error, reasons)| row(&[format!("`{error}`"), listed(reasons.into_iter())]));
    page + &errors.collect::<String>()
}

fn listed<'a>(reasons: impl Iterator<Item = &'a Reason>) -> String {
    reasons.map(|reason| format!("`{}`", reason.word())).collect::<Vec<String>>().join(", ")
}

#[test]
fn the_page_of_reasons_is_up_to_date() {
    assert_page("reasons.md", &page());
}

/// The length without the targets of links.
fn shown(text: &str) -> usize {
    let rest = text.split("](").skip(1).filter_map(|link| link.split_once(')')).map(|(_, rest)| rest.len());
    text.split("](").next().map_or(0, str::len) + rest.sum::<usize>()
}

/// Cells of a table have to be read at a glance.
#[test]
fn the_texts_of_each_reason_are_short_sentences() {
    for reason in Reason::ALL {
        for text in [reason.operator(), reason.sender()] {
            assert!(text.ends_with('.') && shown(text) <= 130 && text.matches(". ").count() <= 1, "{reason:?}: {text}");
        }
        assert!(!reason.cause().is_empty() && !reason.cause().ends_with('.'), "{reason:?}");
    }
}
