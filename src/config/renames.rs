//! The names that keys and values of gateway.yaml had before the first release, and their present names.
//!
//! The only place that knows old names. They are not accepted: [`check`] reports each one with its present name and
//! removes it, so that the rest of the file can be checked. Called between `yaml` and `reader`.

use super::error::{FieldPath, Problem, Segment};
use super::reader::Problems;
use super::yaml::{Node, NodeValue};

/// A former key or value, and its present form.
#[derive(Clone, Copy, Debug)]
pub struct Rename {
    /// Path of the former key. `*` stands for one segment (a key or an index), `**` for any nesting of `all_of` and
    /// `any_of`.
    pub old: &'static str,
    /// The former value, if the key keeps its name and only a value was renamed. One that ends with a colon is the
    /// beginning of a value.
    pub value: Option<&'static str>,
    /// The present key, or the present value. A leading `^.` stands for the object above the one that has the former
    /// key.
    pub new: &'static str,
}

const fn key(old: &'static str, new: &'static str) -> Rename {
    Rename { old, value: None, new }
}

const fn value(old: &'static str, value: &'static str, new: &'static str) -> Rename {
    Rename { old, value: Some(value), new }
}

/// Every renamed key and value.
pub const RENAMES: &[Rename] = &[
    key("errors", "error_detail"),
    key("buffered_bodies", "max_buffered_bytes"),
    key("state", "store"),
    key("state.kind", "^.store.type"),
    key("state.failover", "^.store.on_failover"),
    value("state.failover", "refuse", "reject"),
    value("state.failover", "accept", "allow"),
    value("state.on_error", "refuse", "reject"),
    key("store.kind", "type"),
    key("store.failover", "on_failover"),
    value("store.failover", "refuse", "reject"),
    value("store.failover", "accept", "allow"),
    value("store.on_failover", "refuse", "reject"),
    value("store.on_failover", "accept", "allow"),
    value("store.on_error", "refuse", "reject"),
    key("listeners.*.limits.handshake", "^.timeouts.tls_handshake"),
    key("listeners.*.limits.first_request", "^.timeouts.first_request"),
    key("listeners.*.limits.head", "^.timeouts.headers"),
    key("listeners.*.limits.body", "^.timeouts.request_body and ^.timeouts.response_write_idle"),
    key("listeners.*.limits.body_stall", "^.timeouts.request_body_idle"),
    key("listeners.*.limits.idle", "^.timeouts.keepalive"),
    key("listeners.*.limits.connections", "max_connections"),
    key("listeners.*.limits.connections_per_address", "max_connections_per_ip"),
    key("listeners.*.limits.head_size", "max_headers_size"),
    key("listeners.*.limits.headers", "max_headers_count"),
    key("listeners.*.limits.streams", "max_concurrent_streams"),
    key("listeners.*.limits.resets", "max_pending_resets"),
    key("issuers.*.pem", "public_key"),
    key("issuers.*.jwks.refresh", "refresh_interval"),
    key("routes.*.auth.**.jwks.refresh", "refresh_interval"),
    key("routes.*.limits.body", "max_body_size"),
    key("routes.*.limits.allow", "^.allowed_ips"),
    key("routes.*.limits.rate_unauthenticated", "failed_auth_rate"),
    key("routes.*.limits.issuer", "per_issuer"),
    key("routes.*.limits.subject", "per_subject"),
    key("routes.*.upstream.timeout", "timeouts.total"),
    key("routes.*.upstream.connect_timeout", "timeouts.connect"),
    key("routes.*.upstream.idle", "timeouts.keepalive"),
    key("routes.*.replay", "replay_protection"),
    value("routes.*.replay", "off", "disabled"),
    value("routes.*.replay", "false", "disabled"),
    value("routes.*.replay_protection", "off", "disabled"),
    value("routes.*.replay_protection", "false", "disabled"),
    value("routes.*.replay.on_duplicate", "refuse", "reject"),
    value("routes.*.replay_protection.on_duplicate", "refuse", "reject"),
    value("routes.*.idempotency.on_duplicate", "refuse", "reject"),
    value("routes.*.idempotency.on_duplicate", "replay", "stored_response"),
    value("routes.*.mode", "observe", "dry_run"),
    key("routes.*.observe_until", "dry_run_until"),
    key("routes.*.responses", "status_overrides"),
    key("routes.*.forward.claims", "claims_to_headers"),
    key("routes.*.capture.refused", "max_requests"),
    key("routes.*.timestamp.covered", "signed"),
    key("routes.*.auth.**.token", "static_token"),
    key("routes.*.auth.**.handshake", "challenge"),
    key("routes.*.auth.**.jwt.required", "required_claims"),
    key("routes.*.auth.**.jwt.types", "allowed_types"),
    key("routes.*.auth.**.jwt.time", "time_claim"),
    key("routes.*.auth.**.jwt.token", "token_from"),
    key("routes.*.auth.**.signature.signed", "signed_payload"),
    value("routes.*.auth.**.signature.signed.*", "text:", "literal:"),
    value("routes.*.auth.**.signature.signed_payload.*", "text:", "literal:"),
];

/// Former reasons (RFC 9110 statuses are chosen by reason in `status_overrides`), and their present names; several
/// where one reason had several causes.
pub const REASONS: &[(&str, &str)] = &[
    ("method_refused", "method_not_allowed"),
    ("address_refused", "ip_not_allowed"),
    ("certificate_refused", "certificate_not_allowed"),
    ("claim_refused", "claim_mismatch"),
    ("many_credentials", "multiple_credentials"),
    (
        "bad_signature",
        "invalid_signature and requirement_not_met and missing_signed_component and invalid_static_token",
    ),
    ("wrong_issuer", "invalid_issuer"),
    ("wrong_audience", "invalid_audience"),
    ("expired", "token_expired"),
    ("not_yet_valid", "token_not_yet_valid"),
    ("lifetime_exceeded", "token_lifetime_too_long"),
    ("stale_timestamp", "timestamp_too_old and token_too_old"),
    ("future_timestamp", "timestamp_in_future and token_issued_in_future"),
    ("replayed", "duplicate_request"),
    ("replay_mismatch", "replay_id_reused"),
    ("idempotency_mismatch", "idempotency_key_reused"),
    ("in_flight", "duplicate_in_flight"),
    ("too_many_requests_in_flight", "concurrency_limited"),
    ("head_too_large", "headers_too_large"),
    ("client_gone", "client_disconnected"),
    ("state_unavailable", "store_unavailable"),
    ("state_full", "store_full"),
    ("keys_unavailable", "jwks_unavailable"),
    ("overloaded", "buffer_full and too_many_waiting_requests"),
    ("upstream_protocol", "upstream_protocol_error"),
];

/// Former metrics, and their present names.
pub const METRICS: &[(&str, &str)] = &[
    ("hookgate_admission_total", "hookgate_store_operations_total"),
    ("hookgate_admission_entries", "hookgate_store_entries"),
    ("hookgate_connections_refused_total", "hookgate_connections_rejected_total"),
    ("hookgate_connections", "hookgate_open_connections"),
    ("hookgate_jwks_age_seconds", "hookgate_jwks_last_success_timestamp_seconds"),
    ("hookgate_config_last_reload_timestamp_seconds", "hookgate_config_last_reload_success_timestamp_seconds"),
    ("hookgate_token_cache_total", "hookgate_token_cache_lookups_total"),
];

/// Reports every former name in the document with the present one, and removes it.
pub fn check(document: &mut Node, problems: &mut Problems) {
    visit(document, &mut Vec::new(), problems);
}

/// Whether the value at `path` must go, because its key or the value itself has another name now.
fn visit(node: &mut Node, path: &mut Vec<Segment>, problems: &mut Problems) -> bool {
    let is_former = report(node, path, problems);
    match &mut node.value {
        NodeValue::Mapping(entries) => entries.retain_mut(|(key, value)| {
            path.push(Segment::Key(key.clone().into()));
            let is_former = visit(value, path, problems);
            path.pop();
            !is_former
        }),
        NodeValue::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                path.push(Segment::Index(index));
                // An item stays, so that the items after it are reported with their own index.
                if visit(item, path, problems) {
                    rename_value(item, path);
                }
                path.pop();
            }
        }
        NodeValue::Null | NodeValue::Bool(_) | NodeValue::Number(_) | NodeValue::String(_) => {}
    }
    is_former
}

/// Replaces a former value by the present one.
fn rename_value(node: &mut Node, path: &[Segment]) {
    let NodeValue::String(text) = &mut node.value else { return };
    for rename in RENAMES.iter().filter(|rename| matches(rename.old, path)) {
        if let Some(rest) = rename.value.and_then(|former| text.strip_prefix(former)) {
            *text = format!("{}{rest}", rename.new);
        }
    }
}

fn report(node: &Node, path: &[Segment], problems: &mut Problems) -> bool {
    let rows: Vec<&Rename> = RENAMES.iter().filter(|rename| matches(rename.old, path)).collect();
    let reasons = former_reason(path);
    if rows.is_empty() && reasons.is_none() {
        return false;
    }
    let field: FieldPath = path.iter().cloned().collect();
    let renamed = rows.iter().find(|rename| rename.value.is_none()).map(|rename| rename.new);
    let is_written = |former: &str| match &node.value {
        NodeValue::String(text) => text == former || former.ends_with(':') && text.starts_with(former),
        NodeValue::Bool(value) => former == "false" && !value,
        NodeValue::Null | NodeValue::Number(_) | NodeValue::List(_) | NodeValue::Mapping(_) => false,
    };
    let changed = rows.iter().find(|rename| rename.value.is_some_and(is_written));
    let reasons = reasons.into_iter().flat_map(|new| new.split(" and "));
    let present = renamed.map(|new| present(&field, new)).unwrap_or_default();
    let names: Vec<&str> = present.iter().map(|(_, name)| &**name).chain(reasons).collect();
    let new = Some(names.join("` and `")).filter(|new| !new.is_empty());
    let message = match (new, changed) {
        (Some(new), None) => format!("was renamed to `{new}`"),
        (Some(new), Some(value)) => format!("was renamed to `{new}: {}`", value.new),
        (None, Some(value)) => format!("`{}` was renamed to `{}`", value.value.unwrap_or_default(), value.new),
        (None, None) => return false,
    };
    problems.add_problem(Problem { position: node.position, field, message });
    // The present key must not be reported as missing.
    present.into_iter().for_each(|(new, _)| problems.excuse(new));
    true
}

/// The present keys: their paths, and how an operator reads them. One that stands in another object is shown in full.
fn present(path: &FieldPath, new: &str) -> Vec<(FieldPath, String)> {
    let parent = path.parent().unwrap_or_default();
    let below = |from: FieldPath, new: &str| new.split('.').fold(from, |path, key| path.child(key));
    let keys = new.split(" and ").map(|new| match new.strip_prefix("^.") {
        Some(new) => {
            let moved = below(parent.parent().unwrap_or_default(), new);
            (moved.clone(), moved.to_string())
        }
        None => (below(parent.clone(), new), new.to_owned()),
    });
    keys.collect()
}

/// The present names of a reason under `status_overrides`, or under its own former name.
fn former_reason(path: &[Segment]) -> Option<&'static str> {
    let [.., Segment::Key(reason)] = path else { return None };
    let overrides = ["routes.*.responses.*", "routes.*.status_overrides.*"];
    if !overrides.iter().any(|pattern| matches(pattern, path)) {
        return None;
    }
    REASONS.iter().find(|(old, _)| old == reason).map(|(_, new)| *new)
}

fn matches(pattern: &str, path: &[Segment]) -> bool {
    let last = pattern.rsplit('.').next();
    if last != Some("*") && !matches!(path.last(), Some(Segment::Key(key)) if last == Some(key)) {
        return false;
    }
    let parts: Vec<&str> = pattern.split('.').collect();
    fits(&parts, path)
}

fn fits(parts: &[&str], path: &[Segment]) -> bool {
    match (parts.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => match path {
            [Segment::Key(key), Segment::Index(_), below @ ..] if key == "all_of" || key == "any_of" => {
                fits(parts, below)
            }
            path => fits(rest, path),
        },
        (Some((part, parts)), Some((segment, path))) => {
            let same = matches!(segment, Segment::Key(key) if key == part);
            (same || *part == "*") && fits(parts, path)
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::config::schema;

    fn messages(value: &Value) -> (Vec<String>, String) {
        let mut document = crate::config::yaml::read(&value.to_string()).unwrap();
        let mut problems = Problems::default();
        check(&mut document, &mut problems);
        let found = problems.into_vec();
        (
            found.iter().map(|problem| format!("{}: {}", problem.field, problem.message)).collect(),
            format!("{document:?}"),
        )
    }

    #[test]
    fn a_former_key_and_the_former_keys_below_it_are_reported_and_removed() {
        let (found, rest) =
            messages(&json!({"state": {"kind": "redis", "failover": "accept", "url": "redis://a"}, "workers": 1}));
        let expected = [
            "state: was renamed to `store`",
            "state.failover: was renamed to `store.on_failover: allow`",
            "state.kind: was renamed to `store.type`",
        ];
        assert_eq!(found, expected);
        assert!(rest.contains("workers") && !rest.contains("state"), "{rest}");
    }

    #[test]
    fn a_former_value_is_reported_at_its_key() {
        let route = json!({"mode": "observe", "replay": false, "idempotency": {"on_duplicate": "replay"}});
        let (found, _) = messages(&json!({ "routes": [route] }));
        let expected = [
            "routes[0].idempotency.on_duplicate: `replay` was renamed to `stored_response`",
            "routes[0].mode: `observe` was renamed to `dry_run`",
            "routes[0].replay: was renamed to `replay_protection: disabled`",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_former_value_under_a_present_key_is_reported() {
        let signature = json!({"signature": {"signed_payload": ["text:v0:", "header:text", "body"]}});
        let route = json!({"auth": {"all_of": [signature]}, "status_overrides": {"stale_timestamp": 400}});
        let (found, rest) = messages(&json!({"store": {"on_failover": "accept"}, "routes": [route]}));
        let expected = [
            "routes[0].auth.all_of[0].signature.signed_payload[0]: `text:` was renamed to `literal:`",
            "routes[0].status_overrides.stale_timestamp: was renamed to `timestamp_too_old` and `token_too_old`",
            "store.on_failover: `accept` was renamed to `allow`",
        ];
        assert_eq!(found, expected);
        assert!(rest.contains("literal:v0:") && rest.contains("header:text"), "{rest}");
    }

    #[test]
    fn keys_are_found_at_any_depth_of_auth_and_not_among_free_names() {
        let jwt = json!({"required": ["exp"], "claims": {"required": "a", "token": "b"}, "token": {"body": true}});
        let auth = json!({"any_of": [{"jwt": jwt}, {"token": {"header": "X-Key"}}]});
        let (found, _) = messages(&json!({"routes": [{"auth": auth, "responses": {"expired": 403, "revoked": 403}}]}));
        let expected = [
            "routes[0].auth.any_of[0].jwt.required: was renamed to `required_claims`",
            "routes[0].auth.any_of[0].jwt.token: was renamed to `token_from`",
            "routes[0].auth.any_of[1].token: was renamed to `static_token`",
            "routes[0].responses: was renamed to `status_overrides`",
            "routes[0].responses.expired: was renamed to `token_expired`",
        ];
        assert_eq!(found, expected);
    }

    /// The former gateway.yaml of the repository: each former name with its line.
    #[test]
    fn the_former_gateway_yaml_is_reported_line_by_line() {
        let text = "\
state: { kind: memory }
issuers:
  dev: { issuer: a, algorithms: [RS256], jwks: { file: a } }
routes:
  - name: webhook
    match: { path: /webhook, methods: [POST] }
    upstream: { url: \"http://127.0.0.1:8000\" }
    auth:
      jwt:
        issuer: dev
        audience: https://localhost/webhook
        required: [iss, aud, exp, nbf]
    replay: { id: { claim: jti } }
";
        let document = crate::config::yaml::read(text).unwrap();
        let (_, report) = crate::config::file::GatewayYaml::read(document);
        let found = crate::config::ConfigErrors::new("gateway.yaml", report.problems.into_vec()).to_string();
        let expected = "\
gateway.yaml:1:1: state: was renamed to `store`
gateway.yaml:1:10: state.kind: was renamed to `store.type`
gateway.yaml:12:9: routes[0].auth.jwt.required: was renamed to `required_claims`
gateway.yaml:13:5: routes[0].replay: was renamed to `replay_protection`";
        assert_eq!(found, expected);
    }

    /// A row whose former name is still in use, or whose present name is not, would mislead.
    #[test]
    fn the_table_agrees_with_the_schema() {
        let schema = schema().to_string();
        for rename in RENAMES {
            for new in rename.new.split(['.', ' ']).filter(|word| !["^", "and", "literal:"].contains(word)) {
                assert!(schema.contains(&format!("\"{new}\"")), "{new}");
            }
        }
        let present: Vec<&str> = crate::reason::Reason::ALL.iter().map(|reason| reason.word()).collect();
        for (old, new) in REASONS {
            assert!(!present.contains(old) && new.split(" and ").all(|new| present.contains(&new)), "{old}");
        }
    }
}
