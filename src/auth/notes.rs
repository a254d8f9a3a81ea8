//! What the decision looked at, for `hookgate explain`. Off on the request's path: no text is made then.

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What.
    pub check: &'static str,
    /// What was found; never a secret.
    pub found: String,
}

/// Notes in the order of the checks, if anybody wants them.
#[derive(Debug)]
pub struct Notes(Option<Vec<Note>>);

impl Notes {
    /// Nobody does.
    pub const fn off() -> Self {
        Self(None)
    }

    /// Somebody does.
    pub const fn on() -> Self {
        Self(Some(Vec::new()))
    }

    /// Adds one; `found` is called only if it is wanted.
    pub fn add(&mut self, check: &'static str, found: impl FnOnce() -> String) {
        if let Some(notes) = &mut self.0 {
            notes.push(Note { check, found: found() });
        }
    }

    /// All of them.
    pub fn into_vec(self) -> Vec<Note> {
        self.0.unwrap_or_default()
    }
}
