//! Sends the probes, and decides by the responses.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::bail;
use http::StatusCode;
use http::header::RETRY_AFTER;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::super::sign::{Draft, random_id};
use super::connection::{self, Outcome};
use super::finding::{AuditReport, Evidence};
use super::knowledge::{Knowledge, Source};
use super::passive::{self, ProbeResponse};
use super::probe::{Act, Check, Probe};
use super::report::{described, masked};
use super::results::Results;
use super::target::{Answer, Target};
use super::timing::TimingComparison;

/// Responses with a server error, or missing ones, in a row after which the audit asks whether the endpoint is well.
const DISTRESS: usize = 5;

/// Why a rejection cannot be checked.
const ACCEPTS_ALL: &str = "the endpoint accepts a request without a credential";

/// The longest time that the audit waits because a response with 429 says so.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// How long to wait by the Retry-After of a response with 429 (RFC 9110 §10.2.3), if that is a number of seconds.
fn retry_after(answer: &Answer) -> Option<Duration> {
    let value = answer.headers.get(RETRY_AFTER).filter(|_| answer.status == StatusCode::TOO_MANY_REQUESTS)?;
    let wait = Duration::from_secs(value.to_str().ok()?.parse().ok()?);
    (wait <= MAX_WAIT).then_some(wait)
}

/// One audit.
pub(super) struct Run<'t> {
    pub(super) target: &'t Target,
    pub(super) upstream: Option<&'t Target>,
    pub(super) known: &'t Knowledge,
    pace: Interval,
    is_shown: bool,
    started: jiff::Timestamp,
    results: Results,
    /// The responses to invalid requests.
    answers: Vec<ProbeResponse>,
    requests: usize,
    /// Server errors and failures in a row.
    failures: usize,
    stopped: Option<String>,
    /// The response to the first valid request.
    control: Option<Answer>,
    /// The normalized response with 2xx to a request without a credential, if it differs from that to a valid one.
    rejection: Option<String>,
    timing: Option<TimingComparison>,
}

impl<'t> Run<'t> {
    pub(super) fn new(
        target: &'t Target,
        upstream: Option<&'t Target>,
        known: &'t Knowledge,
        rate: u32,
        is_shown: bool,
    ) -> Self {
        let mut pace = interval(Duration::from_secs(1) / rate);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            target,
            upstream,
            known,
            pace,
            is_shown,
            started: jiff::Timestamp::now(),
            results: Results::default(),
            answers: Vec::new(),
            requests: 0,
            failures: 0,
            stopped: None,
            control: None,
            rejection: None,
            timing: None,
        }
    }

    /// Sends all probes.
    ///
    /// # Errors
    /// The endpoint cannot be reached, or rejects the control.
    pub(super) async fn perform(&mut self, probes: &[Probe], allow_side_effects: bool) -> anyhow::Result<()> {
        if self.target.is_tls
            && let Err(error) = self.target.certificate().await
            && format!("{error:#}").contains("certificate")
        {
            return self.without_certificate(probes).await;
        }
        if allow_side_effects {
            self.control().await?;
        }
        let blank = self.send(&self.known.blank.clone()).await?;
        self.learn_rejection(&blank).await?;
        let nowhere = Draft { target: format!("/hookgate-audit-{}", random_id()), ..self.known.blank.clone() };
        let other_path = self.send(&nowhere).await;
        let accepts_all = self.is_accepted(&blank);
        for probe in probes {
            let needs_rejection = matches!(
                probe.act,
                Act::Reject(_) | Act::Once { .. } | Act::Retry(_) | Act::Elsewhere(_) | Act::Timing { .. }
            );
            if accepts_all && needs_rejection && probe.rule != "unauthenticated-accepted" {
                self.results.undecided(probe.rule, ACCEPTS_ALL);
            } else if let (Act::Elsewhere(_), Err(error)) = (&probe.act, &other_path) {
                self.results.undecided(probe.rule, &format!("at another path: {error:#}"));
            } else if let (Act::Elsewhere(_), true) =
                (&probe.act, other_path.as_ref().is_ok_and(|answer| self.is_accepted(answer)))
            {
                self.results.undecided(probe.rule, "the server accepts a request at any path");
            } else if probe.rule == "replay-changed-id" && self.results.is_weak("replay-accepted") {
                self.results.undecided(probe.rule, "the endpoint processes the unchanged request twice");
            } else {
                self.probe(probe).await;
            }
            if self.failures >= DISTRESS && self.is_distressed(&blank).await {
                self.stopped = Some(format!("{DISTRESS} server errors or missing responses in a row"));
                break;
            }
        }
        self.judge_responses();
        Ok(())
    }

    /// Some endpoints answer an invalid request with 2xx and say in the body that they ignored it. The response to a valid
    /// request tells the two apart.
    async fn learn_rejection(&mut self, blank: &Answer) -> anyhow::Result<()> {
        let is_other = |control: &Answer| passive::normalized(control) != passive::normalized(blank);
        if blank.status.is_success() && self.control.as_ref().is_some_and(is_other) {
            // A text that changes with each response says nothing.
            let again = self.send(&self.known.blank.clone()).await?;
            self.rejection = Some(passive::normalized(blank)).filter(|text| *text == passive::normalized(&again));
        }
        Ok(())
    }

    fn is_accepted(&self, answer: &Answer) -> bool {
        answer.status.is_success() && self.rejection.as_ref().is_none_or(|text| *text != passive::normalized(answer))
    }

    /// Nothing is sent over TLS to a server whose certificate is not valid.
    async fn without_certificate(&mut self, probes: &[Probe]) -> anyhow::Result<()> {
        for probe in probes {
            match probe.act {
                Act::Connection(Check::Certificate | Check::OldTls | Check::PlainHttp | Check::UpstreamDirect) => {
                    self.probe(probe).await;
                }
                Act::Connection(Check::CertificateDays)
                | Act::BodyLimit(_)
                | Act::RejectionRate(_)
                | Act::Reject(_)
                | Act::Once { .. }
                | Act::Retry(_)
                | Act::Elsewhere(_)
                | Act::Malformed(_)
                | Act::Timing { .. } => {
                    self.results.undecided(probe.rule, "the certificate is not valid; --cacert trusts another CA")
                }
            }
        }
        Ok(())
    }

    /// Sends a valid request first: without it, a rejection proves nothing.
    async fn control(&mut self) -> anyhow::Result<()> {
        let Some(good) = self.known.good()? else { return Ok(()) };
        let answer = self.send(&good).await?;
        if answer.status.is_success() {
            self.control = Some(answer);
            return Ok(());
        }
        match self.known.source {
            Source::Signer(_) => bail!(
                "the endpoint rejected the valid request with {}: compare the secret, the URL and the clock; the endpoint may also need headers or a body of the provider (--header, --body)",
                described(&answer, &[])
            ),
            // It may be too old, or a duplicate.
            Source::Captured(_) | Source::Nothing => Ok(()),
        }
    }

    /// Sends a request, and once more if the endpoint limits the rate and says for how long.
    async fn send(&mut self, draft: &Draft) -> anyhow::Result<Answer> {
        let answer = self.send_once(draft).await?;
        let Some(wait) = retry_after(&answer) else { return Ok(answer) };
        tokio::time::sleep(wait).await;
        self.send_once(draft).await
    }

    async fn send_once(&mut self, draft: &Draft) -> anyhow::Result<Answer> {
        self.pace.tick().await;
        self.requests += 1;
        let answer = self.target.send(draft).await;
        let is_bad = answer.as_ref().map_or(true, |answer| answer.status.is_server_error());
        self.failures = if is_bad { self.failures + 1 } else { 0 };
        answer
    }

    /// Whether the request to which `before` was the response gets none now, or a server error that it did not get then.
    /// An application may answer each invalid request with 500, which is a finding, and no distress.
    async fn is_distressed(&mut self, before: &Answer) -> bool {
        let Ok(now) = self.send(&self.known.blank.clone()).await else { return true };
        let is_distressed = now.status.is_server_error() && now.status != before.status;
        if !is_distressed {
            self.failures = 0;
        }
        is_distressed
    }

    async fn probe(&mut self, probe: &Probe) {
        let outcome = match &probe.act {
            Act::Reject(draft) | Act::Elsewhere(draft) => self.reject(probe, draft).await,
            Act::Malformed(draft) => self.malformed(probe, draft).await,
            Act::Once { first, again } => self.once(probe, first, again).await,
            Act::Retry(draft) => self.retry(probe, draft).await,
            Act::Timing { first_wrong, last_wrong, samples } => {
                self.timing(probe, [first_wrong, last_wrong], *samples).await
            }
            Act::BodyLimit(draft) => {
                self.pace.tick().await;
                self.requests += 1;
                connection::body_limit(&probe.name, self.target, draft).await
            }
            Act::RejectionRate(draft) => self.rejection_rate(probe, draft).await,
            Act::Connection(check) => self.connection(probe, *check).await,
        };
        let outcome = outcome.unwrap_or_else(|error| Outcome::Undecided(format!("{error:#}")));
        if self.is_shown {
            eprintln!("{}", super::report::line(probe, &outcome));
        }
        match outcome {
            Outcome::Held => self.results.held(probe.rule),
            Outcome::Weak(evidence) => self.results.weak(probe.rule, evidence),
            Outcome::Undecided(why) => self.results.undecided(probe.rule, &why),
        }
    }

    async fn reject(&mut self, probe: &Probe, draft: &Draft) -> anyhow::Result<Outcome> {
        let answer = self.send(draft).await?;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            return Ok(Outcome::Undecided("the endpoint limits the rate: choose a lower --rate".to_owned()));
        }
        let is_accepted = self.is_accepted(&answer);
        let evidence = self.evidence_of(&probe.name, draft, &answer);
        self.record(probe, draft, answer);
        Ok(if is_accepted { Outcome::Weak(evidence) } else { Outcome::Held })
    }

    async fn malformed(&mut self, probe: &Probe, draft: &Draft) -> anyhow::Result<Outcome> {
        let answer = self.send(draft).await?;
        let is_error = answer.status.is_server_error();
        let evidence = self.evidence_of(&probe.name, draft, &answer);
        self.record(probe, draft, answer);
        Ok(if is_error { Outcome::Weak(evidence) } else { Outcome::Held })
    }

    fn record(&mut self, probe: &Probe, draft: &Draft, answer: Answer) {
        let is_credential = |name: &str| match self.known.credentials.as_slice() {
            [] => name == "authorization",
            names => names.iter().any(|known| known == name),
        };
        let has_credential = draft.headers.iter().any(|(name, value)| is_credential(name) && !value.is_empty());
        self.answers.push(ProbeResponse {
            probe: probe.name.clone(),
            draft: draft.clone(),
            has_credential: has_credential && matches!(probe.act, Act::Reject(_)),
            secrets: probe.secrets.clone(),
            answer,
        });
    }

    async fn once(&mut self, probe: &Probe, first: &Draft, again: &Draft) -> anyhow::Result<Outcome> {
        // The control has used a captured request up.
        let before = match (&self.known.source, self.control.clone()) {
            (Source::Captured(_), Some(control)) => control,
            (Source::Captured(_), None) => {
                return Ok(Outcome::Undecided("the captured request was rejected".to_owned()));
            }
            (Source::Nothing | Source::Signer(_), _) => self.send(first).await?,
        };
        if !self.is_accepted(&before) {
            return Ok(Outcome::Undecided(format!("the first request was rejected with {}", before.status)));
        }
        let after = self.send(again).await?;
        // An application may acknowledge a duplicate with 200. Then its response differs from that to the event.
        let is_processed = after.status.is_success() && passive::normalized(&before) == passive::normalized(&after);
        let evidence = self.evidence_of(&probe.name, again, &after);
        Ok(if is_processed { Outcome::Weak(evidence) } else { Outcome::Held })
    }

    async fn retry(&mut self, probe: &Probe, draft: &Draft) -> anyhow::Result<Outcome> {
        self.pace.tick().await;
        self.requests += 1;
        self.target.break_off(draft).await?;
        let answer = self.send(draft).await?;
        let evidence = self.evidence_of(&probe.name, draft, &answer);
        Ok(if self.is_accepted(&answer) { Outcome::Held } else { Outcome::Weak(evidence) })
    }

    /// Both requests in turn, in an order that a periodic load does not follow.
    async fn timing(&mut self, probe: &Probe, drafts: [&Draft; 2], samples: u32) -> anyhow::Result<Outcome> {
        let mut times = [Vec::new(), Vec::new()];
        let mut statuses = BTreeSet::new();
        for round in 0..samples {
            let order = if random_id().as_bytes().first().is_some_and(|byte| byte % 2 == 0) { [0, 1] } else { [1, 0] };
            for kind in order {
                let (Some(draft), Some(times)) = (drafts.get(kind), times.get_mut(kind)) else { continue };
                let answer = self.send(draft).await?;
                times.push(answer.time);
                statuses.insert(answer.status);
            }
            if statuses.len() > 1
                || statuses.iter().any(|status| status.is_success() || *status == StatusCode::TOO_MANY_REQUESTS)
            {
                return Ok(Outcome::Undecided(format!(
                    "the responses have the statuses {statuses:?} after {round} samples"
                )));
            }
        }
        let [first_wrong, last_wrong] = &times;
        let comparison = TimingComparison::new(first_wrong, last_wrong);
        let evidence = Evidence {
            probe: probe.name.clone(),
            request: masked(drafts[0], &self.known.credentials),
            response: comparison.text(),
        };
        let differs = comparison.differs();
        self.timing = Some(comparison);
        Ok(if differs { Outcome::Weak(evidence) } else { Outcome::Held })
    }

    async fn connection(&mut self, probe: &Probe, check: Check) -> anyhow::Result<Outcome> {
        self.pace.tick().await;
        self.requests += 1;
        connection::check(check, &probe.name, self.target, self.upstream, &self.known.blank).await
    }

    async fn rejection_rate(&mut self, probe: &Probe, draft: &Draft) -> anyhow::Result<Outcome> {
        let mut last = None;
        for _ in 0..50 {
            let answer = self.send_once(draft).await?;
            if answer.status == StatusCode::TOO_MANY_REQUESTS {
                return Ok(Outcome::Held);
            }
            if self.is_accepted(&answer) {
                return Ok(Outcome::Undecided("the endpoint accepts the invalid request".to_owned()));
            }
            last = Some(answer);
        }
        let Some(answer) = last else { return Ok(Outcome::Held) };
        Ok(Outcome::Weak(self.evidence_of(&probe.name, draft, &answer)))
    }

    /// Findings that follow from the responses alone.
    fn judge_responses(&mut self) {
        let answers = std::mem::take(&mut self.answers);
        for (rule, found) in passive::findings(&answers) {
            self.results.held(rule);
            for answered in found {
                self.results.weak(rule, self.evidence_of(&answered.probe, &answered.draft, &answered.answer));
            }
        }
    }

    fn evidence_of(&self, probe: &str, draft: &Draft, answer: &Answer) -> Evidence {
        let hidden: Vec<&str> =
            draft.headers.iter().map(|(_, value)| value.as_str()).filter(|value| value.len() >= 16).collect();
        Evidence {
            probe: probe.to_owned(),
            request: masked(draft, &self.known.credentials),
            response: described(answer, &hidden),
        }
    }

    /// The report, with the rules whose probes were left out.
    pub(super) fn report(mut self, left_out: Vec<&'static str>) -> anyhow::Result<AuditReport> {
        for id in left_out {
            self.results.undecided(id, "requests with a valid credential need --allow-side-effects");
        }
        Ok(AuditReport {
            format: 1,
            hookgate: env!("CARGO_PKG_VERSION").to_owned(),
            url: format!("{}{}", self.target.origin, self.target.path),
            address: self.target.address.to_string(),
            time: format!("{:.0}", self.started),
            depth: self.known.depth(),
            requests: self.requests,
            stopped: self.stopped,
            timing: self.timing,
            unchecked: self.results.unchecked(self.known.depth()),
            checked: self.results.checked(),
            findings: self.results.findings()?,
        })
    }
}
