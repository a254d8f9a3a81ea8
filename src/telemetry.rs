//! Where log lines go: standard output, one JSON object or one line of text each.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::file::LogFormat;

/// Starts logging. `HOOKGATE_LOG` sets levels, such as `debug` or `hookgate::jwks=debug,info`.
///
/// A second call changes nothing: tests start several gateways in one process.
pub fn start(format: LogFormat) {
    let wanted = std::env::var("HOOKGATE_LOG").ok().filter(|wanted| !wanted.is_empty());
    let filter = EnvFilter::try_new(wanted.as_deref().unwrap_or("info")).unwrap_or_else(|error| {
        // There is no log yet to say it in.
        eprintln!("HOOKGATE_LOG: {error}; using info");
        EnvFilter::new("info")
    });
    let builder = fmt().with_env_filter(filter).with_target(false);
    let _already_started = match format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
        LogFormat::Text => builder.with_ansi(false).try_init(),
    };
}

/// An error with its causes, for a line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
