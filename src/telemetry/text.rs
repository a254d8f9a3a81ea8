//! Log lines as text for people. The line of a request has columns: time, status, reason or outcome, method, path, route,
//! duration and client, then what else is known; any other line has its message and its fields.
//!
//! Every text is escaped: a client can write neither lines nor escape sequences of a terminal, and no look-alike letters in
//! the fields that identify something.

use std::fmt;

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The target of the access log.
const ACCESS: &str = "hookgate::access";

/// Fields whose values are sentences: they end the line, after a colon.
const SENTENCES: [&str; 5] = ["checks", "error", "problem", "problems", "warning"];

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";
const DIM: &str = "2";
const PLAIN: &str = "";

/// Writes events as lines of text.
pub(super) struct TextLines {
    /// Whether the time has its date, which a person at a terminal knows.
    pub(super) with_date: bool,
    /// Whether words are coloured. tracing-subscriber's own setting needs a feature with a further crate.
    pub(super) colour: bool,
}

impl<S, N> FormatEvent<S, N> for TextLines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let time = Timestamp::now().strftime(if self.with_date { "%Y-%m-%dT%H:%M:%SZ" } else { "%H:%M:%SZ" });
        let mut line = Line { text: String::new(), colour: self.colour };
        line.painted(DIM, &time.to_string());
        if event.metadata().target() == ACCESS {
            line.request(&fields);
        } else {
            line.other(*event.metadata().level(), &fields);
        }
        writeln!(writer, "{}", line.text)
    }
}

/// The fields of an event that have a value.
#[derive(Default)]
struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str())
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push((field.name(), format!("{value:?}")));
    }
}

/// A line under construction.
struct Line {
    text: String,
    colour: bool,
}

impl Line {
    /// Adds a word in a colour.
    fn painted(&mut self, colour: &str, word: &str) {
        if self.colour && !colour.is_empty() {
            self.text.push_str(&format!("\x1b[{colour}m{word}\x1b[0m"));
        } else {
            self.text.push_str(word);
        }
    }

    /// Adds a word after a space, filled up to a width.
    fn column(&mut self, colour: &str, word: &str, width: usize) {
        self.text.push(' ');
        self.painted(colour, &format!("{word:width$}"));
    }

    fn request(&mut self, fields: &Fields) {
        let shown = |name: &str| fields.value(name).map_or_else(|| "-".to_owned(), word);
        let status = shown("status");
        let colour = match status.as_bytes().first() {
            Some(b'1' | b'2') => GREEN,
            Some(b'3') => CYAN,
            Some(b'4') => YELLOW,
            _ => RED,
        };
        let is_failure = matches!(fields.value("outcome"), Some("rejected" | "error"));
        let reason = fields.value("reason").filter(|_| is_failure);
        self.column(colour, &status, 3);
        self.column(colour, &reason.map_or_else(|| shown("outcome"), word), 20);
        self.column(PLAIN, &shown("method"), 4);
        let rest = if fields.value("path_rest").is_some() { "..." } else { "" };
        self.column(PLAIN, &format!("{}{rest}", shown("path")), 20);
        self.column(PLAIN, &shown("route"), 10);
        self.column(PLAIN, &duration(fields.value("duration_us")), 7);
        self.column(DIM, &shown("client_address"), 0);
        for name in ["filter", "sender", "request_id"] {
            fields.value(name).into_iter().for_each(|value| self.field(name, value));
        }
        if fields.value("complete") == Some("false") && fields.value("status").is_some() {
            self.column(YELLOW, "incomplete", 0);
        }
        let unenforced = fields.value("reason").filter(|_| !is_failure);
        for text in unenforced.into_iter().chain(fields.value("detail")) {
            self.column(colour, &sentence(text), 0);
        }
    }

    fn other(&mut self, level: Level, fields: &Fields) {
        let colour = match level {
            Level::ERROR => RED,
            Level::WARN => YELLOW,
            Level::INFO => GREEN,
            Level::DEBUG | Level::TRACE => DIM,
        };
        self.column(colour, level.as_str(), 5);
        self.column(PLAIN, &sentence(fields.value("message").unwrap_or_default()), 0);
        let (sentences, others): (Vec<_>, Vec<_>) = fields.0.iter().partition(|(name, _)| SENTENCES.contains(name));
        others.into_iter().filter(|(name, _)| *name != "message").for_each(|(name, value)| self.field(name, value));
        for (name, text) in sentences {
            // After the URL of the upstream, a colon alone would look like a part of it.
            if *name == "checks" {
                self.column(DIM, name, 0);
            }
            self.text.push(':');
            self.column(PLAIN, &sentence(text), 0);
        }
    }

    fn field(&mut self, name: &str, value: &str) {
        self.column(DIM, &format!("{name}="), 0);
        self.text.push_str(&word(value));
    }
}

/// A value in the line: in quotes where it would otherwise look like several.
fn word(text: &str) -> String {
    let escaped = escaped(text, |character| character.is_ascii_graphic() || character == ' ');
    if escaped.is_empty() || escaped.contains([' ', '"', '=']) {
        return format!("\"{}\"", escaped.replace('"', "\\\""));
    }
    escaped
}

/// A text of which everything is escaped that a terminal does not show as one visible character, or a space.
pub fn sentence(text: &str) -> String {
    // Quotes are visible, and of all others Unicode knows.
    let is_visible = |character: char| matches!(character, '"' | '\'') || character.escape_debug().eq([character]);
    escaped(text, is_visible)
}

/// A text of which only a backslash and the characters that are not plain are escaped.
fn escaped(text: &str, is_plain: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character != '\\' && is_plain(character) {
            escaped.push(character);
        } else {
            escaped.extend(character.escape_default());
        }
    }
    escaped
}

/// Microseconds as a person reads them.
fn duration(micros: Option<&str>) -> String {
    match micros.and_then(|micros| micros.parse::<u64>().ok()) {
        None => "-".to_owned(),
        Some(micros) if micros < 1_000_000 => format!("{}.{}ms", micros / 1000, micros % 1000 / 100),
        Some(micros) => format!("{}.{}s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines without their times.
    fn lines(colour: bool, write: impl FnOnce()) -> Vec<String> {
        let output = Output::default();
        let writer = output.clone();
        let builder = tracing_subscriber::fmt().with_writer(move || writer.clone());
        let subscriber = builder.event_format(TextLines { with_date: false, colour }).finish();
        tracing::subscriber::with_default(subscriber, write);
        let text = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.split_once("Z").unwrap().1.to_owned()).collect()
    }

    #[test]
    fn a_request_is_one_short_line() {
        let written = lines(false, || {
            tracing::info!(
                target: "hookgate::access", request_id = "0af7", route = "stripe", method = "POST", path = "/twilio",
                client_address = "192.0.2.7", outcome = "rejected", reason = "invalid_signature", status = 401,
                detail = "v1 matches no secret", duration_us = 234, complete = true, "request"
            );
            tracing::info!(
                target: "hookgate::access", route = "stripe", method = "POST", path = "/webhook",
                client_address = "192.0.2.7", outcome = "dry_run_rejected", reason = "token_expired", status = 200,
                sender = "acme/alice b", duration_us = 1_250_000, complete = false, "request"
            );
            tracing::info!(
                target: "hookgate::access", client_address = "192.0.2.7", outcome = "rejected",
                reason = "ambiguous_framing", status = 400, "request"
            );
        });
        assert_eq!(
            written,
            [
                " 401 invalid_signature    POST /twilio              stripe     0.2ms   192.0.2.7 \
                 request_id=0af7 v1 matches no secret",
                " 200 dry_run_rejected     POST /webhook             stripe     1.2s    192.0.2.7 \
                 sender=\"acme/alice b\" incomplete token_expired",
                " 400 ambiguous_framing    -    -                    -          -       192.0.2.7",
            ]
        );
    }

    #[test]
    fn another_line_has_its_fields_and_ends_with_its_sentence() {
        let written = lines(false, || {
            tracing::warn!(error = "connection refused", issuer = "acme", url = "https://a", "could not fetch keys");
        });
        assert_eq!(written, [" WARN  could not fetch keys issuer=acme url=https://a: connection refused"]);
        let route = lines(false, || tracing::info!(upstream = "http://a:80", checks = "signature (stripe)", "route"));
        assert_eq!(route, [" INFO  route upstream=http://a:80 checks: signature (stripe)"]);
    }

    #[test]
    fn visible_text_is_shown_as_it_is() {
        assert_eq!(sentence("RFC 9110 §5.3: \"Zoë\" … it's 🦀"), "RFC 9110 §5.3: \"Zoë\" … it's 🦀");
        // An invisible space, a joiner, an accent without its letter, and a private character.
        assert_eq!(sentence("\u{a0}\u{200d}\u{301}\u{e000}"), r"\u{a0}\u{200d}\u{301}\u{e000}");
        assert_eq!(word("\u{430}§"), r"\u{430}\u{a7}");
    }

    /// A line end, an escape sequence in both its forms (ESC and the C1 control), a change of the writing direction, a
    /// look-alike letter, which sentences show, and what would look like another field.
    #[test]
    fn no_text_of_a_client_changes_the_line() {
        let evil = "a\r\nb\x1b[31m\u{9b}2J\u{202e}\u{430}\\ x=\"1";
        for colour in [false, true] {
            let written = lines(colour, || {
                tracing::info!(
                    target: "hookgate::access", method = evil, path = evil, route = evil, sender = evil, detail = evil,
                    filter = evil, client_address = evil, outcome = "forwarded", status = 200, "request"
                );
                tracing::info!(server_name = evil, error = evil, "TLS handshake failed");
            });
            assert_eq!(written.len(), 2);
            let escaped = r"a\r\nb\u{1b}[31m\u{9b}2J\u{202e}\u{430}\\ x=";
            let of_sentence = escaped.replace(r"\u{430}", "\u{430}") + "\"1";
            assert!(written.iter().all(|line| line.matches(&of_sentence).count() == 1), "{written:?}");
            assert_eq!(written[0].matches(&format!("\"{escaped}\\\"1\"")).count(), 6, "{}", written[0]);
            let own = |code: &str| format!("\x1b[{code}m");
            let plain = ["0", DIM, RED, GREEN, CYAN, YELLOW]
                .iter()
                .fold(written.concat(), |text, code| text.replace(&own(code), ""));
            assert!(plain.replace('\u{430}', "").bytes().all(|byte| matches!(byte, b' '..=b'~')), "{plain}");
            assert_eq!(written.concat().contains('\x1b'), colour);
        }
    }
}
