//! Where log lines go: standard output, one JSON object or one line of text each.

use std::sync::atomic::Ordering;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::file::LogFormat;
use crate::metrics::PANICS;

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

/// Counts each panic and logs where it was, beside what Rust itself says of it. Its task has ended, and the runtime goes on
/// with the others.
pub fn count_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        tracing::error!(place = panic.location().map(ToString::to_string), "panic");
        before(panic);
    }));
}

/// An error with its causes, for a line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_are_counted() {
        count_panics();
        let before = PANICS.load(Ordering::Relaxed);
        assert!(std::thread::spawn(|| panic!("as it should")).join().is_err());
        // Tests beside this one may panic too.
        assert!(PANICS.load(Ordering::Relaxed) > before);
    }
}
