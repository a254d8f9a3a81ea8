//! The supported signature algorithms (RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864), by their exact names.

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
};
use jsonwebtoken::AlgorithmFamily;

use crate::rows::rows;

rows! {
    /// A signature algorithm.
    pub enum Algorithm;

    /// The exact name.
    pub fn name -> &'static str;

    /// HMAC with SHA-256.
    HS256 = "HS256";
    /// HMAC with SHA-384.
    HS384 = "HS384";
    /// HMAC with SHA-512.
    HS512 = "HS512";
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256 = "RS256";
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384 = "RS384";
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512 = "RS512";
    /// RSASSA-PSS with SHA-256.
    PS256 = "PS256";
    /// RSASSA-PSS with SHA-384.
    PS384 = "PS384";
    /// RSASSA-PSS with SHA-512.
    PS512 = "PS512";
    /// ECDSA on P-256 with SHA-256.
    ES256 = "ES256";
    /// ECDSA on P-384 with SHA-384.
    ES384 = "ES384";
    /// ECDSA on P-521 with SHA-512.
    ES512 = "ES512";
    /// Ed25519, by the name of RFC 8037.
    EdDSA = "EdDSA";
}

impl Algorithm {
    /// The algorithm with this name. `Ed25519` is the name in RFC 9864 §2.2 for `EdDSA` on the one curve that is
    /// supported; the other names of that RFC (`Ed448`, `ESP256` and so on) are not supported.
    pub fn named(name: &str) -> Option<Self> {
        let name = if name == "Ed25519" { Self::EdDSA.name() } else { name };
        Self::ALL.iter().copied().find(|algorithm| algorithm.name() == name)
    }

    /// The algorithm in jsonwebtoken; `None` for ES512, which it does not support.
    pub fn in_library(self) -> Option<jsonwebtoken::Algorithm> {
        self.name().parse().ok()
    }

    /// RSA padding and hash; `None` for other families.
    pub(super) fn rsa(self) -> Option<&'static RsaParameters> {
        Some(match self {
            Self::RS256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::RS384 => &RSA_PKCS1_2048_8192_SHA384,
            Self::RS512 => &RSA_PKCS1_2048_8192_SHA512,
            Self::PS256 => &RSA_PSS_2048_8192_SHA256,
            Self::PS384 => &RSA_PSS_2048_8192_SHA384,
            Self::PS512 => &RSA_PSS_2048_8192_SHA512,
            Self::HS256 | Self::HS384 | Self::HS512 | Self::ES256 | Self::ES384 | Self::ES512 | Self::EdDSA => {
                return None;
            }
        })
    }

    /// The family, which determines the key type.
    pub const fn family(self) -> AlgorithmFamily {
        match self {
            Self::HS256 | Self::HS384 | Self::HS512 => AlgorithmFamily::Hmac,
            Self::RS256 | Self::RS384 | Self::RS512 | Self::PS256 | Self::PS384 | Self::PS512 => AlgorithmFamily::Rsa,
            Self::ES256 | Self::ES384 | Self::ES512 => AlgorithmFamily::Ec,
            Self::EdDSA => AlgorithmFamily::Ed,
        }
    }

    /// Length of the MAC in bytes, which is also the minimum length of the secret (RFC 7518 §3.2); `None` for
    /// public-key algorithms.
    pub const fn mac_length(self) -> Option<usize> {
        match self {
            Self::HS256 => Some(32),
            Self::HS384 => Some(48),
            Self::HS512 => Some(64),
            Self::RS256 | Self::RS384 | Self::RS512 | Self::PS256 | Self::PS384 | Self::PS512 => None,
            Self::ES256 | Self::ES384 | Self::ES512 | Self::EdDSA => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms_have_exact_names() {
        let public = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];
        for (name, shared) in public.map(|name| (name, false)).into_iter().chain([("HS256", true), ("HS512", true)]) {
            let algorithm = Algorithm::named(name).unwrap();
            assert_eq!((format!("{algorithm:?}"), algorithm.mac_length().is_some()), (name.to_owned(), shared));
        }
        for name in ["none", "None", "", "rs256", "ES256K", "es512", "RS1", "HS1", "RSA-OAEP", "RS256 "] {
            assert_eq!(Algorithm::named(name), None, "{name}");
        }
    }

    /// RFC 9864: `Ed25519` is another name for a supported algorithm.
    #[test]
    fn ed25519_is_the_new_name_of_eddsa_and_the_other_new_names_are_unknown() {
        assert_eq!(Algorithm::named("Ed25519"), Some(Algorithm::EdDSA));
        for name in ["ed25519", "Ed448", "ESP256", "ESP384", "ESP512", "ESB256"] {
            assert_eq!(Algorithm::named(name), None, "{name}");
        }
    }

    /// A key must never verify with another algorithm than its own.
    #[test]
    fn the_library_knows_each_by_the_same_name_and_family() {
        for name in
            ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
        {
            let algorithm = Algorithm::named(name).unwrap();
            let theirs = algorithm.in_library().unwrap();
            assert_eq!((format!("{theirs:?}").as_str(), theirs.family()), (name, algorithm.family()));
        }
        assert_eq!(Algorithm::ES512.in_library(), None);
    }
}
