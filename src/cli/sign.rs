//! `hookgate sign`: generates a request that passes a route from the rules of the route, to try the route or
//! `hookgate explain`. It needs the key of the sender: a shared secret in the configuration, or a private key.

mod draft;
mod jws;
mod keyring;
mod message_signature;
mod signature;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{HeaderName, Request};
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::arguments::{ConfigArgument, at, find_route};
use crate::auth::Policy;
use crate::auth::locator::Locator;
use crate::auth::signature::{Component, SignatureReplayId};
use crate::config::{self, Config, Handles};
use crate::route::{PathMatch, Route};
pub(super) use draft::Draft;
pub(super) use jws::{random_id, unsigned_token};
pub(super) use keyring::{Keyring, kid_beside};

/// Arguments of `hookgate sign`.
#[derive(Debug, clap::Args)]
pub struct SignArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Name of the route; required if there are several
    #[arg(long)]
    route: Option<String>,
    /// File with the body of the request [default: {"event":"test"}, with a new id where the route reads one]
    #[arg(long)]
    body: Option<PathBuf>,
    /// Method of the request [default: the first of the route's methods, or POST]
    #[arg(long)]
    method: Option<String>,
    /// Header to add; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// File with the sender's private key in PEM form; not needed for a shared secret
    #[arg(long, default_value = "certs/issuer.key")]
    key: PathBuf,
    /// Key ID [default: that of the first key in KEY.jwks.json next to KEY.key, if the file exists]
    #[arg(long)]
    kid: Option<String>,
    /// File with the certificate chain of the key in PEM form, leaf certificate first, for the x5c header of a token
    #[arg(long)]
    chain: Option<PathBuf>,
    /// Claim to add, or to set instead of the value that the route requires; VALUE may be JSON; may be repeated
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    claims: Vec<String>,
    /// URL of the gateway, with a path if the route matches several [default: localhost and the first listener's port]
    #[arg(long)]
    url: Option<String>,
    /// Time of the request, in Unix seconds or RFC 3339 [default: now]
    #[arg(long)]
    now: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t = SignedFormat::Curl)]
    format: SignedFormat,
    /// Print only the token
    #[arg(long)]
    token: bool,
    /// Send the request and print the response; exit code 1 unless its status is 2xx
    #[arg(long)]
    send: bool,
    /// File with the CA certificates to trust [default: ca.crt next to the key or in certs next to CONFIG, if it exists]
    #[arg(long)]
    cacert: Option<PathBuf>,
}

/// Output format of `sign`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum SignedFormat {
    /// A curl command line
    Curl,
    /// The HTTP/1.1 message, which `hookgate explain` reads
    Http,
}

/// A request to generate, as `hookgate test` describes it; the fields are the options of `hookgate sign`.
pub(super) struct SignRequest {
    pub(super) route: Option<String>,
    pub(super) body: Option<PathBuf>,
    pub(super) method: Option<String>,
    pub(super) headers: Vec<String>,
    pub(super) key: PathBuf,
    pub(super) kid: Option<String>,
    pub(super) claims: Vec<String>,
    pub(super) url: Option<String>,
    pub(super) now: String,
}

/// The HTTP/1.1 message of a signed request.
pub(super) fn signed(config: &Config, request: SignRequest) -> anyhow::Result<Vec<u8>> {
    let SignRequest { route, body, method, headers, key, kid, claims, url, now } = request;
    let arguments = SignArguments {
        config: ConfigArgument::default(),
        route,
        body,
        method,
        headers,
        key,
        kid,
        chain: None,
        claims,
        url,
        now: Some(now),
        format: SignedFormat::Http,
        token: false,
        send: false,
        cacert: None,
    };
    let route = find_route(config, arguments.route.as_deref())?;
    let mut draft = blank(config, &route, &arguments)?;
    fill(&route, &mut draft, &keyring(&arguments)?)?;
    Ok(draft.message())
}

pub(super) fn sign(arguments: &SignArguments) -> anyhow::Result<()> {
    let config = config::load(&arguments.config.path(), &Handles::default())?;
    let route = find_route(&config, arguments.route.as_deref())?;
    let keys = keyring(arguments)?;
    let mut draft = blank(&config, &route, arguments)?;
    if arguments.body.is_none() {
        add_ids(&route, &mut draft)?;
    }
    let token = fill(&route, &mut draft, &keys)?;
    let ca = ca(arguments);
    if arguments.send {
        return send(&draft, ca.as_deref());
    }
    match (arguments.token, arguments.format) {
        (true, _) => println!("{}", token.context("the route does not use a token")?),
        (false, SignedFormat::Curl) => {
            let unchanged =
                arguments.body.as_deref().filter(|path| std::fs::read(path).is_ok_and(|body| body == draft.body));
            println!("{}", draft.curl(ca.as_deref(), unchanged));
        }
        (false, SignedFormat::Http) => std::io::Write::write_all(&mut std::io::stdout(), &draft.message())?,
    }
    Ok(())
}

fn keyring(arguments: &SignArguments) -> anyhow::Result<Keyring> {
    let claims = arguments.claims.iter().map(|claim| {
        let (name, value) = claim.split_once('=').with_context(|| format!("--claim {claim}: expected NAME=VALUE"))?;
        Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
    });
    Ok(Keyring {
        key: arguments.key.clone(),
        kid: arguments.kid.clone().or_else(|| kid_beside(&arguments.key)),
        chain: arguments.chain.as_ref().map(std::fs::read).transpose()?,
        claims: claims.collect::<anyhow::Result<_>>()?,
        now: at(arguments.now.as_deref())?.seconds(),
    })
}

/// The unsigned request.
fn blank(config: &Config, route: &Route, arguments: &SignArguments) -> anyhow::Result<Draft> {
    let (gateway, path) = address(config, arguments)?;
    let written = match &route.matches.path {
        PathMatch::Exact(path) | PathMatch::Prefix(path) => path.clone(),
        PathMatch::Template(template) => {
            let tenant = route.rules.policy.first_tenant();
            template.path_of(&tenant.context("no tenant has a file with a secret yet")?)
        }
    };
    let authority = gateway.split_once("://").map_or(gateway.as_str(), |(_, rest)| rest).to_owned();
    let methods = route.matches.methods.as_ref();
    let method = arguments.method.clone().or_else(|| Some(methods?.first()?.to_string()));
    let mut draft = Draft {
        method: method.as_deref().unwrap_or("POST").parse()?,
        host: route.matches.host.clone().unwrap_or(authority),
        gateway,
        target: path.unwrap_or(written),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: match &arguments.body {
            Some(path) => std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?,
            None => br#"{"event":"test"}"#.to_vec(),
        },
    };
    for header in &arguments.headers {
        let (name, value) =
            header.split_once(':').with_context(|| format!("--header {header}: expected NAME: VALUE"))?;
        match name.trim().parse::<HeaderName>()? {
            // Sent once, and part of what some schemes sign.
            http::header::HOST => value.trim().clone_into(&mut draft.host),
            name => draft.set_header(&name, value.trim()),
        }
    }
    Ok(draft)
}

/// Scheme and authority of the gateway, and the path if `--url` has one.
fn address(config: &Config, arguments: &SignArguments) -> anyhow::Result<(String, Option<String>)> {
    let Some(url) = &arguments.url else {
        let listener = config.process.listeners.first().context("the configuration has no listener")?;
        let tls = config.snapshot.listeners.first().is_some_and(|listener| listener.tls.is_some());
        return Ok((format!("{}://localhost:{}", if tls { "https" } else { "http" }, listener.port()), None));
    };
    let uri: http::Uri = url.parse().with_context(|| format!("--url {url}"))?;
    let (scheme, authority) = uri.scheme_str().zip(uri.authority()).context("--url: expected https://HOST:PORT")?;
    let path = uri.path_and_query().filter(|path| path.as_str() != "/").map(ToString::to_string);
    Ok((format!("{scheme}://{authority}"), path))
}

/// Adds a new id where the route reads that of the event, and the idempotency key: without one the request would be
/// rejected, and with the last one answered as a duplicate.
fn add_ids(route: &Route, draft: &mut Draft) -> anyhow::Result<()> {
    let Some(rules) = &route.duplicates else { return Ok(()) };
    let mut places: Vec<Locator> = rules.idempotency.iter().map(|rule| rule.key.clone()).collect();
    for leaf in needed(&route.rules.policy).into_iter().filter(|_| rules.replay.is_some()) {
        let Policy::Signature(policy) = leaf else { continue };
        match &policy.replay_id {
            Some(SignatureReplayId::Component(Component::Located(locator, _))) => places.push(locator.clone()),
            // The id is made of the body, which must not be that of the last request.
            Some(SignatureReplayId::Hash) => places.extend(Locator::parse("json", "/id")),
            Some(SignatureReplayId::Component(_)) | None => {}
        }
    }
    for locator in places {
        if !draft.has(&locator) {
            draft.place(&locator, jws::random_id())?;
        }
    }
    Ok(())
}

/// Adds the credentials of each authentication scheme of the route, and returns the token if there is one.
pub(super) fn fill(route: &Arc<Route>, draft: &mut Draft, keys: &Keyring) -> anyhow::Result<Option<String>> {
    if let Some(time) = &route.rules.timestamp {
        // `jws` adds a claim to the token.
        draft.place(&time.source, time.unit.write(keys.now))?;
    }
    let mut token = None;
    let mut leaves = needed(&route.rules.policy);
    // Static tokens come first, since they may become part of the body that is signed.
    leaves.sort_by_key(|leaf| !matches!(leaf, Policy::Token(_)));
    for leaf in leaves {
        match leaf {
            Policy::Jwt(policy) => token = Some(jws::add_token(policy, route, draft, keys)?),
            Policy::Detached(policy) => token = Some(jws::add_detached(policy, draft, keys)?),
            Policy::MessageSignature(policy) => message_signature::add(policy, route, draft, keys)?,
            Policy::Signature(policy) => signature::add(policy, route, draft, keys)?,
            Policy::Token(policy) => signature::add_token(policy, route, draft)?,
            Policy::ClientCertificate(_) => {
                eprintln!("the route requires a client certificate: add --cert and --key to curl")
            }
            Policy::AllOf(_) | Policy::AnyOf(_) | Policy::Public => {}
        }
    }
    Ok(token)
}

/// The leaf policies to satisfy: all of `all_of`, and the first alternative of `any_of`.
pub(super) fn needed(policy: &Policy) -> Vec<&Policy> {
    match policy {
        Policy::AllOf(policies) => policies.iter().flat_map(needed).collect(),
        Policy::AnyOf(policies) => policies.first().map(needed).unwrap_or_default(),
        Policy::Jwt(_)
        | Policy::Detached(_)
        | Policy::MessageSignature(_)
        | Policy::Signature(_)
        | Policy::ClientCertificate(_)
        | Policy::Token(_)
        | Policy::Public => vec![policy],
    }
}

fn ca(arguments: &SignArguments) -> Option<PathBuf> {
    let places = [arguments.key.with_file_name("ca.crt"), arguments.config.path().with_file_name("certs/ca.crt")];
    arguments.cacert.clone().or_else(|| places.into_iter().find(|path| path.exists()))
}

/// Advice for an error of the connection.
fn advice(error: &anyhow::Error, gateway: &str, ca: Option<&Path>) -> String {
    let text = format!("{error:#}");
    if text.contains("UnknownIssuer") {
        let trusted = ca.map_or_else(|| "a public authority".to_owned(), |ca| ca.display().to_string());
        format!("the certificate of {gateway} is not by {trusted}; --cacert names the file with its CA")
    } else if text.contains("NotValidForName") {
        format!("the certificate of {gateway} is for another name; --url names the gateway as its certificate does")
    } else {
        format!("no response from {gateway}; `hookgate run` starts the gateway, --url names another one")
    }
}

fn send(draft: &Draft, ca: Option<&Path>) -> anyhow::Result<()> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let config = crate::tls::client_config(ca.map(read).transpose()?.as_deref())?;
    let mut request = Request::builder().method(draft.method.clone()).uri(format!("{}{}", draft.gateway, draft.target));
    request = request.header("host", &draft.host);
    for (name, value) in &draft.headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::from(draft.body.clone())))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
        let response = Client::builder(TokioExecutor::new()).build(connector).request(request).await;
        let response = response.map_err(|error| {
            let error = anyhow::Error::from(error);
            let advice = advice(&error, &draft.gateway, ca);
            error.context(advice)
        })?;
        println!("{}", response.status());
        let passed = response.status().is_success();
        let body = response.into_body().collect().await?.to_bytes();
        println!("{}", String::from_utf8_lossy(&body));
        if passed { Ok(()) } else { bail!("the request was not accepted") }
    })
}
