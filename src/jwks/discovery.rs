//! OpenID Connect Discovery 1.0 §4: reads the URL of the key set from the issuer's discovery document. Pure functions.

use http::Uri;
use http::uri::Scheme;
use serde_json::Value;

use crate::auth::json::parse_object;
use crate::auth::quoted::quoted;
use crate::settings::{is_fetchable, is_https};

/// Why a discovery document cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DiscoveryError {
    #[error("not a discovery document: expected an object with the strings `issuer` and `jwks_uri`")]
    Malformed,
    /// Both values are public.
    #[error("expected the `issuer` {0}, got {1}")]
    OtherIssuer(String, String),
    #[error("the `jwks_uri` of the document is not an https URL: {0}")]
    Address(String),
}

/// The `jwks_uri` of the document that was fetched for `iss` from `url`: an https URL, an http URL on loopback, or with
/// `insecure_http` one of the same origin.
pub(super) fn key_set_address(
    document: &[u8],
    iss: &str,
    url: &Uri,
    insecure_http: bool,
) -> Result<Uri, DiscoveryError> {
    let document = parse_object(document).map_err(|_| DiscoveryError::Malformed)?;
    let text = |name| document.get(name).and_then(Value::as_str).ok_or(DiscoveryError::Malformed);
    // §4.3: otherwise an attacker who can place a document at the URL of one issuer could impersonate another (mix-up).
    let found = text("issuer")?;
    if found != iss {
        return Err(DiscoveryError::OtherIssuer(quoted(iss), quoted(found)));
    }
    let address = text("jwks_uri")?;
    let rejected = || DiscoveryError::Address(quoted(address));
    // The keys may be on another host, but an attacker on the network must not be able to change them.
    let downgraded = url.scheme() == Some(&Scheme::HTTPS) && !is_https(address);
    let parsed: Uri = address.parse().map_err(|_| rejected())?;
    let same_origin = (parsed.scheme(), parsed.authority()) == (url.scheme(), url.authority());
    let fetchable = is_fetchable(address, insecure_http && same_origin);
    if downgraded || !fetchable { Err(rejected()) } else { Ok(parsed) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ISS: &str = "https://issuer.test/realm/";

    fn address(document: &Value, iss: &str) -> Result<String, DiscoveryError> {
        let url = iss.parse().unwrap();
        key_set_address(document.to_string().as_bytes(), iss, &url, false).map(|uri| uri.to_string())
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
            let error = address(&document, ISS).unwrap_err().to_string();
            assert_eq!(error, format!("expected the `issuer` \"{ISS}\", got \"{issuer}\""));
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
        let doubled = key_set_address(doubled.as_bytes(), ISS, &Uri::from_static(ISS), false);
        assert_eq!(doubled.err(), Some(DiscoveryError::Malformed));
    }

    #[test]
    fn keys_are_fetched_over_https_unless_the_issuer_is_on_loopback_too() {
        let keys = |jwks_uri: &str, iss: &str| address(&json!({"issuer": iss, "jwks_uri": jwks_uri}), iss);
        let local = "http://127.0.0.1:8080";
        for bad in ["http://keys.test/", "file:///etc/passwd", "https:keys", "/jwks", "https://a:b@keys.test/", ""] {
            assert!(matches!(keys(bad, ISS), Err(DiscoveryError::Address(_))), "{bad}");
            assert!(matches!(keys(bad, local), Err(DiscoveryError::Address(_))), "{bad}");
        }
        for loopback in ["http://127.0.0.1:9/jwks", "http://localhost/jwks", "http://[::1]/jwks"] {
            assert!(matches!(keys(loopback, ISS), Err(DiscoveryError::Address(_))), "{loopback}");
            assert_eq!(keys(loopback, local), Ok(loopback.into()));
        }
        assert_eq!(keys("https://keys.test/", local), Ok("https://keys.test/".into()));
    }

    /// Over plain http an attacker could put any address into the document.
    #[test]
    fn insecure_http_leads_to_the_same_origin_alone() {
        let iss = "http://keycloak:8080/realms/a";
        let keys = |jwks_uri: &str, insecure_http| {
            let document = json!({"issuer": iss, "jwks_uri": jwks_uri}).to_string();
            key_set_address(document.as_bytes(), iss, &Uri::from_static(iss), insecure_http).map(|uri| uri.to_string())
        };
        assert_eq!(keys("http://keycloak:8080/certs", true), Ok("http://keycloak:8080/certs".into()));
        assert!(keys("http://keycloak:8080/certs", false).is_err());
        for other in
            ["http://keycloak/certs", "http://vault:8080/certs", "http://10.0.0.1/", "http://keycloak:80@x:8080/"]
        {
            assert!(keys(other, true).is_err(), "{other}");
        }
    }
}
