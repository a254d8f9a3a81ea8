//! Sends the probes, and decides by the responses.

mod acts;

use std::time::Duration;

use anyhow::bail;
use http::StatusCode;
use http::header::{LOCATION, RETRY_AFTER};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::super::sign::{Draft, random_id};
use super::arguments::AuditArguments;
use super::catalogue::{Depth, rule};
use super::connection::{self, is_of_certificate};
use super::credential;
use super::finding::{AuditReport, Evidence, Outcome};
use super::knowledge::{Knowledge, Source};
use super::passive::{self, ProbeResponse};
use super::probe::{Act, Probe};
use super::probes::{self, STAGES, Stage};
use super::report::{described, masked};
use super::results::Results;
use super::target::{Answer, Target};
use super::timing::TimingComparison;

/// Responses with a server error, or missing ones, in a row after which the audit asks whether the endpoint is well.
const DISTRESS: usize = 5;

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
    /// The application itself, or why its name has no address.
    pub(super) upstream: Option<&'t Result<Target, String>>,
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
    /// Rises by two for a response with 502 to 504, and falls by one for another.
    overload: usize,
    stopped: Option<String>,
    /// The first valid request and its response, if it was accepted.
    control: Option<(Draft, Answer)>,
    /// The normalized response with 2xx to a request without a credential, if it differs from that to a valid one.
    rejection: Option<String>,
    timing: Option<TimingComparison>,
}

/// A path beside this one: its last segment with more letters.
fn beside(target: &str) -> String {
    format!("{}-{}", target.split('?').next().unwrap_or_default().trim_end_matches('/'), random_id())
}

impl<'t> Run<'t> {
    pub(super) fn new(
        target: &'t Target,
        upstream: Option<&'t Result<Target, String>>,
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
            overload: 0,
            stopped: None,
            control: None,
            rejection: None,
            timing: None,
        }
    }

    /// Sends all probes.
    ///
    /// # Errors
    /// The endpoint cannot be reached, rejects the control, or has nothing at this path.
    pub(super) async fn perform(&mut self, arguments: &AuditArguments) -> anyhow::Result<()> {
        if self.target.is_tls
            && let Err(error) = self.target.certificate().await
            && is_of_certificate(&error)
        {
            return self.without_certificate(arguments).await;
        }
        if arguments.allow_side_effects {
            self.control().await?;
        }
        let blank = self.send(&self.known.blank.clone()).await?;
        self.require_endpoint(&blank)?;
        self.learn_rejection(&blank).await?;
        let nowhere = Draft { target: beside(&self.known.blank.target), ..self.known.blank.clone() };
        let other_path = self.send(&nowhere).await.map_err(|error| format!("at another path: {error:#}"));
        for stage in STAGES {
            for probe in probes::of(stage, self.known, self.target, arguments)? {
                match self.reason_against(&probe, &other_path, arguments) {
                    Some(reason) => self.results.undecided(probe.rule, &reason),
                    None => self.probe(&probe).await,
                }
                if self.failures >= DISTRESS && self.is_distressed(&blank).await {
                    self.stopped = Some(format!("{DISTRESS} server errors or missing responses in a row"));
                }
                if self.stopped.is_some() {
                    return self.judge_responses().await;
                }
            }
        }
        if self.target.is_loopback() && !self.target.is_tls {
            self.results.undecided("plain-http", "the address is loopback");
        }
        self.judge_responses().await
    }

    /// Why a probe is not sent. `other_path`: the response to a request without a credential beside the endpoint.
    fn reason_against(
        &self,
        probe: &Probe,
        other_path: &Result<Answer, String>,
        arguments: &AuditArguments,
    ) -> Option<String> {
        let needs_rejection = match probe.act {
            Act::Reject(_)
            | Act::Once { .. }
            | Act::Retry(_)
            | Act::Elsewhere(_)
            | Act::Changed { .. }
            | Act::Timing { .. } => true,
            Act::Malformed(_) | Act::BodyLimit(_) | Act::RejectionRate(_) | Act::Connection(_) => false,
        };
        if probe.side_effects && !arguments.allow_side_effects {
            return Some("needs --allow-side-effects: the request has a valid credential".to_owned());
        }
        let accepts_all = self.results.is_weak("unauthenticated-accepted");
        if accepts_all && needs_rejection && probe.rule != "unauthenticated-accepted" {
            return Some("the endpoint accepts a request without a credential".to_owned());
        }
        if probe.rule == "replay-changed-id" && self.results.is_weak("replay-accepted") {
            return Some("the endpoint processes the unchanged request twice".to_owned());
        }
        match (&probe.act, other_path) {
            (Act::Elsewhere(_), Err(error)) => Some(error.clone()),
            (Act::Elsewhere(_), Ok(answer)) if self.is_accepted(answer) => {
                Some("the server accepts a request at any path".to_owned())
            }
            (
                Act::Elsewhere(_)
                | Act::Reject(_)
                | Act::Once { .. }
                | Act::Retry(_)
                | Act::Changed { .. }
                | Act::Timing { .. }
                | Act::Malformed(_)
                | Act::BodyLimit(_)
                | Act::RejectionRate(_)
                | Act::Connection(_),
                _,
            ) => None,
        }
    }

    /// A response by which nothing is at this path says nothing about a rejection, unless a valid request was accepted.
    fn require_endpoint(&self, blank: &Answer) -> anyhow::Result<()> {
        let is_elsewhere =
            blank.status.is_redirection() || matches!(blank.status.as_u16(), 404 | 405 | 410 | 421 | 501);
        if !is_elsewhere || self.control.is_some() {
            return Ok(());
        }
        let location = blank.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let location = location.map(|url| format!(", Location: {url}")).unwrap_or_default();
        bail!(
            "the endpoint answers a request without a credential with {}{location}: is the URL right? If it is, an audit that \
             sends a valid request shows it (--request, --preset or --config, with --allow-side-effects)",
            blank.status
        )
    }

    /// Some endpoints answer an invalid request with 2xx and say in the body that they ignored it. The response to a valid
    /// request tells the two apart.
    async fn learn_rejection(&mut self, blank: &Answer) -> anyhow::Result<()> {
        let is_other = |control: &Answer| passive::normalized(control) != passive::normalized(blank);
        if blank.status.is_success() && self.control.as_ref().is_some_and(|(_, control)| is_other(control)) {
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
    async fn without_certificate(&mut self, arguments: &AuditArguments) -> anyhow::Result<()> {
        for stage in STAGES {
            for probe in probes::of(stage, self.known, self.target, arguments)? {
                if stage == Stage::Connection && probe.rule != "tls-certificate-expiring" {
                    self.probe(&probe).await;
                } else {
                    self.results.undecided(probe.rule, "the certificate is not valid; --cacert trusts another CA");
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
            self.control = Some((good, answer));
            return Ok(());
        }
        let why = match self.known.source {
            Source::Signer(_) => {
                "compare the secret, the URL and the clock; the endpoint may also need headers or a body of the provider \
                 (--header, --body)"
            }
            Source::Captured(_) | Source::Nothing => {
                "it may be too old, a duplicate, or of another URL; capture a new one"
            }
        };
        bail!("the endpoint rejected the valid request with {}: {why}", described(&answer, &self.known.secrets))
    }

    /// Sends a request, and once more if the endpoint limits the rate and says for how long.
    async fn send(&mut self, draft: &Draft) -> anyhow::Result<Answer> {
        let answer = self.send_once(draft).await?;
        let Some(wait) = retry_after(&answer) else { return Ok(answer) };
        tokio::time::sleep(wait).await;
        self.send_once(draft).await
    }

    async fn send_once(&mut self, draft: &Draft) -> anyhow::Result<Answer> {
        if let Some(why) = &self.stopped {
            bail!("the audit stopped: {why}");
        }
        self.pace.tick().await;
        self.requests += 1;
        let answer = self.target.send(draft).await;
        let status = answer.as_ref().ok().map(|answer| answer.status);
        let is_bad = status.is_none_or(|status| status.is_server_error());
        self.failures = if is_bad { self.failures + 1 } else { 0 };
        // 502 to 504 come from a server that cannot do more; a share of them is enough.
        let is_overloaded = status.is_some_and(|status| matches!(status.as_u16(), 502..=504));
        self.overload = if is_overloaded { self.overload + 2 } else { self.overload.saturating_sub(1) };
        if self.overload > 2 * DISTRESS {
            self.stopped = Some("many responses have the status 502, 503 or 504".to_owned());
        }
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
            Act::Changed { base, changed } => self.changed(probe, base, changed).await,
            Act::Malformed(draft) => self.malformed(probe, draft).await,
            Act::Once { first, again } => self.once(probe, first, again).await,
            Act::Retry(draft) => self.retry(probe, draft).await,
            Act::Timing { samples } => self.timing(probe, *samples).await,
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
            Outcome::Held if self.lacks_proof(probe) => {
                self.results.undecided(probe.rule, "no valid request was accepted before: a rejection proves nothing");
            }
            Outcome::Held => self.results.held(probe.rule),
            Outcome::Weak(evidence) => self.results.weak(probe.rule, evidence),
            Outcome::Undecided(why) => self.results.undecided(probe.rule, &why),
        }
    }

    /// Whether the rejection of a changed request proves nothing, since no valid one was accepted.
    fn lacks_proof(&self, probe: &Probe) -> bool {
        let is_of_response = matches!(probe.act, Act::Reject(_) | Act::Changed { .. } | Act::Timing { .. });
        let needs = rule(probe.rule).map_or(Depth::Blind, |rule| rule.needs);
        is_of_response && needs > Depth::Blind && self.control.is_none()
    }

    /// Findings that follow from the responses alone.
    async fn judge_responses(&mut self) -> anyhow::Result<()> {
        let answers = std::mem::take(&mut self.answers);
        let tells_apart = match answers.iter().find(|answered| answered.has_credential) {
            Some(answered) if self.stopped.is_none() => {
                // A text that changes with each response tells nothing.
                let again = self.send(&answered.draft.clone()).await;
                again.is_ok_and(|again| passive::normalized(&again) == passive::normalized(&answered.answer))
            }
            Some(_) | None => false,
        };
        for (rule, found) in passive::findings(&answers, tells_apart) {
            self.results.held(rule);
            for answered in found {
                let ProbeResponse { probe, draft, answer, secrets, .. } = answered;
                self.results.weak(rule, self.evidence_of(probe, draft, answer, secrets));
            }
        }
        Ok(())
    }

    /// A request and its response, without credentials and without `secrets`, such as the right signature.
    fn evidence_of(&self, probe: &str, draft: &Draft, answer: &Answer, secrets: &[String]) -> Evidence {
        let hidden = [secrets, &self.known.secrets, &credential::hidden(draft)].concat();
        Evidence { probe: probe.to_owned(), request: masked(draft), response: described(answer, &hidden) }
    }

    pub(super) fn report(self) -> anyhow::Result<AuditReport> {
        Ok(AuditReport {
            format: 1,
            hookgate: env!("CARGO_PKG_VERSION").to_owned(),
            url: self.target.url(),
            address: self.target.address.to_string(),
            time: format!("{:.0}", self.started),
            depth: self.known.depth(),
            requests: self.requests,
            stopped: self.stopped,
            timing: self.timing,
            unchecked: self.results.unchecked(self.known.depth()),
            checked: self.results.checked(),
            findings: self.results.findings(self.known.preset.as_deref())?,
        })
    }
}
