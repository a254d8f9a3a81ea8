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
    /// The tenant that the path names.
    pub(super) tenant: Option<String>,
}

impl Trial<'_> {
    pub(super) fn view(&self) -> RequestView<'_> {
        let view = RequestView::new(&self.captured.head, self.route.url_base(self.captured.host()));
        view.with_body(&self.captured.body).with_tenant(self.tenant.as_deref())
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
