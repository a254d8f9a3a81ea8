//! Log output: standard output, one JSON object or one line of text per event.
//!
//! A separate thread writes the lines, in batches if many wait. No request waits for it: while the output is not
//! read, lines are dropped and counted, first those of unauthenticated clients.

mod line_rate;
mod queue;
mod text;

use std::io::{IsTerminal, stdout};
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};
use tracing_subscriber::fmt;

use crate::metrics::PANICS;
use crate::settings::LogFormat;
pub use line_rate::{may_log, report_suppressed};
use queue::LineQueue;
pub use queue::{QUEUE_BYTES, unauthenticated};
use text::TextLines;
pub use text::sentence as escaped;

/// How long a process that exits waits until its last lines are written.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Flushes the log when it is dropped: earlier lines are written, if the output is read.
#[must_use = "lines that are not flushed may be lost when the process ends"]
pub struct Log {
    queue: LineQueue,
    /// Disconnected when the last line is written.
    written: mpsc::Receiver<()>,
}

impl Drop for Log {
    fn drop(&mut self) {
        self.queue.close();
        let _ = self.written.recv_timeout(LAST_WORDS);
    }
}

/// Starts logging. `HOOKGATE_LOG` sets levels, such as `debug` or `hookgate::jwks=debug,info`.
///
/// A second call changes nothing: tests start several gateways in one process.
///
/// # Errors
/// The thread that writes could not be started.
pub fn start(format: LogFormat) -> std::io::Result<Log> {
    let wanted = std::env::var("HOOKGATE_LOG").ok().filter(|wanted| !wanted.is_empty());
    let filter = filter(wanted.as_deref().unwrap_or("info")).unwrap_or_else(|error| {
        // The log has not started yet.
        eprintln!("HOOKGATE_LOG: {error}; using info");
        EnvFilter::new("info")
    });
    let queue = LineQueue::default();
    let (end, written) = mpsc::channel();
    let lines = queue.clone();
    std::thread::Builder::new().name("log".to_owned()).spawn(move || {
        lines.write_to(stdout());
        drop(end);
    })?;
    let terminal = stdout().is_terminal();
    let is_text = match format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    // https://no-color.org
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = fmt().with_env_filter(filter).with_target(false).with_writer(queue.clone());
    let _already_started = if is_text {
        builder.event_format(TextLines { with_date: !terminal, colour }).try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).try_init()
    };
    Ok(Log { queue, written })
}

/// The filter of these directives. A level without a target is that of hookgate: the frames of HTTP/2 that the
/// libraries log at `debug` hide its own lines. Theirs is `info` at most, unless a directive names them.
fn filter(directives: &str) -> Result<EnvFilter, ParseError> {
    let directive = |directive: &str| match directive.trim().parse::<LevelFilter>() {
        Ok(level) => format!("{},hookgate={level}", level.min(LevelFilter::INFO)),
        Err(_) => directive.to_owned(),
    };
    EnvFilter::try_new(directives.split(',').map(directive).collect::<Vec<_>>().join(","))
}

/// Counts each panic and logs its location, in addition to Rust's own message. The task of the panic has ended, and the
/// runtime continues with the others.
pub fn count_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        tracing::error!(place = panic.location().map(ToString::to_string), "panic");
        before(panic);
    }));
}

/// An error and its causes in one line, separated by colons.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that are written at each level of `debug` and of more precise directives.
    #[test]
    fn a_level_is_that_of_hookgate_alone() {
        for (directives, expected) in [
            ("debug", "hookgate::jwks hookgate"),
            ("trace", "hookgate::jwks hookgate"),
            ("info", ""),
            ("debug,h2=debug", "hookgate::jwks hookgate h2::codec"),
            ("hookgate::jwks=debug,info", "hookgate::jwks"),
        ] {
            let subscriber = fmt().with_env_filter(filter(directives).unwrap()).finish();
            let written = tracing::subscriber::with_default(subscriber, || {
                let targets = [
                    ("hookgate::jwks", tracing::enabled!(target: "hookgate::jwks", tracing::Level::DEBUG)),
                    ("hookgate", tracing::enabled!(target: "hookgate", tracing::Level::DEBUG)),
                    ("h2::codec", tracing::enabled!(target: "h2::codec", tracing::Level::DEBUG)),
                ];
                let written = targets.into_iter().filter(|(_, enabled)| *enabled).map(|(target, _)| target);
                written.collect::<Vec<_>>().join(" ")
            });
            assert_eq!(written, expected, "{directives}");
        }
        assert!(filter("hookgate=loud").is_err());
    }

    #[test]
    fn panics_are_counted() {
        count_panics();
        let before = PANICS.load(Ordering::Relaxed);
        assert!(std::thread::spawn(|| panic!("as it should")).join().is_err());
        // Other tests may panic at the same time.
        assert!(PANICS.load(Ordering::Relaxed) > before);
    }
}
