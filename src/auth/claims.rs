//! Claim rules: conditions on the claims of a token. No I/O; `jwt` evaluates them after it has verified the signature.

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use super::json_text::{JsonError, JsonText, index};

/// The largest compiled pattern, in bytes.
const MAX_PATTERN: usize = 256 * 1024;

/// Maximum number of characters of an expected value in a detail.
const MAX_SHOWN: usize = 200;

/// One entry under `claims`.
#[derive(Clone, Debug)]
pub struct ClaimRule {
    /// The claim.
    pub pointer: Pointer,
    /// The condition that the claim must satisfy.
    pub test: ClaimTest,
}

/// A claim's name, or a JSON pointer to one inside another (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

/// A condition on a claim.
#[derive(Clone, Debug)]
pub enum ClaimTest {
    /// The claim equals this value, in type and content.
    Equals(Value),
    /// The claim equals one of these values.
    OneOf(Vec<Value>),
    /// The claim is an array that contains the value, or a string that has it among its space-separated words, as
    /// scopes are written (RFC 8693 §4.2). A part of a word does not match.
    Contains(Value),
    /// [`Self::Contains`] with at least one of these values.
    ContainsAny(Vec<Value>),
    /// The claim is a string with this prefix.
    Prefix(String),
    /// The claim is a string that matches this pattern as a whole.
    Matches(Regex),
    /// The claim is present with any value, `null` included (`true`), or is absent (`false`).
    Exists(bool),
}

impl Pointer {
    /// Parses a claim's name or a JSON pointer: `a` and `x.y` are the claims of those names, `/a/b` is the member `b`
    /// of the claim `a`. `None` for an empty text or an invalid `~` escape.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix('/') {
            None if text.is_empty() => None,
            None => Some(Self(vec![text.to_owned()])),
            Some(path) => path.split('/').map(unescape).collect::<Option<_>>().map(Self),
        }
    }

    /// The value among the claims that the pointer references, if any.
    pub fn find<'c>(&self, claims: &'c Map<String, Value>) -> Option<&'c Value> {
        let (first, rest) = self.0.split_first()?;
        descend(claims.get(first)?, rest)
    }

    /// The value inside `text` that the pointer references, if any.
    ///
    /// # Errors
    /// [`JsonError`] if programs could find different values there.
    pub fn find_in_text<'b>(&self, text: JsonText<'b>) -> Result<Option<JsonText<'b>>, JsonError> {
        text.find(&self.0)
    }

    /// The value inside `value` that the pointer references, if any.
    pub fn find_in<'c>(&self, value: &'c Value) -> Option<&'c Value> {
        descend(value, &self.0)
    }

    /// Whether the pointer is that of this claim, and not of a member inside it.
    pub fn is_claim(&self, name: &str) -> bool {
        matches!(self.0.as_slice(), [only] if only == name)
    }

    /// The pointers before and after the first segment `*`, which some rules read as "every item"; `None` without one.
    pub fn split_at_star(&self) -> Option<(Self, Self)> {
        let at = self.0.iter().position(|segment| segment == "*")?;
        let (before, rest) = self.0.split_at_checked(at)?;
        Some((Self(before.to_vec()), Self(rest.get(1..)?.to_vec())))
    }
}

impl std::fmt::Display for Pointer {
    /// Writes the pointer in the syntax of RFC 6901.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|segment| write!(f, "/{}", segment.replace('~', "~0").replace('/', "~1")))
    }
}

fn descend<'c>(value: &'c Value, segments: &[String]) -> Option<&'c Value> {
    segments.iter().try_fold(value, |value, segment| match value {
        Value::Object(members) => members.get(segment),
        Value::Array(items) => items.get(index(segment)?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// Decodes the escapes of a JSON pointer segment (RFC 6901 §4): `~1` is `/`, `~0` is `~`, and no other escape exists.
fn unescape(segment: &str) -> Option<String> {
    let stray = segment.split('~').skip(1).any(|after| !after.starts_with(['0', '1']));
    (!stray).then(|| segment.replace("~1", "/").replace("~0", "~"))
}

impl ClaimRule {
    /// Whether the claims satisfy the rule.
    pub fn holds(&self, claims: &Map<String, Value>) -> bool {
        self.test.passes(self.pointer.find(claims))
    }

    /// What differs, for the operator: the claim, the rule, and the type of the value where that is the cause, never the
    /// value.
    pub fn mismatch(&self, claims: &Map<String, Value>) -> String {
        let test = &self.test;
        let Some(found) = self.pointer.find(claims) else {
            return format!("the token has no claim {}, for which the rule is `{test}`", self.pointer);
        };
        format!("the claim {} does not satisfy `{test}`: {}", self.pointer, test.difference(found))
    }

    /// Whether the value in a JSON text satisfies the rule.
    ///
    /// # Errors
    /// [`JsonError`] if programs could find different values there.
    pub fn holds_in(&self, text: JsonText<'_>) -> Result<bool, JsonError> {
        let found = self.pointer.find_in_text(text)?;
        if let ClaimTest::Exists(expected) = self.test {
            return Ok(found.is_some() == expected);
        }
        Ok(self.test.passes(found.map(JsonText::value).transpose()?.as_ref()))
    }

    /// Whether the claim lists scopes, for which RFC 6750 §3.1 has a separate error (`insufficient_scope`).
    pub fn is_scope(&self) -> bool {
        let name = self.pointer.0.last().map(String::as_str).unwrap_or_default();
        ["scope", "scopes", "scp"].iter().any(|suffix| name.ends_with(suffix))
    }
}

impl ClaimTest {
    /// Compiles a regular expression that must match the whole string.
    ///
    /// # Errors
    /// The pattern is not a regular expression, or its compiled form is larger than 256 KiB.
    pub fn matches(pattern: &str) -> Result<Self, regex::Error> {
        // Compiled alone first: otherwise `a)(b` would close the group that anchors it.
        Regex::new(pattern)?;
        let anchored = RegexBuilder::new(&format!("^(?:{pattern})\\z")).size_limit(MAX_PATTERN).build()?;
        Ok(Self::Matches(anchored))
    }

    /// Whether the value has a type that the condition compares: another one is no value that its author had in mind.
    pub fn applies_to(&self, value: &Value) -> bool {
        let same_type = |wanted: &Value| std::mem::discriminant(wanted) == std::mem::discriminant(value);
        match self {
            Self::Exists(_) => false,
            Self::Equals(wanted) => same_type(wanted),
            Self::OneOf(wanted) => wanted.iter().any(same_type),
            Self::Contains(_) => value.is_array() || value.is_string(),
            Self::ContainsAny(_) => value.is_array(),
            Self::Prefix(_) | Self::Matches(_) => value.is_string(),
        }
    }

    /// Why a value that does not pass fails: its type, if the condition compares no such value.
    fn difference(&self, found: &Value) -> &'static str {
        match (self, found) {
            (Self::Exists(_), _) => "the token has it",
            (Self::Contains(Value::String(_)), Value::String(_)) => "it lacks this word",
            (Self::Contains(_), Value::Array(_)) => "it lacks this value",
            (Self::ContainsAny(wanted), Value::String(_)) if wanted.iter().any(Value::is_string) => {
                "it has none of these words"
            }
            (Self::ContainsAny(_), Value::Array(_)) => "it has none of these values",
            (_, Value::Array(_)) if self.is_of_one_value() && !self.applies_to(found) => {
                "it is a list, which `contains` and `contains_any` compare"
            }
            (Self::Equals(_) | Self::OneOf(_), _) if self.applies_to(found) => "it has another value",
            (Self::Prefix(_), Value::String(_)) => "it begins with other characters",
            (Self::Matches(_), Value::String(_)) => "the pattern does not match all of it",
            (_, Value::Array(_)) => "it is a list",
            (_, Value::String(_)) => "it is a text",
            (_, Value::Number(_)) => "it is a number",
            (_, Value::Bool(_)) => "it is true or false",
            (_, Value::Object(_)) => "it is an object",
            (_, Value::Null) => "it is null",
        }
    }

    /// The name of the operator in gateway.yaml; `equals` for a value without operator.
    pub const fn operator(&self) -> &'static str {
        match self {
            Self::Equals(_) => "equals",
            Self::OneOf(_) => "one_of",
            Self::Contains(_) => "contains",
            Self::ContainsAny(_) => "contains_any",
            Self::Prefix(_) => "prefix",
            Self::Matches(_) => "matches",
            Self::Exists(_) => "exists",
        }
    }

    /// Whether the test fails for each list.
    pub const fn is_of_one_value(&self) -> bool {
        matches!(self, Self::Equals(_) | Self::OneOf(_) | Self::Prefix(_) | Self::Matches(_))
    }

    /// Whether a claim satisfies the condition.
    pub fn passes(&self, claim: Option<&Value>) -> bool {
        match (self, claim) {
            (Self::Exists(wanted), claim) => claim.is_some() == *wanted,
            (_, None) => false,
            (Self::Equals(wanted), Some(claim)) => claim == wanted,
            (Self::OneOf(wanted), Some(claim)) => wanted.contains(claim),
            (Self::Contains(wanted), Some(claim)) => contains(claim, wanted),
            (Self::ContainsAny(wanted), Some(claim)) => wanted.iter().any(|wanted| contains(claim, wanted)),
            (Self::Prefix(prefix), Some(Value::String(text))) => text.starts_with(prefix),
            (Self::Matches(pattern), Some(Value::String(text))) => pattern.is_match(text),
            (Self::Prefix(_) | Self::Matches(_), Some(_)) => false,
        }
    }
}

impl std::fmt::Display for ClaimTest {
    /// Writes the rule as gateway.yaml has it, `{ contains: "hooks:write" }`, and cuts a long value.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let wanted = match self {
            Self::Equals(value) | Self::Contains(value) => value.to_string(),
            Self::OneOf(values) | Self::ContainsAny(values) => Value::from(values.clone()).to_string(),
            Self::Prefix(prefix) => Value::from(prefix.as_str()).to_string(),
            Self::Matches(pattern) => {
                let anchored = pattern.as_str();
                let written = anchored.strip_prefix("^(?:").and_then(|text| text.strip_suffix(")\\z"));
                Value::from(written.unwrap_or(anchored)).to_string()
            }
            Self::Exists(wanted) => wanted.to_string(),
        };
        let cut: String = wanted.chars().take(MAX_SHOWN).collect();
        let rest = if cut.len() < wanted.len() { "…" } else { "" };
        write!(f, "{{ {}: {cut}{rest} }}", self.operator())
    }
}

/// Whether a list has the value, or a text has it among its words.
fn contains(claim: &Value, wanted: &Value) -> bool {
    match (claim, wanted) {
        (Value::Array(items), _) => items.contains(wanted),
        (Value::String(text), Value::String(word)) => text.split(' ').any(|part| part == word),
        (_, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(name: &str, test: ClaimTest, claims: Value) -> bool {
        let rule = ClaimRule { pointer: Pointer::parse(name).unwrap(), test };
        rule.holds(claims.as_object().unwrap())
    }

    #[test]
    fn equality_is_of_type_and_value() {
        let webhook = || ClaimTest::Equals(json!("webhook"));
        assert!(holds("s", webhook(), json!({"s": "webhook"})));
        for other in [json!("Webhook"), json!("webhook "), json!(["webhook"]), json!(null), json!(true), json!(1)] {
            assert!(!holds("s", webhook(), json!({"s": other})), "{other}");
        }
        assert!(!holds("s", webhook(), json!({})));
        assert!(!holds("n", ClaimTest::Equals(json!(1)), json!({"n": "1"})));
    }

    #[test]
    fn contains_takes_members_and_words_never_parts() {
        let hook = || ClaimTest::Contains(json!("hook"));
        assert!(holds("s", hook(), json!({"s": "read hook"})));
        assert!(holds("s", hook(), json!({"s": ["read", "hook"]})));
        assert!(!holds("s", hook(), json!({"s": "hook:read webhook"})));
        assert!(!holds("s", hook(), json!({"s": ["hooks"]})));
        assert!(!holds("s", hook(), json!({"s": {"hook": true}})));
    }

    #[test]
    fn contains_any_takes_one_of_several_members_or_words() {
        let groups = || ClaimTest::ContainsAny(vec![json!("admin"), json!("ops"), json!(7)]);
        for claim in [json!(["dev", "ops"]), json!([7]), json!("read admin")] {
            assert!(holds("g", groups(), json!({ "g": claim })), "{claim}");
        }
        for claim in
            [json!(["dev"]), json!([]), json!("administrator"), json!(["7"]), json!(7), json!({"ops": 1}), json!(null)]
        {
            assert!(!holds("g", groups(), json!({ "g": claim })), "{claim}");
        }
        assert!(!holds("g", groups(), json!({})));
    }

    /// The value of a claim may be personal or secret.
    #[test]
    fn a_mismatch_is_told_without_the_value() {
        let told = |test: ClaimTest, role: Value| {
            let rule = ClaimRule { pointer: Pointer::parse("role").unwrap(), test };
            assert!(!rule.test.passes(Some(&role)));
            rule.mismatch(json!({ "role": role }).as_object().unwrap())
        };
        let of = |test: &str, why: &str| format!("the claim /role does not satisfy `{{ {test} }}`: {why}");
        let one_of = || ClaimTest::OneOf(vec![json!("admin")]);
        let one = |why| of("one_of: [\"admin\"]", why);
        assert_eq!(told(one_of(), json!(["admin"])), one("it is a list, which `contains` and `contains_any` compare"));
        assert_eq!(told(one_of(), json!("s3cret")), one("it has another value"));
        assert_eq!(told(one_of(), json!(7)), one("it is a number"));
        let contains = |wanted: Value| ClaimTest::Contains(wanted);
        assert_eq!(told(contains(json!("a")), json!("s3cret b")), of("contains: \"a\"", "it lacks this word"));
        assert_eq!(told(contains(json!("a")), json!(["s3cret"])), of("contains: \"a\"", "it lacks this value"));
        assert_eq!(told(contains(json!(7)), json!("7")), of("contains: 7", "it is a text"));
        let any = || ClaimTest::ContainsAny(vec![json!("a"), json!(7)]);
        assert_eq!(told(any(), json!("7")), of("contains_any: [\"a\",7]", "it has none of these words"));
        assert_eq!(told(any(), json!([])), of("contains_any: [\"a\",7]", "it has none of these values"));
        assert_eq!(told(any(), json!(null)), of("contains_any: [\"a\",7]", "it is null"));
        let prefix = || ClaimTest::Prefix("a".into());
        assert_eq!(told(prefix(), json!("s3cret")), of("prefix: \"a\"", "it begins with other characters"));
        assert_eq!(told(prefix(), json!({})), of("prefix: \"a\"", "it is an object"));
        let digits = ClaimTest::matches("[0-9]+").unwrap();
        assert_eq!(told(digits, json!("7s3cret")), of("matches: \"[0-9]+\"", "the pattern does not match all of it"));
        assert_eq!(told(ClaimTest::Exists(false), json!(1)), of("exists: false", "the token has it"));
        let rule = ClaimRule { pointer: Pointer::parse("role").unwrap(), test: one_of() };
        let none = "the token has no claim /role, for which the rule is `{ one_of: [\"admin\"] }`";
        assert_eq!(rule.mismatch(&Map::new()), none);
    }

    #[test]
    fn the_other_operators() {
        assert!(holds("a", ClaimTest::OneOf(vec![json!("x"), json!(2)]), json!({"a": 2})));
        assert!(!holds("a", ClaimTest::OneOf(vec![json!("x")]), json!({"a": ["x"]})));
        assert!(holds("a", ClaimTest::Prefix("repo:".into()), json!({"a": "repo:x"})));
        assert!(!holds("a", ClaimTest::Prefix("repo:".into()), json!({"a": "arepo:x"})));
        assert!(holds("a", ClaimTest::Exists(true), json!({"a": null})));
        assert!(holds("a", ClaimTest::Exists(false), json!({})));
        assert!(!holds("a", ClaimTest::Exists(false), json!({"a": 0})));
    }

    #[test]
    fn patterns_match_the_whole_text() {
        let digits = || ClaimTest::matches("[0-9]+|x").unwrap();
        assert!(holds("a", digits(), json!({"a": "12"})));
        for other in ["12a", "a12", "12\n", "x1"] {
            assert!(!holds("a", digits(), json!({"a": other})), "{other:?}");
        }
        assert!(ClaimTest::matches("a)(b").is_err());
    }

    #[test]
    fn pointers_go_into_claims() {
        let claims = json!({"a": {"b/c": {"~": [7]}}, "/a/b": 1, "x.y": 2});
        let find = |text| Pointer::parse(text).unwrap().find(claims.as_object().unwrap()).cloned();
        assert_eq!(find("/a/b~1c/~0/0"), Some(json!(7)));
        assert_eq!(find("x.y"), Some(json!(2)));
        for missing in ["/a/b", "/a/b~1c/~0/00", "/a/b~1c/~0/+0", "/a/b~1c/~0/1", "y", "/"] {
            assert_eq!(find(missing), None, "{missing}");
        }
        assert!(Pointer::parse("").is_none() && Pointer::parse("/a~2").is_none() && Pointer::parse("/a~").is_none());
    }

    #[test]
    fn an_index_may_have_several_digits() {
        let claims = json!({"a": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, "ten"]});
        assert_eq!(Pointer::parse("/a/10").unwrap().find(claims.as_object().unwrap()), Some(&json!("ten")));
    }

    #[test]
    fn a_pointer_is_split_at_its_first_star() {
        let split = Pointer::parse("/a/*/b/*").unwrap().split_at_star().unwrap();
        assert_eq!(split, (Pointer::parse("/a").unwrap(), Pointer::parse("/b/*").unwrap()));
        assert_eq!(Pointer::parse("/a/b").unwrap().split_at_star(), None);
    }

    #[test]
    fn scopes_are_known_by_name() {
        let is_scope =
            |name| ClaimRule { pointer: Pointer::parse(name).unwrap(), test: ClaimTest::Exists(true) }.is_scope();
        assert!(is_scope("scope") && is_scope("event_scope") && is_scope("scp") && is_scope("/realm/scopes"));
        assert!(!is_scope("role") && !is_scope("/scope/name"));
    }
}
