//! Variants of paths. Many applications ignore the case of a path and a slash at its end (Express and ASP.NET by
//! default): to them `/Webhook/` is `/webhook`. A request for a variant of a route's path that falls to a route with
//! weaker rules and the same upstream would run the protected handler without those rules.
//!
//! Finds such pairs of routes, for the table and for `check`.

use std::sync::Arc;

use icu_normalizer::ComposingNormalizerBorrowed;

use super::{PathMatch, PathTemplate, Route};

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
    let paths: Vec<PathMatch> = routes.iter().map(|route| fold_match(&route.matches.path)).collect();
    let mut found = Vec::new();
    for (weaker, mine) in routes.iter().zip(&paths) {
        let others = routes.iter().zip(&paths).filter(|(other, theirs)| {
            let is_same = Arc::ptr_eq(weaker, other);
            takes_variants(mine, theirs)
                && !is_same
                && weaker.upstream.shares_endpoint(&other.upstream)
                && weaker.is_weaker_than(other)
        });
        found.extend(others.map(|(stricter, _)| Bypass { weaker: Arc::clone(weaker), stricter: Arc::clone(stricter) }));
    }
    found
}

impl Bypass {
    /// Whether the weaker route has a weaker kind of authentication, or the same one with fewer requirements. If it only
    /// accepts other senders, as many routes beside each other do, this is false.
    pub fn is_by_weaker_authentication(&self) -> bool {
        let (mine, theirs) = (&self.weaker.rules.policy, &self.stricter.rules.policy);
        mine.strength() < theirs.strength() || mine.is_as_strict_as(theirs)
    }
}

impl Route {
    /// Whether the route forwards requests that the other one rejects: by another credential, without one of its
    /// requirements, or in a dry run.
    fn is_weaker_than(&self, other: &Self) -> bool {
        let (mine, theirs) = (&self.rules, &other.rules);
        let replay = |route: &Self| route.duplicates.as_ref().is_some_and(|rules| rules.replay.is_some());
        !mine.policy.is_as_strict_as(&theirs.policy)
            || theirs.timestamp.as_ref().is_some_and(|theirs| {
                mine.timestamp
                    .as_ref()
                    .is_none_or(|mine| mine.max_age > theirs.max_age || mine.max_future > theirs.max_future)
            })
            || (theirs.revocation.is_some() && mine.revocation.is_none())
            || (other.shared_revocation && !self.shared_revocation)
            || (other.allowed_ips.is_some() && self.allowed_ips != other.allowed_ips)
            || (replay(other) && !replay(self))
            || self.dry_run_until.is_some_and(|mine| other.dry_run_until.is_none_or(|theirs| theirs < mine))
    }
}

/// Whether a route with the folded path `mine` matches variants of `theirs`. One inside of the other is an exception from
/// it, and no bypass: a path inside of a prefix or a template, a template inside of a prefix.
fn takes_variants(mine: &PathMatch, theirs: &PathMatch) -> bool {
    let (wide, narrow) = (segments(mine), segments(theirs));
    let same = |count: usize| wide.iter().zip(&narrow).take(count).all(|(mine, theirs)| is_common(mine, theirs));
    match (mine, theirs) {
        (PathMatch::Exact(_), PathMatch::Exact(_)) => mine == theirs,
        (PathMatch::Exact(_), PathMatch::Template(_)) | (_, PathMatch::Prefix(_)) if !is_prefix(mine) => false,
        (_, PathMatch::Template(theirs)) if theirs.is_prefix && !is_prefix(mine) => false,
        _ if is_prefix(mine) => wide.len() <= narrow.len() && same(wide.len()),
        _ => wide.len() == narrow.len() && same(wide.len()),
    }
}

fn is_prefix(path: &PathMatch) -> bool {
    match path {
        PathMatch::Exact(_) => false,
        PathMatch::Template(template) => template.is_prefix,
        PathMatch::Prefix(_) => true,
    }
}

/// The segments of a path or prefix; `None` for that of the tenant.
fn segments(path: &PathMatch) -> Vec<Option<&str>> {
    match path {
        PathMatch::Exact(path) | PathMatch::Prefix(path) => split(path).collect(),
        PathMatch::Template(template) => split(&template.before).chain([None]).chain(split(&template.after)).collect(),
    }
}

fn split(text: &str) -> impl Iterator<Item = Option<&str>> {
    text.split('/').filter(|segment| !segment.is_empty()).map(Some)
}

fn is_common(one: &Option<&str>, other: &Option<&str>) -> bool {
    one == other || one.is_none() || other.is_none()
}

/// The path or prefix, folded.
pub(super) fn fold_match(path: &PathMatch) -> PathMatch {
    match path {
        PathMatch::Exact(path) => PathMatch::Exact(fold(path)),
        PathMatch::Prefix(prefix) => PathMatch::Prefix(fold(prefix) + "/"),
        PathMatch::Template(PathTemplate { before, after, is_prefix }) => {
            let end = if *is_prefix { "/" } else { "" };
            let (before, after) = (fold(before) + "/", fold(after) + end);
            PathMatch::Template(PathTemplate { before, after, is_prefix: *is_prefix })
        }
    }
}

/// A path without its final slash, in one case, and with compatibility characters (such as fullwidth letters) replaced
/// by the ordinary ones, as some applications do (Unicode NFKC).
pub(super) fn fold(path: &str) -> String {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_ascii() {
        return path.to_ascii_lowercase();
    }
    ComposingNormalizerBorrowed::new_nfkc().normalize(path).to_uppercase().to_lowercase()
}
