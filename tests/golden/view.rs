//! A view of a compiled configuration: each decision, and no key, secret, address of an object or path of this machine.
//! Every struct is taken apart by name, so that a new field does not compile until it is added here.

mod auth;

use std::collections::BTreeSet;
use std::fmt::Debug;

use hookgate::auth::Rules;
use hookgate::auth::keys::{RemoteKeys, RemoteSource};
use hookgate::auth::revocation::RevocationHandle;
use hookgate::auth::time::TimestampRule;
use hookgate::config::{Config, Drain, Handles, ProcessSettings, TimedWarning, Window};
use hookgate::route::duplicates::{DuplicateRules, IdempotencyRule, ReplayRule};
use hookgate::route::{
    Endpoint, EndpointAddress, Forward, Match, Route, RouteLimits, Trust, Upstream, UpstreamTimeouts,
};
use hookgate::settings::{RedisSettings, StoreBackend, StoreSettings};
use hookgate::snapshot::{ListenerLimits, ListenerSettings, Snapshot};
use hookgate::tls::acme::{AcmeName, AcmeSettings};
use serde_json::{Map, Value, json};

/// The longest line of a list or mapping that is written in one line.
const WIDTH: usize = 110;

/// The view as text.
pub fn of(config: &Config) -> String {
    let mut text = String::new();
    write(&view(config), "", &mut text);
    text
}

/// Writes a value in the style of YAML, a small one in one line.
fn write(value: &Value, indent: &str, text: &mut String) {
    let members: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(name, member)| (format!("{name}:"), member)).collect(),
        Value::Array(items) => items.iter().map(|item| ("-".to_owned(), item)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for (start, member) in members {
        let line = format!("{indent}{start} {}\n", in_one_line(member));
        if line.chars().count() <= WIDTH || !(member.is_object() || member.is_array()) {
            text.push_str(&line);
            continue;
        }
        let (deeper, mut below) = (format!("{indent}  "), String::new());
        write(member, &deeper, &mut below);
        match below.strip_prefix(&deeper) {
            // The first line of an item follows its dash.
            Some(below) if start == "-" => text.push_str(&format!("{indent}- {below}")),
            _ => text.push_str(&format!("{indent}{start}\n{below}")),
        }
    }
}

fn in_one_line(value: &Value) -> String {
    let join = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::Object(members) if members.is_empty() => "{}".to_owned(),
        Value::Object(members) => {
            let members = members.iter().map(|(name, member)| format!("{name}: {}", in_one_line(member)));
            format!("{{ {} }}", join(members.collect()))
        }
        Value::Array(items) => format!("[{}]", join(items.iter().map(in_one_line).collect())),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn debug(value: &impl Debug) -> Value {
    format!("{value:?}").into()
}

fn all_debug<T: Debug>(values: impl IntoIterator<Item = T>) -> Value {
    values.into_iter().map(|value| debug(&value)).collect()
}

fn optional<T>(value: Option<&T>, view: impl Fn(&T) -> Value) -> Value {
    value.map_or("none".into(), view)
}

fn view(config: &Config) -> Value {
    let Config {
        snapshot,
        process,
        drain,
        handles,
        certificates,
        timed_warnings,
        servers: _,
        secret_files: _,
        unread_folders: _,
        rejected_files: _,
        included: _,
        warnings,
    } = config;
    // The hash covers generated certificates.
    let Snapshot { routes, listeners, trusted_proxies, error_detail, max_buffered_bytes, config_hash: _, yaml_hash: _ } =
        &**snapshot;
    let Handles {
        remote_keys,
        signing_certificates: _,
        revocations,
        tenants: _,
        acme: _,
        endpoints: _,
        windows,
        read_at: _,
    } = handles;
    let Drain { delay, timeout } = drain;
    let window = |Window { length, widened }: &Window| json!({"length": debug(length), "widened": debug(widened)});
    let routes: Map<String, Value> = routes.routes().map(|one| (one.name.to_string(), route(one))).collect();
    let windows: Map<String, Value> = windows.iter().map(|(name, one)| (name.to_string(), window(one))).collect();
    json!({
        "process": process_settings(process),
        "drain": {"delay": debug(delay), "timeout": debug(timeout)},
        "error_detail": debug(error_detail),
        "max_buffered_bytes": max_buffered_bytes,
        "trusted_proxies": all_debug(trusted_proxies),
        "listeners": listeners.iter().map(listener).collect::<Value>(),
        "routes": routes,
        "fetched_keys": remote_keys.iter().map(|keys| fetched_keys(keys)).collect::<Value>(),
        "revocation_lists": revocations.iter().map(|list| revocation(list)).collect::<Value>(),
        "validity_of_credentials": windows,
        "certificates": certificates.iter().map(|(file, _expires)| file.as_str()).collect::<Value>(),
        "timed_warnings": timed_warnings.iter().map(|TimedWarning { problem, from: _, until: _ }| problem.field.to_string()).collect::<BTreeSet<_>>(),
        "warnings": warnings.iter().map(ToString::to_string).collect::<Value>(),
    })
}

fn process_settings(settings: &ProcessSettings) -> Value {
    let ProcessSettings { workers, listeners, admin, admin_hosts, log_format, access_log, store } = settings;
    json!({
        "workers": workers,
        "listeners": listeners,
        "admin": optional(admin.as_ref(), debug),
        "admin_hosts": admin_hosts,
        "log_format": debug(log_format),
        "access_log": access_log,
        "store": optional(store.as_ref(), store_settings),
    })
}

fn store_settings(settings: &StoreSettings) -> Value {
    let StoreSettings { backend, capacity, on_error } = settings;
    let backend = match backend {
        StoreBackend::Memory => "memory".into(),
        StoreBackend::Embedded { path, durability } => {
            json!({"embedded": {"path": file_name(path), "durability": debug(durability)}})
        }
        StoreBackend::Redis(RedisSettings {
            urls,
            cluster,
            ca,
            username,
            password,
            hash_key,
            timeout,
            prefix,
            on_failover,
        }) => {
            json!({"redis": {
                "urls": urls, "cluster": cluster, "own_ca": ca.is_some(), "username": debug(username),
                "has_password": password.is_some(), "has_hash_key": hash_key.is_some(), "timeout": debug(timeout), "prefix": prefix,
                "on_failover": debug(on_failover),
            }})
        }
    };
    json!({"backend": backend, "capacity": capacity, "on_error": debug(on_error)})
}

/// The file alone: its folder differs from machine to machine.
fn file_name(path: &std::path::Path) -> Value {
    path.file_name().unwrap().to_string_lossy().into()
}

fn listener(settings: &ListenerSettings) -> Value {
    let ListenerSettings { tls, acme, client_trust, certificate_header, proxy_protocol, limits } = settings;
    let certificates = client_trust
        .as_ref()
        .map_or("not requested", |trust| if trust.is_required() { "required" } else { "optional" });
    let mut view = json!({
        "tls": tls.as_ref().map_or("plaintext".to_owned(), |tls| tls_versions(tls)),
        "client_certificates": certificates,
        "proxy_protocol": proxy_protocol,
        "limits": listener_limits(limits),
    });
    if let Some(names) = acme {
        view["acme"] = names.iter().map(|name| acme_name(name)).collect();
    }
    if let Some(header) = certificate_header {
        view["certificate_header"] = debug(header);
    }
    view
}

fn acme_name(name: &AcmeName) -> Value {
    let AcmeSettings { directory, contacts, storage, root_ca, external_account, holder } = &*name.settings;
    json!({
        "name": name.name, "directory": directory, "contacts": contacts, "storage": file_name(storage),
        "own_ca": root_ca.is_some(), "external_account": optional(external_account.as_ref(), debug), "holder": holder,
    })
}

/// The TLS versions, which rustls only shows in its `Debug` output.
fn tls_versions(config: &rustls::ServerConfig) -> String {
    let versions = regex::Regex::new(r"versions: \[([^\]]*)\]").unwrap();
    let text = format!("{config:?}");
    let alpn = config.alpn_protocols.iter().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>().join(", ");
    format!("{} with ALPN {alpn}, early data {}", &versions.captures(&text).unwrap()[1], config.max_early_data_size)
}

fn listener_limits(limits: &ListenerLimits) -> Value {
    let ListenerLimits {
        max_connections,
        max_connections_per_ip,
        tls_handshake,
        first_request,
        headers,
        keepalive,
        request_body_idle,
        request_body,
        response_write_idle,
        max_headers_size,
        max_headers_count,
        min_request_body_rate,
        max_concurrent_streams,
        max_pending_resets,
    } = limits;
    json!({
        "max_connections": max_connections, "max_connections_per_ip": max_connections_per_ip,
        "max_headers_size": max_headers_size, "max_headers_count": max_headers_count,
        "min_request_body_rate": min_request_body_rate,
        "max_concurrent_streams": max_concurrent_streams, "max_pending_resets": max_pending_resets,
        "timeouts": {
            "tls_handshake": debug(tls_handshake), "first_request": debug(first_request), "headers": debug(headers),
            "keepalive": debug(keepalive), "request_body_idle": debug(request_body_idle),
            "request_body": debug(request_body), "response_write_idle": debug(response_write_idle),
        },
    })
}

fn route(route: &Route) -> Value {
    let Route {
        name: _,
        matches: Match { host, path, methods, encoded_slashes },
        rules: rules @ Rules { policy, revocation, timestamp, .. },
        upstream,
        max_body,
        allowed_ips,
        limits,
        forward: Forward { remove_credential, claims, claim_headers, verdict, remove, allow },
        status_overrides,
        public_url,
        dry_run_until,
        challenges,
        filter,
        duplicates,
        shared_revocation,
        capture,
        errors,
        websocket,
        cors,
    } = route;
    let claims = claims.iter().map(|(claim, header)| json!({"claim": claim.to_string(), "header": header.as_str()}));
    let mut matches = json!({"host": debug(host), "path": debug(path), "methods": debug(methods)});
    if *encoded_slashes {
        matches["encoded_slashes"] = true.into();
    }
    let mut view = json!({
        "match": matches,
        "auth": auth::policy(policy),
        "headers_of_the_decision": rules.headers().iter().map(|name| name.as_str()).collect::<Value>(),
        "revocation": {
            "file": optional(revocation.as_ref(), |list| revocation_file(list)),
            "shared": shared_revocation,
        },
        "timestamp": optional(timestamp.as_ref(), timestamp_rule),
        "upstream": upstream_of(upstream),
        "max_body_size": max_body,
        "allowed_ips": optional(allowed_ips.as_ref(), |ranges| all_debug(ranges)),
        "limits": route_limits(limits),
        "forward": {
            "remove_credential": remove_credential,
            "claims_to_headers": claims.collect::<Value>(),
            "claim_headers": claim_headers.iter().map(|name| name.as_str()).collect::<Value>(),
            "remove": all_debug(remove),
            "allow": optional(allow.as_ref(), |patterns| all_debug(patterns)),
        },
        "status_overrides": debug(status_overrides),
        "public_url": debug(public_url),
        "dry_run_until": debug(dry_run_until),
        "challenges": challenges.iter().map(auth::challenge).collect::<Value>(),
        "filter": all_debug(filter),
        "duplicates": optional(duplicates.as_ref(), duplicate_rules),
        "capture": optional(capture.as_ref(), |capture| {
            json!({"max_requests": capture.max_requests, "dir": file_name(&capture.dir)})
        }),
        "error_form": debug(errors),
    });
    if let Some(verdict) = verdict {
        view["forward"]["verdict"] = debug(verdict);
    }
    if let Some(websocket) = websocket {
        view["websocket"] = debug(websocket);
    }
    if let Some(cors) = cors {
        view["cors"] = debug(cors);
    }
    view
}

fn timestamp_rule<Source: Debug>(rule: &TimestampRule<Source>) -> Value {
    let TimestampRule { source, unit, max_age, max_future } = rule;
    json!({
        "source": debug(source), "unit": debug(unit), "max_age": debug(max_age), "max_future": debug(max_future),
    })
}

fn upstream_of(upstream: &Upstream) -> Value {
    let Upstream { first, others, timeouts, reuse, host, path } = upstream;
    let UpstreamTimeouts { total, response_headers, response_body_idle } = timeouts;
    let endpoints = std::iter::once(first).chain(others).map(|one| endpoint(one));
    json!({
        "total": debug(total), "response_headers": debug(response_headers),
        "response_body_idle": debug(response_body_idle), "reuse": debug(reuse), "host": optional(host.as_ref(), debug),
        "path": optional(path.as_ref(), debug), "endpoints": endpoints.collect::<Value>(),
    })
}

fn endpoint(endpoint: &Endpoint) -> Value {
    let Endpoint { url, address, connect, keepalive, protocol } = endpoint;
    let tls = match address {
        EndpointAddress::Tcp(_) | EndpointAddress::Unix(_) => "none".into(),
        EndpointAddress::Tls(_, Trust { name, ca, identity, config: _ }) => {
            json!({"name": debug(name), "own_ca": ca.is_some(), "client_certificate": identity.is_some()})
        }
    };
    json!({
        "url": url, "tls": tls, "connect": debug(connect), "keepalive": debug(keepalive), "protocol": debug(protocol),
    })
}

fn route_limits(limits: &RouteLimits) -> Value {
    let RouteLimits { route, issuer, subject, sender, failed_auth, shared } = limits;
    json!({
        "route": debug(route), "per_issuer": debug(issuer), "per_subject": debug(subject), "per_sender": debug(sender),
        "failed_auth_rate": debug(failed_auth), "shared": shared,
    })
}

fn duplicate_rules(rules: &DuplicateRules) -> Value {
    let DuplicateRules { replay, idempotency, share, one_sender } = rules;
    let replay = optional(replay.as_ref(), |ReplayRule { scope, on_duplicate, ttl, commit_on, widened }| {
        json!({
            "scope": debug(scope), "on_duplicate": debug(on_duplicate), "ttl": debug(ttl), "commit_on": debug(commit_on),
            "widened": debug(widened),
        })
    });
    let idempotency = optional(
        idempotency.as_ref(),
        |IdempotencyRule { key, required, ttl, on_duplicate }| json!({"key": debug(key), "required": required, "ttl": debug(ttl), "on_duplicate": debug(on_duplicate)}),
    );
    json!({"replay_protection": replay, "idempotency": idempotency, "max_entries": share, "one_sender": one_sender})
}

fn fetched_keys(keys: &RemoteKeys) -> Value {
    let RemoteSource { issuer, url, discovery, ca, access, pins, cache, algorithms, refresh, max_stale, cooldown } =
        &keys.source;
    json!({
        "issuer": &**issuer, "url": url, "discovery": debug(discovery), "own_ca": ca.is_some(), "access": debug(access), "pins": pins.len(),
        "cache": optional(cache.as_ref(), |path| file_name(path)), "algorithms": all_debug(algorithms),
        "refresh_interval": debug(refresh), "max_stale": debug(max_stale), "cooldown": debug(cooldown),
    })
}

fn revocation(list: &RevocationHandle) -> Value {
    json!({"file": list.file, "entries": list.entries()})
}

fn revocation_file(list: &RevocationHandle) -> Value {
    list.file.as_str().into()
}
