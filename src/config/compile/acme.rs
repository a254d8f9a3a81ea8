//! `tls.acme` of a listener: names whose certificates an ACME server issues.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use zeroize::Zeroizing;

use super::compiler::Compiler;
use crate::config::file::{AcmeYaml, EabYaml, SecretEncoding};
use crate::config::reader::Section;
use crate::settings::is_https;
use crate::tls::acme::{AcmeName, AcmeSettings, ExternalAccount};

/// The directories of Let's Encrypt.
const DIRECTORIES: [(&str, &str); 2] = [
    ("production", "https://acme-v02.api.letsencrypt.org/directory"),
    ("staging", "https://acme-staging-v02.api.letsencrypt.org/directory"),
];

/// The longest DNS name.
const LONGEST_NAME: usize = 253;

const MAX_NAMES: usize = 100;

impl Compiler<'_> {
    /// The names of a listener; none without `acme`. A name that another listener has too is the same one, and a name that
    /// is already in use with the same settings keeps its certificate.
    pub(super) fn acme(&mut self, file: &Section<AcmeYaml>) -> Option<Vec<Arc<AcmeName>>> {
        if !file.is_written {
            return Some(Vec::new());
        }
        if file.names.is_empty() && !self.problems.has_within(file.names.at) {
            self.missing(file.names.at, "the names of the certificates, such as [hooks.example.com]");
        }
        if file.names.len() > MAX_NAMES {
            self.problems.add(file.names.at, format!("has more than {MAX_NAMES} names"));
        }
        let settings = self.acme_settings(file).map(Arc::new);
        let mut names: Vec<Arc<AcmeName>> = Vec::new();
        for (index, name) in file.names.iter().enumerate() {
            if !is_dns_name(&name.0) {
                let problem = format!("{}: expected a DNS name such as hooks.example.com", name.text.escape_debug());
                self.problems.add(file.names.at, problem);
            } else if file.names.iter().take(index).any(|earlier| earlier.0 == name.0) {
                self.problems.add(file.names.at, format!("{} is listed twice", name.0));
            } else if let Some(settings) = &settings {
                names.push(self.acme_name(file, &name.0, settings));
            }
        }
        settings.map(|_| names)
    }

    fn acme_name(&mut self, file: &Section<AcmeYaml>, name: &str, settings: &Arc<AcmeSettings>) -> Arc<AcmeName> {
        let earlier = self.handles.acme.iter().find(|one| one.name == name).cloned();
        if let Some(earlier) = earlier {
            if earlier.settings != *settings {
                let problem = format!("another listener has {name} with other settings of `acme`; make them the same");
                self.problems.add(file.at, problem);
            }
            return earlier;
        }
        let known = self.known.acme.iter().find(|one| one.name == name && one.settings == *settings);
        let acme = known.cloned().unwrap_or_else(|| Arc::new(AcmeName::new(name.to_owned(), Arc::clone(settings))));
        self.handles.acme.push(Arc::clone(&acme));
        acme
    }

    fn acme_settings(&mut self, file: &AcmeYaml) -> Option<AcmeSettings> {
        if file.terms_of_service_agreed.value() != Some(&true) {
            let problem =
                "must be true: an authority issues certificates only to those who agree to its terms of service";
            self.problems.add_unless_known(file.terms_of_service_agreed.at, problem);
        }
        let directory = file.directory.text().unwrap_or("production");
        let known = DIRECTORIES.iter().find(|(name, _)| *name == directory).map(|(_, url)| *url);
        let directory = known.or_else(|| Some(directory).filter(|url| is_https(url) && url.parse::<Uri>().is_ok()));
        if directory.is_none() {
            let problem = "expected production or staging (Let's Encrypt), or the https URL of an ACME directory";
            self.problems.add(file.directory.at, problem);
        }
        let contacts = file.contacts.iter().map(|contact| format!("mailto:{contact}")).collect();
        if !file.contacts.iter().all(|contact| is_address(contact)) {
            self.problems.add(file.contacts.at, "expected e-mail addresses, such as [ops@example.com]");
        }
        let storage = self.required(&file.storage, "a folder, which is created if it does not exist");
        let storage = storage.map(|name| self.sources.resolve(name));
        let root_ca = self.optional_file(&file.root_ca);
        if let Some(Some(pem)) = &root_ca {
            self.usable(file.root_ca.at, crate::tls::client_config(Some(pem)));
        }
        let external_account = file.eab.if_written(|field| self.external_account(field.value()?));
        Some(AcmeSettings {
            directory: directory?.to_owned(),
            contacts,
            storage: storage?,
            root_ca: root_ca?,
            external_account: external_account?,
            holder: file.holder.get(),
        })
    }

    fn external_account(&mut self, file: &EabYaml) -> Option<ExternalAccount> {
        let key_id = self.required(&file.key_id, "the key id that the authority has given you").cloned();
        let secret =
            self.required(&file.hmac_key, "the HMAC key that belongs to the key id, such as { file: secrets/eab }")?;
        self.unused_names(secret, "has no effect on this key; remove it");
        let text = self.secret_as(secret, SecretEncoding::Utf8, file.hmac_key.at)?;
        let mut unpadded = text.trim_ascii_end();
        while let Some(shorter) = unpadded.strip_suffix(b"=") {
            unpadded = shorter;
        }
        let key = URL_SAFE_NO_PAD
            .decode(unpadded)
            .map(Zeroizing::new)
            .map_err(|_| "is not base64url, in which authorities show this key");
        Some(ExternalAccount { key: self.check(file.hmac_key.at, key)?, key_id: key_id? })
    }
}

/// Labels of letters, digits, `-` and `_`, of which the last is not a number: not an IP address. The name is also that of a
/// file.
fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(plain)
    };
    let last = name.rsplit('.').next().unwrap_or(name);
    name.len() <= LONGEST_NAME && name.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_address(contact: &str) -> bool {
    let plain = contact.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b',' | b'?' | b':'));
    plain && contact.split_once('@').is_some_and(|(user, domain)| !user.is_empty() && domain.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_names_and_safe_as_files() {
        for good in ["hooks.example.com", "xn--bcher-kva.example", "localhost", "a_b.example"] {
            assert!(is_dns_name(good), "{good}");
        }
        let long = format!("{}.example", "a.".repeat(130));
        for bad in ["", "..", ".example", "a..b", "192.0.2.1", "a/b", "a b", "*.example", "a%2f.example", &long] {
            assert!(!is_dns_name(bad), "{bad}");
        }
    }
}
