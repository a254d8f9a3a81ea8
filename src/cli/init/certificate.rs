//! The certificate of the new gateway: generated for development, PEM files, by ACME, or none behind a proxy.

use std::path::Path;

use super::arguments::{InitArguments, TlsSource};
use super::interview::{Interview, Question};
use super::new_files::{NewContents, PRIVATE, PUBLIC, add, named};
use super::template::{EndpointUrl, TlsAnswer};
use crate::cli::dev::Certificates;

/// Files of the development certificate, in the folder that `dev-certs` and `sign` use.
const CERT: &str = "certs/server.crt";
const KEY: &str = "certs/server.key";
const CA: &str = "certs/ca.crt";

/// The folder of the certificates that an ACME server issues.
const ACME_STORAGE: &str = "acme";

/// All addresses of the machine for TLS; loopback for plain HTTP, which only the proxy in front may reach, and for a
/// certificate that is only for localhost.
pub(super) fn listen(url: &EndpointUrl, tls: &TlsAnswer) -> String {
    let port = url.authority.parse::<http::uri::Authority>().ok().and_then(|authority| authority.port_u16());
    match tls {
        TlsAnswer::Plaintext => "127.0.0.1:8080".to_owned(),
        TlsAnswer::Dev { .. } => format!("127.0.0.1:{}", port.unwrap_or(8443)),
        TlsAnswer::Files { .. } => format!("0.0.0.0:{}", port.unwrap_or(8443)),
        // The authority connects to port 443 alone (RFC 8737).
        TlsAnswer::Acme { .. } => "0.0.0.0:443".to_owned(),
    }
}

pub(super) fn tls(
    arguments: &InitArguments,
    interview: &mut Interview<'_>,
    url: Option<&EndpointUrl>,
    new: &mut NewContents,
) -> anyhow::Result<Option<TlsAnswer>> {
    let written = arguments.cert.as_ref().map(|_| TlsSource::Files).or(arguments.tls);
    let text = "Certificate: `dev` (generated, for localhost), `files` (PEM), `acme` (from Let's Encrypt), or `none` (a proxy \
                terminates TLS)";
    let question = Question { flag: "--tls", text, default: Some("dev") };
    let possible = |source: TlsSource| url.map_or(Ok(source), |url| fits(source, url).map(|()| source));
    let source = match written {
        Some(source) => Some(possible(source).map_err(|problem| anyhow::anyhow!("--tls: {problem}"))?),
        None => interview.ask(None, &question, |answer| {
            let source = <TlsSource as clap::ValueEnum>::from_str(answer, true);
            possible(source.map_err(|_| "expected dev, files, acme or none".to_owned())?)
        })?,
    };
    Ok(match source {
        None => None,
        Some(TlsSource::None) => Some(TlsAnswer::Plaintext),
        Some(TlsSource::Dev) => Some(development(arguments, new)?),
        Some(TlsSource::Acme) => {
            let text = "Do you agree to the terms of service of Let's Encrypt, https://letsencrypt.org/repository/ (yes or no)?";
            let question = Question { flag: "--agree-tos", text, default: None };
            let given = arguments.agree_tos.then_some("yes");
            let agreed = interview.ask(given, &question, |answer| match answer {
                "yes" => Ok(()),
                _ => Err("without it Let's Encrypt issues no certificate; Ctrl-C ends this".to_owned()),
            })?;
            let name = url.and_then(EndpointUrl::host).map(str::to_owned);
            name.zip(agreed).map(|(name, ())| TlsAnswer::Acme { name, storage: ACME_STORAGE.to_owned() })
        }
        Some(TlsSource::Files) => {
            let mut file = |given: Option<&Path>, flag, text| {
                let question = Question { flag, text, default: None };
                interview.ask(given.and_then(Path::to_str), &question, |path| named(path, &arguments.config))
            };
            let cert = file(arguments.cert.as_deref(), "--cert", "PEM file with the certificate and its chain")?;
            let key = file(arguments.private_key.as_deref(), "--key", "PEM file with its private key")?;
            cert.zip(key).map(|(cert, key)| TlsAnswer::Files { cert, key })
        }
    })
}

/// Whether the sender can call the URL with such a certificate.
fn fits(source: TlsSource, url: &EndpointUrl) -> Result<(), String> {
    let is_https = url.scheme == "https";
    match source {
        TlsSource::None => Ok(()),
        TlsSource::Dev | TlsSource::Files | TlsSource::Acme if !is_https => {
            Err("the sender calls http://, without TLS: expected `none`, or a public URL with https://".to_owned())
        }
        TlsSource::Acme if url.host().is_none_or(|host| !host.contains('.')) => {
            Err(format!("`acme` needs a public URL with a host name, such as https://hooks.example.com{}", url.path))
        }
        TlsSource::Dev | TlsSource::Files | TlsSource::Acme => Ok(()),
    }
}

/// A development certificate: the one that is there, such as that of `dev-certs`, or a new one.
fn development(arguments: &InitArguments, new: &mut NewContents) -> anyhow::Result<TlsAnswer> {
    if ![CERT, KEY].iter().all(|name| arguments.config.with_file_name(name).exists()) {
        let made = Certificates::generate()?;
        add(new, CA, PUBLIC, made.ca);
        add(new, CERT, PUBLIC, made.server);
        add(new, KEY, PRIVATE, made.server_key);
    }
    Ok(TlsAnswer::Dev { cert: CERT.to_owned(), key: KEY.to_owned() })
}
