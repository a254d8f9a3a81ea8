//! The word and the texts of a reason.

use super::Reason;

impl Reason {
    /// The word for it in the access log, metrics, responses, configuration and documents.
    pub const fn word(self) -> &'static str {
        self.row().word
    }

    /// The reason with this word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.word() == word)
    }

    /// The cause, as the reference states it, in Markdown.
    pub const fn cause(self) -> &'static str {
        self.row().texts.cause
    }

    /// The operator's action, in Markdown.
    pub const fn operator(self) -> &'static str {
        self.row().texts.operator
    }

    /// The sender's action, in Markdown.
    pub const fn sender(self) -> &'static str {
        self.row().texts.sender
    }

    /// A hint for the operator, where the cause alone does not help.
    pub const fn hint(self) -> Option<&'static str> {
        self.row().hint
    }
}
