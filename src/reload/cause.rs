//! What starts a reload: it determines whether a problem that was logged before is logged again.

/// Why the configuration is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The operator requested it: SIGHUP.
    Asked,
    /// A file may have changed.
    Noticed,
}
