//! Text of a client or an issuer in the log: what a token or a document says, shown so that it can do no harm.

/// Maximum number of characters of one text from a token or an issuer's document in a detail.
const MAX_QUOTED: usize = 120;

/// Text of a client or an issuer, for the log: in quotes, in printable ASCII, and cut. Something that could be a token
/// is left out.
pub fn quoted(text: &str) -> String {
    // The base64url of `{"`, with which the header of a JWS begins.
    if text.contains("eyJ") {
        return "(a token)".to_owned();
    }
    let cut: String = text.chars().take(MAX_QUOTED).collect();
    let rest = if cut.len() < text.len() { "…" } else { "" };
    format!("\"{}{rest}\"", cut.escape_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_client_is_cut_escaped_and_never_a_token() {
        assert_eq!(quoted("https://issuer.test/"), "\"https://issuer.test/\"");
        assert_eq!(quoted("a\"\n\u{202e}é"), r#""a\"\n\u{202e}\u{e9}""#);
        assert_eq!(quoted(&"é".repeat(5000)).len(), MAX_QUOTED * "\\u{e9}".len() + "…\"\"".len());
        assert_eq!(quoted("Bearer eyJhbGciOiJub25lIn0.e30.c2ln"), "(a token)");
    }
}
