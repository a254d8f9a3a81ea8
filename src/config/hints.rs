//! Values in the form of another program, in this file's own form: `60sec`, `10MB`, `5rps`, `:8443`, `rs256`.
//!
//! Each function reads the form strictly and returns the value in this file's own form. So a message never repeats a text
//! that could be a secret in the wrong place.

use std::time::Duration;

use http::Uri;

use super::values::{parse_duration, parse_host, parse_method, parse_rate, parse_size, write_duration, write_size};
use crate::auth::keys::Algorithm;
use crate::route::validate_path;

/// Units of durations with their milliseconds; minutes are not `M` of a month.
const DURATIONS: &[(&[&str], f64)] = &[
    (&["ms", "msec", "msecs", "millis", "millisecond", "milliseconds"], 1.0),
    (&["s", "sec", "secs", "second", "seconds"], 1000.0),
    (&["m", "min", "mins", "minute", "minutes"], 60_000.0),
    (&["h", "hr", "hrs", "hour", "hours"], 3_600_000.0),
    (&["d", "day", "days"], 86_400_000.0),
];

/// Units of sizes with their bytes. nginx and the JVM mean powers of two by `k` and `m`, and so do most people by `MB`.
const SIZES: &[(&[&str], f64)] = &[
    (&["", "b", "byte", "bytes"], 1.0),
    (&["k", "kb", "ki", "kib"], 1024.0),
    (&["m", "mb", "mi", "mib"], 1_048_576.0),
    (&["g", "gb", "gi", "gib"], 1_073_741_824.0),
];

/// Units of time in a rate.
const PER: &[(&[&str], &str)] = &[
    (&["", "s", "sec", "second", "1s"], "s"),
    (&["m", "min", "minute", "1m"], "m"),
    (&["h", "hr", "hour", "1h"], "h"),
];

/// `; write VALUE`, for the end of a message; nothing without a value.
pub fn write(value: Option<String>) -> String {
    value.map(|value| format!("; write {value}")).unwrap_or_default()
}

/// The value; without one, the problem and the hint.
///
/// # Errors
/// These.
pub fn or<T>(value: Option<T>, problem: &str, hint: Option<String>) -> Result<T, String> {
    value.ok_or_else(|| format!("{problem}{}", write(hint)))
}

/// The duration of `60sec`, `10 s`, `1h30m`, `1.5h` or `PT30S`, if the key takes it. A number alone lacks its unit, which
/// only its author knows.
pub fn duration(text: &str, is_valid: impl Fn(&str) -> bool) -> String {
    let number = text.trim().parse::<f64>().ok().filter(|number| number.fract() == 0.0);
    match number.filter(|number| is_valid(&format!("{number}s"))) {
        Some(number) => format!("; the unit is missing: write s, m, h or d behind {number}"),
        None => write(whole_duration(text).filter(|written| is_valid(written))),
    }
}

fn whole_duration(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches("PT").to_ascii_lowercase();
    let milliseconds: f64 =
        pieces(&text)?.into_iter().map(|(number, unit)| Some(number * scale(DURATIONS, unit)?)).sum::<Option<_>>()?;
    // Beyond 2^53 the number would not be exact.
    let written =
        (milliseconds < 1e15 && milliseconds.fract() == 0.0).then(|| format!("{milliseconds}").parse().ok())??;
    let written = write_duration(Duration::from_millis(written));
    parse_duration(&written).map(|_| written)
}

/// The size of `10MB`, `10m`, `1 MiB`, `1.5GB` or `4096`.
pub fn size(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let [(number, unit)] = *pieces(&text)? else { return None };
    let bytes = number * scale(SIZES, unit)?;
    let written = write_size((bytes < 1e15 && bytes.fract() == 0.0).then(|| format!("{bytes}").parse().ok())??);
    parse_size(&written).map(|_| written)
}

/// The rate of `5rps`, `10r/s`, `100 per second`, `100/min` or `100`.
pub fn rate(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase().replace(' ', "");
    let (number, rest) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let rest =
        ["requests", "request", "reqs", "req", "r"].iter().find_map(|noun| rest.strip_prefix(noun)).unwrap_or(rest);
    let unit = ["per", "/", "p"].iter().find_map(|per| rest.strip_prefix(per)).unwrap_or(rest);
    let (_, unit) = PER.iter().find(|(names, _)| names.contains(&unit))?;
    let written = format!("{number}/{unit}");
    parse_rate(&written).map(|_| written)
}

/// The address of `8443`, `:8443`, `*:8443`, `localhost:8443`, `0.0.0.0` or `http://0.0.0.0:8443`.
pub fn address(text: &str) -> String {
    let text = text.trim().split_once("://").map_or(text.trim(), |(_, rest)| rest.trim_end_matches('/'));
    let port = |text: &str| text.parse::<u16>().ok();
    let (host, number) = text.rsplit_once(':').map_or(("", port(text)), |(host, number)| (host, port(number)));
    match (host, number) {
        ("" | "*", Some(port)) => {
            format!("; write \"0.0.0.0:{port}\" for all addresses, or \"127.0.0.1:{port}\" for this machine alone")
        }
        ("localhost", Some(port)) => format!("; write \"127.0.0.1:{port}\""),
        (host, Some(port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => format!("; write \"[{host}]:{port}\""),
        (host, Some(port)) if host.parse::<std::net::IpAddr>().is_ok() => format!("; write \"{host}:{port}\""),
        (host, Some(_)) if parse_host(host).is_some() => {
            "; host names are not looked up here: write the IP address of the interface, or 0.0.0.0 for all".to_owned()
        }
        _ if text.parse::<std::net::IpAddr>().is_ok() => "; the port is missing".to_owned(),
        _ => String::new(),
    }
}

/// The endpoint of `127.0.0.1:8000` or `8000`, and the parts of a URL that belong to other keys.
pub fn upstream_url(text: &str) -> String {
    if let Ok(port) = text.trim_start_matches(':').parse::<u16>() {
        return format!("; write http://127.0.0.1:{port}");
    }
    let has_scheme = text.contains("://");
    let Some(uri) = format!("{}{text}", if has_scheme { "" } else { "http://" }).parse::<Uri>().ok() else {
        return String::new();
    };
    let Some(authority) = uri.authority().filter(|authority| !authority.as_str().contains('@')) else {
        return String::new();
    };
    match uri.scheme_str() {
        Some("h2c" | "grpc") => return format!("; write http://{authority}, and `protocol: http2`"),
        Some("grpcs" | "h2") => return format!("; write https://{authority}, and `protocol: http2`"),
        _ => {}
    }
    let is_usual = matches!(uri.scheme_str(), Some("http" | "https"));
    // Without a port, a single word could be anything.
    if !is_usual || (!has_scheme && authority.port().is_none()) {
        return String::new();
    }
    let path = match uri.path().trim_end_matches('/') {
        "" => String::new(),
        path => format!(", and `path_prefix: {path}`"),
    };
    format!("; write {}://{authority}{path}", uri.scheme_str().unwrap_or("http"))
}

/// The path of `webhook`, `https://host/webhook`, `/hooks*`, and why a regular expression is none.
pub fn path(text: &str) -> String {
    let only_path = text.split_once("://").map(|(_, rest)| rest.find('/').map_or("/", |at| rest.split_at(at).1));
    let plain = only_path.unwrap_or(text).split(['?', '#']).next().unwrap_or_default();
    if text.starts_with(['^', '~']) || text.contains(".*") || text.contains(['$', '(', '\\']) {
        return "; regular expressions are not possible: a prefix ends in `/*`".to_owned();
    }
    if plain.contains("/:") || plain.contains("/<") {
        return "; of parameters in a path only `{tenant}` is possible: a prefix ends in `/*`".to_owned();
    }
    let plain = if plain.starts_with('/') { plain.to_owned() } else { format!("/{plain}") };
    let plain = plain
        .strip_suffix("**")
        .or(plain.strip_suffix('*'))
        .map_or(plain.clone(), |stem| format!("{}/*", stem.trim_end_matches('/')));
    let is_valid = validate_path(plain.trim_end_matches('*')).is_ok() && !plain.trim_end_matches("/*").contains('*');
    if is_valid && plain != text { write(Some(plain)) } else { String::new() }
}

/// The host of `https://hooks.example.com:8443`, and why a wildcard is none.
pub fn host(text: &str) -> String {
    if text.contains('*') {
        return "; wildcards are not possible: write a route for each host, or no `host` for all of them".to_owned();
    }
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let bare = rest.split(['/', ':']).next().unwrap_or_default().trim_end_matches('.');
    write(parse_host(bare).filter(|host| host.contains('.') && *host != text))
}

/// The method of `post`.
pub fn method(text: &str) -> Option<String> {
    let capitals = text.trim().to_ascii_uppercase();
    let is_known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].contains(&capitals.as_str());
    parse_method(&capitals).filter(|_| is_known).map(|method| method.to_string())
}

/// The algorithm of `rs256`, `RSA-SHA256` or `HMAC-SHA512`.
pub fn algorithm(text: &str) -> Option<String> {
    let capitals = text.trim().to_ascii_uppercase().replace(['-', '_'], "");
    let short = ["RSASHA", "HMACSHA", "ECDSASHA"].iter().zip(["RS", "HS", "ES"]);
    let name = short.into_iter().find_map(|(long, short)| Some(format!("{short}{}", capitals.strip_prefix(long)?)));
    let name = name.unwrap_or(if capitals == "EDDSA" { "EdDSA".to_owned() } else { capitals });
    Algorithm::named(&name).map(|_| name)
}

/// The boolean of `yes`, `no`, `on` and `off`, which are strings in YAML 1.2.
pub fn boolean(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "y" | "on" | "true" | "1" | "enabled" => Some("true"),
        "no" | "n" | "off" | "false" | "0" | "disabled" => Some("false"),
        _other => None,
    }
}

/// Numbers, each with the unit after it.
fn pieces(text: &str) -> Option<Vec<(f64, &str)>> {
    let mut rest = text;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count());
        let after = after.trim_start();
        let (unit, after) = after.split_at(after.bytes().take_while(u8::is_ascii_alphabetic).count());
        found.push((number.parse().ok()?, unit));
        rest = after.trim_start();
    }
    (!found.is_empty()).then_some(found)
}

fn scale(units: &[(&[&str], f64)], unit: &str) -> Option<f64> {
    units.iter().find(|(names, _)| names.contains(&unit)).map(|(_, scale)| *scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(read: fn(&str) -> Option<String>, pairs: &[(&str, Option<&str>)]) {
        for (text, expected) in pairs {
            assert_eq!(read(text).as_deref(), *expected, "{text}");
        }
    }

    #[test]
    fn durations_of_other_programs() {
        let pairs = [
            ("60sec", Some("1m")),
            ("10 s", Some("10s")),
            ("1h30m", Some("90m")),
            ("1.5h", Some("90m")),
            ("30", None),
            ("1h30", None),
            ("PT30S", Some("30s")),
            ("5 minutes", Some("5m")),
            ("250 MS", Some("250ms")),
            ("2D", Some("48h")),
            ("soon", None),
            ("", None),
            ("-5s", None),
            ("99999999999999999999s", None),
            ("1.2.3s", None),
            ("5x", None),
        ];
        all(whole_duration, &pairs);
        let longer_than_zero = |text: &str| parse_duration(text).is_some_and(|duration| !duration.is_zero());
        for text in ["4", "4.0", " 4 "] {
            assert_eq!(duration(text, longer_than_zero), "; the unit is missing: write s, m, h or d behind 4");
        }
        for text in ["0", "0sec", "1.5", "-4", "1e300", "inf", "soon"] {
            assert_eq!(duration(text, longer_than_zero), "", "{text}");
        }
        assert_eq!(duration("4days", longer_than_zero), "; write 96h");
    }

    #[test]
    fn sizes_of_other_programs() {
        let pairs = [
            ("10MB", Some("10MiB")),
            ("10m", Some("10MiB")),
            ("1 MiB", Some("1MiB")),
            ("1.5G", Some("1536MiB")),
            ("1048576", Some("1MiB")),
            ("512", Some("512B")),
            ("big", None),
            ("", None),
            ("1MB2", None),
            ("1TB", None),
        ];
        all(size, &pairs);
    }

    #[test]
    fn rates_of_other_programs() {
        let pairs = [
            ("5rps", Some("5/s")),
            ("10r/s", Some("10/s")),
            ("100 per second", Some("100/s")),
            ("100/min", Some("100/m")),
            ("30rpm", Some("30/m")),
            ("100", Some("100/s")),
            ("5 requests/hour", Some("5/h")),
            ("1/d", None),
            ("rps", None),
        ];
        all(rate, &pairs);
    }

    #[test]
    fn addresses_and_urls_without_a_part() {
        for text in ["8443", ":8443", "*:8443"] {
            assert!(address(text).contains("\"0.0.0.0:8443\" for all"), "{text}");
        }
        assert_eq!(address("localhost:8443"), "; write \"127.0.0.1:8443\"");
        assert_eq!(address("http://127.0.0.1:80/"), "; write \"127.0.0.1:80\"");
        assert_eq!(address(":::8443"), "; write \"[::]:8443\"");
        assert!(address("0.0.0.0").contains("port") && address("gateway:1").contains("IP address"));
        assert_eq!(address("hunter2"), "");
        for text in ["127.0.0.1:8000", "8000", ":8000"] {
            assert_eq!(upstream_url(text), "; write http://127.0.0.1:8000", "{text}");
        }
        assert_eq!(upstream_url("https://app:8000/api/v1"), "; write https://app:8000, and `path_prefix: /api/v1`");
        assert_eq!(upstream_url("h2c://app:8000"), "; write http://app:8000, and `protocol: http2`");
        for secret in ["hunter2", "http://user:hunter2@app:1/", "hunter2/x"] {
            assert_eq!(upstream_url(secret), "", "{secret}");
        }
    }

    #[test]
    fn paths_hosts_and_names() {
        assert_eq!(path("webhook"), "; write /webhook");
        assert_eq!(path("https://a.example/webhook?x=1"), "; write /webhook");
        assert_eq!(path("/hooks*"), "; write /hooks/*");
        assert_eq!(path("/hooks/**"), "; write /hooks/*");
        assert!(path("^/hooks/.*$").contains("regular") && path("/hooks/:id").contains("{tenant}"));
        assert_eq!(path("/a/../b"), "");
        assert_eq!(host("https://hooks.example.com:8443/a"), "; write hooks.example.com");
        assert!(host("*.example.com").contains("wildcards"));
        all(method, &[("post", Some("POST")), ("Get", Some("GET")), ("trace", None), ("hunter2", None)]);
        let algorithms =
            [("rs256", Some("RS256")), ("RSA-SHA256", Some("RS256")), ("eddsa", Some("EdDSA")), ("md5", None)];
        all(algorithm, &algorithms);
        assert_eq!((boolean("Yes"), boolean("off"), boolean("maybe")), (Some("true"), Some("false"), None));
    }
}
