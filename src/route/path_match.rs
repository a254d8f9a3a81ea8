//! The paths that a route matches.

use super::template::PathTemplate;

/// How `path` is matched: percent-decoded, then byte by byte, case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathMatch {
    /// Exactly this path.
    Exact(String),
    /// `/hooks/{tenant}` or `/hooks/{tenant}/*`: paths that name a tenant.
    Template(PathTemplate),
    /// `/hooks/*`: every path that starts with `/hooks/`. The stored prefix ends in `/`.
    Prefix(String),
}

impl PathMatch {
    /// The path or the prefix; of a template the part before the tenant.
    pub fn text(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) => text,
            Self::Template(template) => &template.before,
        }
    }
}
