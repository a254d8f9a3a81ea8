//! The id of a request: that of a trusted proxy, or a new one of 128 random bits in hex. An id from the client is never
//! used: the client could reuse the id of another request.

use std::cell::RefCell;
use std::sync::Arc;

thread_local! {
    static RANDOM: RefCell<Random> = const { RefCell::new(Random { bytes: [0; BATCH], used: BATCH }) };
}

/// Random bytes that are drawn in one call, since a call for one id costs as much.
const BATCH: usize = 512;

struct Random {
    bytes: [u8; BATCH],
    used: usize,
}

impl Random {
    fn next(&mut self) -> [u8; 16] {
        if self.used >= BATCH {
            // Fails only if the system has no entropy; request ids are then not unique.
            let _ = aws_lc_rs::rand::fill(&mut self.bytes);
            self.used = 0;
        }
        let next = self.bytes.get(self.used..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        self.used += next.len();
        next
    }
}

/// A new request id.
pub(super) fn random() -> Arc<str> {
    let mut digits = [0; 32];
    // Cannot fail, since 16 bytes have 32 digits. `hex::encode` takes three times as long.
    let _ = hex::encode_to_slice(RANDOM.with_borrow_mut(Random::next), &mut digits);
    std::str::from_utf8(&digits).unwrap_or_default().into()
}
