//! The questions of `hookgate init`: an answer is a flag of the command line, or is asked on the terminal.

use std::io::{BufRead, Write};

use anyhow::{Context, bail};
use zeroize::Zeroizing;

/// A terminal to ask on.
pub(super) struct Terminal<'t> {
    pub(super) input: Box<dyn BufRead + 't>,
    pub(super) output: Box<dyn Write + 't>,
    /// Asks for a text that is not shown.
    pub(super) hidden: fn(&str) -> std::io::Result<String>,
}

/// Collects answers, and the flags of those that are missing where there is no terminal.
pub(super) struct Interview<'t> {
    pub(super) terminal: Option<Terminal<'t>>,
    pub(super) missing: Vec<&'static str>,
}

/// A question: the flag with its answer, the text and the answer for an empty line.
pub(super) struct Question<'q> {
    pub(super) flag: &'static str,
    pub(super) text: &'q str,
    pub(super) default: Option<&'q str>,
}

impl Interview<'_> {
    /// The answer on the command line, or the first valid one on the terminal; `None` if it is missing.
    pub(super) fn ask<T>(
        &mut self,
        given: Option<&str>,
        question: &Question<'_>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> anyhow::Result<Option<T>> {
        if let Some(given) = given {
            return read(given).map(Some).map_err(|problem| anyhow::anyhow!("{} {given}: {problem}", question.flag));
        }
        let Some(terminal) = &mut self.terminal else {
            self.missing.push(question.flag);
            return Ok(None);
        };
        loop {
            let default = question.default.map(|default| format!(" [{default}]")).unwrap_or_default();
            write!(terminal.output, "{}{default}: ", question.text)?;
            terminal.output.flush()?;
            let mut line = String::new();
            if terminal.input.read_line(&mut line)? == 0 {
                bail!("no answer to: {}", question.text);
            }
            let answer = Some(line.trim()).filter(|line| !line.is_empty()).or(question.default).unwrap_or_default();
            match read(answer) {
                Ok(answer) => return Ok(Some(answer)),
                Err(problem) => writeln!(terminal.output, "  {problem}")?,
            }
        }
    }

    /// The first valid secret, which the terminal does not show, empty for an empty line; `None` if there is no terminal.
    pub(super) fn ask_secret(
        &mut self,
        text: &str,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> anyhow::Result<Option<Zeroizing<String>>> {
        let Some(terminal) = &mut self.terminal else { return Ok(None) };
        loop {
            let secret = (terminal.hidden)(&format!("{text}: ")).context("cannot read the secret from the terminal")?;
            let secret = Zeroizing::new(secret);
            match check(&secret) {
                Ok(()) => return Ok(Some(secret)),
                Err(problem) => writeln!(terminal.output, "  {problem}")?,
            }
        }
    }

    /// Reports every missing flag at once.
    pub(super) fn finish(&self) -> anyhow::Result<()> {
        if !self.missing.is_empty() {
            bail!("there is no terminal to ask on; add {}", self.missing.join(", "));
        }
        Ok(())
    }
}
