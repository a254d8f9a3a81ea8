//! Routes that could be used to bypass others with the same upstream.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;

use super::compiler::Compiler;
use crate::route::Route;
use crate::route::variants::{Bypass, PathOverlap, bypasses};

impl Compiler<'_> {
    /// Warns of each route that forwards requests for the paths of another one, in a form that the routing does not
    /// recognize, to the same upstream with weaker authentication. If a prefix leads it to the very same paths, this is a
    /// problem.
    pub(super) fn warn_of_bypasses(&mut self, routes: &[Arc<Route>], names: &BTreeMap<Arc<str>, usize>) {
        let mut weaker: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for bypass in &bypasses(routes) {
            let Bypass { weaker: route, stricter, overlap } = bypass;
            let (Some(at), Some(other)) = (names.get(&route.name), names.get(&stricter.name)) else { continue };
            let name = format!("{} (`{}`)", self.sources.included_files.route(*other), stricter.name);
            let is_weaker = bypass.is_by_weaker_authentication();
            // A form can change POST into another method (`_method` in Rails and Laravel), but GET into none.
            let reaches = route.matches.shares_method(&stricter.matches) || route.matches.takes(&Method::POST);
            match overlap {
                PathOverlap::Same if route.matches.shares_method(&stricter.matches) && bypass.may_have_one_host() => {
                    self.prefixed_to_the_same(*at, &name, is_weaker);
                }
                PathOverlap::Includes | PathOverlap::Same | PathOverlap::Within if is_weaker && reaches => {
                    weaker.entry(*at).or_default().push(name);
                }
                PathOverlap::Includes | PathOverlap::Same | PathOverlap::Within => {}
            }
        }
        for (index, stricter) in weaker {
            let Some(file) = self.file.routes.get(index) else { continue };
            let at = file.matches.path.at;
            let warning = format!(
                "this route has weaker authentication than {} and the same upstream: an application that ignores a \
                 suffix of the path (`.json`, `/x`), its host or its method, runs their handlers for requests of this \
                 route; make `match` narrower, or set the same `auth` or another upstream",
                stricter.join(", ")
            );
            self.warn(at, &warning);
        }
    }

    /// Reports that `strip_prefix` or `path_prefix` leads a route to the paths of another one.
    fn prefixed_to_the_same(&mut self, index: usize, other: &str, is_weaker: bool) {
        let Some(file) = self.file.routes.get(index) else { return };
        let at = [file.upstream.strip_prefix.written_at(), file.upstream.path_prefix.written_at()];
        let at = at.into_iter().flatten().next().unwrap_or(file.upstream.at);
        let same = format!("with strip_prefix and path_prefix, the upstream gets the same paths as from {other}");
        if is_weaker {
            let problem =
                format!("{same}, which has stricter authentication; make them differ, or set the same `auth`");
            self.problems.add(at, problem);
        } else {
            self.warn(at, &format!("{same}: the senders of each route reach all handlers of the other one"));
        }
    }
}
