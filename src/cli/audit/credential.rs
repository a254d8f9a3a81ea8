//! Where a request may carry a credential, and how reports and probes treat it.

use super::super::sign::Draft;

/// Headers that carry no credential.
const CONTEXT: &[&str] = &[
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "content-encoding",
    "content-type",
    "date",
    "forwarded",
    "origin",
    "pragma",
    "priority",
    "referer",
    "traceparent",
    "tracestate",
    "user-agent",
    "via",
];

/// Parts of the names of headers, of query parameters and of members of a body with a credential.
const CREDENTIAL_WORDS: &[&str] =
    &["auth", "code", "cookie", "digest", "hmac", "jwt", "key", "pass", "secret", "sig", "token", "verif"];

/// Shortest text that a report hides and that a probe takes for a signature.
const SHORTEST: usize = 8;

/// Whether a header carries no credential: it says which event a request is about, or who forwarded it.
pub(super) fn is_context(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_event = ["event", "topic", "timestamp", "request-start"].iter().any(|word| name.contains(word));
    let is_proxy = ["x-forwarded-", "sec-", "cf-", "x-amzn-trace"].iter().any(|start| name.starts_with(start));
    let is_plain = is_event || is_proxy || is_event_id(&name) || CONTEXT.contains(&name.as_str());
    name.contains("idempotency") || is_plain && !is_credential_name(&name)
}

/// Whether a header usually carries the id of an event.
pub(super) fn is_event_id(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with("-id") || name.contains("delivery") || name.contains("idempotency")
}

/// Whether a name is one of a credential.
pub(super) fn is_credential_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    CREDENTIAL_WORDS.iter().any(|word| name.contains(word))
}

/// Path and query without the parameters that may be a credential.
pub(super) fn without_query_credentials(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let is_plain = |pair: &&str| !is_credential_name(pair.split('=').next().unwrap_or_default());
    let query = query.split('&').filter(is_plain).collect::<Vec<_>>().join("&");
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// Path and query with `…` for the value of each parameter.
pub(super) fn masked_target(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let masked = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) => format!("{name}=…"),
        None => "…".to_owned(),
    });
    format!("{path}?{}", masked.collect::<Vec<_>>().join("&"))
}

/// The value of a header as a report shows it: a credential by its scheme and its length alone.
pub(super) fn masked_value(name: &str, value: &str) -> String {
    const SCHEMES: &[&str] = &["Bearer ", "Basic ", "sha256=", "sha1=", "t=", "v0=", "v1,"];
    if is_context(name) {
        return value.to_owned();
    }
    let scheme = SCHEMES.iter().copied().find(|scheme| value.starts_with(scheme)).unwrap_or_default();
    format!("{scheme}… ({} characters)", value.chars().count())
}

/// The texts of a request that no report may show: its credentials, and their parts.
pub(super) fn hidden(draft: &Draft) -> Vec<String> {
    let headers = draft.headers.iter().filter(|(name, _)| !is_context(name)).map(|(_, value)| value.as_str());
    let query = draft.target.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let values = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(_, value)| value);
    let mut texts: Vec<String> = headers
        .chain(values)
        .flat_map(|value| std::iter::once(value).chain(parts(value)))
        .filter(|text| text.len() >= SHORTEST)
        .map(str::to_owned)
        .collect();
    // The longest first: the rest of a text stays hidden when a part of it is replaced.
    texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
    texts
}

/// The parts of a header's value that may be a signature, a token or a secret.
pub(super) fn parts(value: &str) -> impl Iterator<Item = &str> {
    let is_border = |c: char| matches!(c, ',' | ';' | ' ' | '.' | '"');
    value.split(is_border).map(|part| match part.split_once('=') {
        // The padding of base64 is no border.
        Some((_, rest)) if rest.len() > 2 => rest,
        Some(_) | None => part,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_the_event_and_of_proxies_are_no_credentials() {
        let context = [
            "Content-Type",
            "X-GitHub-Delivery",
            "X-GitHub-Event",
            "webhook-id",
            "X-Slack-Request-Timestamp",
            "Idempotency-Key",
            "User-Agent",
            "X-Forwarded-For",
            "X-Request-Start",
        ];
        assert!(context.iter().all(|name| is_context(name)));
        let credentials = [
            "Authorization",
            "X-Hub-Signature",
            "X-Event-Signature",
            "X-Api-Key",
            "Cookie",
            "X-Gitlab-Token",
            "Content-Digest",
            "X-Whatever",
        ];
        assert!(credentials.iter().all(|name| !is_context(name)), "{credentials:?}");
    }

    #[test]
    fn a_report_shows_no_part_of_a_credential() {
        assert_eq!(masked_value("x-gitlab-token", "s3cret-tok12"), "… (12 characters)");
        assert_eq!(masked_value("authorization", "Basic dXNlcjpwYXNz"), "Basic … (18 characters)");
        assert_eq!(masked_target("/webhook?tenant=1&token=abc&x"), "/webhook?tenant=…&token=…&…");
        assert_eq!(without_query_credentials("/webhook?tenant=1&api_key=abc"), "/webhook?tenant=1");
        assert_eq!(without_query_credentials("/webhook?token=abc"), "/webhook");
    }
}
