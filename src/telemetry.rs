//! Log output: standard output, one JSON object or one line of text per event.
//!
//! A separate thread writes the lines, in batches if many wait. No request waits for it: while the output is not
//! read, lines are dropped and counted.

use std::io::{BufWriter, stdout};
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::metrics::{LINES, PANICS};
use crate::settings::LogFormat;

/// Maximum number of lines that wait to be written, of some hundred bytes each.
const WAITING: usize = 8192;

/// How long a process that exits waits until its last lines are written.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Flushes the log when it is dropped: earlier lines are written, if the output is read.
#[must_use = "lines that are not flushed may be lost when the process ends"]
pub struct Log(Option<WorkerGuard>);

impl Drop for Log {
    fn drop(&mut self) {
        let (written, waiting) = mpsc::channel();
        let guard = self.0.take();
        // In a separate thread, since the guard prints an error where it cannot write.
        std::thread::spawn(move || {
            drop(guard);
            // The receiver may have stopped waiting.
            let _ = written.send(());
        });
        let _ = waiting.recv_timeout(LAST_WORDS);
    }
}

/// Starts logging. `HOOKGATE_LOG` sets levels, such as `debug` or `hookgate::jwks=debug,info`.
///
/// A second call changes nothing: tests start several gateways in one process.
pub fn start(format: LogFormat) -> Log {
    let wanted = std::env::var("HOOKGATE_LOG").ok().filter(|wanted| !wanted.is_empty());
    let filter = EnvFilter::try_new(wanted.as_deref().unwrap_or("info")).unwrap_or_else(|error| {
        // The log has not started yet.
        eprintln!("HOOKGATE_LOG: {error}; using info");
        EnvFilter::new("info")
    });
    let thread = NonBlockingBuilder::default().buffered_lines_limit(WAITING).thread_name("log");
    let (writer, guard) = thread.finish(BufWriter::new(stdout()));
    let _already_counted = LINES.set(writer.error_counter());
    let builder = fmt().with_env_filter(filter).with_target(false).with_writer(writer);
    let _already_started = match format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
        LogFormat::Text => builder.with_ansi(false).try_init(),
    };
    Log(Some(guard))
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

    #[test]
    fn panics_are_counted() {
        count_panics();
        let before = PANICS.load(Ordering::Relaxed);
        assert!(std::thread::spawn(|| panic!("as it should")).join().is_err());
        // Other tests may panic at the same time.
        assert!(PANICS.load(Ordering::Relaxed) > before);
    }
}
