//! OpenID Connect Discovery 1.0 §4: reads the URL of the key set from the issuer's discovery document. Pure functions.

use http::Uri;
use serde_json::Value;

use crate::auth::json::parse_object;
use crate::settings::{is_https, is_https_or_loopback};

/// Why a discovery document cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DiscoveryError {
    #[error("not a discovery document: expected an object with the strings `issuer` and `jwks_uri`")]
    Malformed,
    #[error("the `issuer` of the document does not match")]
    OtherIssuer,
    #[error("the `jwks_uri` of the document is not an https URL")]
    Address,
}

/// The `jwks_uri` of the document that was fetched for `iss`: an https URL, or an http URL on loopback.
pub(super) fn key_set_address(document: &[u8], iss: &str) -> Result<Uri, DiscoveryError> {
    let document = parse_object(document).map_err(|_| DiscoveryError::Malformed)?;
    let text = |name| document.get(name).and_then(Value::as_str).ok_or(DiscoveryError::Malformed);
    // §4.3: otherwise an attacker who can place a document at the URL of one issuer could impersonate another (mix-up).
    if text("issuer")? != iss {
        return Err(DiscoveryError::OtherIssuer);
    }
    let address = text("jwks_uri")?;
    // The keys may be on another host, but an attacker on the network must not be able to change them.
    let downgraded = is_https(iss) && !is_https(address);
    if downgraded || !is_https_or_loopback(address) {
        return Err(DiscoveryError::Address);
    }
    address.parse().map_err(|_| DiscoveryError::Address)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ISS: &str = "https://issuer.test/realm/";

    fn address(document: &Value, iss: &str) -> Result<String, DiscoveryError> {
        key_set_address(document.to_string().as_bytes(), iss).map(|uri| uri.to_string())
    }

    #[test]
    fn the_document_says_where_the_keys_are() {
        let document = json!({"issuer": ISS, "jwks_uri": "https://keys.test/jwks?v=1", "authorization_endpoint": 5});
        assert_eq!(address(&document, ISS), Ok("https://keys.test/jwks?v=1".into()));
    }

    /// Discovery §4.3: the issuers must be identical, not merely similar.
    #[test]
    fn a_document_of_another_issuer_is_rejected() {
        for issuer in ["https://issuer.test/realm", "https://ISSUER.test/realm/", "https://issuer.test/realm//", ""] {
            let document = json!({"issuer": issuer, "jwks_uri": "https://keys.test/"});
            assert_eq!(address(&document, ISS), Err(DiscoveryError::OtherIssuer), "{issuer}");
        }
        for document in [
            json!({"issuer": [ISS], "jwks_uri": "https://keys.test/"}),
            json!({"jwks_uri": "https://keys.test/"}),
            json!({"issuer": ISS}),
            json!({"issuer": ISS, "jwks_uri": null}),
            json!([]),
        ] {
            assert_eq!(address(&document, ISS), Err(DiscoveryError::Malformed), "{document}");
        }
        let doubled = format!(r#"{{"issuer":"{ISS}","issuer":"{ISS}","jwks_uri":"https://keys.test/"}}"#);
        assert_eq!(key_set_address(doubled.as_bytes(), ISS).err(), Some(DiscoveryError::Malformed));
    }

    #[test]
    fn keys_are_fetched_over_https_unless_the_issuer_is_on_loopback_too() {
        let keys = |jwks_uri: &str, iss: &str| address(&json!({"issuer": iss, "jwks_uri": jwks_uri}), iss);
        let local = "http://127.0.0.1:8080";
        for bad in ["http://keys.test/", "file:///etc/passwd", "https:keys", "/jwks", "https://a:b@keys.test/", ""] {
            assert_eq!(keys(bad, ISS), Err(DiscoveryError::Address), "{bad}");
            assert_eq!(keys(bad, local), Err(DiscoveryError::Address), "{bad}");
        }
        for loopback in ["http://127.0.0.1:9/jwks", "http://localhost/jwks", "http://[::1]/jwks"] {
            assert_eq!(keys(loopback, ISS), Err(DiscoveryError::Address), "{loopback}");
            assert_eq!(keys(loopback, local), Ok(loopback.into()));
        }
        assert_eq!(keys("https://keys.test/", local), Ok("https://keys.test/".into()));
    }
}
