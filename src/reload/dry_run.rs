//! Reminds of the routes in dry run, each hour: what was set for a day is easily forgotten, and rejects nothing meanwhile.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::UnixTime;
use crate::services::Services;
use crate::snapshot::Snapshot;

const REMIND_EVERY: Duration = Duration::from_secs(3600);

/// Logs a line each hour for each route that is in dry run, and one for each whose dry run has ended; never returns.
pub async fn remind(services: Arc<Services>) {
    let mut before = services.clock.now();
    loop {
        tokio::time::sleep(REMIND_EVERY).await;
        let now = services.clock.now();
        log(&services.snapshot.load(), before, now);
        before = now;
    }
}

fn log(snapshot: &Snapshot, before: UnixTime, now: UnixTime) {
    for route in snapshot.routes.routes() {
        let Some(until) = route.dry_run_end() else { continue };
        let name = &*route.name;
        if route.observes(now) {
            tracing::warn!(route = name, %until, "the route is in dry run: no request is rejected");
        } else if route.observes(before) {
            tracing::info!(route = name, %until, "the dry run has ended: the route rejects requests");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io;
    use std::sync::Mutex;

    use super::*;
    use crate::config::{Handles, Sources, compile};

    const YAML: &str = r#"
listeners: [{ address: "127.0.0.1:0", plaintext: true }]
routes:
  - name: observed
    match: { path: /a }
    upstream: { url: "http://127.0.0.1:9" }
    auth: public
    mode: dry_run
    dry_run_until: 2026-11-24
  - { name: enforced, match: { path: /b }, upstream: { url: "http://127.0.0.1:9" }, auth: public }
"#;

    #[derive(Clone, Default)]
    struct LogOutput(Arc<Mutex<Vec<u8>>>);

    impl io::Write for LogOutput {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_dry_run_is_reminded_of_until_its_end_and_its_end_is_said_once() {
        let sources = Sources::in_memory("gateway.yaml".into(), YAML.to_owned(), BTreeMap::new());
        let snapshot = compile(&sources, &Handles::default()).unwrap().snapshot;
        // 2026-11-25T00:00:00Z, in hours before and after.
        let at = |hour: u64| UnixTime::from_seconds(1_795_564_800 - 10 * 3600 + hour * 3600).unwrap();
        let line = |before, now| {
            let lines = LogOutput::default();
            let writer = lines.clone();
            let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
            tracing::subscriber::with_default(subscriber, || log(&snapshot, at(before), at(now)));
            String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
        };
        let reminder = line(8, 9);
        assert!(reminder.contains("WARN") && reminder.contains("in dry run: no request is rejected"), "{reminder}");
        assert!(reminder.contains("route=\"observed\" until=2026-11-25T00:00:00Z"), "{reminder}");
        assert!(line(9, 10).contains("the dry run has ended"));
        assert_eq!(line(10, 11), "");
    }
}
