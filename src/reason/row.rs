//! The columns of a reason, and the functions that make its row.

use http::StatusCode;

/// The columns of a reason.
#[derive(Debug)]
pub(crate) struct ReasonRow {
    pub(super) word: &'static str,
    pub(super) texts: ReasonTexts,
    pub(super) hint: Option<&'static str>,
    /// HTTP status of the response.
    pub(crate) status: StatusCode,
    /// The error of RFC 8935 §2.4, if that protocol has one for it.
    pub(crate) secevent: Option<&'static str>,
    /// How a request with this reason ends.
    pub(crate) ending: Ending,
    /// The response is sent before a route is known, or to no client.
    pub(crate) before_route: bool,
}

/// How a request ends that is not forwarded, or whose response is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The gateway rejects it.
    Rejected,
    /// The gateway cannot decide, and the sender is asked to retry.
    Undecided,
    /// It fails while it is processed.
    Failed,
}

/// The texts about a reason, in Markdown, as the reference has them.
#[derive(Debug)]
pub(super) struct ReasonTexts {
    pub(super) cause: &'static str,
    /// The operator's action.
    pub(super) operator: &'static str,
    /// The sender's action: correct the request, or retry it.
    pub(super) sender: &'static str,
}

/// A row of the table: word, HTTP status and texts.
pub(super) const fn row(word: &'static str, status: u16, texts: ReasonTexts) -> ReasonRow {
    #[expect(clippy::panic, reason = "the compiler evaluates it")]
    let Ok(status) = StatusCode::from_u16(status) else { panic!("not an HTTP status") };
    ReasonRow { word, texts, hint: None, status, secevent: None, ending: Ending::Rejected, before_route: false }
}

/// The row of a credential that is rejected: word, HTTP status, error of RFC 8935 §2.4 and texts. A token that breaks
/// its own rules, times included, is an invalid request.
pub(super) const fn credential(
    word: &'static str,
    status: u16,
    secevent: &'static str,
    texts: ReasonTexts,
) -> ReasonRow {
    ReasonRow { secevent: Some(secevent), ..row(word, status, texts) }
}

impl ReasonRow {
    pub(super) const fn before_route(self) -> Self {
        Self { before_route: true, ..self }
    }

    pub(super) const fn ends(self, ending: Ending) -> Self {
        Self { ending, ..self }
    }

    /// Adds a hint for the operator, which `hookgate explain` prints.
    pub(super) const fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }
}
