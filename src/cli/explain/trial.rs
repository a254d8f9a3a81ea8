//! One evaluation of a captured request by the rules of a route at a given time.

use super::message::Captured;
use crate::auth::explanation::{Explanation, Note};
use crate::auth::{Reason, RequestView, VerifyError, verify_explained};
use crate::clock::UnixTime;
use crate::route::{ChallengeStage, Route};

/// A captured request, with the route and the time to evaluate it by.
pub(super) struct Trial<'a> {
    pub(super) route: &'a Route,
    pub(super) captured: Captured,
    pub(super) now: UnixTime,
}

/// Whether the request passes after `change` of the rules, the headers, the body or the time.
pub(super) fn passes(trial: &Trial<'_>, change: impl FnOnce(&mut Route, &mut Captured, &mut UnixTime)) -> bool {
    let (mut route, mut captured, mut now) = (trial.route.clone(), trial.captured.clone(), trial.now);
    change(&mut route, &mut captured, &mut now);
    Trial { route: &route, captured, now }.verdict(&mut Explanation::off()).is_ok()
}

impl Trial<'_> {
    pub(super) fn view(&self) -> RequestView<'_> {
        RequestView::new(&self.captured.head, self.route.url_base(self.captured.host())).with_body(&self.captured.body)
    }

    pub(super) fn verdict(&self, explanation: &mut Explanation) -> Result<(), Reason> {
        match verify_explained(&self.route.rules, &self.view(), self.now, explanation) {
            Ok(_) => Ok(()),
            Err(VerifyError::Rejected(rejection)) => Err(rejection.reason),
            // This cannot happen: the view has the body.
            Err(VerifyError::NeedsBody) => Err(Reason::MalformedCredential),
        }
    }

    pub(super) fn answer(&self, stage: ChallengeStage) -> Option<Note> {
        let answer = self.route.challenge_response(&self.view(), stage).ok()??;
        Some(Note { check: "challenge", found: format!("answered by the gateway with {} bytes", answer.body.len()) })
    }
}
