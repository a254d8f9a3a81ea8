//! Sends one probe of each kind, and decides by its responses.

use std::collections::BTreeSet;
use std::time::Duration;

use http::StatusCode;

use super::super::super::sign::{Draft, random_id};
use super::super::connection;
use super::super::finding::{Evidence, Outcome};
use super::super::knowledge::Source;
use super::super::passive::{self, ProbeResponse};
use super::super::probe::{Act, Check, Probe};
use super::super::probes;
use super::super::report::masked;
use super::super::target::Answer;
use super::super::timing::TimingComparison;
use super::Run;

/// How often a request that broke off is sent again after 409, a second apart.
const RETRIES: usize = 3;

/// Why a response with 429 says nothing.
const LIMITED: &str = "the endpoint limits the rate (429)";

impl Run<'_> {
    pub(super) async fn reject(&mut self, probe: &Probe, draft: &Draft) -> anyhow::Result<Outcome> {
        let answer = self.send(draft).await?;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            return Ok(Outcome::Undecided(LIMITED.to_owned()));
        }
        let is_accepted = self.is_accepted(&answer);
        let evidence = self.evidence_of(&probe.name, draft, &answer, &probe.secrets);
        self.record(probe, draft, answer);
        Ok(if is_accepted { Outcome::Weak(evidence) } else { Outcome::Held })
    }

    pub(super) async fn changed(&mut self, probe: &Probe, base: &Draft, changed: &Draft) -> anyhow::Result<Outcome> {
        let before = self.send(base).await?;
        if self.is_accepted(&before) {
            let why = format!("the endpoint accepts {} without a credential, too", base.method);
            return Ok(Outcome::Undecided(why));
        }
        self.reject(probe, changed).await
    }

    pub(super) async fn malformed(&mut self, probe: &Probe, draft: &Draft) -> anyhow::Result<Outcome> {
        let answer = self.send(draft).await?;
        let is_error = passive::is_unexpected(answer.status);
        let evidence = self.evidence_of(&probe.name, draft, &answer, &probe.secrets);
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
            secrets: [probe.secrets.as_slice(), &self.known.secrets].concat(),
            answer,
        });
    }

    pub(super) async fn once(&mut self, probe: &Probe, first: &Draft, again: &Draft) -> anyhow::Result<Outcome> {
        // A captured request was used up by the control: its copy follows.
        let before = match (&self.known.source, self.control.clone()) {
            (Source::Captured(_), Some((_, answer))) => answer,
            (Source::Captured(_) | Source::Signer(_) | Source::Nothing, _) => self.send(first).await?,
        };
        if !self.is_accepted(&before) {
            return Ok(Outcome::Undecided(format!("the first request was rejected with {}", before.status)));
        }
        let after = self.send(again).await?;
        if after.status == StatusCode::TOO_MANY_REQUESTS || after.status.is_server_error() {
            return Ok(Outcome::Undecided(format!("the second request got {}", after.status)));
        }
        // An application may acknowledge a duplicate with 200. Then its response differs from that to the event.
        let is_processed = after.status.is_success() && passive::normalized(&before) == passive::normalized(&after);
        let evidence = self.evidence_of(&probe.name, again, &after, &probe.secrets);
        if is_processed && matches!(self.known.source, Source::Signer(_)) && self.known.has_one_body() {
            let why = "the copy got the response of the first request; an event that was delivered before gets it too, and the \
                       body of --body has no id that could be renewed";
            return Ok(Outcome::Undecided(why.to_owned()));
        }
        Ok(if is_processed { Outcome::Weak(evidence) } else { Outcome::Held })
    }

    pub(super) async fn retry(&mut self, probe: &Probe, draft: &Draft) -> anyhow::Result<Outcome> {
        self.pace.tick().await;
        self.requests += 1;
        self.target.break_off(draft).await?;
        let mut answer = self.send(draft).await?;
        // The endpoint may not have seen yet that the first attempt broke off. A sender retries later, too.
        for _ in 0..RETRIES {
            if answer.status != StatusCode::CONFLICT {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            answer = self.send(draft).await?;
        }
        if answer.status == StatusCode::TOO_MANY_REQUESTS || answer.status.is_server_error() {
            return Ok(Outcome::Undecided(format!("the second request got {}", answer.status)));
        }
        let evidence = self.evidence_of(&probe.name, draft, &answer, &probe.secrets);
        Ok(if self.is_accepted(&answer) { Outcome::Held } else { Outcome::Weak(evidence) })
    }

    /// Both requests in turn, in an order that a periodic load does not follow, each pair newly signed.
    pub(super) async fn timing(&mut self, probe: &Probe, samples: u32) -> anyhow::Result<Outcome> {
        let mut times = [Vec::new(), Vec::new()];
        let mut statuses = BTreeSet::new();
        let mut request = String::new();
        for round in 0..samples {
            let Some(pair) = probes::timing_pair(self.known)? else { break };
            let order = if random_id().as_bytes().first().is_some_and(|byte| byte % 2 == 0) { [0, 1] } else { [1, 0] };
            for kind in order {
                let (Some(draft), Some(times)) = (pair.get(kind), times.get_mut(kind)) else { continue };
                let answer = self.send(draft).await?;
                times.push(answer.time);
                statuses.insert(answer.status);
                request = masked(draft);
            }
            let is_of_no_use =
                |status: &StatusCode| !status.is_client_error() || *status == StatusCode::TOO_MANY_REQUESTS;
            if statuses.len() > 1 || statuses.iter().any(is_of_no_use) {
                let statuses = statuses.iter().map(|status| status.as_str()).collect::<Vec<_>>().join(" and ");
                let why = format!("after {} samples there is no single kind of rejection: {statuses}", round + 1);
                return Ok(Outcome::Undecided(why));
            }
        }
        let [first_wrong, last_wrong] = &times;
        let comparison = TimingComparison::new(first_wrong, last_wrong);
        let evidence = Evidence { probe: probe.name.clone(), request, response: comparison.text() };
        let differs = comparison.differs();
        self.timing = Some(comparison);
        Ok(if differs { Outcome::Weak(evidence) } else { Outcome::Held })
    }

    pub(super) async fn connection(&mut self, probe: &Probe, check: Check) -> anyhow::Result<Outcome> {
        self.pace.tick().await;
        self.requests += 1;
        connection::check(check, &probe.name, self.target, self.upstream, &self.known.blank).await
    }

    pub(super) async fn rejection_rate(&mut self, probe: &Probe, draft: &Draft) -> anyhow::Result<Outcome> {
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
        Ok(Outcome::Weak(self.evidence_of(&probe.name, draft, &answer, &probe.secrets)))
    }
}
