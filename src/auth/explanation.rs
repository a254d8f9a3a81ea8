//! A record of the decision's checks, for `hookgate explain`. It is off while requests are served: no text is formatted
//! then.

/// One check and its finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The name of the check.
    pub check: &'static str,
    /// The finding; it never contains a secret.
    pub found: String,
}

/// Notes in the order of the checks, if recording is on.
#[derive(Debug)]
pub struct Explanation(Option<Vec<Note>>);

impl Explanation {
    /// Recording is off.
    pub const fn off() -> Self {
        Self(None)
    }

    /// Recording is on.
    pub const fn on() -> Self {
        Self(Some(Vec::new()))
    }

    /// Adds a note; `found` is called only if recording is on.
    pub fn add(&mut self, check: &'static str, found: impl FnOnce() -> String) {
        if let Some(explanation) = &mut self.0 {
            explanation.push(Note { check, found: found() });
        }
    }

    /// All notes; empty if recording was off.
    pub fn into_vec(self) -> Vec<Note> {
        self.0.unwrap_or_default()
    }
}
