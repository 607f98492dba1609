//! The SMF dump: records appended by a thread of their own, so that a slow disk never holds up a connection.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};

use tracing::error;

/// Records waiting for the disk; more are lost, and counted. The queue is no bounded channel: that one would take its
/// whole room at once, and touch it bit by bit.
const QUEUE: u64 = 100_000;

/// The writer's end.
#[derive(Clone)]
pub(crate) struct SmfFile {
    records: Sender<Vec<u8>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    waiting: AtomicU64,
    written: AtomicU64,
    lost: AtomicU64,
}

impl SmfFile {
    /// Opens the dump for appending.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        let (records, receiver) = channel::<Vec<u8>>();
        let counts = Arc::new(Counts::default());
        let (thread_counts, path) = (Arc::clone(&counts), path.to_owned());
        std::thread::Builder::new().name("smf".to_owned()).spawn(move || {
            let mut writer = Writer { path, file, counts: thread_counts };
            while let Ok(first) = receiver.recv() {
                let mut batch = vec![first];
                batch.extend(receiver.try_iter().take(1000));
                writer.counts.waiting.fetch_sub(batch.len() as u64, Ordering::Relaxed);
                writer.write(&batch);
            }
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

    /// Records written and lost.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.counts.written.load(Ordering::Relaxed), self.counts.lost.load(Ordering::Relaxed))
    }
}

struct Writer {
    path: PathBuf,
    file: File,
    counts: Arc<Counts>,
}

impl Writer {
    fn write(&mut self, batch: &[Vec<u8>]) {
        // A dump that was moved away (log rotation) is begun anew.
        let moved = std::fs::metadata(&self.path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let result = if moved { open(&self.path).map(|file| self.file = file) } else { Ok(()) };
        let length = self.file.metadata().map(|metadata| metadata.len());
        let result = result.and_then(|()| self.file.write_all(&batch.concat()));
        let count = batch.len() as u64;
        match result {
            Ok(()) => {
                self.counts.written.fetch_add(count, Ordering::Relaxed);
            }
            Err(problem) => {
                // A batch written in part would hide every later record: there is no mark between records.
                if let Ok(length) = length {
                    let _ = self.file.set_len(length);
                }
                self.counts.lost.fetch_add(count, Ordering::Relaxed);
                error!(path = %self.path.display(), error = %problem, count, "SMF records lost");
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}
