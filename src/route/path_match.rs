//! The paths that a route matches.

/// How `path` is matched: percent-decoded, then byte by byte, case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathMatch {
    /// Exactly this path.
    Exact(String),
    /// `/hooks/*`: every path that starts with `/hooks/`. The stored prefix ends in `/`.
    Prefix(String),
}

impl PathMatch {
    /// The path or the prefix.
    pub fn text(&self) -> &str {
        let (Self::Exact(text) | Self::Prefix(text)) = self;
        text
    }
}
