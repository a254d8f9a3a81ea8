//! The path of a request as its upstream gets it, where a prefix is stripped or added.
//!
//! Routes that share an upstream are compared by these paths (see [`super::variants`]). A valid path stays valid: both
//! prefixes are valid, and are cut and joined between two segments.

use http::HeaderValue;
use http::uri::PathAndQuery;

use super::path::validate_path;
use super::path_match::PathMatch;
use super::template::PathTemplate;

/// The longest prefix, in bytes.
const MAX_PREFIX: usize = 1024;

/// A prefix of paths that ends with a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPrefix {
    text: String,
    decoded: String,
}

impl PathPrefix {
    /// `None` if the text is not a path, or ends in a slash.
    pub fn parse(text: &str) -> Option<Self> {
        let is_path = text.len() <= MAX_PREFIX && !text.contains('*') && PathAndQuery::try_from(text).is_ok();
        let decoded = validate_path(text).ok().filter(|_| is_path && !text.ends_with('/'))?;
        Some(Self { text: text.to_owned(), decoded: decoded.into_owned() })
    }

    /// Whether every path that matches begins with this prefix.
    pub fn contains(&self, path: &PathMatch) -> bool {
        path.text().strip_prefix(&self.decoded).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// `strip_prefix` and `path_prefix` of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRewrite {
    /// The number of segments that are stripped: percent-encodings give the same prefix many spellings.
    segments: usize,
    added: Option<PathPrefix>,
    /// The stripped prefix, for X-Forwarded-Prefix.
    pub stripped: Option<HeaderValue>,
}

impl PathRewrite {
    /// `None` if nothing is stripped or added. Every path of the route must begin with `strip`.
    pub fn new(strip: Option<PathPrefix>, added: Option<PathPrefix>) -> Option<Self> {
        let segments = strip.as_ref().map_or(0, |prefix| prefix.decoded.matches('/').count());
        let stripped = strip.and_then(|prefix| HeaderValue::from_str(&prefix.text).ok());
        (segments > 0 || added.is_some()).then_some(Self { segments, added, stripped })
    }

    /// The target that the upstream gets; `None` if it is too long.
    pub fn target(&self, received: &PathAndQuery) -> Option<PathAndQuery> {
        let mut target = self.apply(received.path(), |prefix| &prefix.text);
        if let Some(query) = received.query() {
            target.push('?');
            target.push_str(query);
        }
        PathAndQuery::try_from(target).ok()
    }

    /// The decoded path that the upstream gets.
    pub fn decoded(&self, path: &str) -> String {
        self.apply(path, |prefix| &prefix.decoded)
    }

    /// The paths that the upstream gets for all paths that match.
    pub fn matched(&self, path: &PathMatch) -> PathMatch {
        match path {
            PathMatch::Exact(path) => PathMatch::Exact(self.decoded(path)),
            PathMatch::Prefix(path) => PathMatch::Prefix(self.decoded(path)),
            PathMatch::Template(template) => {
                PathMatch::Template(PathTemplate { before: self.decoded(&template.before), ..template.clone() })
            }
        }
    }

    fn apply(&self, path: &str, text: impl Fn(&PathPrefix) -> &str) -> String {
        let next = |rest: &str| rest.char_indices().skip(1).find(|(_, letter)| *letter == '/').map(|(at, _)| at);
        let cut = |rest| next(rest).map_or("", |at| str::split_at(rest, at).1);
        let rest = (0..self.segments).fold(path, |rest, _| cut(rest));
        let path = self.added.as_ref().map_or("", text).to_owned() + rest;
        if path.is_empty() { "/".to_owned() } else { path }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Option<PathPrefix> {
        (!text.is_empty()).then(|| PathPrefix::parse(text).unwrap())
    }

    #[test]
    fn prefixes_are_stripped_and_added_between_segments() {
        for (strip, add, path, expected) in [
            ("/hooks", "", "/hooks/github", "/github"),
            ("/hooks", "", "/hooks", "/"),
            ("/hooks", "", "/hooks/", "/"),
            ("/hooks", "", "/hooks?a=/b", "/?a=/b"),
            ("/hooks", "", "/h%6foks/a%20b/", "/a%20b/"),
            ("/a/b", "", "/a/b/c", "/c"),
            ("", "/base", "/", "/base/"),
            ("", "/base", "/x?y", "/base/x?y"),
            ("/hooks", "/base", "/hooks", "/base"),
            ("/hooks", "/ba%20se/v1", "/hooks/x/y?z=1", "/ba%20se/v1/x/y?z=1"),
        ] {
            let rewrite = PathRewrite::new(prefix(strip), prefix(add)).unwrap();
            let target = rewrite.target(&path.parse().unwrap()).unwrap();
            assert_eq!(target.as_str(), expected, "{strip} {add} {path}");
            assert!(validate_path(target.path()).is_ok(), "{target}");
        }
        assert_eq!(PathRewrite::new(None, None), None);
        let rewrite = PathRewrite::new(prefix("/a"), prefix("/%62%20")).unwrap();
        assert_eq!(rewrite.matched(&PathMatch::Prefix("/a/".into())), PathMatch::Prefix("/b /".into()));
        assert_eq!(rewrite.matched(&PathMatch::Exact("/a".into())), PathMatch::Exact("/b ".into()));
    }

    #[test]
    fn a_prefix_is_a_path_without_final_slash() {
        for text in ["", "/", "a", "/a/", "/a//b", "/..", "/a/%2e", "/a?b", "/a#b", "/a%2Fb", "/a*", "/<", "http://a/b"]
        {
            assert_eq!(PathPrefix::parse(text), None, "{text}");
        }
        assert_eq!(PathPrefix::parse(&format!("/{}", "a".repeat(MAX_PREFIX))), None);
        let hooks = PathPrefix::parse("/h%6foks").unwrap();
        let exact = |text: &str| PathMatch::Exact(text.to_owned());
        let prefix = |text: &str| PathMatch::Prefix(text.to_owned());
        assert!(
            hooks.contains(&exact("/hooks"))
                && hooks.contains(&prefix("/hooks/"))
                && hooks.contains(&exact("/hooks/a"))
        );
        assert!(!hooks.contains(&exact("/hooksa")) && !hooks.contains(&prefix("/")) && !hooks.contains(&exact("/")));
    }

    proptest::proptest! {
        /// For any prefixes and any valid path: the result is valid, and is read like the decoded path.
        #[test]
        fn what_a_valid_path_becomes_is_valid(strip in "(/[ab]){0,2}", add in "(/[ab%20]{1,2}){0,2}", rest in "(/[ab.%41]{1,3}){0,3}/?") {
            let path = strip.clone() + &rest;
            let added = if add.is_empty() { None } else { PathPrefix::parse(&add) };
            if let (Ok(decoded), Some(rewrite)) = (validate_path(&path), PathRewrite::new(prefix(&strip), added)) {
                let target = rewrite.target(&path.parse().unwrap()).unwrap();
                proptest::prop_assert_eq!(validate_path(target.path()).unwrap(), rewrite.decoded(&decoded));
            }
        }
    }
}
