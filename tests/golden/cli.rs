//! The commands in `cli/*.md`, each with its output and its exit code. A folder `NAME.in` is the working directory of
//! `NAME.md`; with a folder `NAME.out` it is a copy, which a command may write to.

use std::time::Duration;

/// The longest time that a command may take: `demo` generates RSA keys without optimization.
const PATIENCE: Duration = Duration::from_secs(60);

/// `HOOKGATE_CONFIG` is empty, which counts as not set.
#[test]
fn every_command_prints_its_golden_output() {
    let cases = trycmd::TestCases::new();
    cases.register_bin("hookgate", std::path::Path::new(env!("CARGO_BIN_EXE_hookgate")));
    cases.env("GOLDEN_TOKEN", "12345").env("HOOKGATE_CONFIG", "").timeout(PATIENCE);
    cases.case(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/cli/*.md"));
}
