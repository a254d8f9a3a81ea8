//! What starts a reload: where the operator did not request it, a configuration that was rejected before is not
//! compiled and logged again.

/// Why the configuration is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The operator requested it: SIGHUP.
    Asked,
    /// A file may have changed.
    Noticed,
}
