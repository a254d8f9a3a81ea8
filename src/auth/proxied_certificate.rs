//! A client certificate that a proxy in front states in a header: the proxy has terminated TLS, and with it verified that
//! the client holds the private key. Only the header's form is parsed here; the trust is that of any certificate.
//!
//! A value with two readings is malformed. Nothing but a certificate is taken from it: hashes, subjects and results of
//! other verifications are not read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::client_certificate::{ClientCertificate, UnreadableCertificate};

/// The most certificates of a chain, with the leaf.
const MAX_CHAIN: usize = 10;

static CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
static CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");
static XFCC: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// The header that states client certificates. Its name determines its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateHeader {
    /// `Client-Cert`, with `Client-Cert-Chain` (RFC 9440).
    ClientCert,
    /// `X-Forwarded-Client-Cert` of Envoy, with `Cert` or `Chain`.
    ForwardedClientCert,
    /// Another header, with a chain in PEM form, percent-encoded: `$ssl_client_escaped_cert` of nginx, and
    /// `X-Amzn-Mtls-Clientcert` of AWS.
    EscapedPem(HeaderName),
}

type Chain = Vec<CertificateDer<'static>>;

impl CertificateHeader {
    /// The header of this name.
    pub fn named(name: HeaderName) -> Self {
        match name.as_str() {
            "client-cert" => Self::ClientCert,
            "x-forwarded-client-cert" => Self::ForwardedClientCert,
            _other => Self::EscapedPem(name),
        }
    }

    /// Its name.
    pub fn name(&self) -> &HeaderName {
        match self {
            Self::ClientCert => &CLIENT_CERT,
            Self::ForwardedClientCert => &XFCC,
            Self::EscapedPem(name) => name,
        }
    }

    /// The certificate in a request; `None` if the client has presented none.
    ///
    /// # Errors
    /// [`UnreadableCertificate`] for a repeated or malformed header.
    pub fn read(&self, headers: &HeaderMap) -> Result<Option<ClientCertificate>, UnreadableCertificate> {
        let mut values = headers.get_all(self.name()).iter();
        let (first, second) = (values.next(), values.next());
        if second.is_some() {
            return Err(UnreadableCertificate);
        }
        let text = first.map_or(Ok(""), |value| value.to_str().map_err(|_| UnreadableCertificate))?;
        // Without a certificate, HAProxy writes an empty byte sequence, and other proxies an empty header or none.
        let is_absent = matches!(text, "" | "::");
        let chain = match self {
            Self::ClientCert if is_absent && !headers.contains_key(&CLIENT_CERT_CHAIN) => return Ok(None),
            Self::ForwardedClientCert | Self::EscapedPem(_) if is_absent => return Ok(None),
            Self::ClientCert => client_cert(text, headers)?,
            Self::ForwardedClientCert => forwarded_client_cert(text)?,
            Self::EscapedPem(_) => escaped_pem(text)?,
        };
        if chain.len() > MAX_CHAIN {
            Err(UnreadableCertificate)
        } else {
            ClientCertificate::from_chain(&chain).map(Some)
        }
    }
}

/// RFC 9440 §2: the leaf is a byte sequence, the chain a list of them.
fn client_cert(leaf: &str, headers: &HeaderMap) -> Result<Chain, UnreadableCertificate> {
    let mut chain = vec![byte_sequence(leaf)?];
    for value in headers.get_all(&CLIENT_CERT_CHAIN) {
        for item in value.to_str().map_err(|_| UnreadableCertificate)?.split(',') {
            chain.push(byte_sequence(item.trim_matches([' ', '\t']))?);
        }
    }
    Ok(chain)
}

/// RFC 9651 §3.3.5, without parameters.
fn byte_sequence(text: &str) -> Result<CertificateDer<'static>, UnreadableCertificate> {
    let base64 = text.strip_prefix(':').and_then(|rest| rest.strip_suffix(':')).ok_or(UnreadableCertificate)?;
    STANDARD.decode(base64).map(CertificateDer::from).map_err(|_| UnreadableCertificate)
}

fn escaped_pem(text: &str) -> Result<Chain, UnreadableCertificate> {
    let pem: Vec<u8> = percent_decode_str(text).collect();
    let chain =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<Chain, _>>().map_err(|_| UnreadableCertificate)?;
    if chain.is_empty() { Err(UnreadableCertificate) } else { Ok(chain) }
}

/// The only element of the header: of several, another proxy has added one, and the client may have forged the first. `Chain`
/// contains the leaf as well, which `Cert` must be if both are there.
fn forwarded_client_cert(text: &str) -> Result<Chain, UnreadableCertificate> {
    let (mut leaf, mut chain) = (None, None);
    for pair in pairs(text)? {
        let (name, value) = pair.split_once('=').ok_or(UnreadableCertificate)?;
        let place = match name.trim() {
            name if name.eq_ignore_ascii_case("cert") => &mut leaf,
            name if name.eq_ignore_ascii_case("chain") => &mut chain,
            _other => continue,
        };
        let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
        if place.replace(escaped_pem(value)?).is_some() {
            return Err(UnreadableCertificate);
        }
    }
    match (leaf, chain) {
        (Some(leaf), None) if leaf.len() == 1 => Ok(leaf),
        (None, Some(chain)) => Ok(chain),
        (Some(leaf), Some(chain)) if leaf.len() == 1 && leaf.first() == chain.first() => Ok(chain),
        (Some(_) | None, Some(_) | None) => Err(UnreadableCertificate),
    }
}

/// The pairs of an element, separated by semicolons outside of quotes. A comma outside of quotes begins another element.
fn pairs(text: &str) -> Result<Vec<&str>, UnreadableCertificate> {
    let (mut pairs, mut begin, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return Err(UnreadableCertificate),
            b';' if !quoted => {
                pairs.extend(text.get(begin..at));
                begin = at + 1;
            }
            _ => {}
        }
    }
    if quoted {
        return Err(UnreadableCertificate);
    }
    pairs.extend(text.get(begin..));
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

    /// The DER and the escaped PEM form of a certificate.
    fn certificate(name: &str) -> (Vec<u8>, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.der().to_vec(), utf8_percent_encode(&certificate.pem(), NON_ALPHANUMERIC).to_string())
    }

    /// The SHA-256 of the certificate that is found.
    fn read(header: &str, values: &[(&str, String)]) -> Result<Option<[u8; 32]>, UnreadableCertificate> {
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let header = CertificateHeader::named(header.parse().unwrap());
        Ok(header.read(&headers)?.map(|certificate| *certificate.sha256()))
    }

    #[test]
    fn each_form_has_the_certificate() {
        let ((der, pem), (other, other_pem)) = (certificate("a.example"), certificate("b.example"));
        let binary = |der: &[u8]| format!(":{}:", STANDARD.encode(der));
        let chain = format!("{}, {}", binary(&other), binary(&other));
        let xfcc = |value: String| [("x-forwarded-client-cert", value)];
        let found = Ok(Some(*ClientCertificate::from_chain(&[der.clone().into()]).unwrap().sha256()));
        assert_eq!(read("Client-Cert", &[("client-cert", binary(&der))]), found);
        assert_eq!(read("Client-Cert", &[("client-cert", binary(&der)), ("client-cert-chain", chain)]), found);
        for element in [
            format!("Cert=\"{pem}\""),
            format!("By=spiffe://a/b;Hash=00;Cert=\"{pem}\";Subject=\"CN=a,O=\\\"b;c\\\"\";URI=;DNS=a.example"),
            format!("Chain=\"{pem}{other_pem}\""),
            format!("cert={pem};CHAIN=\"{pem}{other_pem}\""),
        ] {
            assert_eq!(read("X-Forwarded-Client-Cert", &xfcc(element.clone())), found, "{element}");
        }
        // AWS leaves `+`, `=` and `/` as they are, and nginx nothing.
        let aws = pem.replace("%2B", "+").replace("%3D", "=").replace("%2F", "/");
        for value in [pem.clone(), aws, format!("{pem}{other_pem}")] {
            assert_eq!(read("X-SSL-Cert", &[("x-ssl-cert", value)]), found);
        }
        for (header, value) in [("client-cert", "::"), ("x-cert", ""), ("x-forwarded-client-cert", "")] {
            assert_eq!(read(header, &[(header, value.to_owned())]), Ok(None));
            assert_eq!(read(header, &[]), Ok(None));
        }
    }

    #[test]
    fn malformed_and_ambiguous_values_are_no_certificate() {
        let ((der, pem), (other, other_pem)) = (certificate("a.example"), certificate("b.example"));
        let binary = format!(":{}:", STANDARD.encode(&der));
        let half = format!(":{}:", STANDARD.encode(&der[..100]));
        let with_rest = format!(":{}:", STANDARD.encode([&der[..], &other].concat()));
        let many = format!(":{}:, ", STANDARD.encode(&der)).repeat(10) + &binary;
        let x = "x-forwarded-client-cert";
        let cases: Vec<(&str, Vec<(&str, String)>)> = vec![
            ("client-cert", vec![("client-cert", STANDARD.encode(&der))]),
            ("client-cert", vec![("client-cert", binary.trim_end_matches(':').to_owned())]),
            ("client-cert", vec![("client-cert", format!("{binary}, {binary}"))]),
            ("client-cert", vec![("client-cert", binary.clone()), ("client-cert", binary.clone())]),
            ("client-cert", vec![("client-cert", half)]),
            ("client-cert", vec![("client-cert", with_rest)]),
            ("client-cert", vec![("client-cert-chain", binary.clone())]),
            ("client-cert", vec![("client-cert", binary.clone()), ("client-cert-chain", "x".to_owned())]),
            ("client-cert", vec![("client-cert", binary), ("client-cert-chain", many)]),
            (x, vec![(x, format!("Cert=\"{pem}\",Cert=\"{other_pem}\""))]),
            (x, vec![(x, format!("Cert=\"{pem}\";Cert=\"{pem}\""))]),
            (x, vec![(x, format!("Cert=\"{other_pem}\";Chain=\"{pem}{other_pem}\""))]),
            (x, vec![(x, format!("Cert=\"{pem}"))]),
            (x, vec![(x, "Hash=00;Subject=\"CN=a\"".to_owned())]),
            (x, vec![(x, format!("Subject=\"CN=a\\\";Cert=\\\"{pem}\\\"\""))]),
            ("x-cert", vec![("x-cert", "not a certificate".to_owned())]),
            ("x-cert", vec![("x-cert", pem.replace("CERTIFICATE", "PRIVATE%20KEY"))]),
            ("x-cert", vec![("x-cert", pem.get(..pem.len() / 2).unwrap().to_owned())]),
        ];
        for (header, values) in cases {
            assert_eq!(read(header, &values), Err(UnreadableCertificate), "{header}: {values:?}");
        }
    }
}
