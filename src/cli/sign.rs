//! `hookgate sign`: makes a request that passes a JWT route, from the route's own rules.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use jsonwebtoken::{AlgorithmFamily, EncodingKey, Header};
use serde_json::{Map, Value, json};

use crate::auth::keys::{Algorithm, algorithm_named};
use crate::clock::{Clock, SystemClock};
use crate::config::file::{
    AuthFile, AuthWord, GatewayFile, IssuerFile, JwtFile, OneOrMany, RouteFile, SecretFile, TimestampFile, UnitFile,
};
use crate::config::values::{decode_secret, parse_duration};
use crate::config::{Sources, compile, yaml};

/// `hookgate sign`
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration
    #[arg(long, default_value = "gateway.yaml")]
    config: PathBuf,
    /// The route to pass; may be left out where there is one
    #[arg(long)]
    route: Option<String>,
    /// The body of the request
    #[arg(long)]
    body: Option<PathBuf>,
    /// The issuer's private key in PEM form; not needed for a shared secret
    #[arg(long, default_value = "certs/issuer.key")]
    key: PathBuf,
    /// The name of the key; else the first of the key set beside it (KEY.jwks.json), where there is one
    #[arg(long)]
    kid: Option<String>,
    /// A claim beside those that the route asks for, or instead: NAME=VALUE, where VALUE may be JSON
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    claims: Vec<String>,
    /// Where the gateway is, with a path if the route takes many; else https://localhost and its first port
    #[arg(long)]
    url: Option<String>,
    /// Print the token alone
    #[arg(long)]
    token: bool,
}

pub(super) fn sign(arguments: &Arguments) -> anyhow::Result<()> {
    let sources = Sources::read(&arguments.config)?;
    // Everything is judged first: a request for a configuration that would not load helps nobody.
    compile(&sources, &[])?;
    let document = yaml::read(&sources.text).map_err(|_| anyhow::anyhow!("not a configuration"))?;
    let file = GatewayFile::read(document.value).0;
    let route = find_route(&file, arguments.route.as_deref())?;
    let jwt = find_jwt(route)?;
    let issuer = find_issuer(&file, jwt)?;
    let now = SystemClock.now().seconds();
    let mut claims = claims(jwt, issuer, now, &arguments.claims)?;
    if let Some((name, value)) = timestamp_claim(route.timestamp.as_ref(), now) {
        set(&mut claims, name, value)?;
    }
    let token = jsonwebtoken::encode(&header(issuer, jwt, arguments)?, &claims, &key(issuer, arguments, &sources)?)?;
    if arguments.token {
        println!("{token}");
    } else {
        println!("{}", curl(&file, route, jwt, &token, now, arguments)?);
    }
    Ok(())
}

fn find_route<'f>(file: &'f GatewayFile, name: Option<&str>) -> anyhow::Result<&'f RouteFile> {
    let routes = file.routes.as_deref().unwrap_or_default();
    match (name, routes) {
        (Some(name), routes) => {
            let found = routes.iter().find(|route| route.name.as_deref() == Some(name));
            found.with_context(|| format!("no route {name:?}"))
        }
        (None, [route]) => Ok(route),
        (None, _) => bail!("there are several routes; name one with --route"),
    }
}

fn find_jwt(route: &RouteFile) -> anyhow::Result<&JwtFile> {
    match &route.auth {
        Some(AuthFile::Scheme(scheme)) => scheme.jwt.as_ref().context("the route takes no JWT"),
        Some(AuthFile::Word(AuthWord::Public)) | None => bail!("the route takes no JWT"),
    }
}

fn find_issuer<'f>(file: &'f GatewayFile, jwt: &JwtFile) -> anyhow::Result<&'f IssuerFile> {
    let name = jwt.issuer.as_ref().map(OneOrMany::to_vec).unwrap_or_default();
    let name = name.first().context("the route names no issuer")?;
    file.issuers.as_ref().and_then(|issuers| issuers.get(name)).context("the route's issuer is not there")
}

fn algorithm(issuer: &IssuerFile) -> anyhow::Result<jsonwebtoken::Algorithm> {
    let name = issuer.algorithms.as_deref().unwrap_or_default().first().context("the issuer has no algorithm")?;
    let algorithm = algorithm_named(name).and_then(Algorithm::in_library);
    algorithm.with_context(|| format!("cannot sign with {name}; put another algorithm first"))
}

fn header(issuer: &IssuerFile, jwt: &JwtFile, arguments: &Arguments) -> anyhow::Result<Header> {
    let typ = jwt.types.as_ref().and_then(|types| types.first().cloned()).unwrap_or_else(|| "JWT".to_owned());
    let kid = arguments.kid.clone().or_else(|| kid_beside(&arguments.key));
    Ok(Header { typ: Some(typ), kid, ..Header::new(algorithm(issuer)?) })
}

/// `certs/issuer.key` has its set in `certs/issuer.jwks.json`.
fn kid_beside(key: &Path) -> Option<String> {
    let set: Value = serde_json::from_slice(&std::fs::read(key.with_extension("jwks.json")).ok()?).ok()?;
    set.pointer("/keys/0/kid")?.as_str().map(str::to_owned)
}

fn key(issuer: &IssuerFile, arguments: &Arguments, sources: &Sources) -> anyhow::Result<EncodingKey> {
    // Of several, the first: which one is meant to stay nobody says.
    if let Some(secret) = issuer.secret.as_ref().or(issuer.secrets.as_deref().and_then(<[SecretFile]>::first)) {
        return Ok(EncodingKey::from_secret(&shared_secret(secret, sources).context("the secret cannot be read")?));
    }
    let pem = std::fs::read(&arguments.key).with_context(|| {
        format!("cannot read {} (`hookgate certs` makes one; --key names another)", arguments.key.display())
    })?;
    let key = match algorithm(issuer)?.family() {
        AlgorithmFamily::Ec => EncodingKey::from_ec_pem(&pem),
        AlgorithmFamily::Ed => EncodingKey::from_ed_pem(&pem),
        AlgorithmFamily::Rsa | AlgorithmFamily::Hmac => EncodingKey::from_rsa_pem(&pem),
    };
    Ok(key?)
}

fn shared_secret(secret: &SecretFile, sources: &Sources) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    let content = match (&secret.env, &secret.file) {
        (Some(name), _) => sources.variables.get(name),
        (None, Some(name)) => sources.files.get(name),
        (None, None) => None,
    };
    decode_secret(content?.as_ref().ok()?, secret.encoding.unwrap_or_default())
}

/// What the route asks for, with what was asked for here on top.
fn claims(jwt: &JwtFile, issuer: &IssuerFile, now: u64, extra: &[String]) -> anyhow::Result<Map<String, Value>> {
    let lifetime = jwt.max_lifetime.as_ref().and_then(|text| parse_duration(&text.0));
    let lifetime = lifetime.unwrap_or(Duration::from_secs(300)).min(Duration::from_secs(300)).as_secs();
    let audience = jwt.audience.as_ref().map(OneOrMany::to_vec).and_then(|audiences| audiences.first().cloned());
    let mut claims = Map::new();
    claims.insert("iss".to_owned(), issuer.issuer.clone().into());
    claims.insert("aud".to_owned(), audience.into());
    claims.insert("iat".to_owned(), now.into());
    claims.insert("nbf".to_owned(), now.into());
    claims.insert("exp".to_owned(), (now + lifetime).into());
    claims.insert("jti".to_owned(), random_id().into());
    for (name, rule) in jwt.claims.iter().flatten() {
        if let Some(value) = satisfying(rule) {
            set(&mut claims, name, value)?;
        }
    }
    for claim in extra {
        let (name, value) = claim.split_once('=').with_context(|| format!("--claim {claim}: expected NAME=VALUE"))?;
        set(&mut claims, name, serde_json::from_str(value).unwrap_or_else(|_| value.into()))?;
    }
    for name in jwt.required.iter().flatten() {
        claims.entry(name.clone()).or_insert_with(|| "development".into());
    }
    Ok(claims)
}

/// A value that passes a rule; a pattern is not solved here, `--claim` gives what passes it.
fn satisfying(rule: &Value) -> Option<Value> {
    let Value::Object(operators) = rule else { return Some(rule.clone()) };
    let (operator, value) = operators.iter().next()?;
    match operator.as_str() {
        "one_of" => value.as_array()?.first().cloned(),
        "contains" => Some(json!([value])),
        "prefix" => Some(value.clone()),
        "exists" if value == &json!(true) => Some("development".into()),
        _ => None,
    }
}

/// A claim by its name, or the innermost member of a JSON pointer, with the objects around it.
fn set(claims: &mut Map<String, Value>, name: &str, value: Value) -> anyhow::Result<()> {
    let Some(path) = name.strip_prefix('/') else {
        claims.insert(name.to_owned(), value);
        return Ok(());
    };
    let mut segments: Vec<String> = path.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
    let last = segments.pop().unwrap_or_default();
    let mut members = claims;
    for segment in segments {
        let inner = members.entry(segment).or_insert_with(|| json!({}));
        members = inner.as_object_mut().with_context(|| format!("--claim {name}: stands in no object"))?;
    }
    members.insert(last, value);
    Ok(())
}

fn random_id() -> String {
    let mut bytes = [0_u8; 16];
    // Without entropy the id is a constant: good enough for one request made by hand.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    format!("{:032x}", u128::from_be_bytes(bytes))
}

fn curl(
    file: &GatewayFile,
    route: &RouteFile,
    jwt: &JwtFile,
    token: &str,
    now: u64,
    arguments: &Arguments,
) -> anyhow::Result<String> {
    let matches = route.matches.clone().unwrap_or_default();
    let path = matches.path.unwrap_or_default().replace('*', "");
    let base = arguments.url.clone().map_or_else(|| gateway_url(file), Ok)?;
    // A prefix leaves the path open: an address with one of its own settles it.
    let has_path = url::Url::parse(&base).is_ok_and(|url| url.path() != "/");
    let target = if has_path { base } else { format!("{}{path}", base.trim_end_matches('/')) };
    let method = matches.methods.and_then(|methods| methods.first().cloned()).unwrap_or_else(|| "POST".to_owned());
    let ca = arguments.key.with_file_name("ca.crt");
    let mut words = vec!["curl -i".to_owned()];
    if ca.exists() {
        words.push(format!("--cacert {}", quoted(&ca.display().to_string())));
    }
    words.push(format!("-X {method}"));
    words.extend(matches.host.map(|host| format!("-H {}", quoted(&format!("Host: {host}")))));
    let (query, header) = credential(jwt, token);
    words.extend(header.map(|header| format!("-H {}", quoted(&header))));
    words.extend(timestamp(route.timestamp.as_ref(), now).map(|header| format!("-H {}", quoted(&header))));
    words.push("-H 'Content-Type: application/json'".to_owned());
    words.push(match &arguments.body {
        Some(body) => format!("--data-binary {}", quoted(&format!("@{}", body.display()))),
        None => "--data '{\"event\":\"test\"}'".to_owned(),
    });
    words.push(quoted(&format!("{target}{query}")));
    Ok(words.join(" "))
}

fn gateway_url(file: &GatewayFile) -> anyhow::Result<String> {
    let listener = file.listeners.iter().flatten().next().context("no listener")?;
    let address: std::net::SocketAddr = listener.address.as_deref().unwrap_or_default().parse()?;
    let scheme = if listener.tls.is_some() { "https" } else { "http" };
    Ok(format!("{scheme}://localhost:{}", address.port()))
}

/// The query and the header field that carry the token.
fn credential(jwt: &JwtFile, token: &str) -> (String, Option<String>) {
    let place = jwt.token.clone().unwrap_or_default();
    match (place.header, place.query, place.cookie) {
        (_, Some(query), _) => (format!("?{query}={token}"), None),
        (_, _, Some(cookie)) => (String::new(), Some(format!("Cookie: {cookie}={token}"))),
        (None, None, None) => (String::new(), Some(format!("Authorization: Bearer {token}"))),
        (Some(header), None, None) => {
            let implied = header.eq_ignore_ascii_case("authorization").then(|| "Bearer".to_owned());
            let scheme = place.scheme.or(implied).map(|scheme| format!("{scheme} ")).unwrap_or_default();
            (String::new(), Some(format!("{header}: {scheme}{token}")))
        }
    }
}

/// The header field of the route's timestamp.
fn timestamp(file: Option<&TimestampFile>, now: u64) -> Option<String> {
    let file = file?;
    let written = written(file, now)?;
    file.header.as_ref().map(|header| format!("{header}: {written}"))
}

/// The claim of the route's timestamp.
fn timestamp_claim(file: Option<&TimestampFile>, now: u64) -> Option<(&str, Value)> {
    let file = file?;
    Some((file.claim.as_deref()?, written(file, now)?.into()))
}

fn written(file: &TimestampFile, now: u64) -> Option<String> {
    Some(match file.unit.unwrap_or_default() {
        UnitFile::S => now.to_string(),
        UnitFile::Ms => format!("{now}000"),
        UnitFile::Us => format!("{now}000000"),
        UnitFile::Rfc3339 => jiff::Timestamp::from_second(i64::try_from(now).ok()?).ok()?.to_string(),
    })
}

/// For a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_operator_but_a_pattern_is_satisfied() {
        let rules: BTreeMap<String, Value> = serde_json::from_value(json!({
            "a": "x", "b": {"one_of": [1, 2]}, "c": {"contains": "y"}, "d": {"prefix": "p:"}, "e": {"exists": true},
            "f": {"matches": "[0-9]"}, "g": {"exists": false},
        }))
        .unwrap();
        let values: Vec<_> = rules.values().map(satisfying).collect();
        let expected = [json!("x"), json!(1), json!(["y"]), json!("p:"), json!("development")];
        assert_eq!(values[..5], expected.map(Some));
        assert_eq!(values[5..], [None, None]);
    }

    #[test]
    fn pointers_are_made_with_what_is_around_them() {
        let mut claims = Map::new();
        set(&mut claims, "/a/b~1c", json!(1)).unwrap();
        set(&mut claims, "d", json!(2)).unwrap();
        assert_eq!(Value::Object(claims), json!({"a": {"b/c": 1}, "d": 2}));
    }
}
