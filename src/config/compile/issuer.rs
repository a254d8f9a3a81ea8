//! `issuers`: algorithms, and the source of the keys.

mod jwks;

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use super::compiler::Compiler;
use super::secrets::OF_TOKEN;
use crate::auth::client_certificate::is_trust_domain;
use crate::auth::issuer::{Issuer, IssuerClaim, PATH_TENANT, TENANT};
use crate::auth::keys::{Algorithm, KeySet, Keys};
use crate::auth::tenants::is_tenant_name;
use crate::config::file::{IssuerYaml, JwksYaml, SecretEncoding, SecretYaml};
use crate::config::reader::{Field, Location, Section};
use crate::config::values::{KEY_FILE, cleaned_secret, decode_secret, is_assignment, is_key_file};

/// Maximum number of secrets of one issuer: a rotation needs two, and a forged token is verified with each.
const MAX_SECRETS: usize = 10;

/// Maximum number of tenants of an issuer, each of which may have a key set of its own.
const MAX_TENANTS: usize = 1_000;

impl<'a> Compiler<'a> {
    pub(super) fn issuers(&mut self) -> BTreeMap<String, Issuer> {
        let issuers = self.file.issuers.iter();
        issuers.filter_map(|(name, file)| Some((name.clone(), self.issuer(name, file)?))).collect()
    }

    fn issuer(&mut self, name: &str, file: &Section<IssuerYaml>) -> Option<Issuer> {
        let iss = self.iss(file);
        let mut algorithms = self.algorithms(file);
        if self.problems.has_within(file.algorithms.at) {
            // Keys would be rejected for their algorithms.
            algorithms.clear();
        }
        let sources = [
            ("jwks", file.jwks.is_written()),
            ("public_key", file.public_key.is_written()),
            ("secret", file.secret.is_written()),
            ("secrets", file.secrets.is_written),
        ];
        let missing = "one of jwks, public_key, secret and secrets: tokens cannot be verified without a key";
        let several = "has more than one of jwks, public_key, secret and secrets; keep one";
        let keys = self.only_one(file.at, &sources, (missing, several)).and_then(|source| match source {
            "jwks" => self.jwks_of_issuer(name, file, iss.as_ref(), &algorithms),
            "public_key" => self.public_key(file, &algorithms),
            _secrets => self.shared_secrets(file, &algorithms),
        });
        Some(Issuer {
            name: name.into(),
            preset: false,
            iss: iss?,
            algorithms,
            keys: keys?,
            token_cache: Arc::default(),
        })
    }

    fn iss(&mut self, file: &IssuerYaml) -> Option<IssuerClaim> {
        let written = self.required(&file.issuer, "the exact `iss` of its tokens")?.as_str();
        if written.contains('{') {
            return self.template(written, file);
        }
        if file.tenants.is_written {
            self.problems.add(file.tenants.at, "requires {tenantid} in `issuer`; remove it");
        }
        match written {
            "" => {
                self.problems.add(file.issuer.at, "must not be empty; set the exact `iss` of its tokens");
                None
            }
            "none" if file.jwks.is_written() => {
                self.problems.add(
                    file.issuer.at,
                    "`none` is allowed only together with public_key or secrets: a key set may contain keys of other \
                     parties; for the JWT-SVIDs of SPIFFE write the trust domain, such as spiffe://example.org",
                );
                None
            }
            "none" => Some(IssuerClaim::Any),
            iss => match iss.strip_prefix("spiffe://") {
                None => Some(IssuerClaim::Exact(iss.to_owned())),
                Some(domain) if is_trust_domain(domain) => Some(IssuerClaim::TrustDomain(iss.to_owned())),
                Some(_) => {
                    let problem = "expected spiffe:// and a trust domain in lower case without a path, such as \
                                   spiffe://example.org";
                    self.problems.add(file.issuer.at, problem);
                    None
                }
            },
        }
    }

    /// An issuer of several tenants. Without their list, a customer of the provider could make a tenant of its own, whose
    /// tokens would be accepted.
    fn template(&mut self, written: &str, file: &IssuerYaml) -> Option<IssuerClaim> {
        let of_path = written.contains(PATH_TENANT);
        let placeholder = if of_path { PATH_TENANT } else { TENANT };
        if written.matches(placeholder).count() != 1 || written.replace(placeholder, "").contains(['{', '}']) {
            let problem =
                "the only placeholders are {tenant}, the tenant of the path, and {tenantid}; one of them, once";
            self.problems.add(file.issuer.at, problem);
            return None;
        }
        if file.tenants.is_empty() {
            let what = "the tenants whose tokens are accepted: without it, those of every tenant would be";
            self.missing(file.tenants.at, what);
            return None;
        }
        let is_name = |tenant: &String| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            (1..=64).contains(&tenant.len()) && tenant.bytes().all(plain)
        };
        if of_path && !file.tenants.iter().all(|tenant| is_tenant_name(tenant)) {
            let problem = "expected names of tenants as in the path: 1 to 64 letters in lower case, digits, `-` and `_` \
                           each";
            self.problems.add(file.tenants.at, problem);
            return None;
        }
        if file.tenants.len() > MAX_TENANTS {
            self.problems.add(file.tenants.at, format!("has more than {MAX_TENANTS} tenants; use several routes"));
            return None;
        }
        if !file.tenants.iter().all(is_name) {
            self.problems
                .add(file.tenants.at, "expected ids of tenants: 1 to 64 letters, digits, `-`, `.` and `_` each");
            return None;
        }
        Some(IssuerClaim::Tenants(written.to_owned(), file.tenants.to_vec()))
    }

    /// The key set of an issuer, or one for each tenant where its address has the tenant of the path. The addresses are
    /// those of `tenants`: none is made from a request.
    fn jwks_of_issuer(
        &mut self,
        name: &str,
        file: &IssuerYaml,
        iss: Option<&IssuerClaim>,
        algorithms: &[Algorithm],
    ) -> Option<Keys> {
        let jwks = file.jwks.value()?;
        let has_tenant = |field: &Field<String>| field.text().is_some_and(|text| text.contains(PATH_TENANT));
        let written = [&jwks.url, &jwks.discovery_url, &jwks.cache].into_iter().find(|field| has_tenant(field));
        if !has_tenant(&file.issuer) {
            if let Some(written) = written {
                self.problems.add(written.at, "{tenant} requires {tenant} in `issuer`, and `tenants`");
                return None;
            }
            return self.jwks(name, &file.issuer, &file.jwks, algorithms);
        }
        if written.is_none() && !jwks.discovery.get() {
            return self.jwks(name, &file.issuer, &file.jwks, algorithms);
        }
        let Some(IssuerClaim::Tenants(_, tenants)) = iss else { return None };
        let mut all = BTreeMap::new();
        for tenant in tenants {
            let of = |field: &Field<String>| match field.text() {
                Some(text) => field.with(text.replace(PATH_TENANT, tenant)),
                None => field.clone(),
            };
            let (url, discovery_url, cache) = (of(&jwks.url), of(&jwks.discovery_url), of(&jwks.cache));
            let own = file.jwks.with(Box::new(JwksYaml { url, discovery_url, cache, ..(**jwks).clone() }));
            all.insert(tenant.as_str().into(), self.jwks(name, &of(&file.issuer), &own, algorithms)?);
        }
        Some(Keys::OfTenants(Arc::new(all)))
    }

    fn algorithms(&mut self, file: &IssuerYaml) -> Vec<Algorithm> {
        let at = file.algorithms.at;
        let algorithms: Vec<Algorithm> = file.algorithms.iter().map(|algorithm| **algorithm).collect();
        if algorithms.is_empty() {
            self.missing(at, "the signature algorithms that its tokens may use, such as [RS256]");
        }
        // A public key used as a shared secret is the classic algorithm confusion (RFC 8725 §3.1).
        let shared = algorithms.iter().any(|algorithm| algorithm.mac_length().is_some());
        let has_secret = file.secret.is_written() || file.secrets.is_written;
        if shared && !has_secret {
            self.problems.add(
                at,
                "HS256, HS384 and HS512 need `secret` or `secrets`; they cannot be used with jwks or public_key",
            );
        }
        if has_secret && algorithms.iter().any(|algorithm| algorithm.mac_length().is_none()) {
            self.problems.add(at, "a shared secret works only with HS256, HS384 or HS512; remove the others");
        }
        algorithms
    }

    fn public_key(&mut self, file: &IssuerYaml, algorithms: &[Algorithm]) -> Option<Keys> {
        let field = &file.public_key.value()?.file;
        let bytes = self.file(field)?;
        let algorithm = self.only(algorithms, file)?;
        let set = self.check(field.at, KeySet::from_pem(bytes, algorithm))?;
        Some(Keys::Fixed(Arc::new(set)))
    }

    /// The secrets, any of which may have signed a token. Each problem is reported at its secret.
    fn shared_secrets(&mut self, file: &IssuerYaml, algorithms: &[Algorithm]) -> Option<Keys> {
        let several = &file.secrets;
        if several.is_written && !(1..=MAX_SECRETS).contains(&several.len()) {
            let problem = format!("expected 1 to {MAX_SECRETS} secrets: each token is tried with every one of them");
            self.problems.add_follow_up(several.at, problem);
        }
        let one = file.secret.value().map(|secret| (secret, file.secret.at));
        let files: Vec<_> = one.into_iter().chain(several.iter().map(|secret| (&**secret, secret.at))).collect();
        files.iter().for_each(|(secret, _)| self.unused_names(secret, OF_TOKEN));
        let secrets: Vec<_> = files
            .into_iter()
            .filter_map(|(file, at)| Some((self.secret_as(file, SecretEncoding::Utf8, at)?, at)))
            .collect();
        let algorithm = self.only(algorithms, file)?;
        for (secret, at) in &secrets {
            self.check(*at, KeySet::from_secret(secret, algorithm));
        }
        let pairs: Vec<_> = secrets.iter().map(|(secret, _)| (secret.as_slice(), algorithm)).collect();
        Some(Keys::Fixed(Arc::new(KeySet::from_secrets(&pairs).ok()?)))
    }

    /// The algorithm of a single key, which must be the only one (RFC 8725 §3.1).
    fn only(&mut self, algorithms: &[Algorithm], file: &IssuerYaml) -> Option<Algorithm> {
        match algorithms {
            [algorithm] => Some(*algorithm),
            [] => None,
            _several => {
                self.problems.add(file.algorithms.at, "one key has one algorithm; keep only that one");
                None
            }
        }
    }

    /// A secret, decoded with its own `encoding` or else with `default`.
    pub(super) fn secret_as(
        &mut self,
        file: &SecretYaml,
        default: SecretEncoding,
        at: Location,
    ) -> Option<Zeroizing<Vec<u8>>> {
        self.secret_file(&file.file);
        let raw = match self.secret_bytes(file, at) {
            Some(raw) => raw,
            None if self.sources.is_offline => return Some(placeholder(file)),
            None => return None,
        };
        if is_key_file(raw) {
            self.problems.add(at, KEY_FILE);
            return None;
        }
        if cleaned_secret(raw).is_some() {
            let warning = "has a byte order mark, quotes, spaces or empty lines around the secret, which count as parts of \
                           it: remove them, unless the sender has them too";
            self.warn(at, warning);
        } else if is_assignment(raw) {
            self.warn(at, "begins with a name and `=`, which count as parts of the secret: write the value alone");
        } else if raw.trim_ascii_end().contains(&b'\n') {
            self.warn(at, "has several lines, which are one secret: write one value alone, and others under `secrets`");
        }
        let secret = decode_secret(raw, file.encoding.value().copied().unwrap_or(default));
        let at = file.encoding.written_at().unwrap_or(at);
        self.check(at, secret.ok_or("the secret is not valid in this encoding"))
    }

    /// The contents of the file or environment variable.
    pub(super) fn secret_bytes(&mut self, file: &SecretYaml, at: Location) -> Option<&'a [u8]> {
        match (file.env.is_written(), file.file.is_written()) {
            (true, false) => {
                let name = &file.env.value()?.text;
                if name.starts_with('$') {
                    self.problems
                        .add(file.env.at, "expected the name of an environment variable, without `$` and braces");
                    return None;
                }
                let content = self.sources.variables.get(name);
                self.content(content, file.env.at, &format!("environment variable {}", name.escape_debug()))
            }
            (false, true) => self.file(&file.file),
            (true, true) => {
                self.problems.add(at, "has both `env` and `file`; keep one");
                None
            }
            (false, false) => {
                self.missing(at, "either {env: NAME} or {file: path}");
                None
            }
        }
    }
}

/// A secret in place of one that is not read: the same for the same file or variable, and in the form `user:password`.
fn placeholder(file: &SecretYaml) -> Zeroizing<Vec<u8>> {
    let name = file.env.value().map(|name| &name.text).or(file.file.value().map(|name| &name.text));
    let hash = digest(&SHA256, name.map(String::as_bytes).unwrap_or_default());
    Zeroizing::new(format!("offline:{}", hex::encode(hash)).into_bytes())
}
