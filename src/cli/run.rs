//! `hookgate run`: runs the gateway until SIGTERM or SIGINT; SIGHUP reloads the configuration.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

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
}

pub(super) fn run(arguments: &RunArguments) -> anyhow::Result<()> {
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
    let running = app::start(Some(path), &config, Arc::new(SystemClock))?;
    runtime.block_on(async {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hang_up.recv() => {
                    running.reload();
                }
            }
        }
        // A second signal stops the gateway without waiting for the drain.
        let hurry = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        running.drain(hurry).await;
        Ok(())
    })
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
