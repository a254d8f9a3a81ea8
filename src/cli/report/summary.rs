//! Sums up the lines of an access log: for each route how many requests were forwarded, rejected or would be rejected, and of
//! each reason the clients and details.

use std::collections::BTreeMap;

use serde_json::Value;

/// The most clients, and the most details, that are counted for a reason; further ones are not told apart.
const DISTINCT: usize = 10_000;

/// The sum of a log.
#[derive(Default)]
pub(super) struct LogSummary {
    pub(super) requests: u64,
    /// Lines that are not JSON objects, such as those of `log.format: text`.
    pub(super) unread: u64,
    pub(super) period: Period,
    /// By name; requests without a route have none.
    pub(super) routes: BTreeMap<String, RouteCounts>,
}

/// The times of the first and the last request, as the log has them.
#[derive(Default)]
pub(super) struct Period {
    pub(super) first: Option<String>,
    pub(super) last: Option<String>,
}

/// The requests of a route.
#[derive(Default)]
pub(super) struct RouteCounts {
    pub(super) forwarded: u64,
    /// Requests with any other outcome, such as `error` or `challenge_answered`.
    pub(super) others: BTreeMap<String, u64>,
    /// Requests that would be rejected, and those that were, by this and their reason.
    pub(super) reasons: BTreeMap<(RejectionKind, String), ReasonCounts>,
}

/// Whether a rejection was enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RejectionKind {
    /// The dry run of the route has forwarded the request.
    WouldBeRejected,
    /// The request was rejected.
    Rejected,
}

/// The requests of a route with one reason.
#[derive(Default)]
pub(super) struct ReasonCounts {
    pub(super) requests: u64,
    pub(super) clients: Tally,
    pub(super) details: Tally,
    pub(super) period: Period,
}

/// How often each text occurs.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<String, u64>);

impl LogSummary {
    /// Adds a line; a prefix of its JSON object, such as the name of a container, is skipped.
    pub(super) fn add(&mut self, line: &str) {
        let object = line.find('{').and_then(|start| serde_json::from_str::<Value>(line.split_at(start).1).ok());
        match object {
            Some(line) if text_of(&line, "message") == "request" && !text_of(&line, "outcome").is_empty() => {
                self.count(&line)
            }
            Some(_) => {}
            None => self.unread += u64::from(!line.trim().is_empty()),
        }
    }

    fn count(&mut self, line: &Value) {
        let text = |name: &str| text_of(line, name);
        self.requests += 1;
        self.period.add(text("timestamp"));
        let route = self.routes.entry(text("route").to_owned()).or_default();
        let kind = match text("outcome") {
            "dry_run_rejected" => RejectionKind::WouldBeRejected,
            "rejected" => RejectionKind::Rejected,
            "forwarded" => return route.forwarded += 1,
            other => return *route.others.entry(other.to_owned()).or_default() += 1,
        };
        let reason = route.reasons.entry((kind, text("reason").to_owned())).or_default();
        reason.requests += 1;
        reason.clients.add(text("client_address"));
        reason.details.add(text("detail"));
        reason.period.add(text("timestamp"));
    }
}

/// The text of a field of the log; empty if the line has none.
fn text_of<'l>(line: &'l Value, name: &str) -> &'l str {
    line.get(name).and_then(Value::as_str).unwrap_or_default()
}

impl RouteCounts {
    /// The number of requests that were rejected, or would be.
    pub(super) fn rejections(&self, kind: RejectionKind) -> u64 {
        self.reasons.iter().filter(|((found, _), _)| *found == kind).map(|(_, counts)| counts.requests).sum()
    }
}

impl Period {
    /// The times of a log need not be in order, but all have the same form.
    fn add(&mut self, time: &str) {
        if time.is_empty() {
            return;
        }
        if self.first.as_deref().is_none_or(|first| time < first) {
            self.first = Some(time.to_owned());
        }
        if self.last.as_deref().is_none_or(|last| time > last) {
            self.last = Some(time.to_owned());
        }
    }
}

impl Tally {
    fn add(&mut self, text: &str) {
        let is_known = self.0.contains_key(text);
        if !text.is_empty() && (is_known || self.0.len() < DISTINCT) {
            *self.0.entry(text.to_owned()).or_default() += 1;
        }
    }

    /// The number of distinct texts.
    pub(super) fn distinct(&self) -> usize {
        self.0.len()
    }

    /// The most frequent texts, at most `most`.
    pub(super) fn top(&self, most: usize) -> Vec<(&str, u64)> {
        let mut sorted: Vec<(&str, u64)> = self.0.iter().map(|(text, count)| (text.as_str(), *count)).collect();
        sorted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        sorted.truncate(most);
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(lines: &[&str]) -> LogSummary {
        let mut summary = LogSummary::default();
        lines.iter().for_each(|line| summary.add(line));
        summary
    }

    #[test]
    fn lines_are_counted_by_route_outcome_and_reason() {
        let line = |outcome: &str, reason: &str, client: &str| {
            format!(
                r#"gateway-1 | {{"timestamp":"2026-11-30T0{}:00:00Z","message":"request","route":"a","outcome":"{outcome}","reason":"{reason}","client_address":"{client}","detail":"d"}}"#,
                client.len()
            )
        };
        let lines = [
            line("dry_run_rejected", "token_expired", "1.1.1.1"),
            line("dry_run_rejected", "token_expired", "10.1.1.1"),
            line("dry_run_rejected", "token_expired", "10.1.1.1"),
            line("rejected", "token_expired", "1.1.1.1"),
            line("forwarded", "", "1.1.1.1"),
            line("error", "upstream_timeout", "1.1.1.1"),
            r#"{"message":"listening","address":"127.0.0.1:1"}"#.to_owned(),
            "21:02:23Z 401 token_expired".to_owned(),
            String::new(),
        ];
        let summary = summary(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((summary.requests, summary.unread), (6, 1));
        let route = &summary.routes["a"];
        assert_eq!((route.forwarded, route.others["error"]), (1, 1));
        let count = |kind| route.rejections(kind);
        assert_eq!((count(RejectionKind::WouldBeRejected), count(RejectionKind::Rejected)), (3, 1));
        let expired = &route.reasons[&(RejectionKind::WouldBeRejected, "token_expired".to_owned())];
        assert_eq!(expired.clients.top(1), [("10.1.1.1", 2)]);
        assert_eq!((expired.clients.distinct(), expired.details.top(9)), (2, vec![("d", 3)]));
        let period = (expired.period.first.as_deref(), expired.period.last.as_deref());
        assert_eq!(period, (Some("2026-11-30T07:00:00Z"), Some("2026-11-30T08:00:00Z")));
    }

    /// A client that has many addresses does not fill the memory.
    #[test]
    fn distinct_texts_are_bounded() {
        let mut tally = Tally::default();
        (0..2 * DISTINCT).for_each(|number| tally.add(&number.to_string()));
        tally.add("0");
        assert_eq!((tally.distinct(), tally.top(1)), (DISTINCT, vec![("0", 2)]));
    }
}
