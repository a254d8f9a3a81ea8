//! gateway.yaml → runtime types. [`Sources::read`] reads bytes, [`compile()`] is pure and reports every problem,
//! [`load`] does both.
//!
//! `hookgate check`, the start and every reload use this module; there is no other way to load a configuration.

pub mod compile;
mod compiled;
pub mod error;
pub mod file;
pub mod presets;
pub mod reader;
pub mod renames;
pub mod revocation;
pub mod sources;
pub mod values;
pub mod yaml;

use std::path::Path;

pub use compile::compile;
pub use compiled::{Config, Drain, Handles, ProcessSettings, Window};
pub use error::ConfigErrors;
pub use file::schema;
pub use sources::Sources;

/// Reads and compiles a configuration. `known` are the handles in use, whose contents are kept.
///
/// # Errors
/// Every problem, with its position.
pub fn load(path: &Path, known: &Handles) -> Result<Config, ConfigErrors> {
    compile(&Sources::read(path, known)?, known)
}
