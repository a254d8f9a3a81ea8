//! `include`: the files with further routes.

use super::scalar::Text;

/// The files of one folder whose names match a pattern.
#[derive(Clone, Debug)]
pub struct IncludePattern {
    /// The folder, relative to gateway.yaml.
    pub folder: String,
    prefix: String,
    suffix: String,
}

impl IncludePattern {
    /// Whether the file of this name is included. Hidden files are not: Kubernetes and editors make them.
    pub fn matches(&self, name: &str) -> bool {
        let inner = name.strip_prefix(&self.prefix).and_then(|rest| rest.strip_suffix(&self.suffix));
        inner.is_some() && !name.starts_with('.')
    }
}

impl Text for IncludePattern {
    const FORM: &'static str = "a folder and a pattern of names in it, such as routes.d/*.yaml";
    const EXAMPLE: &'static str = "routes.d/*.yaml";
    const PATTERN: Option<&'static str> = Some(r"^[^*]*[^*/]/[^*/]*\*[^*/]*$");

    fn parse(text: &str) -> Result<Self, String> {
        let parts = || {
            let (folder, name) = text.rsplit_once('/')?;
            let (prefix, suffix) = name.split_once('*')?;
            let is_one = !folder.is_empty() && !folder.contains('*') && !suffix.contains('*');
            is_one.then(|| Self { folder: folder.to_owned(), prefix: prefix.to_owned(), suffix: suffix.to_owned() })
        };
        parts().ok_or_else(|| format!("expected {}: one folder, and one `*` in the name", Self::FORM))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_names_of_one_folder() {
        let pattern = IncludePattern::parse("conf/routes.d/a-*.yaml").unwrap();
        let names = ["a-b.yaml", "a-.yaml", "a.yaml", "b.yaml", "a-b.yaml~", ".a-b.yaml"];
        assert_eq!(names.map(|name| pattern.matches(name)), [true, true, false, false, false, false]);
        assert!(!IncludePattern::parse("routes.d/*").unwrap().matches("..data"));
        for text in ["*.yaml", "/*.yaml", "routes.d/a.yaml", "*/a*.yaml", "routes.d/*.*", "routes.d/", ""] {
            assert!(IncludePattern::parse(text).is_err(), "{text}");
        }
    }
}
