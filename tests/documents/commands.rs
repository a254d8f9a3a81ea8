//! docs/reference/commands.md, generated from the definition of the command line and the exit codes of `src/cli.rs`.

use clap::{Arg, Command, Subcommand};
use hookgate::cli;

use super::generated::{assert_page, heading, origin, row, sentence};

const VARIABLES: &str = "\
## Environment variables

| variable | meaning |
|---|---|
| `HOOKGATE_CONFIG` | Path of the configuration file, for commands that are given none. |
| `NO_COLOR` | Set to anything: no colour in the log on a terminal. |
| `HOOKGATE_LOG` | Levels of the log, such as `debug` or `hookgate::jwks=debug,info`; `info` if it is unset or invalid. |
";

fn command_line() -> Command {
    let mut command = cli::Command::augment_subcommands(Command::new("hookgate")).disable_help_subcommand(true);
    command.build();
    command
}

fn page() -> String {
    let mut page = format!("# Commands\n\n{}", origin("the definition of the command line"));
    page.push_str("`hookgate COMMAND --help` prints the same.\n\n");
    page.push_str(&heading(&["command", "purpose"]));
    let command_line = command_line();
    for command in command_line.get_subcommands() {
        let (name, about) = (command.get_name(), command.get_about().unwrap().to_string());
        page.push_str(&row(&[format!("[`{name}`](#hookgate-{name})"), sentence(&about)]));
    }
    page.push_str(&format!("\n## Exit codes\n\n{}\n{VARIABLES}", exit_codes(cli::EXIT_CODES)));
    command_line.get_subcommands().for_each(|command| page.push_str(&section(command)));
    page
}

fn section(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let about = sentence(&command.get_about().unwrap().to_string());
    let mut section = format!("\n## `hookgate {}`\n\n{about}\n\n    {usage}\n", command.get_name());
    let arguments: Vec<&Arg> = command.get_arguments().filter(|argument| argument.get_id() != "help").collect();
    if !arguments.is_empty() {
        section.push_str(&format!("\n{}", heading(&["argument", "values", "default", "meaning"])));
        arguments.into_iter().for_each(|argument| section.push_str(&self::argument(argument)));
    }
    match command.get_after_help() {
        Some(codes) => section + "\n" + &exit_codes(&codes.to_string()),
        None => section,
    }
}

fn argument(argument: &Arg) -> String {
    let value = argument.get_value_names().unwrap_or_default().first().filter(|_| argument.get_action().takes_values());
    let value = value.map(|value| format!(" {value}")).unwrap_or_default();
    let long = argument.get_long().map(|long| format!("`--{long}{value}`"));
    let short = argument.get_short().map(|short| format!("`-{short}{value}`"));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    let names = if names.is_empty() { format!("`{}`", value.trim()) } else { names.join(", ") };
    let (help, noted) = without_default(&argument.get_help().unwrap().to_string());
    let values = argument.get_possible_values();
    let is_flag = !argument.get_action().takes_values();
    let values = values.iter().filter(|_| !is_flag).map(|value| format!("`{}`", value.get_name()));
    let default = argument.get_default_values().first().filter(|_| !is_flag);
    let default = default.map(|default| format!("`{}`", default.to_string_lossy())).or(noted).unwrap_or_default();
    let default = if argument.is_required_set() { "required".to_owned() } else { default };
    row(&[names, values.collect::<Vec<String>>().join(", "), default, sentence(&help)])
}

/// A help text, and the default that it notes in brackets.
fn without_default(help: &str) -> (String, Option<String>) {
    match help.split_once(" [default: ") {
        Some((help, default)) => {
            let default = default.strip_suffix(']').unwrap_or_else(|| panic!("text after the default: {default}"));
            (help.to_owned(), Some(default.to_owned()))
        }
        None => (help.to_owned(), None),
    }
}

/// The meaning of an exit code, which may be that of one command: `explain: the request would be rejected`.
fn of_command(meaning: &str) -> String {
    match meaning.split_once(": ").filter(|(command, _)| !command.contains(' ')) {
        Some((command, meaning)) => format!("`{command}`: {meaning}."),
        None => sentence(meaning),
    }
}

/// A table of the exit codes in a help text, each in a line of its own.
fn exit_codes(text: &str) -> String {
    let lines = text.lines().filter_map(|line| line.strip_prefix("  "));
    let codes = lines.map(|line| line.split_once(' ').unwrap_or_else(|| panic!("no exit code: {line}")));
    let rows: String = codes.map(|(code, meaning)| row(&[code.to_owned(), of_command(meaning.trim())])).collect();
    assert!(text.starts_with("Exit codes:\n") && !rows.is_empty(), "{text}");
    heading(&["exit code", "meaning"]) + &rows
}

#[test]
fn the_page_of_commands_is_up_to_date() {
    assert_page("commands.md", &page());
}

#[test]
fn exit_codes_and_defaults_are_read_from_help_texts() {
    let table = "| exit code | meaning |\n|---|---|\n| 0 | Success. |\n| 2 | `explain`: no. |\n";
    assert_eq!(exit_codes("Exit codes:\n  0   success\n  2   explain: no"), table);
    let (help, default) = without_default("File [default: a [b]]");
    assert_eq!((help.as_str(), default.as_deref()), ("File", Some("a [b]")));
}
