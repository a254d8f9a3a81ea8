//! The arguments of `hookgate audit`.

use std::path::PathBuf;

use super::super::arguments::OutputFormat;
use super::catalogue::Severity;

/// Arguments of `hookgate audit`.
#[derive(Debug, clap::Args)]
pub struct AuditArguments {
    /// URL of the webhook endpoint
    pub(super) url: String,
    /// Confirm that the endpoint is yours, or that its owner has allowed this audit
    #[arg(long, required = true)]
    pub(super) i_own_this: bool,
    /// Send requests with a valid credential too: the application may carry out their events
    #[arg(long)]
    pub(super) allow_side_effects: bool,
    /// Allow an address that is not public, such as localhost
    #[arg(long)]
    pub(super) allow_private_address: bool,
    /// A captured request that the endpoint accepts: an HTTP/1.1 message, a HAR file, or the output of curl -v with --body
    #[arg(long, value_name = "FILE", conflicts_with_all = ["preset", "config"])]
    pub(super) request: Option<PathBuf>,
    /// Sign as this provider does; `hookgate presets` lists them
    #[arg(long, conflicts_with = "config")]
    pub(super) preset: Option<String>,
    /// File with the secret of the preset
    #[arg(long, value_name = "FILE", requires = "preset")]
    pub(super) secret: Option<PathBuf>,
    /// Environment variable with the secret of the preset
    #[arg(long, value_name = "NAME", requires = "preset", conflicts_with = "secret")]
    pub(super) secret_env: Option<String>,
    /// Sign as the sender of a route in this configuration does
    #[arg(short, long)]
    pub(super) config: Option<PathBuf>,
    /// Name of the route; required if there are several
    #[arg(long, requires = "config")]
    pub(super) route: Option<String>,
    /// File with the sender's private key in PEM form, for a route with tokens
    #[arg(long, default_value = "certs/issuer.key")]
    pub(super) key: PathBuf,
    /// Key ID [default: that of the first key in KEY.jwks.json next to KEY.key, if the file exists]
    #[arg(long)]
    pub(super) kid: Option<String>,
    /// File with the body of the event that is sent: the most harmless one. Its id is renewed for each event; a JSON object without one gets the member audit_id
    #[arg(long, value_name = "FILE")]
    pub(super) body: Option<PathBuf>,
    /// Header to add to each request; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub(super) headers: Vec<String>,
    /// URL of the application itself, which must not be reachable from here
    #[arg(long, value_name = "URL")]
    pub(super) upstream_direct: Option<String>,
    /// File with the CA certificates to trust [default: the public ones]
    #[arg(long)]
    pub(super) cacert: Option<PathBuf>,
    /// Compare the time of rejections too, by this many requests of each of two kinds; needs the secret
    #[arg(long, value_name = "SAMPLES", value_parser = clap::value_parser!(u32).range(100..=100_000))]
    pub(super) timing: Option<u32>,
    /// Requests a second
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) rate: u32,
    /// Seconds to wait for a response
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub(super) timeout: u64,
    /// Omit the header hookgate-audit, which marks each request
    #[arg(long)]
    pub(super) no_marker: bool,
    /// Print the requests that would be sent, and send none
    #[arg(long)]
    pub(super) plan: bool,
    /// Output format on standard output
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub(super) format: OutputFormat,
    /// Write the report as SARIF 2.1.0, for code scanning
    #[arg(long, value_name = "FILE")]
    pub(super) sarif: Option<PathBuf>,
    /// Write the report as one HTML page
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// Write the report as JSON, which is also the format of a baseline
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Accept the findings of this earlier report
    #[arg(long, value_name = "FILE")]
    pub(super) baseline: Option<PathBuf>,
    /// Lowest severity of a finding for which the exit code is 2
    #[arg(long, value_enum, default_value_t = Severity::Low)]
    pub(super) fail_on: Severity,
}
