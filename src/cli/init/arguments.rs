//! The arguments of `hookgate init`.

use std::path::PathBuf;

/// Arguments of `hookgate init`.
#[derive(Debug, clap::Args)]
pub struct InitArguments {
    /// Preset of the webhook provider, as `hookgate presets` lists them
    #[arg(long, value_name = "NAME", conflicts_with = "issuer")]
    pub(super) preset: Option<String>,
    /// Parameter of the preset; may be repeated, also for one that is a list
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    pub(super) parameters: Vec<String>,
    /// Issuer of JSON Web Tokens: its `iss`, or `dev` for a development issuer whose key is generated
    #[arg(long, value_name = "ISS")]
    pub(super) issuer: Option<String>,
    /// Key set of the issuer, a URL or a file, or its public key, a file in PEM form [default: found by the issuer's
    /// discovery document]
    #[arg(long, value_name = "URL_OR_FILE", requires = "issuer")]
    pub(super) jwks: Option<String>,
    /// Claim that tokens must have; VALUE may be JSON; may be repeated
    #[arg(long = "claim", value_name = "NAME=VALUE", requires = "issuer")]
    pub(super) claims: Vec<String>,
    /// Audience of the tokens, their `aud` [default: the public URL]
    #[arg(long, value_name = "AUD")]
    pub(super) audience: Option<String>,
    /// Algorithm of the tokens [default: that of the first key in a file, or RS256]
    #[arg(long)]
    pub(super) algorithm: Option<String>,
    /// URL that the sender calls, such as https://hooks.example.com/stripe
    #[arg(long, value_name = "URL")]
    pub(super) public_url: Option<String>,
    /// URL of the application, such as http://127.0.0.1:8000; requests keep their path
    #[arg(long, value_name = "URL")]
    pub(super) upstream: Option<String>,
    /// Address of the listener [default: the port of the public URL or 8443, on 0.0.0.0, or on 127.0.0.1 with --tls dev;
    /// 0.0.0.0:443 with --tls acme, 127.0.0.1:8080 with --tls none]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Option<String>,
    /// Source of the server certificate
    #[arg(long, value_enum, value_name = "SOURCE")]
    pub(super) tls: Option<TlsSource>,
    /// PEM file with the server certificate and its chain, for --tls files
    #[arg(long, value_name = "FILE", requires = "private_key")]
    pub(super) cert: Option<PathBuf>,
    /// PEM file with the private key of the certificate, for --tls files
    #[arg(long = "key", value_name = "FILE", requires = "cert")]
    pub(super) private_key: Option<PathBuf>,
    /// Agree to the terms of service of Let's Encrypt, for --tls acme
    #[arg(long)]
    pub(super) agree_tos: bool,
    /// File with the secret or public key that the preset needs, which the configuration then names; `-` reads a secret from
    /// standard input, and stores it
    #[arg(long, value_name = "FILE", conflicts_with = "generate_secret")]
    pub(super) secret_file: Option<PathBuf>,
    /// Generate the secret: for a provider that lets you choose it, or to try the gateway before you have it
    #[arg(long)]
    pub(super) generate_secret: bool,
    /// Key id of the secret, for a preset whose requests name it
    #[arg(long, value_name = "ID")]
    pub(super) key_id: Option<String>,
    /// Whether a copy of a request is rejected [default: on where the requests have a replay id]
    #[arg(long, value_enum, value_name = "SWITCH")]
    pub(super) replay_protection: Option<ReplaySwitch>,
    /// Configuration file to write; secrets and certificates are written next to it
    #[arg(short, long, value_name = "CONFIG", default_value = "gateway.yaml")]
    pub(super) config: PathBuf,
    /// Print the configuration and write nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// The source of the server certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum TlsSource {
    /// A development certificate for localhost, generated as by `dev-certs`
    Dev,
    /// PEM files
    Files,
    /// Obtained and renewed by ACME from Let's Encrypt, which must reach port 443 of the public URL's host
    Acme,
    /// None: a proxy in front of hookgate terminates TLS
    None,
}

/// Whether a copy of a request is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ReplaySwitch {
    /// A copy is rejected
    On,
    /// A copy is forwarded
    Off,
}

/// Arguments that make no valid configuration, or too few of them.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(in crate::cli) struct IncompleteArguments(pub(super) String);
