//! Paths that name a tenant: `/hooks/{tenant}`.

/// The segment of `match.path` that stands for the name of a tenant.
pub const TENANT: &str = "{tenant}";

/// A path with one segment for the name of a tenant, or, as `/hooks/{tenant}/*`, every path that begins with such a one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathTemplate {
    /// The path before the tenant, which ends in `/`.
    pub before: String,
    /// The path after the tenant: empty, or one that begins with `/`, and of a prefix also ends with it.
    pub after: String,
    /// Whether it is a prefix.
    pub is_prefix: bool,
}

impl PathTemplate {
    /// The name of the tenant in a path that matches; `None` for another path. Any segment counts as a name: a path with
    /// the name of no tenant must not fall to a wider route.
    pub fn tenant<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(&self.before)?;
        let end = rest.find('/').unwrap_or(rest.len());
        let (tenant, rest) = rest.split_at_checked(end)?;
        let fits = if self.is_prefix { rest.starts_with(&self.after) } else { rest == self.after };
        Some(tenant).filter(|tenant| fits && !tenant.is_empty())
    }

    /// The path of a tenant, of a prefix the shortest.
    pub fn path_of(&self, tenant: &str) -> String {
        format!("{}{tenant}{}", self.before, self.after)
    }

    /// The order in which templates are compared with a path: the longest text before the tenant first, then paths before
    /// prefixes, then the longest text after the tenant.
    pub(super) fn precedence(&self) -> impl Ord + use<> {
        let Self { before, after, is_prefix } = self.clone();
        std::cmp::Reverse((before.len(), before, !is_prefix, after.len(), after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(before: &str, after: &str, is_prefix: bool) -> PathTemplate {
        PathTemplate { before: before.into(), after: after.into(), is_prefix }
    }

    #[test]
    fn a_tenant_is_one_segment() {
        let exact = template("/hooks/", "", false);
        for (path, tenant) in [
            ("/hooks/acme", Some("acme")),
            ("/hooks/ACME", Some("ACME")),
            ("/hooks/a b", Some("a b")),
            ("/hooks/", None),
            ("/hooks", None),
            ("/hooks/acme/", None),
            ("/hooks/acme/x", None),
            ("/Hooks/acme", None),
        ] {
            assert_eq!(exact.tenant(path), tenant, "{path}");
        }
        let inner = template("/", "/stripe", false);
        assert_eq!((inner.tenant("/acme/stripe"), inner.tenant("/acme/stripes")), (Some("acme"), None));
        let prefix = template("/hooks/", "/", true);
        for (path, tenant) in [
            ("/hooks/acme/", Some("acme")),
            ("/hooks/acme/x/y", Some("acme")),
            ("/hooks/acme", None),
            ("/hooks/", None),
        ] {
            assert_eq!(prefix.tenant(path), tenant, "{path}");
        }
        assert_eq!((exact.path_of("a"), prefix.path_of("a")), ("/hooks/a".to_owned(), "/hooks/a/".to_owned()));
    }
}
