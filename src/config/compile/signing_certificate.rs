//! `certificate` of a signature → the certificates that requests name by their URLs.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::compiler::Compiler;
use super::secrets::{KeyMaterial, WrittenKeys, material_of};
use super::signature::Written;
use crate::auth::locator::Locator;
use crate::auth::secret::SignatureAlgorithm;
use crate::auth::signature::{Component, NamedCertificate, Presence};
use crate::auth::signing_certificate::{CertificateSource, SigningCertificates};
use crate::auth::tenants::Secrets;
use crate::config::file::signature::SignatureYaml;
use crate::config::file::{FileName, OneOrMany, Parsed};
use crate::config::reader::{Field, List, Location, Section};
use crate::settings::is_proxy;

/// Maximum number of hosts and of subjects.
const MAX_NAMES: usize = 16;

impl Compiler<'_> {
    /// No secrets, where a certificate has the key.
    pub(super) fn no_secrets(&mut self, keys: &WrittenKeys<'_>, at: Location) -> Option<Secrets> {
        if keys.is_written() {
            let (one, many) = keys.material.names();
            self.problems.add(at, format!("cannot be combined with `{one}` or `{many}`; keep one of them"));
        }
        Some(Secrets::default())
    }

    /// The certificate; `None` in a `Some` if the signature has none.
    pub(super) fn named_certificate(
        &mut self,
        signature: &SignatureYaml,
        written: &Written<'_>,
        algorithm: Option<SignatureAlgorithm>,
    ) -> Option<Option<NamedCertificate>> {
        let field = &signature.certificate;
        if algorithm == Some(SignatureAlgorithm::RsaSha1) && !field.is_written() {
            let problem = "is weak, and only allowed with `certificate`, for providers that sign so; use rsa-sha256";
            self.problems.add(signature.algorithm.at, problem);
        }
        let algorithm_at = signature.algorithm.at;
        field.if_written(|field| {
            let file = field.value()?;
            if algorithm.map(material_of).is_some_and(|material| material != KeyMaterial::PublicKey) {
                self.problems.add(algorithm_at, "a certificate has a public key; use an algorithm such as rsa-sha256");
            }
            let url = self.required(&file.url_from, "the component with the URL, such as json:/SigningCertURL");
            let url = url.and_then(|component| self.locator_of_url(component, file.url_from.at));
            let hosts = self.hosts(&file.hosts);
            let path = self.required(&file.path, "a regular expression for the path of the URL");
            let subjects = self.subjects(&file.subject);
            let access = written.access;
            let root_ca = access.map_or(&file.root_ca, |access| &access.root_ca);
            let ca = access.map_or(&file.ca, |access| &access.ca);
            let proxy = access.map_or(&file.proxy, |access| &access.proxy);
            let source = CertificateSource {
                name: written.name.into(),
                hosts: hosts?,
                path: path?.clone(),
                subjects: subjects?,
                roots: self.roots(root_ca)?,
                algorithm: algorithm?,
                ca: self.trusted_for_fetch(ca)?,
                proxy: self.proxy(proxy)?,
            };
            let certificates = self.certificates_of(source, file.path.at)?;
            Some(NamedCertificate { url: url?, certificates })
        })
    }

    fn locator_of_url(&mut self, component: &Component, at: Location) -> Option<Locator> {
        if let Component::Located(locator @ (Locator::Header { .. } | Locator::Json(_)), Presence::Required) = component
        {
            return Some(locator.clone());
        }
        self.problems.add(at, "expected header:NAME or json:/POINTER");
        None
    }

    fn hosts(&mut self, hosts: &Section<List<String>>) -> Option<Vec<String>> {
        if hosts.is_empty() || hosts.len() > MAX_NAMES {
            self.problems.add_follow_up(hosts.at, format!("expected 1 to {MAX_NAMES} hosts"));
            return None;
        }
        let hosts_at = hosts.at;
        let hosts: Vec<String> = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        let is_host = |host: &str| {
            let url = url::Url::parse(&format!("https://{host}/")).ok();
            url.is_some_and(|url| {
                let authority = url.port().map(|port| format!("{}:{port}", url.host_str().unwrap_or_default()));
                url.path() == "/" && authority.as_deref().or(url.host_str()) == Some(host)
            })
        };
        if !hosts.iter().all(|host| is_host(host)) {
            let problem = "expected host names, with a port unless it is 443, such as sns.us-east-1.amazonaws.com";
            self.problems.add(hosts_at, problem);
        }
        Some(hosts)
    }

    fn subjects(&mut self, field: &Field<OneOrMany<String>>) -> Option<Vec<String>> {
        let subjects = self.required(field, "the DNS name of the certificate")?;
        let plain =
            |name: &String| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
        if !(1..=MAX_NAMES).contains(&subjects.len()) || !subjects.iter().all(plain) {
            self.problems.add(field.at, format!("expected a DNS name without `*`, or a list of 1 to {MAX_NAMES}"));
        }
        Some(subjects.to_vec())
    }

    fn roots(&mut self, field: &Field<Parsed<FileName>>) -> Option<Vec<Vec<u8>>> {
        if !field.is_written() {
            return Some(Vec::new());
        }
        let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.file(field)?).collect();
        let roots = roots.unwrap_or_default();
        let are_roots = !roots.is_empty() && roots.iter().all(|root| webpki::anchor_from_trusted_cert(root).is_ok());
        let roots = roots.iter().map(|root| root.to_vec()).collect();
        self.check(field.at, if are_roots { Ok(roots) } else { Err("expected a file with certificates in PEM form") })
    }

    fn trusted_for_fetch(&mut self, field: &Field<Parsed<FileName>>) -> Option<Option<Vec<u8>>> {
        let ca = self.optional_file(field)?;
        if let Some(ca) = ca.as_deref() {
            self.check(field.at, crate::tls::client_config(Some(ca)));
        }
        Some(ca)
    }

    /// The URL of an HTTP proxy; `None` in a `Some` if none is written.
    pub(super) fn proxy(&mut self, field: &Field<String>) -> Option<Option<String>> {
        field.if_written(|field| {
            let proxy = Some(field.text()?).filter(|proxy| is_proxy(proxy));
            let expected = "expected http://HOST:PORT without user, password and path; the proxy is used by CONNECT";
            Some(self.check(field.at, proxy.ok_or(expected))?.to_owned())
        })
    }

    /// The handle of the certificates. Equal sources share them, and a reload keeps those that were fetched.
    fn certificates_of(&mut self, source: CertificateSource, path: Location) -> Option<Arc<SigningCertificates>> {
        let same = |known: &&Arc<SigningCertificates>| known.source == source;
        if let Some(shared) = self.handles.signing_certificates.iter().find(same) {
            return Some(Arc::clone(shared));
        }
        let handle = match self.known.signing_certificates.iter().find(same) {
            Some(known) => Arc::clone(known),
            None => {
                let made = SigningCertificates::new(source);
                Arc::new(self.check(path, made.map_err(|_| "expected a regular expression"))?)
            }
        };
        self.handles.signing_certificates.push(Arc::clone(&handle));
        Some(handle)
    }
}
