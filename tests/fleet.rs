//! Acceptance runs of replay protection: gateways in separate processes, stores that are killed, upstreams that fail,
//! and a ledger with the history of each id. Small by default; `HOOKGATE_FULL=1` runs them in their full size.

mod app;
mod killed;
mod leaving;
mod ledger;
mod losses;
pub mod process;
pub mod redis;
mod sender;
mod shared;
mod unruly;

/// The size of this run: `full` with `HOOKGATE_FULL=1`, otherwise `small`.
fn size(small: usize, full: usize) -> usize {
    if std::env::var("HOOKGATE_FULL").is_ok_and(|full| full == "1") { full } else { small }
}
