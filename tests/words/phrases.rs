//! The home-made phrases, and where one of these words is the field's own.

use regex::Regex;

/// Phrases that Envoy's, nginx's or the RFCs' texts do not have, and what they say instead.
const PHRASES: &[(&str, &str)] = &[
    (r"refus(?:e|es|ed|al|als|ing)", "reject"),
    (r"strangers?", "unauthenticated client"),
    (r"who(?:m|se)?ever|whatever", "a noun"),
    (r"judg(?:e|es|ed|ing|ment)", "verify, evaluate, decide"),
    (r"anew", "again; re-serialized; overwritten"),
    (r"in force", "active"),
    (r"mend(?:s|ed|ing)?", "fix"),
    (r"undecided", "cannot verify; fail closed"),
    (r"(?:ends?|ended|ending) TLS", "terminates TLS"),
    (r"tak(?:e|es|en|ing) turns", "round-robin load balancing"),
    (r"set aside|taken back", "ejected; back in rotation"),
    (r"shown secrets?", "static token"),
    (r"signed text", "string to sign"),
    (r"(?:hangs?|hung) from", "chain to"),
    (r"held bod(?:y|ies)", "buffered body"),
    (r"forgiv(?:e|es|ing)", "counters persist"),
    (r"rights 0[0-7]+", "mode 0600"),
    (r"fetched ahead", "prefetched"),
    (r"let(?:s|ting)? through", "forward"),
    (r"as ever", "as usual"),
    (r"(?:on|in) (?:its|their|his) way", "in flight"),
    (r"nets|a net", "CIDR range"),
    (r"blanks?", "space"),
    (r"repl(?:y|ies|ied)", "response"),
    (r"debts?", "consumed quota"),
    (r"nobody|somebody|anybody", "no client, a sender"),
    (r"fleets?", "replicas"),
    (r"header fields?", "header"),
    (r"tells? of", "reports"),
    (r"save (?:for|that|those|the|in|where)", "except"),
    (r"shall", "must, may"),
];

/// Last segments of former keys that are no word of the field: the bare word is enough to find them.
pub const UNIQUE_KEYS: &[&str] = &[
    "buffered_bodies",
    "observe_until",
    "rate_unauthenticated",
    "connections_per_address",
    "body_stall",
    "head_size",
    "connect_timeout",
];

/// Former reasons that are ordinary words, or a result of another metric.
pub const ORDINARY_REASONS: &[&str] = &["expired", "replayed", "overloaded", "in_flight"];

pub fn rules() -> Vec<Regex> {
    PHRASES.iter().map(|(phrase, _)| Regex::new(&format!(r"(?i)\b(?:{phrase})\b")).unwrap()).collect()
}

/// The word is another's name for something: an error of the operating system, a URI of RFC 9457, a path.
pub fn is_allowed(name: &str, text: &str, found: &str) -> bool {
    let found = found.to_lowercase();
    let beside = |before: &str, after: &str| text.to_lowercase().contains(&format!("{before}{found}{after}"));
    beside("connection ", "") && found == "refused"
        || beside("about:", "") && found == "blank"
        || found == "fleet" && (beside("", "/") || beside("", "::") || beside("tests/", ""))
        || name.starts_with("tests/fleet") && found == "fleet"
}

/// Sentences that begin with a relative clause in place of a noun.
pub fn headless(text: &str) -> Vec<String> {
    let text = text.replace('\n', " ");
    let sentences = text.split_inclusive(['.', '!', '?', ':', ';']);
    let headless = |sentence: &&str| {
        let words: Vec<&str> = sentence.split_whitespace().collect();
        let begins = words.first().is_some_and(|word| ["What", "Who", "Whoever", "Whatever"].contains(word));
        begins && words.len() > 5 && !sentence.ends_with('?')
    };
    sentences.filter(headless).map(|sentence| sentence.trim().chars().take(60).collect()).collect()
}

#[test]
fn each_rule_finds_its_phrase_and_no_other_word() {
    let rules = rules();
    let count = |text: &str| rules.iter().map(|rule| rule.find_iter(text).count()).sum::<usize>();
    assert_eq!(count("A stranger is refused; nobody mends it."), 4);
    assert_eq!(count("It ends TLS, takes turns, and lets through what hangs from a root."), 4);
    assert_eq!(count("The network terminates the session; an amended refuge blankets the fleeting."), 0);
    assert_eq!(headless("Names. What does not fit the table is dropped. Who is it?").len(), 1);
    assert!(is_allowed("src/a.rs", "connection refused", "refused") && !is_allowed("src/a.rs", "refused", "refused"));
}
