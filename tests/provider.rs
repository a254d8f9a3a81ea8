//! Signatures are verified by aws-lc-rs, whichever provider the process has installed for jsonwebtoken.

use std::process::Command;

use hookgate::auth::keys::{Algorithm, KeySet};
use jsonwebtoken::crypto::{CryptoProvider, KeyUtils};

static OTHER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| panic!("the process-wide provider signs"),
    verifier_factory: |_, _| panic!("the process-wide provider verifies"),
    key_utils: KeyUtils::new_unimplemented(),
};

/// Runs in its own process, because a process has one provider for all tests.
#[test]
fn verification_does_not_use_the_process_wide_provider() {
    const CHILD: &str = "HOOKGATE_TEST_PROVIDER";
    if std::env::var_os(CHILD).is_none() {
        let name = "provider::verification_does_not_use_the_process_wide_provider";
        let mut command = Command::new(std::env::current_exe().unwrap());
        let output = command.args(["--exact", name]).env(CHILD, "1").output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && shown.contains("1 passed"), "{shown}");
        return;
    }
    OTHER.install_default().unwrap();
    let (secret, message) = ([7; 64], b"header.payload");
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
    let signature = aws_lc_rs::hmac::sign(&key, message);
    let keys = KeySet::from_secret(&secret, Algorithm::named("HS256").unwrap()).unwrap();
    keys.get(0).unwrap().verify(message, signature.as_ref()).unwrap();
}
