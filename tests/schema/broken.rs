//! The schema rejects the broken files of tests/golden/check, except those whose mistake is not one of shape.

use super::files_in;
use crate::support::schema::findings;

/// Files that only `check` rejects: duplicate keys and names, references, files and variables that do not exist, and keys
/// that exclude each other, and ids that may be absent.
const ONLY_CHECK: &[&str] = &[
    "25-missing-dash",
    "42-environment-variable-with-dollar",
    "49-duplicate-keys",
    "50-duplicate-routes",
    "51-wrong-issuer-name",
    "52-wrong-preset-name",
    "53-several-schemes",
    "54-two-sources-of-keys",
    "56-missing-files",
    "57-certificate-and-key-swapped",
    "61-replay-protection-without-store",
    "69-password-in-redis-url",
    "94-plaintext-and-tls",
    "96-encoded-slashes",
    "97-optional-id",
];

#[test]
fn the_schema_rejects_every_broken_shape() {
    let mut accepted = Vec::new();
    for path in files_in("tests/golden/check", "yaml") {
        let text = std::fs::read_to_string(&path).unwrap();
        if findings(&text).is_empty() {
            accepted.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    assert_eq!(accepted, ONLY_CHECK);
}
