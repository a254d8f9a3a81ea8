//! Golden files under tests/golden: outputs of the commands and problems of broken configurations. CONTRIBUTING.md says how to accept a change.

mod broken;
mod cli;
