//! `listeners`: TLS certificates, limits and timeouts.

use std::sync::Arc;

use ipnet::IpNet;
use zeroize::Zeroizing;

use super::compiler::Compiler;
use crate::auth::client_certificate::ClientTrust;
use crate::auth::proxied_certificate::CertificateHeader;
use crate::clock::UnixTime;
use crate::config::file::{CertificateYaml, FileName, ListenerYaml, Parsed, TlsYaml};
use crate::config::reader::{Field, Section};
use crate::snapshot::{ListenerLimits, ListenerSettings};
use crate::tls::acme::AcmeName;
use crate::tls::{self, Certificate, ClientAuth, RevocationLists, TlsError};

impl Compiler<'_> {
    pub(super) fn trusted_proxies(&mut self) -> Vec<IpNet> {
        let nets: Vec<IpNet> = self.file.trusted_proxies.iter().map(|net| **net).collect();
        if nets.iter().any(|net| net.prefix_len() == 0) {
            let warning =
                "trusts every address: any client can forge its IP address; list the addresses of the proxies";
            self.warn(self.file.trusted_proxies.at, warning);
        }
        nets
    }

    pub(super) fn listeners(&mut self) -> Option<Vec<ListenerSettings>> {
        let files = &self.file.listeners;
        if files.is_empty() {
            self.missing(files.at, "at least one listener, with address and tls");
            return None;
        }
        // Each is compiled, so that each reports its problems.
        let compiled: Vec<_> = files.iter().map(|file| self.listener(file)).collect();
        compiled.into_iter().collect()
    }

    fn listener(&mut self, file: &ListenerYaml) -> Option<ListenerSettings> {
        let proxies = &self.file.trusted_proxies;
        if file.proxy_protocol.get() && proxies.is_empty() && !self.problems.has_under(proxies.at) {
            let message = "requires `trusted_proxies`, the addresses of the proxies that send the header, such as \
                           [10.0.0.0/8]; set it too, or remove this key";
            self.problems.add(file.proxy_protocol.at, message);
        }
        let acme = self.acme(&file.tls.acme);
        let (tls, client_trust) = match (file.tls.is_written, file.plaintext.get()) {
            (true, false) => {
                let trust = self.client_trust(&file.tls);
                (Some(self.tls(&file.tls, acme.as_deref(), trust.as_ref())?), trust.map(Arc::new))
            }
            (false, true) => (None, None),
            (true, true) => {
                self.problems.add(file.plaintext.at, "cannot be combined with `tls`; remove one of them");
                (None, None)
            }
            (false, false) => {
                let what = "certificates, or `plaintext: true` on the listener if another proxy terminates TLS";
                self.missing(file.tls.at, what);
                (None, None)
            }
        };
        let (mut client_trust, mut certificate_header) = (client_trust, None);
        if file.client_certificate_from.is_written {
            let (header, trust) = self.client_certificate_from(file)?;
            (certificate_header, client_trust) = (Some(header), Some(Arc::new(trust)));
        }
        let (proxy_protocol, limits) = (file.proxy_protocol.get(), Arc::new(limits(file)));
        let acme = acme.filter(|names| !names.is_empty()).map(Arc::from);
        Some(ListenerSettings { tls, acme, client_trust, certificate_header, proxy_protocol, limits })
    }

    fn tls(
        &mut self,
        file: &Section<TlsYaml>,
        acme: Option<&[Arc<AcmeName>]>,
        clients: Option<&ClientTrust>,
    ) -> Option<Arc<rustls::ServerConfig>> {
        if file.certificates.is_empty() && !file.acme.is_written {
            self.missing(file.certificates.at, "at least one { cert: …, key: … }, or `acme` to obtain certificates");
        }
        let certificates: Vec<_> = file.certificates.iter().map(|pair| self.certificate(pair)).collect();
        let certificates: Vec<Certificate> = certificates.into_iter().collect::<Option<_>>()?;
        self.certificate_names.extend(certificates.iter().flat_map(Certificate::names).cloned());
        let config = tls::server_config(certificates, acme?, file.min_version.or_default(), clients);
        self.check(file.at, config)
    }

    pub(super) fn certificate(&mut self, pair: &Section<CertificateYaml>) -> Option<Certificate> {
        let chain = self.file(&pair.cert);
        self.secret_file(&pair.key);
        let key = self.file(&pair.key).map(|key| Zeroizing::new(key.to_vec()));
        let (chain, key) = (chain?, key?);
        let certificate = Certificate::from_pem(chain, &key);
        let certificate = certificate.map_err(|error| format!("certificate and key cannot be used: {error}"));
        let certificate = self.check(pair.at, certificate)?;
        self.warn_of_certificate(&certificate, pair.cert.at);
        self.certificates.push((pair.cert.value()?.text.clone(), [certificate.begins, certificate.expires]));
        Some(certificate)
    }

    /// `None` if clients are asked for no certificate, and if there is a problem, which fails the load.
    fn client_trust(&mut self, file: &TlsYaml) -> Option<ClientTrust> {
        if !file.client_ca.is_written() {
            // The operator expects client certificates to be requested.
            if !self.problems.has_under(file.client_ca.at) {
                let unused = [file.client_auth.written_at(), file.client_crl.written_at()];
                self.unused(&unused, "requires `client_ca`; set it too, or remove this key");
            }
            return None;
        }
        let ca = self.file(&file.client_ca);
        let lists = file.client_crl.if_written(|field| self.revocation_lists(field))?;
        let trust = tls::client_trust(ca?, lists, file.client_auth.or_default());
        let of_lists = matches!(trust, Err(TlsError::UnreadableList));
        self.usable(if of_lists { file.client_crl.at } else { file.client_ca.at }, trust)
    }

    /// The header of certificates that proxies state, and the trust in them. A client without one is accepted: each route
    /// decides whether it requires one.
    fn client_certificate_from(&mut self, listener: &ListenerYaml) -> Option<(CertificateHeader, ClientTrust)> {
        let file = &listener.client_certificate_from;
        if listener.tls.client_ca.is_written() {
            let problem = "cannot be combined with `tls.client_ca`: a connection would have two client certificates";
            self.problems.add(file.at, problem);
        }
        if self.file.trusted_proxies.is_empty() && !self.problems.has_under(self.file.trusted_proxies.at) {
            let problem = "requires `trusted_proxies`, the addresses of the proxies that set the header; set it too";
            self.problems.add(file.at, problem);
        }
        let header =
            self.required(&file.header, "the name of a header, such as Client-Cert").map(|name| (**name).clone());
        let lists = file.crl.if_written(|field| self.revocation_lists(field))?;
        let trust = tls::client_trust(self.file(&file.ca)?, lists, ClientAuth::Optional);
        let of_lists = matches!(trust, Err(TlsError::UnreadableList));
        let trust = self.usable(if of_lists { file.crl.at } else { file.ca.at }, trust)?;
        Some((CertificateHeader::named(header?), trust))
    }

    fn revocation_lists(&mut self, field: &Field<Parsed<FileName>>) -> Option<RevocationLists> {
        let lists = RevocationLists::from_pem(self.file(field)?);
        let lists = self.usable(field.at, lists)?;
        let warning = "has expired: client certificates of its issuer are rejected until it is renewed".to_owned();
        self.warn_between(field.at, (lists.expires, UnixTime::MAX), warning);
        Some(lists)
    }
}

fn limits(file: &ListenerYaml) -> ListenerLimits {
    let (limits, timeouts) = (&file.limits, &file.timeouts);
    ListenerLimits {
        max_connections: limits.max_connections.get(),
        max_connections_per_ip: limits.max_connections_per_ip.get(),
        max_headers_size: u32::try_from(limits.max_headers_size.get::<u64>()).unwrap_or(u32::MAX),
        max_headers_count: limits.max_headers_count.get(),
        min_request_body_rate: u32::try_from(limits.min_request_body_rate.get::<u64>()).unwrap_or(u32::MAX),
        max_concurrent_streams: limits.max_concurrent_streams.get(),
        max_pending_resets: limits.max_pending_resets.get(),
        tls_handshake: timeouts.tls_handshake.get(),
        first_request: timeouts.first_request.get(),
        headers: timeouts.headers.get(),
        request_body: timeouts.request_body.get(),
        request_body_idle: timeouts.request_body_idle.get(),
        response_write_idle: timeouts.response_write_idle.get(),
        keepalive: timeouts.keepalive.get(),
    }
}
