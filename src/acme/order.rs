//! One certificate by the ACME protocol (RFC 8555): the account, an order, its challenge (RFC 8737) and the certificate.

use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeHandle, ChallengeType, ExternalAccountKey, Identifier,
    NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::client::AcmeClient;
use super::storage::{Storage, StorageError};
use crate::tls::acme::{AcmeName, AcmeSettings, challenge_config};
use crate::tls::{TlsError, client_config};

/// The file of the account.
const ACCOUNT: &str = "account.json";

/// Timeout of one order.
pub(super) const LONGEST_ORDER: Duration = Duration::from_secs(300);

/// How often the server is asked for the result of a challenge or an order.
const POLLS: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(Duration::from_secs(90));

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    #[error(transparent)]
    Protocol(#[from] instant_acme::Error),
    #[error("the authority could not validate the name: {0}")]
    Validation(String),
    #[error("the server offers no tls-alpn-01 challenge for this name")]
    NoChallenge,
    #[error("cannot make a key or certificate")]
    Rcgen(#[from] rcgen::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the account in the storage cannot be read; move {ACCOUNT} away, and a new account is made")]
    Account(#[source] serde_json::Error),
    #[error("the server sent a certificate that is not for this name, or has expired")]
    Certificate,
    #[error("timeout after {} s", LONGEST_ORDER.as_secs())]
    Timeout,
}

/// The account at the server, as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredAccount {
    contacts: Vec<String>,
    credentials: AccountCredentials,
}

/// The stored account with the contacts of the configuration; creates it if there is none. File access is small and rare,
/// but it blocks: the caller runs this on a thread of its own.
pub(super) async fn account(settings: &AcmeSettings, storage: &Storage) -> Result<Account, OrderError> {
    let client = AcmeClient::new(client_config(settings.root_ca.as_deref())?);
    let builder = Account::builder_with_http(Box::new(client));
    let contacts: Vec<&str> = settings.contacts.iter().map(String::as_str).collect();
    let stored = storage.read(ACCOUNT)?;
    let stored = stored.map(|bytes| serde_json::from_slice(&bytes)).transpose().map_err(OrderError::Account)?;
    let (account, credentials) = match stored {
        None => {
            let new = NewAccount { contact: &contacts, terms_of_service_agreed: true, only_return_existing: false };
            let external = settings.external_account.as_ref();
            let external = external.map(|account| ExternalAccountKey::new(account.key_id.clone(), &account.key));
            builder.create(&new, settings.directory.clone(), external.as_ref()).await?
        }
        Some(StoredAccount { contacts: known, credentials }) => {
            let account = builder.from_credentials(copy(&credentials)?).await?;
            if known == settings.contacts {
                return Ok(account);
            }
            account.update_contacts(&contacts).await?;
            (account, credentials)
        }
    };
    let stored = StoredAccount { contacts: settings.contacts.clone(), credentials };
    let stored = Zeroizing::new(serde_json::to_vec(&stored).map_err(OrderError::Account)?);
    storage.write(ACCOUNT, &stored)?;
    Ok(account)
}

/// The crate's credentials cannot be cloned.
fn copy(credentials: &AccountCredentials) -> Result<AccountCredentials, OrderError> {
    let text = serde_json::to_vec(credentials).map(Zeroizing::new).map_err(OrderError::Account)?;
    serde_json::from_slice(&text).map_err(OrderError::Account)
}

/// Orders a certificate; returns its key and chain in PEM. The challenge is answered as long as this runs.
pub(super) async fn certificate(account: &Account, name: &AcmeName) -> Result<Zeroizing<String>, OrderError> {
    let identifiers = [Identifier::Dns(name.name.clone())];
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let _answered = Answered(name);
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        // An earlier order may have proved the control over the name.
        if authorization.status != AuthorizationStatus::Valid {
            let mut challenge = authorization.challenge(ChallengeType::TlsAlpn01).ok_or(OrderError::NoChallenge)?;
            answer(name, &challenge)?;
            challenge.set_ready().await?;
        }
    }
    match order.poll_ready(&POLLS).await {
        Ok(OrderStatus::Ready | OrderStatus::Valid) => {}
        Ok(OrderStatus::Pending | OrderStatus::Processing | OrderStatus::Invalid)
        | Err(instant_acme::Error::Api(_)) => {
            let cause = cause(&mut order).await;
            return Err(OrderError::Validation(cause.unwrap_or_else(|| "no reason given".to_owned())));
        }
        Err(error) => return Err(error.into()),
    }
    let key = KeyPair::generate()?;
    let mut request = CertificateParams::new(vec![name.name.clone()])?;
    request.distinguished_name = DistinguishedName::new();
    order.finalize_csr(request.serialize_request(&key)?.der()).await?;
    let chain = order.poll_certificate(&POLLS).await?;
    let key = Zeroizing::new(key.serialize_pem());
    Ok(Zeroizing::new(format!("{}{chain}", *key)))
}

/// Ends the answers to a challenge.
struct Answered<'n>(&'n AcmeName);

impl Drop for Answered<'_> {
    fn drop(&mut self) {
        self.0.answer_challenge(None);
    }
}

/// Answers the server's connections with the certificate of RFC 8737 §3: it has the name and the hash of the challenge.
fn answer(name: &AcmeName, challenge: &ChallengeHandle<'_>) -> Result<(), OrderError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.name.clone()])?;
    let hash = challenge.key_authorization().digest();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(hash.as_ref())];
    let certificate = params.self_signed(&key)?.der().clone();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    name.answer_challenge(Some(challenge_config(certificate, key)?));
    Ok(())
}

/// The reason that the authority gives for a challenge that failed.
async fn cause(order: &mut Order) -> Option<String> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let state = authorization.refresh().await.ok()?;
        let failed = state.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = failed {
            return Some(problem.detail.clone().unwrap_or_else(|| problem.to_string()));
        }
    }
    None
}
