//! Variants of paths. Many applications ignore the case of a path and a slash at its end (Express and ASP.NET by
//! default): to them `/Webhook/` is `/webhook`. A request for a variant of a route's path that falls to a route with
//! weaker rules and the same upstream would run the protected handler without those rules.
//!
//! Finds such pairs of routes, for the table and for `check`. Paths and hosts are compared as the upstream gets them: a
//! prefix that is stripped or added can lead to a path that another route protects.

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
    /// How their paths at the upstream are related.
    pub overlap: PathOverlap,
}

/// How the paths of a weaker route are related to those of a stricter one, at the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathOverlap {
    /// They include them, or are variants of them: the most specific route is meant, and requests for the stricter one are
    /// rejected.
    Includes,
    /// They are the same by a prefix that is stripped or added: no request shows which route is meant.
    Same,
    /// They are within them by such a prefix.
    Within,
}

/// Every pair of routes with the same upstream of which the weaker one matches variants of the other one's path.
pub fn bypasses(routes: &[Arc<Route>]) -> Vec<Bypass> {
    let paths: Vec<PathMatch> = routes.iter().map(|route| folded_at_upstream(route)).collect();
    let mut found = Vec::new();
    for (weaker, mine) in routes.iter().zip(&paths) {
        for (stricter, theirs) in routes.iter().zip(&paths) {
            let rewritten = weaker.upstream.path != stricter.upstream.path;
            let Some(overlap) = overlap(mine, theirs, rewritten) else { continue };
            let is_same = Arc::ptr_eq(weaker, stricter);
            if !is_same && weaker.upstream.shares_endpoint(&stricter.upstream) && weaker.is_weaker_than(stricter) {
                found.push(Bypass { weaker: Arc::clone(weaker), stricter: Arc::clone(stricter), overlap });
            }
        }
    }
    found
}

/// How folded paths are related; `None` if no path is among both, or only those of an exception: a route inside of the
/// other one's prefix is meant to have its own rules.
fn overlap(mine: &PathMatch, theirs: &PathMatch, rewritten: bool) -> Option<PathOverlap> {
    if rewritten && mine == theirs {
        return Some(PathOverlap::Same);
    }
    let is_within = !matches!(theirs, PathMatch::Exact(_)) && takes_variants(theirs, mine);
    match (takes_variants(mine, theirs), rewritten && is_within) {
        (true, _) => Some(PathOverlap::Includes),
        (false, true) => Some(PathOverlap::Within),
        (false, false) => None,
    }
}

/// Whether some path is among both folded ones.
pub(super) fn may_meet(one: &PathMatch, other: &PathMatch) -> bool {
    let (mine, theirs) = (segments(one), segments(other));
    let shorter = if mine.len() < theirs.len() { one } else { other };
    let fits = mine.len() == theirs.len() || is_prefix(shorter);
    fits && mine.iter().zip(&theirs).all(|(mine, theirs)| is_common(mine, theirs))
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

impl Bypass {
    /// Whether the weaker route has a weaker kind of authentication, or the same one with fewer requirements. If it only
    /// accepts other senders, as many routes beside each other do, this is false.
    pub fn is_by_weaker_authentication(&self) -> bool {
        let (mine, theirs) = (&self.weaker.rules.policy, &self.stricter.rules.policy);
        mine.strength() < theirs.strength() || mine.is_as_strict_as(theirs)
    }

    /// Whether the upstream may see the same host in requests of both.
    pub fn may_have_one_host(&self) -> bool {
        let (mine, theirs) = (self.weaker.host_at_upstream(), self.stricter.host_at_upstream());
        mine.is_none() || theirs.is_none() || mine == theirs
    }
}

impl Route {
    /// The host that the upstream sees, in lower case; `None` if any.
    pub(super) fn host_at_upstream(&self) -> Option<String> {
        self.upstream.host_seen().or_else(|| self.matches.host.clone())
    }

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

/// The paths at the upstream, folded, with a slash at their end.
pub(super) fn folded_at_upstream(route: &Route) -> PathMatch {
    let path = &route.matches.path;
    let with_slash = |path: &str| fold(path) + "/";
    match route.upstream.path.as_ref().map_or_else(|| path.clone(), |rewrite| rewrite.matched(path)) {
        PathMatch::Exact(path) => PathMatch::Exact(with_slash(&path)),
        PathMatch::Template(PathTemplate { before, after, is_prefix }) => {
            let after = if is_prefix { with_slash(&after) } else { fold(&after) };
            PathMatch::Template(PathTemplate { before: with_slash(&before), after, is_prefix })
        }
        PathMatch::Prefix(prefix) => PathMatch::Prefix(with_slash(&prefix)),
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
