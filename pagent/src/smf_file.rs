//! The SMF dump: records appended by a thread of their own, so that a slow disk never holds up a connection.

mod dump;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::error;

use dump::Dump;
pub(crate) use dump::{DumpSettings, earlier, read};

/// Records waiting for the disk; more are lost, and counted. The queue is no bounded channel: that one would take its
/// whole room at once, and touch it bit by bit.
const QUEUE: u64 = 100_000;
/// How long the disk is waited for at the end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the thread looks at the dump when nothing comes.
const LOOK: Duration = Duration::from_secs(1);

/// What the thread is given.
enum Order {
    /// Append a record.
    Write(Vec<u8>),
    /// Put everything before this on the disk, and say so.
    Sync(oneshot::Sender<()>),
}

/// The writer's end.
#[derive(Clone)]
pub(crate) struct SmfFile {
    orders: Sender<Order>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    waiting: AtomicU64,
    written: AtomicU64,
    lost: AtomicU64,
}

impl SmfFile {
    /// Opens the dump for appending. `alone`: no other process writes it.
    pub(crate) fn open(settings: DumpSettings, alone: bool) -> io::Result<Self> {
        let mut dump = Dump::open(settings, alone)?;
        let (orders, receiver) = channel();
        let counts = Arc::new(Counts::default());
        let written = Arc::clone(&counts);
        std::thread::Builder::new().name("smf".to_owned()).spawn(move || {
            loop {
                match receiver.recv_timeout(LOOK) {
                    Ok(first) => {
                        let (mut batch, mut asked) = (Vec::new(), Vec::new());
                        for order in std::iter::once(first).chain(receiver.try_iter().take(1000)) {
                            match order {
                                Order::Write(record) => batch.push(record),
                                Order::Sync(done) => asked.push(done),
                            }
                        }
                        written.write(&mut dump, &batch);
                        if !asked.is_empty() {
                            dump.sync();
                        }
                        for done in asked {
                            // Who asked may have lost patience.
                            let _ = done.send(());
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                dump.look();
            }
            dump.sync();
        })?;
        Ok(Self { orders, counts })
    }

    /// Queues a record, which begins with its RDW.
    pub(crate) fn write(&self, record: Vec<u8>) {
        let full = self.counts.waiting.fetch_add(1, Ordering::Relaxed) >= QUEUE;
        if full || self.orders.send(Order::Write(record)).is_err() {
            self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was queued is on the disk; not for ever.
    pub(crate) async fn finish(&self) {
        let (done, on_disk) = oneshot::channel();
        if self.orders.send(Order::Sync(done)).is_ok() {
            let _ = tokio::time::timeout(PATIENCE, on_disk).await;
        }
    }

    /// Records written and lost.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.counts.written.load(Ordering::Relaxed), self.counts.lost.load(Ordering::Relaxed))
    }
}

impl Counts {
    fn write(&self, dump: &mut Dump, batch: &[Vec<u8>]) {
        let count = batch.len() as u64;
        self.waiting.fetch_sub(count, Ordering::Relaxed);
        if batch.is_empty() {
            return;
        }
        match dump.write(&batch.concat()) {
            Ok(()) => {
                self.written.fetch_add(count, Ordering::Relaxed);
            }
            Err(problem) => {
                self.lost.fetch_add(count, Ordering::Relaxed);
                error!(error = %problem, count, "SMF records lost");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_queued_is_in_the_dump_when_it_is_finished() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("smf119.dump");
        let settings = DumpSettings {
            path: path.clone(),
            most_bytes: None,
            most_age: None,
            keep: None,
            sync: Duration::from_secs(3600),
        };
        let file = SmfFile::open(settings, true).expect("it opens");
        let record = [&[0, 200, 0, 0][..], &[0x5A; 196]].concat();
        for _ in 0..50_000 {
            file.write(record.clone());
        }
        file.finish().await;
        assert_eq!(file.counts(), (50_000, 0));
        assert_eq!(std::fs::metadata(path).expect("it is there").len(), 10_000_000);
    }
}
