//! `listeners`: addresses, TLS certificates, limits and timeouts.

use std::net::SocketAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::compiler::Compiler;
use crate::auth::client_certificate::ClientTrust;
use crate::config::error::FieldPath;
use crate::config::file::{
    CertificateFile, ClientAuthFile, ListenerFile, ListenerLimitsFile, ListenerTimeoutsFile, MinVersionFile, TlsFile,
};
use crate::snapshot::{ListenerLimits, ListenerSettings};
use crate::tls::{self, Certificate, ClientAuth, MinVersion, RevocationLists, TlsError};

/// Upper bound of the limits on headers of a request and on streams and resets of a connection: far more than any
/// sender needs.
const MAX_COUNT: u16 = 1000;

/// Allowed values of `max_headers_size`: the headers of many requests must fit into memory, and hyper's read buffer
/// into the limit.
const HEAD_SIZES: std::ops::RangeInclusive<u64> = 8 * 1024..=256 * 1024;

impl Compiler<'_> {
    pub(super) fn trusted_proxies(&mut self, texts: Option<&[String]>, path: &FieldPath) -> Vec<IpNet> {
        let texts = texts.unwrap_or_default();
        self.trusts_proxies = !texts.is_empty();
        let nets = self.nets(texts, path);
        if nets.iter().any(|net| net.prefix_len() == 0) {
            let warning =
                "trusts every address: any client can forge its IP address; list the addresses of the proxies";
            self.warnings.push(format!("{path}: {warning}"));
        }
        nets
    }

    pub(super) fn listeners(
        &mut self,
        files: Option<&[ListenerFile]>,
        path: &FieldPath,
    ) -> Option<Vec<(SocketAddr, ListenerSettings)>> {
        let Some(files) = files.filter(|files| !files.is_empty()) else {
            self.missing(path, "at least one listener, with address and tls");
            return None;
        };
        let compiled: Vec<_> =
            files.iter().enumerate().map(|(index, file)| self.listener(file, &path.index(index))).collect();
        compiled.into_iter().collect()
    }

    fn listener(&mut self, file: &ListenerFile, path: &FieldPath) -> Option<(SocketAddr, ListenerSettings)> {
        let proxy_protocol = file.proxy_protocol.unwrap_or_default();
        if proxy_protocol && !self.trusts_proxies {
            let message = "requires `trusted_proxies`, the addresses of the proxies that send the header, such as \
                           [10.0.0.0/8]; set it too, or remove this key";
            self.problems.add(&path.child("proxy_protocol"), message);
        }
        let address = self.address(file.address.as_deref(), &path.child("address"));
        let limits = self.listener_limits(file.limits.as_ref(), &path.child("limits"));
        let limits = self.listener_timeouts(file.timeouts.as_ref(), limits, &path.child("timeouts"));
        let (tls, client_trust) = match (&file.tls, file.plaintext) {
            (Some(tls), None | Some(false)) => {
                let path = path.child("tls");
                let trust = self.client_trust(tls, &path);
                (Some(self.tls(tls, trust.as_ref(), &path)?), trust.map(Arc::new))
            }
            (None, Some(true)) => (None, None),
            (Some(_), Some(true)) => {
                self.problems.add(&path.child("plaintext"), "cannot be combined with `tls`; remove one of them");
                (None, None)
            }
            (None, None | Some(false)) => {
                let what = "certificates, or `plaintext: true` on the listener if another proxy terminates TLS";
                self.missing(&path.child("tls"), what);
                (None, None)
            }
        };
        Some((address?, ListenerSettings { tls, client_trust, proxy_protocol, limits: Arc::new(limits) }))
    }

    fn tls(
        &mut self,
        file: &TlsFile,
        clients: Option<&ClientTrust>,
        path: &FieldPath,
    ) -> Option<Arc<rustls::ServerConfig>> {
        self.asks_clients |= clients.is_some();
        let list = path.child("certificates");
        let pairs = file.certificates.as_deref().unwrap_or_default();
        if pairs.is_empty() {
            self.missing(&list, "at least one { cert: …, key: … }");
        }
        let certificates: Vec<_> =
            pairs.iter().enumerate().map(|(index, pair)| self.certificate(pair, &list.index(index))).collect();
        let certificates: Vec<_> = certificates.into_iter().collect::<Option<_>>()?;
        let min = match file.min_version {
            None | Some(MinVersionFile::Tls12) => MinVersion::Tls12,
            Some(MinVersionFile::Tls13) => MinVersion::Tls13,
        };
        let config = tls::server_config(certificates, min, clients);
        config.map_err(|error| self.problems.add(path, error.to_string())).ok()
    }

    fn certificate(&mut self, pair: &CertificateFile, path: &FieldPath) -> Option<Certificate> {
        let chain = self.file(pair.cert.as_ref(), &path.child("cert")).map(<[u8]>::to_vec);
        let key = self.file(pair.key.as_ref(), &path.child("key")).map(|key| zeroize::Zeroizing::new(key.to_vec()));
        let (chain, key) = (chain?, key?);
        match Certificate::from_pem(&chain, &key) {
            Ok(certificate) => {
                self.certificates.push((pair.cert.clone().unwrap_or_default(), certificate.expires));
                Some(certificate)
            }
            Err(error) => {
                self.problems.add(path, format!("certificate and key cannot be used: {error}"));
                None
            }
        }
    }

    /// `None` if clients are asked for no certificate, and if there is a problem, which fails the load.
    fn client_trust(&mut self, file: &TlsFile, path: &FieldPath) -> Option<ClientTrust> {
        if file.client_ca.is_none() {
            self.only_beside_client_ca(file, path);
            return None;
        }
        let (at, at_lists) = (path.child("client_ca"), path.child("client_crl"));
        let ca = self.file(file.client_ca.as_ref(), &at).map(<[u8]>::to_vec);
        let lists = match &file.client_crl {
            None => None,
            Some(name) => Some(self.revocation_lists(name, &at_lists)?),
        };
        let auth = match file.client_auth {
            None | Some(ClientAuthFile::Required) => ClientAuth::Required,
            Some(ClientAuthFile::Optional) => ClientAuth::Optional,
        };
        match tls::client_trust(&ca?, lists, auth) {
            Ok(trust) => Some(trust),
            Err(error) => {
                let at = if matches!(error, TlsError::UnreadableList) { at_lists } else { at };
                self.problems.add(&at, format!("cannot be used: {error}"));
                None
            }
        }
    }

    /// Reports keys that have no effect without `client_ca`: the operator expects client certificates to be requested.
    fn only_beside_client_ca(&mut self, file: &TlsFile, path: &FieldPath) {
        for (name, written) in [("client_auth", file.client_auth.is_some()), ("client_crl", file.client_crl.is_some())]
        {
            if written && !self.problems.has_under(&path.child("client_ca")) {
                self.problems.add(&path.child(name), "requires `client_ca`; set it too, or remove this key");
            }
        }
    }

    fn revocation_lists(&mut self, name: &String, path: &FieldPath) -> Option<RevocationLists> {
        let lists = RevocationLists::from_pem(self.file(Some(name), path)?);
        match lists {
            Ok(lists) => {
                self.client_crls.push((format!("{path}: {name}"), lists.expires));
                Some(lists)
            }
            Err(error) => {
                self.problems.add(path, format!("cannot be used: {error}"));
                None
            }
        }
    }

    fn listener_limits(&mut self, file: Option<&ListenerLimitsFile>, path: &FieldPath) -> ListenerLimits {
        let default = ListenerLimits::default();
        let Some(file) = file else { return default };
        let (per_ip, streams) = (path.child("max_connections_per_ip"), path.child("max_concurrent_streams"));
        ListenerLimits {
            max_connections: self.count(file.max_connections, &path.child("max_connections"), default.max_connections),
            max_connections_per_ip: self.count(file.max_connections_per_ip, &per_ip, default.max_connections_per_ip),
            max_headers_size: self.head_bytes(file, path, default.max_headers_size),
            max_headers_count: self.at_most(
                file.max_headers_count,
                &path.child("max_headers_count"),
                default.max_headers_count,
            ),
            max_concurrent_streams: self.at_most(file.max_concurrent_streams, &streams, default.max_concurrent_streams),
            max_pending_resets: self.at_most(
                file.max_pending_resets,
                &path.child("max_pending_resets"),
                default.max_pending_resets,
            ),
            ..default
        }
    }

    fn listener_timeouts(
        &mut self,
        file: Option<&ListenerTimeoutsFile>,
        limits: ListenerLimits,
        path: &FieldPath,
    ) -> ListenerLimits {
        let Some(file) = file else { return limits };
        let mut timeout =
            |text: &Option<_>, name, default| self.nonzero_duration(text.as_ref(), &path.child(name), default);
        ListenerLimits {
            tls_handshake: timeout(&file.tls_handshake, "tls_handshake", limits.tls_handshake),
            first_request: timeout(&file.first_request, "first_request", limits.first_request),
            headers: timeout(&file.headers, "headers", limits.headers),
            request_body: timeout(&file.request_body, "request_body", limits.request_body),
            request_body_idle: timeout(&file.request_body_idle, "request_body_idle", limits.request_body_idle),
            response_write_idle: timeout(&file.response_write_idle, "response_write_idle", limits.response_write_idle),
            keepalive: timeout(&file.keepalive, "keepalive", limits.keepalive),
            ..limits
        }
    }

    /// hyper reserves memory for the configured number: without an upper bound, a huge number would break connections.
    fn at_most<N>(&mut self, number: Option<N>, path: &FieldPath, default: N) -> N
    where
        N: Copy + Default + PartialOrd + From<u16>,
    {
        if number.is_some_and(|number| number > N::from(MAX_COUNT)) {
            self.problems.add(path, format!("must be {MAX_COUNT} or less"));
        }
        self.count(number, path, default)
    }

    fn head_bytes(&mut self, file: &ListenerLimitsFile, path: &FieldPath, default: u32) -> u32 {
        let path = path.child("max_headers_size");
        let size = self.size(file.max_headers_size.as_ref(), &path, u64::from(default));
        if !HEAD_SIZES.contains(&size) {
            self.problems.add(&path, "expected a size from 8KiB to 256KiB");
        }
        u32::try_from(size).unwrap_or(default)
    }
}
