//! The SMF dump: records appended by a thread of their own, so that a slow disk never holds up a connection.

mod dump;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tracing::error;

use dump::Dump;
pub(crate) use dump::{DumpSettings, earlier};

/// Records waiting for the disk; more are lost, and counted. The queue is no bounded channel: that one would take its
/// whole room at once, and touch it bit by bit.
const QUEUE: u64 = 100_000;
/// How long the disk is waited for at the end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the thread looks at the dump when nothing comes.
const LOOK: Duration = Duration::from_secs(1);

/// The writer's end.
#[derive(Clone)]
pub(crate) struct SmfFile {
    records: Sender<Vec<u8>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Everything that was queued before [`SmfFile::finish`] is on the disk.
    finished: AtomicBool,
    waiting: AtomicU64,
    written: AtomicU64,
    lost: AtomicU64,
}

impl SmfFile {
    /// Opens the dump for appending. `alone`: no other process writes it.
    pub(crate) fn open(settings: DumpSettings, alone: bool) -> io::Result<Self> {
        let mut dump = Dump::open(settings, alone)?;
        let (records, receiver) = channel::<Vec<u8>>();
        let counts = Arc::new(Counts::default());
        let written = Arc::clone(&counts);
        std::thread::Builder::new().name("smf".to_owned()).spawn(move || {
            loop {
                match receiver.recv_timeout(LOOK) {
                    Ok(first) => {
                        let mut batch = vec![first];
                        batch.extend(receiver.try_iter().take(1000));
                        // An empty one is no record: it asks for the disk.
                        let ends = batch.iter().any(Vec::is_empty);
                        batch.retain(|record| !record.is_empty());
                        written.waiting.fetch_sub(batch.len() as u64, Ordering::Relaxed);
                        written.write(&mut dump, &batch);
                        if ends {
                            dump.sync();
                            written.finished.store(true, Ordering::Release);
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                dump.look();
            }
            dump.sync();
        })?;
        Ok(Self { records, counts })
    }

    /// Queues a record, which begins with its RDW.
    pub(crate) fn write(&self, record: Vec<u8>) {
        let full = self.counts.waiting.fetch_add(1, Ordering::Relaxed) >= QUEUE;
        if full || self.records.send(record).is_err() {
            self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was queued is on the disk; not for ever.
    pub(crate) async fn finish(&self) {
        let _ = self.records.send(Vec::new());
        let end = Instant::now() + PATIENCE;
        while !self.counts.finished.load(Ordering::Acquire) && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
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
