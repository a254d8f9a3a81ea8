//! `hookgate demo`: sends the classic attacks as real requests over TLS, to a vulnerable upstream and to the gateway in
//! front of it.
//!
//! Keys, certificates and servers exist only in memory; no request leaves this machine.

mod attacks;
mod backend;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use zeroize::Zeroizing;

use super::dev::{Certificates, DevIssuer};
use crate::clock::{Clock, SystemClock};
use crate::config::{Handles, Sources, compile};
use crate::{app, tls};
use attacks::{Attack, AttackResult, Send};
use backend::{WeakApp, reason};

/// Arguments of `hookgate demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArguments {
    /// Exit after the table instead of serving until Ctrl-C
    #[arg(long)]
    once: bool,
}

pub(super) fn demo(arguments: &DemoArguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(arguments))
}

async fn run(arguments: &DemoArguments) -> anyhow::Result<()> {
    println!("Generating a CA, a certificate for localhost and an issuer's key …");
    let certificates = Certificates::generate()?;
    let issuer = DevIssuer::generate()?;
    let app = WeakApp::start().await?;
    let keys = backend::serve_jwks(issuer.jwks()?).await?;
    let text = configuration(keys, app.address);
    let config = compile(&in_memory(text.clone(), &certificates), &Handles::default())?;
    let gateway = app::start(None, &config, Arc::new(SystemClock))?;
    let address = gateway.listeners.first().copied().context("no listener")?;
    println!("{}\n", introduction(&text, app.address, address));

    let client = DemoClient::new(&certificates, address, app.address)?;
    let now = SystemClock.now().seconds();
    let mut failed = 0_usize;
    println!("{}\n{}", row(["request", "direct", "hookgate", "reason", "upstream", ""]), "─".repeat(104));
    for attack in attacks::all(&issuer, now)? {
        let as_expected = client.play(&attack, &app).await?;
        failed += usize::from(!as_expected);
    }
    println!();
    if failed > 0 {
        anyhow::bail!("{failed} rows are not as expected");
    }
    println!("All rows are as expected: only the valid requests reached the upstream.");
    if !arguments.once {
        keep_serving(&issuer, &certificates, address, now).await?;
    }
    gateway.drain(std::future::ready(())).await;
    Ok(())
}

/// The gateway.yaml of the demo, which is also printed.
fn configuration(keys: SocketAddr, app: SocketAddr) -> String {
    format!(
        r#"error_detail: detailed      # reasons in responses, for the table; not for production
log: {{ access: false }}
store: {{ type: memory }}
listeners:
  - address: "127.0.0.1:0"
    tls: {{ certificates: [ {{ cert: server.crt, key: server.key }} ] }}
issuers:
  demo:
    issuer: {issuer}
    algorithms: [RS256]
    jwks: {{ url: "http://{keys}/jwks.json" }}
routes:
  - name: webhook
    match: {{ path: /webhook, methods: [POST] }}
    upstream: {{ url: "http://{app}" }}
    auth:
      jwt:
        issuer: demo
        audience: {audience}
        required_claims: [iss, aud, exp, nbf]
        claims: {{ event_scope: webhook }}
        max_age: 5m
        leeway: 5s
    replay_protection: {{ id: {{ claim: jti }} }}
"#,
        issuer = attacks::ISSUER,
        audience = attacks::AUDIENCE,
    )
}

fn in_memory(text: String, certificates: &Certificates) -> Sources {
    let file = |name: &str, content: &str| (name.to_owned(), Ok(Zeroizing::new(content.as_bytes().to_vec())));
    let files = [file("server.crt", &certificates.server), file("server.key", &certificates.server_key)];
    Sources::in_memory(PathBuf::from("demo.yaml"), text, BTreeMap::from(files))
}

fn introduction(configuration: &str, app: SocketAddr, gateway: SocketAddr) -> String {
    format!(
        "\nThe upstream, http://{app}/webhook, accepts any bearer token.\n\
         hookgate, https://localhost:{port}/webhook, is in front of it with this configuration:\n\n{configuration}",
        port = gateway.port()
    )
}

/// Sends each request to the upstream directly, and through the gateway.
struct DemoClient {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    gateway: SocketAddr,
    app: SocketAddr,
}

impl DemoClient {
    fn new(certificates: &Certificates, gateway: SocketAddr, app: SocketAddr) -> anyhow::Result<Self> {
        let config = tls::client_config(Some(certificates.ca.as_bytes()))?;
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
        Ok(Self { http: Client::builder(TokioExecutor::new()).build(connector), gateway, app })
    }

    /// Sends a request in both ways, prints its row of the table, and returns whether the result is as expected.
    async fn play(&self, attack: &Attack, app: &WeakApp) -> anyhow::Result<bool> {
        let (alone, _) = self.send(&format!("http://{}/webhook", self.app), attack).await?;
        let before = app.seen();
        let base = format!("https://localhost:{}/webhook", self.gateway.port());
        let (status, why) = match attack.send {
            Send::OverTls => self.send(&base, attack).await?,
            Send::PlainHttp => backend::plain_http(self.gateway, &attack.authorization).await?,
        };
        let reached = app.seen() > before;
        let as_expected = match attack.verdict {
            AttackResult::Passes => reached && status == StatusCode::OK,
            AttackResult::Stops(expected, reason) => !reached && status.as_u16() == expected && why == reason,
        };
        let reached = if reached { "reached" } else { "not reached" };
        let mark = if as_expected { "ok" } else { "WRONG" };
        println!("{}", row([attack.name, alone.as_str(), status.as_str(), &why, reached, mark]));
        Ok(as_expected)
    }

    /// Sends a request, and returns the status and the reason of a rejection.
    async fn send(&self, url: &str, attack: &Attack) -> anyhow::Result<(StatusCode, String)> {
        let mut request = Request::post(url).header("content-type", "application/json");
        for header in &attack.authorization {
            request = request.header("authorization", header);
        }
        let response = self.http.request(request.body(Full::from(attacks::BODY))?).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, reason(&body)))
    }
}

/// A row of the table.
fn row([name, alone, status, why, app, mark]: [&str; 6]) -> String {
    format!("{name:<42} {alone:<10} {status:<9} {why:<22} {app:<15}  {mark}")
}

async fn keep_serving(
    issuer: &DevIssuer,
    certificates: &Certificates,
    gateway: SocketAddr,
    now: u64,
) -> anyhow::Result<()> {
    let ca = std::env::temp_dir().join(format!("hookgate-demo-{}.crt", std::process::id()));
    std::fs::write(&ca, &certificates.ca)?;
    let token = issuer.token(&attacks::changed(now, &serde_json::json!({"jti": "yours"})))?;
    println!(
        "\nTry it twice (the token is valid for five minutes and passes once; without it no request passes):\n\n\
         curl -i --cacert {} -H 'Authorization: Bearer {token}' -d '{{\"event\":\"test\"}}' https://localhost:{}/webhook\n\n\
         Ctrl-C ends the demo.",
        ca.display(),
        gateway.port(),
    );
    tokio::signal::ctrl_c().await?;
    std::fs::remove_file(&ca)?;
    Ok(())
}
