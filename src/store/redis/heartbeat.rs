//! The heartbeat of this gateway in every bucket of a server, and the recovery from a loss: the gateway writes its tail
//! again and reports that with its next heartbeat (`touch.lua`).

use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisError, Value};

use super::dialer::Dialer;
use super::epochs::{BUCKETS, Epoch, is_elsewhere, is_full};
use super::script::{hex, reply_argument};
use super::tail::{TailEntry, TailState};

/// Clocks of servers may differ by this much.
const SKEW: Duration = Duration::from_secs(5);
/// Step of a server's clock that is noticed.
const STEP: Duration = Duration::from_secs(2);
/// Number of entries in one pipeline.
const PIPELINE: usize = 256;

/// Times of a heartbeat: sent, answered, and in between, by the server's clock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Beat {
    sent: Instant,
    answered: Instant,
    server: Duration,
    /// Whether the server asks to compare its clock.
    compares: bool,
}

impl Beat {
    /// As if the server's clock had been set forward by this much since.
    #[cfg(test)]
    pub(super) fn set_back(&mut self, by: Duration) {
        self.server -= by;
    }

    /// Whether the server's clock was set since the previous heartbeat; otherwise it or this gateway was suspended.
    fn is_set_since(self, previous: Self) -> bool {
        let least = self.sent.saturating_duration_since(previous.answered);
        let most = self.answered.saturating_duration_since(previous.sent);
        self.server > previous.server + most + STEP || self.server + STEP < previous.server + least
    }
}

/// Knowledge of the server's clock before a heartbeat.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clocks {
    /// The server compares it with the time since the last heartbeat, if there was one.
    Unknown(Option<Beat>),
    /// It was compared.
    Known,
    /// It was set.
    Set,
}

impl Clocks {
    /// Milliseconds since the heartbeat that the server should compare with; -1 without one.
    fn age(self, now: Instant) -> String {
        match self {
            Self::Unknown(Some(last)) => now.saturating_duration_since(last.answered).as_millis().to_string(),
            Self::Unknown(None) | Self::Known | Self::Set => "-1".to_owned(),
        }
    }
}

impl Dialer {
    /// Sends a heartbeat to every bucket of the server, which updates all epochs at once, and writes the tails of those
    /// that may have lost ids again. Buckets of other servers return MOVED.
    pub(super) async fn beat(
        &self,
        connection: &mut MultiplexedConnection,
        durable: bool,
        previous: &Mutex<Option<Beat>>,
    ) -> Result<(), RedisError> {
        let all = Vec::from_iter(0..BUCKETS);
        let last = *lock(previous);
        let (mut beat, mut lost) = self.touch(connection, &all, durable, Clocks::Unknown(last)).await?;
        if beat.is_some_and(|beat| beat.compares) {
            let set = beat.zip(last).is_some_and(|(beat, last)| beat.is_set_since(last));
            let clocks = if set { Clocks::Set } else { Clocks::Known };
            let (again, more) = self.touch(connection, &all, durable, clocks).await?;
            beat = again;
            lost.extend(more);
        }
        let Some(beat) = beat else { return Ok(()) };
        *lock(previous) = Some(beat);
        if lost.is_empty() {
            return Ok(());
        }
        let mut buckets = Vec::new();
        for (bucket, epoch) in lost {
            if self.write_again(connection, bucket, &epoch, beat.server).await? {
                self.epochs.recover(bucket, epoch);
                buckets.push(bucket);
            }
        }
        self.touch(connection, &buckets, durable, Clocks::Known).await?;
        Ok(())
    }

    async fn touch(
        &self,
        connection: &mut MultiplexedConnection,
        buckets: &[usize],
        durable: bool,
        clocks: Clocks,
    ) -> Result<(Option<Beat>, Vec<(usize, Epoch)>), RedisError> {
        let (sent, mut all) = (Instant::now(), redis::pipe());
        for &bucket in buckets {
            let mut touch = self.scripts.touch.key(&self.epochs.keys(bucket));
            touch.arg(&*self.epochs.seen(bucket)).arg(durable).arg(self.clock.system().seconds()).arg(&self.gateway);
            touch.arg(self.epochs.recovered(bucket).map_or("-".to_owned(), |n| n.to_string()));
            touch.arg((sent - self.started).as_millis());
            let dropped =
                self.tail.dropped(bucket).map(|at| sent.saturating_duration_since(at).as_millis().to_string());
            touch.arg(dropped.unwrap_or_else(|| "-1".to_owned())).arg(clocks.age(sent)).arg(clocks == Clocks::Set);
            all.invoke_script(&touch);
        }
        let (mut beat, mut lost) = (None, Vec::new());
        let mut full = false;
        let answers = connection.send_packed_commands(&all, 0, buckets.len()).await?;
        let answered = Instant::now();
        for (&bucket, answer) in buckets.iter().zip(answers) {
            full |= matches!(&answer, Value::ServerError(error) if is_full(&error.clone().into()));
            let Some(answer) = usable(answer)? else { continue };
            let (epoch, milliseconds, compares): (String, u64, bool) = redis::from_redis_value(answer)?;
            let server = Duration::from_millis(milliseconds);
            let compares = compares || beat.is_some_and(|beat: Beat| beat.compares);
            beat = Some(Beat { sent, answered, server, compares });
            lost.extend(self.epochs.update(bucket, &epoch).map(|epoch| (bucket, epoch)));
        }
        self.full.store(full, Ordering::Relaxed);
        Ok((beat, lost))
    }

    /// Writes the tail of a bucket again. `false`: not all of it.
    async fn write_again(
        &self,
        connection: &mut MultiplexedConnection,
        bucket: usize,
        epoch: &Epoch,
        server: Duration,
    ) -> Result<bool, RedisError> {
        let lost = server.saturating_sub(Duration::from_millis(epoch.last)) + SKEW;
        let from = Instant::now().checked_sub(lost).filter(|_| !epoch.whole);
        for entries in self.tail.since(bucket, from).chunks(PIPELINE) {
            let mut all = redis::pipe();
            let count = entries.iter().filter(|entry| self.add(&mut all, bucket, entry)).count();
            if count == 0 {
                continue;
            }
            for answer in connection.send_packed_commands(&all, 0, count).await? {
                if usable(answer)?.is_none() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Adds an entry to the pipeline. `false`: it has expired.
    pub(super) fn add(&self, all: &mut Pipeline, bucket: usize, entry: &TailEntry) -> bool {
        let TailEntry { request, state, at } = entry;
        let lease = (*at + request.lease).saturating_duration_since(Instant::now());
        let left = request.until.since(self.clock.now());
        let mut call = self.scripts.rewrite.key(format!("{}{}", self.epochs.tag(bucket), request.id));
        call.arg(hex(request.owner.0)).arg(hex(request.fingerprint.0));
        match state {
            TailState::InFlight if lease.is_zero() => return false,
            TailState::Released | TailState::Committed(_) if left.is_zero() => return false,
            TailState::InFlight => {
                call.arg(left.max(lease).as_millis()).arg("F");
                call.arg(format!("{} {}", self.gateway, request.upstream_lease.as_millis())).arg(lease.as_millis());
            }
            TailState::Released => drop(call.arg(left.as_millis()).arg("R")),
            TailState::Committed(reply) => {
                call.arg(left.as_millis()).arg("C").arg(reply_argument(reply.as_deref()));
            }
        }
        all.invoke_script(&call);
        true
    }
}

fn lock(beat: &Mutex<Option<Beat>>) -> MutexGuard<'_, Option<Beat>> {
    beat.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The answer of a bucket. `None`: another server has the bucket, or this one is full: it finds its entries, and the
/// next heartbeat tries again.
fn usable(answer: Value) -> Result<Option<Value>, RedisError> {
    let Value::ServerError(error) = answer else { return Ok(Some(answer)) };
    let error = RedisError::from(error);
    if is_elsewhere(&error) || is_full(&error) { Ok(None) } else { Err(error) }
}
