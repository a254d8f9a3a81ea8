//! Acceptance runs of replay protection: gateways as processes of their own, stores that die, apps that misbehave, and a
//! ledger of what each id went through. Small by default; `HOOKGATE_FULL=1` runs them in their full size.

mod app;
mod killed;
mod leaving;
mod ledger;
pub mod process;
pub mod redis;
mod sender;
mod shared;
mod unruly;

/// The one that was asked for.
fn size(small: usize, full: usize) -> usize {
    if std::env::var("HOOKGATE_FULL").is_ok_and(|full| full == "1") { full } else { small }
}
