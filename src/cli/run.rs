//! `hookgate run`: runs the gateway until SIGTERM or SIGINT; SIGHUP reloads the configuration. A second signal always ends
//! it.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::DumpableBehavior;
use tokio::signal::unix::{SignalKind, signal};

use super::arguments::ConfigArgument;
use crate::app::memory::{memory_terms, memory_warning, process_limit};
use crate::clock::SystemClock;
use crate::{app, config, telemetry};

/// Arguments of `hookgate run`.
#[derive(Debug, clap::Args)]
pub struct RunArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Allow core dumps of the process, and debuggers and profilers of the same user; they show its secrets
    #[arg(long)]
    allow_core_dumps: bool,
}

pub(super) fn run(arguments: &RunArguments) -> anyhow::Result<()> {
    if !arguments.allow_core_dumps {
        protect_memory();
    }
    decline_huge_pages();
    let path = arguments.config.path();
    let config = config::load(&path, &config::Handles::default())?;
    let _log = telemetry::start(config.process.log_format)?;
    telemetry::count_panics();
    raise_file_limit();
    if let Some(warning) = memory_warning(&memory_terms(&config), process_limit()) {
        tracing::warn!(warning, "configuration");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.spawn(give_memory_back());
    // Handlers are installed before anything is served, so that no signal has its default effect.
    let context = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    drop(context);
    // Not in async code, where a start that fails could not drop the runtimes that it has made.
    let running =
        app::start(Some(path.clone()), &config, Arc::new(SystemClock)).map_err(|error| placed(error, &path))?;
    runtime.block_on(async {
        let mut reload = None;
        let interrupted = loop {
            tokio::select! {
                _ = terminate.recv() => break false,
                _ = interrupt.recv() => break true,
                _ = hang_up.recv() => match &reload {
                    Some(unfinished) if !JoinHandle::is_finished(unfinished) => {
                        tracing::warn!("the last reload still reads its files");
                    }
                    _ => reload = Some(running.reload_in_background()?),
                },
            }
        };
        // A second signal stops the gateway without waiting for the drain.
        let hurry = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            exit_soon();
        };
        if interrupted {
            running.interrupt(hurry).await
        } else {
            running.drain(hurry).await
        };
        Ok(())
    })
}

/// An address on which the gateway cannot listen, with its place in gateway.yaml.
fn placed(error: app::StartError, path: &Path) -> anyhow::Error {
    let position = match &error {
        app::StartError::Listen(error) => config::sources::position_of(path, &error.field),
        app::StartError::Thread(_)
        | app::StartError::Store(_)
        | app::StartError::NoEntropy
        | app::StartError::Metrics(_) => None,
    };
    match position {
        Some(at) => anyhow::anyhow!("{}:{}:{}: {error}", path.display(), at.line, at.column),
        None => error.into(),
    }
}

/// How long a second signal waits for the threads, which abort their requests.
const ABORT: Duration = Duration::from_secs(3);

/// Ends the process even if one of its threads does not end.
fn exit_soon() {
    let end = || {
        std::thread::sleep(ABORT);
        std::process::exit(1);
    };
    if std::thread::Builder::new().spawn(end).is_err() {
        std::process::exit(1);
    }
}

/// Disables core dumps, and keeps other processes of the same user from reading the memory (ptrace, /proc/PID/mem): it
/// contains secrets and private keys. Root can still do both, and the process can read its own /proc/self.
fn protect_memory() {
    // Lowering a limit is always allowed, and Linux has had this prctl since 2.4.
    let _ = rlimit::Resource::CORE.set(0, 0);
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Disables transparent huge pages: the kernel would map 2 MiB where the allocator touches a few KiB. That was a third
/// of the memory of idle connections when measured.
fn decline_huge_pages() {
    // Older kernels do not support this call and keep huge pages.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Makes the allocator return freed memory to the system. mimalloc keeps freed memory for a second, and checks which
/// memory is due only when another of its pages becomes free: the memory of a burst of connections would stay until the
/// next burst. A block of 1 MiB has a page of its own.
async fn give_memory_back() {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(black_box(Vec::<u8>::with_capacity(1 << 20)));
    }
}

/// Raises the soft limit of open files to the hard limit, since each client connection and each upstream connection is
/// an open file.
fn raise_file_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(open_files) => tracing::info!(open_files, "raised the open files limit"),
        Err(error) => tracing::warn!(%error, "cannot raise the open files limit"),
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::dumpable_behavior;

    use super::*;

    #[test]
    fn memory_is_protected() {
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::Dumpable);
        protect_memory();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert_eq!(rlimit::Resource::CORE.get().unwrap(), (0, 0));
        // The process can still read its own files, of which the metrics of the process are made.
        assert!(std::fs::read_dir("/proc/self/fd").unwrap().count() > 0);
        assert!(std::fs::read_to_string("/proc/self/limits").unwrap().contains("Max open files"));
        rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable).unwrap();
    }
}
