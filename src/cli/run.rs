//! `hookgate run`: the gateway under the signals of its supervisor.

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::clock::SystemClock;
use crate::{app, config, telemetry};

/// `hookgate run`
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration
    #[arg(long, default_value = "gateway.yaml")]
    config: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    decline_huge_pages();
    let config = config::load(&arguments.config, &config::Handles::default())?;
    let _log = telemetry::start(config.process.log_format);
    telemetry::count_panics();
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::spawn(give_memory_back());
        // Before anything is served, so that no signal ever meets its default.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let gateway = app::start(Some(arguments.config.clone()), &config, Arc::new(SystemClock))?;
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hang_up.recv() => {
                    gateway.reload();
                }
            }
        }
        // A second signal means: now.
        let hurry = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        gateway.drain(hurry).await;
        Ok(())
    })
}

/// The kernel would give 2 MiB where the allocator touches a few KiB: a third of what idle connections take, measured.
fn decline_huge_pages() {
    // An older kernel gives them all the same.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// The allocator keeps what was freed for a second, and looks what is due only when another of its pages becomes free: what
/// a burst of connections has left would stay until the next one. A block of this size is a page of its own.
async fn give_memory_back() {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(black_box(Vec::<u8>::with_capacity(1 << 20)));
    }
}

/// A connection and its way to the app are two open files; the hard limit is what the operator meant.
fn raise_file_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(open_files) => tracing::info!(open_files, "limit of open files"),
        Err(error) => tracing::warn!(%error, "could not raise the limit of open files"),
    }
}
