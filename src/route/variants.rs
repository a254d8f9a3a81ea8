//! Variants of paths. Many applications ignore the case of a path and a slash at its end (Express and ASP.NET by
//! default): to them `/Webhook/` is `/webhook`. A request for a variant of a route's path that falls to a route with
//! weaker rules and the same upstream would run the protected handler without those rules.
//!
//! The table of variants exists only where such a pair of routes does, and is read only for requests of the weaker one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use http::Method;
use icu_normalizer::ComposingNormalizerBorrowed;

use super::{HostIndex, Match, PathMatch, Route};

/// A route that could be used to bypass another one.
#[derive(Clone, Debug)]
pub struct Bypass {
    /// The route with weaker rules.
    pub weaker: Arc<Route>,
    /// The route with stricter rules, the variants of whose path the weaker one matches.
    pub stricter: Arc<Route>,
}

/// Every pair of routes with the same upstream of which the weaker one matches variants of the other one's path.
pub fn bypasses(routes: &[Arc<Route>]) -> Vec<Bypass> {
    let mut found = Vec::new();
    for weaker in routes {
        let others = routes.iter().filter(|other| {
            weaker.matches.takes_variants_of(&other.matches)
                && weaker.upstream.shares_endpoint(&other.upstream)
                && weaker.is_weaker_than(other)
        });
        found.extend(others.map(|stricter| Bypass { weaker: Arc::clone(weaker), stricter: Arc::clone(stricter) }));
    }
    found
}

impl Route {
    /// Whether the route forwards requests that the other one rejects: by another credential, without one of its
    /// requirements, or in a dry run.
    fn is_weaker_than(&self, other: &Self) -> bool {
        let (mine, theirs) = (&self.rules, &other.rules);
        let replay = |route: &Self| route.duplicates.as_ref().is_some_and(|rules| rules.replay.is_some());
        !mine.policy.is_as_strict_as(&theirs.policy)
            || (theirs.timestamp.is_some() && mine.timestamp.is_none())
            || (theirs.revocation.is_some() && mine.revocation.is_none())
            || (other.shared_revocation && !self.shared_revocation)
            || (other.allowed_ips.is_some() && self.allowed_ips != other.allowed_ips)
            || (replay(other) && !replay(self))
            || self.dry_run_until.is_some_and(|mine| other.dry_run_until.is_none_or(|theirs| theirs < mine))
    }
}

impl Match {
    /// Whether it matches a variant of a path that the other one matches. A route inside of the other one's prefix is
    /// an exception from it, and no bypass.
    fn takes_variants_of(&self, other: &Self) -> bool {
        let theirs = match &other.path {
            PathMatch::Exact(path) => fold(path) + "/",
            PathMatch::Prefix(prefix) => fold(prefix) + "/",
        };
        match (&self.path, &other.path) {
            (PathMatch::Exact(path), PathMatch::Exact(_)) => fold(path) + "/" == theirs,
            (PathMatch::Exact(_), PathMatch::Prefix(_)) => false,
            (PathMatch::Prefix(prefix), _) => theirs.starts_with(&(fold(prefix) + "/")),
        }
    }
}

/// The routes by their folded paths, and which of them could be bypassed by which.
#[derive(Debug)]
pub(super) struct Variants {
    index: HostIndex,
    /// Weaker route → stricter routes.
    stricter: HashMap<Arc<str>, HashSet<Arc<str>>>,
}

impl Variants {
    /// `None` if no route could be bypassed by another one.
    pub(super) fn new(routes: &[Arc<Route>]) -> Option<Self> {
        let mut stricter: HashMap<Arc<str>, HashSet<Arc<str>>> = HashMap::new();
        for bypass in bypasses(routes) {
            stricter.entry(bypass.weaker.name.clone()).or_default().insert(bypass.stricter.name.clone());
        }
        if stricter.is_empty() {
            return None;
        }
        let mut index = HostIndex::default();
        for route in routes {
            let path = match &route.matches.path {
                PathMatch::Exact(path) => PathMatch::Exact(fold(path)),
                PathMatch::Prefix(prefix) => PathMatch::Prefix(fold(prefix) + "/"),
            };
            index.paths(route).at(&path).push(Arc::clone(route));
        }
        Some(Self { index, stricter })
    }

    /// Whether a request for this route has a variant of the path of a stricter one. The most specific match counts:
    /// a route that names the path in any spelling is meant for it. If its methods do not match, the path itself would
    /// be rejected, and so are its variants.
    pub(super) fn is_bypass(&self, route: &Route, host: &str, path: &str, method: &Method) -> bool {
        let Some(stricter) = self.stricter.get(&route.name) else { return false };
        let folded = fold(path);
        let Some(meant) = self.index.find(host, &folded, &(folded.clone() + "/")) else { return false };
        let any_takes = meant.iter().any(|other| other.matches.takes(method));
        let mut meant = meant.iter().filter(|other| !any_takes || other.matches.takes(method));
        meant.any(|other| stricter.contains(&other.name))
    }
}

/// A path without its final slash, in one case, and with compatibility characters (such as fullwidth letters) replaced
/// by the ordinary ones, as some applications do (Unicode NFKC).
fn fold(path: &str) -> String {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_ascii() {
        return path.to_ascii_lowercase();
    }
    ComposingNormalizerBorrowed::new_nfkc().normalize(path).to_uppercase().to_lowercase()
}
