//! When a certificate is ordered: pure functions of times.

use std::time::Duration;

use crate::clock::UnixTime;
use crate::tls::Certificate;

/// The least time between two orders for a name; authorities count failed orders by the hour (Let's Encrypt: five failed
/// validations of a name).
const BETWEEN_ORDERS: Duration = Duration::from_secs(3600);

/// The longest time between two orders after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(8 * 3600);

/// The least time between two attempts that end before an order, such as while the server cannot be reached.
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(60);

/// The last attempt to obtain a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OrderAttempt {
    pub(super) at: UnixTime,
    /// The number of failures in a row.
    pub(super) failures: u32,
    /// Whether there was an order, which counts towards the authority's rate limits.
    pub(super) ordered: bool,
}

impl OrderAttempt {
    /// When the next one may begin.
    pub(super) fn next(self) -> UnixTime {
        let (least, most) = match self.ordered {
            true => (BETWEEN_ORDERS, LONGEST_PAUSE),
            false => (BETWEEN_ATTEMPTS, BETWEEN_ORDERS),
        };
        let doubled = 1_u32.checked_shl(self.failures.saturating_sub(1).min(16)).unwrap_or(u32::MAX);
        self.at.plus(least.saturating_mul(doubled).min(most))
    }
}

/// When a certificate is renewed: after two thirds of its lifetime, or up to a twentieth of the lifetime earlier, so that
/// the certificates of many names are not all renewed at once. The certificate itself decides how much, so that a restart
/// changes nothing.
pub(super) fn renewal(certificate: &Certificate) -> UnixTime {
    let [jitter, ..] = certificate.fingerprint();
    let lifetime = certificate.expires.since(certificate.begins);
    certificate.begins.plus(lifetime * 2 / 3).minus(lifetime / 20 * u32::from(jitter) / 256)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(ordered: bool) -> Vec<u64> {
        let pause = |failures| OrderAttempt { at: UnixTime::default(), failures, ordered }.next().seconds();
        [0, 1, 2, 3, 4, 5, 6, 7, u32::MAX].into_iter().map(pause).collect()
    }

    #[test]
    fn orders_are_an_hour_apart_and_more_after_failures() {
        let hours = [1, 1, 2, 4, 8, 8, 8, 8, 8];
        assert_eq!(pauses(true), hours.map(|hours| hours * 3600));
        assert_eq!(pauses(false), [60, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
    }

    #[test]
    fn a_certificate_is_renewed_before_two_thirds_of_its_lifetime_have_passed() {
        for _ in 0..20 {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            (params.not_before, params.not_after) =
                (rcgen::date_time_ymd(2026, 1, 1), rcgen::date_time_ymd(2026, 4, 1));
            let pem = params.self_signed(&key).unwrap().pem();
            let certificate = Certificate::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
            let days = renewal(&certificate).since(certificate.begins).as_secs_f64() / 86_400.0;
            assert!((55.5..=60.0).contains(&days), "{days}");
        }
    }
}
