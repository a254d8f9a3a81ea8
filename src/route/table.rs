//! The routes by host, path and method. If a route could be used to bypass another one (see [`bypasses`]), a second index
//! has the routes by their folded paths at the upstream, and is read only for requests of that weaker route.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use http::Method;

use super::variants::{PathOverlap, bypasses, fold, folded_at_upstream, may_meet};
use super::{PathMatch, PathTemplate, Route};

/// Why no route matches a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unrouted {
    /// No route matches the host and path.
    NoRoute,
    /// A route matches the host and path, but not the method; lists the allowed methods (for the header `Allow`).
    MethodNotAllowed(Vec<Method>),
    /// A route matches, but an upstream could read the path as that of a route with stricter rules.
    Ambiguous,
}

/// The names of two routes that match the same request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap(pub Arc<str>, pub Arc<str>);

/// All routes, indexed for lookup.
#[derive(Debug, Default)]
pub struct RoutingTable {
    index: HostIndex,
    /// `None` where no route could be bypassed by another one.
    variants: Option<Box<Variants>>,
}

/// Routes by host and path.
#[derive(Debug, Default)]
struct HostIndex {
    hosts: HashMap<String, Paths>,
    any: Paths,
}

/// The routes of one host: exact paths first, then paths that name a tenant, then the longest prefix.
#[derive(Debug, Default)]
struct Paths {
    exact: HashMap<String, Vec<Arc<Route>>>,
    templates: Vec<(PathTemplate, Vec<Arc<Route>>)>,
    prefixes: Vec<(String, Vec<Arc<Route>>)>,
}

impl RoutingTable {
    /// Builds the table.
    ///
    /// # Errors
    /// Every pair of routes with the same host and path and a method in common.
    pub fn new(routes: Vec<Arc<Route>>) -> Result<Self, Vec<Overlap>> {
        let variants = Variants::new(&routes).map(Box::new);
        let mut index = HostIndex::default();
        let mut overlaps = Vec::new();
        for route in routes {
            let same = index.paths(route.matches.host.as_deref()).at(&route.matches.path);
            let others = same.iter().filter(|other| other.matches.shares_method(&route.matches));
            overlaps.extend(others.map(|other| Overlap(other.name.clone(), route.name.clone())));
            same.push(route);
        }
        if overlaps.is_empty() { Ok(Self { index, variants }) } else { Err(overlaps) }
    }

    /// All routes.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        let paths = self.index.hosts.values().chain([&self.index.any]);
        paths.flat_map(|paths| {
            let templates = paths.templates.iter().flat_map(|(_, routes)| routes);
            let prefixes = paths.prefixes.iter().flat_map(|(_, routes)| routes);
            paths.exact.values().flatten().chain(templates).chain(prefixes)
        })
    }

    /// Whether a route has this host, or any host. `host` as for [`Self::find`].
    pub fn has_host(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        !self.index.any.is_empty() || self.index.hosts.contains_key(&host)
    }

    /// The route for a request, by its path as [`validate_path`](super::validate_path) decodes it. `host` has no port; it is compared
    /// case-insensitively and without a final dot.
    ///
    /// # Errors
    /// [`Unrouted`]. If a path matches and its methods do not, no wider route is tried: the narrow one was written to
    /// protect that path. A route also protects the variants of its paths.
    pub fn find(&self, host: &str, path: &str, method: &Method) -> Result<&Arc<Route>, Unrouted> {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let candidates = self.index.find(&host, path, path).ok_or(Unrouted::NoRoute)?;
        let found = candidates.iter().find(|route| route.matches.takes(method)).ok_or_else(|| allowed(candidates))?;
        let is_bypass = self.variants.as_ref().is_some_and(|variants| variants.is_bypass(found, &host, path, method));
        if is_bypass { Err(Unrouted::Ambiguous) } else { Ok(found) }
    }
}

impl HostIndex {
    /// The routes with this host.
    fn paths(&mut self, host: Option<&str>) -> &mut Paths {
        match host {
            Some(host) => self.hosts.entry(host.to_owned()).or_default(),
            None => &mut self.any,
        }
    }

    /// The routes of the most specific match: `exact` is compared with whole paths, `text` with prefixes.
    fn find(&self, host: &str, exact: &str, text: &str) -> Option<&[Arc<Route>]> {
        self.hosts.get(host).and_then(|paths| paths.find(exact, text)).or_else(|| self.any.find(exact, text))
    }
}

impl Paths {
    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.templates.is_empty() && self.prefixes.is_empty()
    }

    /// The routes at this path.
    fn at(&mut self, path: &PathMatch) -> &mut Vec<Arc<Route>> {
        match path {
            PathMatch::Exact(path) => self.exact.entry(path.clone()).or_default(),
            PathMatch::Template(template) => self.template(template),
            PathMatch::Prefix(prefix) => self.prefix(prefix),
        }
    }

    /// The routes of this template, in the order of precedence.
    fn template(&mut self, template: &PathTemplate) -> &mut Vec<Arc<Route>> {
        let at = self.templates.partition_point(|(other, _)| other.precedence() < template.precedence());
        if self.templates.get(at).is_none_or(|(other, _)| other != template) {
            self.templates.insert(at, (template.clone(), Vec::new()));
        }
        #[expect(clippy::indexing_slicing, reason = "the entry was found or inserted just above")]
        &mut self.templates[at].1
    }

    /// The routes of this prefix; longer prefixes come first.
    fn prefix(&mut self, prefix: &str) -> &mut Vec<Arc<Route>> {
        let at = self.prefixes.partition_point(|(other, _)| (other.len(), other.as_str()) > (prefix.len(), prefix));
        if self.prefixes.get(at).is_none_or(|(other, _)| other != prefix) {
            self.prefixes.insert(at, (prefix.to_owned(), Vec::new()));
        }
        // `insert` above made sure that the entry is there.
        #[expect(clippy::indexing_slicing, reason = "the entry was found or inserted just above")]
        &mut self.prefixes[at].1
    }

    fn find(&self, exact: &str, text: &str) -> Option<&[Arc<Route>]> {
        let named = || {
            let text = |template: &PathTemplate| if template.is_prefix { text } else { exact };
            self.templates.iter().find(|(template, _)| template.tenant(text(template)).is_some())
        };
        let routes = self.exact.get(exact).or_else(|| named().map(|(_, routes)| routes));
        let routes = routes.or_else(|| {
            let (_, routes) = self.prefixes.iter().find(|(prefix, _)| text.starts_with(prefix))?;
            Some(routes)
        });
        routes.map(Vec::as_slice)
    }
}

/// The routes that could be used to bypass others.
#[derive(Debug)]
struct Variants(HashMap<Arc<str>, Guarded>);

/// The routes that a weaker route could bypass.
#[derive(Debug, Default)]
struct Guarded {
    /// The routes whose paths at the upstream are among those of the weaker route, itself included, by their folded paths
    /// and hosts as the upstream gets them.
    index: HostIndex,
    stricter: HashSet<Arc<str>>,
}

impl Variants {
    /// `None` if no route could be bypassed by another one.
    fn new(routes: &[Arc<Route>]) -> Option<Self> {
        let mut weaker: HashMap<Arc<str>, Guarded> = HashMap::new();
        // `check` reports those that only two prefixes lead to the same paths: the requests of both would be rejected.
        for bypass in bypasses(routes).into_iter().filter(|bypass| bypass.overlap == PathOverlap::Includes) {
            let guarded = weaker.entry(bypass.weaker.name.clone()).or_default();
            guarded.stricter.insert(bypass.stricter.name.clone());
        }
        if weaker.is_empty() {
            return None;
        }
        let paths: Vec<_> = routes.iter().map(|route| (route, folded_at_upstream(route))).collect();
        for (route, mine) in &paths {
            let Some(guarded) = weaker.get_mut(&route.name) else { continue };
            for (other, theirs) in paths.iter().filter(|(_, theirs)| may_meet(mine, theirs)) {
                if route.upstream.shares_endpoint(&other.upstream) {
                    let Some(host) = indexed_host(route, other) else { continue };
                    let path = match theirs {
                        // The folded path of a request has no slash at its end.
                        PathMatch::Exact(path) => &PathMatch::Exact(fold(path)),
                        PathMatch::Prefix(_) | PathMatch::Template(_) => theirs,
                    };
                    guarded.index.paths(host.as_deref()).at(path).push(Arc::clone(other));
                }
            }
        }
        Some(Self(weaker))
    }

    /// Whether a request for this route has a variant of the path of a stricter one. The most specific match counts:
    /// a route that names the path in any spelling is meant for it. If its methods do not match, the path itself would
    /// be rejected, and so are its variants.
    fn is_bypass(&self, route: &Route, host: &str, path: &str, method: &Method) -> bool {
        let Some(Guarded { index, stricter }) = self.0.get(&route.name) else { return false };
        let folded = route.upstream.path.as_ref().map_or_else(|| fold(path), |rewrite| fold(&rewrite.decoded(path)));
        let Some(meant) = index.find(host, &folded, &(folded.clone() + "/")) else { return false };
        let any_takes = meant.iter().any(|other| other.matches.takes(method));
        let mut meant = meant.iter().filter(|other| !any_takes || other.matches.takes(method));
        meant.any(|other| stricter.contains(&other.name))
    }
}

/// The host by which a route is found among those that a weaker one could bypass; `None` if the upstream never sees one
/// host in requests of both. Where `upstream.host` replaces that of the request, the request's host tells nothing.
fn indexed_host(weaker: &Route, other: &Route) -> Option<Option<String>> {
    let is_replaced = |route: &Route| route.upstream.host_seen().is_some();
    if !is_replaced(weaker) && !is_replaced(other) {
        return Some(other.matches.host.clone());
    }
    let (mine, theirs) = (weaker.host_at_upstream(), other.host_at_upstream());
    let differ = mine.is_some() && theirs.is_some() && mine != theirs;
    (!differ).then(|| if is_replaced(weaker) { None } else { weaker.matches.host.clone() })
}

fn allowed(candidates: &[Arc<Route>]) -> Unrouted {
    let methods = candidates.iter().filter_map(|route| route.matches.methods.as_ref());
    Unrouted::MethodNotAllowed(methods.flatten().cloned().collect())
}
