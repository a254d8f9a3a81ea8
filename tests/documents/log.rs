//! docs/reference/log.md: the fields of the access log, and every other log line, read from the code that writes them.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};

use super::generated::{assert_page, heading, origin, row};
use crate::layers::source::{Source, sources};

const INTRODUCTION: &str = "\
Log lines go to standard output, as one JSON object or one line of text each: [`log.format`](configuration/index.md#log.format).
By default a terminal gets text, in colour unless `NO_COLOR` is set, and anything else JSON, which has every field. They never
block: 4 MiB of them wait for the reader of the output, further lines are dropped and counted in
`hookgate_log_lines_dropped_total`. Lines about requests that were not authenticated are dropped before all others. A line
never contains a token, a signature, a secret, a body or a query. Fields without a value are omitted.

Lines about connections that fail before they become a request are limited to 10 of each `reason` in 10 seconds; a line
`suppressed log lines about connections` has the number of the others. The metrics count all of them.

`HOOKGATE_LOG` sets the levels, such as `debug` or `hookgate::jwks=debug,info`; the default is `info`. A level without a
target is that of hookgate: the libraries under it (`h2`, `hyper`, `rustls`) stay at `info`, unless they are named, as in
`debug,rustls=debug`. A line of the level `error` means that an operator must act.

## Text

```text
21:02:23Z 401 invalid_signature    POST /twilio              stripe     0.2ms   192.0.2.7 request_id=0af7651916cd43dd8448eb211c80319c the cause, if there are several
```

The line of a request in the format `text` has the time in UTC, the status, the reason of a rejection or else the outcome,
method, path, route, duration and client address, then `filter` and `sender` where there are any, `request_id`, `incomplete`
for a response that was cut off, the reason of a request that only a dry run forwards, and `detail`. Outside of a terminal the
time has its date. Characters that are not visible are escaped, and in values all beyond ASCII: no client can write lines,
escape sequences of a terminal, or look-alike letters in a value. A value with spaces is in quotes.
";

const ACCESS: &str = "\
## Access log

One line for each request, with the message `request`, the level `info` and the target `hookgate::access`, written when the
response has been sent or was aborted. [`log.access: false`](configuration/index.md#log.access) turns it off, and so does
`HOOKGATE_LOG=warn`.
";

/// The fields of every line.
pub const COMMON_FIELDS: &[(&str, &str)] = &[
    ("timestamp", "RFC 3339, in UTC."),
    ("level", "`ERROR`, `WARN`, `INFO` or `DEBUG`."),
    ("message", "A constant text, as listed below."),
];

/// The fields of the access log, in their order.
pub const ACCESS_FIELDS: &[(&str, &str)] = &[
    ("request_id", "128 random bits in hex, or the X-Request-Id of a trusted proxy; never the client's."),
    ("traceparent", "As the client sent it, if it has the form of W3C Trace Context."),
    ("route", "Name of the route; absent if none matched."),
    ("method", "HTTP method."),
    ("path", "Path without query, at most 512 bytes."),
    ("path_rest", "Of a longer path: the first 16 hex digits of the SHA-256 of the rest."),
    ("client_address", "IP address of the connection, or the client's address as sent by trusted proxies."),
    ("client_port", "Port of the connection; absent for an address that a trusted proxy sent."),
    ("outcome", "How the request ended: one of [these values](metrics.md#outcome-of-hookgate_requests_total)."),
    ("reason", "Why it was rejected or failed: one of [the reasons](reasons.md)."),
    (
        "detail",
        "The limit that was reached, or the error of the upstream. Of `buffer_full` and `too_many_waiting_requests`: `total`, that of all clients, `address`, or `late`: that of all clients, and this body was late when another request needed its place; of `rate_limited` and `concurrency_limited`: `route`, `issuer`, `subject`, `sender`, `failed_auth`, `challenges`, `tunnels`, `tunnels_per_sender` or `tunnels_per_ip`. Of a WebSocket connection: [how it ended](../concepts/websocket.md#the-end-of-a-tunnel). Of a rejected token: what does not match, such as the claim and the rule with its expected value, the algorithm, or the expected and the actual `iss` or `aud`; never another value of the token. Of a rejected signature: where it is and its form. Of `no_route`: the host, and whether a route has it. Of `method_not_allowed`: the methods of the path. Of `upstream_unreachable`, `upstream_protocol_error` and `upstream_timeout`: the upstream's URL and the error with its causes, such as `http://127.0.0.1:8000: tcp connect error: Connection refused (os error 111)`, `the upstream closed the connection before the response headers`, `the upstream reset the stream (RST_STREAM)` or `timeouts.total`, at most 300 bytes.",
    ),
    (
        "filter",
        "The rule of [`filter`](../concepts/filter.md) that matches. It is enforced if the outcome is `filtered`, otherwise it is in dry run.",
    ),
    ("status", "HTTP status of the response; absent if nothing was sent."),
    ("issuer", "Name of the issuer or the preset, or `signature`."),
    ("kid", "Key id: `kid` of the token, else that of the key that verified it."),
    (
        "sender",
        "The [sender](../concepts/authentication.md#senders): `acme/alice` is the subject of an issuer, `acme` the `sender` of a secret, `github/acme` a [tenant](../concepts/tenants.md), `signature/key-1` a key id, `dns:a.example` a certificate; several credentials are joined by ` + `. A text of more than 200 bytes is cut, and ends with the start of its SHA-256.",
    ),
    ("duration_us", "Microseconds of the whole request."),
    ("verify_us", "Microseconds of the decision."),
    (
        "upstream_us",
        "Microseconds until the upstream's response has begun: its headers, and the first part of its body.",
    ),
    ("bytes_received", "Size of the request body."),
    ("bytes_sent", "Size of the response body."),
    ("complete", "Whether the response was complete; `false` if the client or the upstream disconnected early."),
];

/// The fields of all other lines.
const OTHER_FIELDS: &[(&str, &str)] = &[
    ("added", "New routes."),
    ("address", "Address of the listener."),
    ("age_s", "Age of the cached keys, in seconds."),
    ("cache", "File of the cached keys: `jwks.cache` of the issuer."),
    ("changed", "Files and environment variables (`$NAME`) whose content has changed; absent in the first seconds."),
    ("checks", "Checks that a request must pass."),
    ("client_address", "IP address of the client."),
    ("client_certificates", "Whether clients are asked for a certificate."),
    ("client_port", "Port of the client."),
    ("code", "Error code of Redis."),
    ("config", "Path of gateway.yaml."),
    ("delay_s", "`drain.delay`, in seconds."),
    ("entries", "Number of names on the list."),
    ("error", "The error, followed by its causes."),
    ("event", "Unix time of the failover or restart of Redis."),
    ("expires", "Unix time at which the certificate expires."),
    ("file", "The revocation list, as in `revocation.file`."),
    ("finished", "Whether all requests had finished."),
    ("folder", "The directory, or the folder with the secrets of tenants."),
    ("has_certificate", "Whether the name has a certificate, which stays in use."),
    ("host", "Host of the Redis node."),
    ("issued_until", "time in Unix seconds; credentials that were issued until then are rejected after a loss"),
    ("issuer", "Name of the issuer or the preset."),
    ("key", "The key that was skipped, and why."),
    ("keys", "Number of keys."),
    ("listener", "Address of the listener."),
    ("listens", "Another address on which the port of the upstream listens."),
    ("matches", "Methods, host and path of the requests of the route."),
    ("name", "The name of `tls.acme`."),
    ("next_attempt", "Unix time before which no certificate is ordered again."),
    ("open_connections", "Number of open connections."),
    ("open_files", "The new limit of open files."),
    ("path", "File of the embedded store."),
    ("place", "Place in the source code."),
    ("policy", "`maxmemory-policy` of the Redis node."),
    ("port", "Port of the Redis node."),
    (
        "problem",
        "A problem of the configuration: `file:line:column: field: problem`, or `field: a change needs a restart`; or of a file with the secret of a tenant.",
    ),
    ("problems", "The problems of the revocation list."),
    ("proxy_protocol", "Whether each connection begins with a PROXY header."),
    (
        "reason",
        "Why the handshake failed: one of [these values](metrics.md#reason-of-hookgate_tls_handshakes_total). Of suppressed lines also a [reason](reasons.md), or `http2_connection_error`.",
    ),
    ("removed", "Routes that are gone."),
    ("route", "Name of the route."),
    ("server_name", "Server name that the client requested (SNI)."),
    ("suppressed", "Number of lines that were not written."),
    ("tenants", "Number of tenants with a secret."),
    ("timeout_s", "`drain.timeout`, in seconds."),
    ("tls", "Whether the listener terminates TLS."),
    ("topic", "The topic of the subscription, such as its ARN."),
    ("until", "End of the dry run."),
    ("upstream", "Address of the upstream."),
    ("url", "The URL that was fetched."),
    ("version", "Version of hookgate; of a reload, `configuration` of `/status`."),
    ("warning", "A warning of the configuration."),
];

/// A log line: its level, target if it has one, message and fields.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    level: String,
    message: String,
    target: Option<String>,
    fields: Vec<String>,
}

/// The lines that a file may write, in their order.
fn lines(source: &Source) -> Vec<Line> {
    fn walk(tokens: TokenStream, lines: &mut Vec<Line>) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (index, token) in tokens.iter().enumerate() {
            let TokenTree::Group(group) = token else { continue };
            let before: String = tokens[index.saturating_sub(5)..index].iter().map(ToString::to_string).collect();
            match before.strip_prefix("tracing::").and_then(|before| before.strip_suffix('!')) {
                Some(level) => lines.push(line(level, group.stream())),
                None => walk(group.stream(), lines),
            }
        }
    }
    let mut lines = Vec::new();
    walk(source.shipped(), &mut lines);
    lines
}

/// The line of `tracing::LEVEL!(arguments)`.
fn line(level: &str, arguments: TokenStream) -> Line {
    let mut line = Line { level: level.to_owned(), ..Line::default() };
    let arguments: Vec<TokenTree> = arguments.into_iter().collect();
    for argument in arguments.split(|token| token.to_string() == ",").filter(|argument| !argument.is_empty()) {
        let words: Vec<String> = argument.iter().map(ToString::to_string).take(3).collect();
        let text = |word: &String| word.trim_matches('"').to_owned();
        match words.iter().map(String::as_str).collect::<Vec<&str>>().as_slice() {
            ["target", ":", _] => line.target = Some(text(&words[2])),
            ["%" | "?", name, ..] => line.fields.push((*name).to_owned()),
            [literal] if literal.starts_with('"') => line.message = text(&words[0]),
            [name, ..] => line.fields.push((*name).to_owned()),
            [] => {}
        }
    }
    line
}

/// Every line that the gateway may write, once, by level and message.
fn all_lines() -> (Vec<Line>, Vec<Line>) {
    let lines: BTreeSet<Line> = sources().iter().flat_map(lines).collect();
    let (mut access, mut others): (Vec<Line>, Vec<Line>) = lines.into_iter().partition(|line| line.target.is_some());
    access.sort_by_key(|line| std::cmp::Reverse(line.fields.len()));
    let level = |line: &Line| ["error", "warn", "info", "debug", "trace"].iter().position(|level| line.level == *level);
    others.sort_by_key(level);
    (access, others)
}

fn code(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<String>>().join(", ")
}

fn table_of_fields(fields: &[(&str, &str)]) -> String {
    let rows = fields.iter().map(|(name, meaning)| row(&[format!("`{name}`"), (*meaning).to_owned()]));
    heading(&["name", "meaning"]) + &rows.collect::<String>()
}

fn page() -> String {
    let mut page = format!("# Log\n\n{}{INTRODUCTION}\n", origin("the code that writes the lines"));
    page.push_str("Every line has these fields:\n\n");
    page.push_str(&table_of_fields(COMMON_FIELDS));
    page.push_str(&format!("\n{ACCESS}\n{}", table_of_fields(ACCESS_FIELDS)));
    let (access, others) = all_lines();
    for line in access.iter().skip(1) {
        page.push_str(&format!("\nBytes that are not a request have only {}.\n", code(&line.fields)));
    }
    page.push_str(&format!("\n## Other lines\n\n{}", heading(&["level", "message", "fields"])));
    let cells = |line: &Line| row(&[line.level.clone(), line.message.clone(), code(&line.fields)]);
    page.extend(others.iter().map(cells));
    page + "\n## Fields of other lines\n\n" + &table_of_fields(OTHER_FIELDS)
}

#[test]
fn the_page_of_the_log_is_up_to_date() {
    assert_page("log.md", &page());
}

#[test]
fn every_field_of_a_log_line_has_its_meaning() {
    let (access, others) = all_lines();
    let known: Vec<&str> = ACCESS_FIELDS.iter().map(|(name, _)| *name).collect();
    assert_eq!(access[0].fields, known, "ACCESS_FIELDS and the line in src/proxy/record.rs differ");
    assert!(access.iter().all(|line| line.fields.iter().all(|field| known.contains(&field.as_str()))), "{access:?}");
    let used: BTreeSet<&str> = others.iter().flat_map(|line| &line.fields).map(String::as_str).collect();
    let described: BTreeMap<&str, &str> = OTHER_FIELDS.iter().copied().collect();
    assert_eq!(described.keys().copied().collect::<BTreeSet<&str>>(), used, "OTHER_FIELDS and the log lines differ");
}

#[test]
fn a_line_is_read_with_its_level_message_and_fields() {
    let text = "fn f() { g(|| tracing::warn!(issuer, url = a.b(c, d), %error, ?kind, host = *h, \"could not\")); }
        fn h() { tracing::info!(target: \"hookgate::access\", id = &*self.id, \"request\"); other::info!(x, \"no\") }
        #[cfg(test)] mod tests { fn t() { tracing::info!(y, \"no\") } }";
    let lines = lines(&Source::new("a.rs", text, false));
    let fields = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
    let warn = Line {
        level: "warn".to_owned(),
        message: "could not".to_owned(),
        target: None,
        fields: fields(&["issuer", "url", "error", "kind", "host"]),
    };
    let info = Line {
        level: "info".to_owned(),
        message: "request".to_owned(),
        target: Some("hookgate::access".to_owned()),
        fields: fields(&["id"]),
    };
    assert_eq!(lines, [warn, info]);
}
