//! gateway.yaml → runtime types. [`Sources::read`] reads bytes, [`compile()`] is pure and reports every problem,
//! [`tenants`] reads the secrets of tenants, and [`load`] does all of this.
//!
//! `hookgate check`, the start and every reload use this module; there is no other way to load a configuration.

pub mod compile;
mod compiled;
mod environment;
pub mod error;
pub mod file;
mod files;
pub mod hints;
mod include;
mod misplaced;
pub mod presets;
pub mod reader;
pub mod renames;
pub mod revocation;
pub mod sources;
pub mod tenants;
pub mod values;
pub mod yaml;

use std::path::Path;

pub use compile::{compile, compile_offline};
pub use compiled::{Config, Drain, Handles, NamedServer, OfflineCheck, ProcessSettings, TimedWarning, Window};
pub use error::{ConfigErrors, Problem};
pub use file::schema;
pub use sources::Sources;

/// Reads and compiles a configuration. `known` are the handles in use, whose contents are kept.
///
/// # Errors
/// Every problem, with its position.
pub fn load(path: &Path, known: &Handles) -> Result<Config, ConfigErrors> {
    let mut config = compile(&Sources::read(path, known)?, known)?;
    read_new_folders(path, &mut config)?;
    Ok(config)
}

/// Checks a configuration without the files and environment variables that it names.
///
/// # Errors
/// Every problem that can be seen without them.
pub fn check_offline(path: &Path) -> Result<OfflineCheck, ConfigErrors> {
    compile_offline(&Sources::read_offline(path)?)
}

/// Reads the folders of a configuration that no earlier one has read.
///
/// # Errors
/// A folder that cannot be listed, or has too many tenants.
pub fn read_new_folders(path: &Path, config: &mut Config) -> Result<(), ConfigErrors> {
    let mut problems = Vec::new();
    for (place, folder) in std::mem::take(&mut config.unread_folders) {
        match folder.refresh(path) {
            Ok(refreshed) => {
                let rejected = refreshed.problems.into_iter().map(|message| Problem { message, ..place.clone() });
                config.rejected_files.extend(rejected);
            }
            Err(message) => problems.push(Problem { message, ..place }),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(config.errors(path, problems)) }
}
