//! The inputs of the string to sign that vary between attempts at one signature.

use crate::auth::secret::Secret;

/// The inputs that vary between attempts at one signature.
#[derive(Clone, Copy, Debug)]
pub struct SigningVariant<'a> {
    /// The spelling of the URL.
    pub url: &'a UrlSpelling,
    /// How the body is represented.
    pub body: BodyForm,
    /// The secret, for senders that put it into the string to sign.
    pub secret: &'a Secret,
}

/// One spelling of the URL; empty if the URL is not signed.
#[derive(Clone, Debug, Default)]
pub struct UrlSpelling {
    pub(super) url: String,
    pub(super) path: String,
}

impl UrlSpelling {
    pub(super) fn of_url(url: String) -> Self {
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/").to_owned();
        Self { url, path }
    }

    pub(super) fn of_path(path: String) -> Self {
        Self { url: String::new(), path }
    }
}

/// How the body is represented in the string to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyForm {
    /// By its bytes, or its form fields.
    AsItIs,
    /// By its hash in the URL, which has been compared with the body.
    ByItsHash,
}
