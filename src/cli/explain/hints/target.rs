//! Hints for a request that no route matches: the little by which its path, host or method differs from those of a route.

use http::Method;

use crate::config::Config;
use crate::route::Route;

/// The routes that almost match.
pub(in crate::cli::explain) fn of_target(config: &Config, host: &str, path: &str, method: &Method) -> Vec<String> {
    let routes = || config.snapshot.routes.routes();
    let takes = |route: &Route, path: &str| {
        let host = route.matches.host.as_deref().unwrap_or(host);
        let methods = route.matches.methods.as_ref().and_then(|methods| methods.first()).unwrap_or(method);
        config.snapshot.routes.find(host, path, methods).is_ok_and(|found| found.name == route.name)
    };
    let lower = path.to_ascii_lowercase();
    let slash = |path: &str| path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
    let has_slash = path.len() > 1 && path.ends_with('/');
    let slashed = if has_slash { "a final slash" } else { "no final slash" };
    let collapsed =
        path.split('/').filter(|segment| !segment.is_empty()).fold(String::new(), |all, one| all + "/" + one);
    let mut hints = Vec::new();
    for route in routes() {
        let name = &route.name;
        let (written, wanted) = (route.matches.path.text(), route.matches.host.as_deref());
        let is_same = |other: &str| other.eq_ignore_ascii_case(path);
        if takes(route, path) {
            if let Some(wanted) = wanted.filter(|wanted| !wanted.eq_ignore_ascii_case(host)) {
                hints.push(format!(
                    "the route {name} has this path, on the host {wanted}: the request has the host {host}"
                ));
            } else if let Some(methods) = route.matches.methods.as_ref().filter(|methods| !methods.contains(method)) {
                let methods: Vec<&str> = methods.iter().map(Method::as_str).collect();
                let methods = methods.join(" and ");
                hints.push(format!(
                    "the route {name} takes {methods}, and the request is a {method}: a redirect (301, 302) \
                                    turns POST into GET"
                ));
            }
        } else if takes(route, &slash(path)) {
            hints.push(format!("the route {name} has the path {written}: the request's path has {slashed}"));
        } else if is_same(written) || takes(route, &lower) {
            hints.push(format!("the route {name} has the path {written}: only the case of letters differs"));
        } else if takes(route, &collapsed) {
            hints.push(format!("the route {name} has the path {written}: the request's path has a doubled slash"));
        } else if written.len() > 1 && path.ends_with(written.trim_end_matches('/')) {
            hints.push(format!(
                "the route {name} has the path {written}: a prefix before it that a proxy strips, or should?"
            ));
        }
    }
    if hints.is_empty() {
        let paths: Vec<String> =
            routes().map(|route| format!("{} ({})", route.matches.path.text(), route.name)).take(12).collect();
        hints.push(format!("the paths of the routes are {}", paths.join(", ")));
    }
    hints
}
