//! Golden files under tests/golden: outputs of the commands, problems of broken configurations, and compiled
//! configurations. CONTRIBUTING.md says how to accept a change.

mod broken;
mod cli;
mod compiled;
mod slips;
mod view;
