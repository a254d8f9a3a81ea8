//! `hookgate init`: writes a whole gateway.yaml, its secret files and development certificates, by flags or by answers
//! on a terminal.
//!
//! The configuration is compiled before anything is written, so that the files are valid. No file is overwritten.

mod answers;
mod arguments;
mod certificate;
mod checks;
mod interview;
mod new_files;
mod next_steps;
pub(super) mod template;

use std::collections::BTreeMap;
use std::io::{BufReader, IsTerminal, Write};
use std::path::Path;

use zeroize::Zeroizing;

use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ConfigErrors, Handles, Sources, compile};
use answers::CollectedAnswers;
pub(super) use arguments::{IncompleteArguments, InitArguments};
use interview::{Interview, Terminal};
use new_files::{NewFile, PUBLIC, write_all};

pub(super) fn init(arguments: &InitArguments) -> anyhow::Result<()> {
    if !arguments.dry_run {
        // Before the first question, whose answers would be lost.
        new_files::check_absent([&arguments.config])?;
    }
    let is_terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let terminal = is_terminal.then(|| Terminal {
        input: Box::new(BufReader::new(std::io::stdin())),
        // Standard output is for what the command makes.
        output: Box::new(std::io::stderr()),
        hidden: |prompt| rpassword::prompt_password(prompt),
    });
    let setup = answers::collect(arguments, Interview { terminal, missing: Vec::new() })?;
    let yaml = template::yaml(&setup.answers, "hookgate init");
    let config = compiled(&arguments.config, &yaml, &setup)?;
    if arguments.dry_run {
        // One write with an error instead of a panic: a reader such as `head` closes the pipe early.
        return Ok(std::io::stdout().write_all(yaml.as_bytes())?);
    }
    let mut files: Vec<NewFile> = setup
        .new
        .into_iter()
        .map(|(name, (mode, content))| NewFile { path: arguments.config.with_file_name(name), mode, content })
        .collect();
    files.push(NewFile { path: arguments.config.clone(), mode: PUBLIC, content: Zeroizing::new(yaml.into_bytes()) });
    write_all(&files)?;
    for file in &files {
        println!("wrote {}", file.path.display());
    }
    for warning in config.warnings_at(SystemClock.now()) {
        println!("warning: {warning}");
    }
    print!("{}", next_steps::text(&setup.answers, arguments));
    Ok(())
}

/// The configuration that the gateway would use.
fn compiled(path: &Path, yaml: &str, setup: &CollectedAnswers) -> Result<Config, ConfigErrors> {
    let content = |name: &String| match setup.new.get(name) {
        Some((_, content)) => Ok(content.clone()),
        None => std::fs::read(path.with_file_name(name)).map(Zeroizing::new).map_err(|error| error.to_string()),
    };
    let files: BTreeMap<_, _> = setup.answers.files().map(|name| (name.clone(), content(name))).collect();
    let sources = Sources::in_memory(path.to_owned(), yaml.to_owned(), files);
    compile(&sources, &Handles::default()).inspect_err(|_| {
        eprintln!("these answers make no valid configuration; nothing was written");
    })
}
