//! The dump as files: the one that is written, and those before it.
//!
//! A file that has reached its length or age gets the time into its name, and a new one is begun. What a crash left of a record at
//! the end is cut off and kept beside: there is no mark between records, and what followed it could not be read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use chrono::Utc;
use smf::{Frames, RecordError};
use tracing::{error, info, warn};

/// Shortest record there is: an SMF header without subtype.
const SHORTEST: u64 = 18;
/// How often files that are too old are looked for.
const LOOK: Duration = Duration::from_secs(3600);
/// How often a dump that looks cut is read again, and after which time: a write takes microseconds.
const LOOKS: u32 = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// What is done with the dump.
#[derive(Clone, Debug)]
pub(crate) struct DumpSettings {
    /// The file that is written.
    pub(crate) path: PathBuf,
    /// Bytes after which another one is begun.
    pub(crate) most_bytes: Option<u64>,
    /// Time after which another one is begun.
    pub(crate) most_age: Option<Duration>,
    /// Time after which those before it are deleted.
    pub(crate) keep: Option<Duration>,
    /// How long what is written may take to the disk; zero: nothing goes on before it is there.
    pub(crate) sync: Duration,
}

/// The dump, open.
pub(super) struct Dump {
    settings: DumpSettings,
    file: File,
    length: u64,
    begun: SystemTime,
    /// Since when something is not on the disk.
    dirty: Option<Instant>,
    looked: Option<Instant>,
}

impl Dump {
    /// Opens the dump to append. `alone`: no other process writes it, and what is torn at its end is cut off.
    pub(super) fn open(settings: DumpSettings, alone: bool) -> io::Result<Self> {
        let file = append(&settings.path)?;
        let mut dump = Self { settings, file, length: 0, begun: SystemTime::now(), dirty: None, looked: None };
        if alone {
            dump.mend()?;
        }
        dump.measure()?;
        Ok(dump)
    }

    fn measure(&mut self) -> io::Result<()> {
        let metadata = self.file.metadata()?;
        self.length = metadata.len();
        self.begun = metadata.created().unwrap_or_else(|_| SystemTime::now());
        Ok(())
    }

    /// Cuts off what is left of a record.
    fn mend(&self) -> io::Result<()> {
        let path = &self.settings.path;
        let length = self.file.metadata()?.len();
        let whole = whole_records(&mut BufReader::new(File::open(path)?), length)?;
        if whole == length {
            return Ok(());
        }
        let torn = path.with_extension("dump.torn");
        let mut source = File::open(path)?;
        source.seek(SeekFrom::Start(whole))?;
        let mut kept = append(&torn)?;
        io::copy(&mut source, &mut kept)?;
        kept.sync_all()?;
        self.file.set_len(whole)?;
        warn!(
            path = %path.display(),
            bytes = length - whole,
            kept = %torn.display(),
            "the SMF dump ended in the middle of a record; what was left of it is cut off and kept"
        );
        Ok(())
    }

    /// Appends records, all of them or none.
    pub(super) fn write(&mut self, records: &[u8]) -> io::Result<()> {
        // A dump that was moved away is begun anew.
        let missing = fs::metadata(&self.settings.path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        if missing && let Err(problem) = self.begin() {
            error!(%problem, "no other SMF dump can be begun; the one that was moved goes on");
        }
        self.rotate(records.len() as u64);
        // Another daemon may append too, until it has ended.
        let before = self.file.metadata()?.len();
        if let Err(problem) = self.file.write_all(records) {
            // A batch written in part would hide every later record.
            let _ = self.file.set_len(before);
            return Err(problem);
        }
        self.length = before + records.len() as u64;
        self.dirty.get_or_insert_with(Instant::now);
        if self.settings.sync.is_zero() {
            self.sync();
        }
        Ok(())
    }

    fn begin(&mut self) -> io::Result<()> {
        let file = append(&self.settings.path)?;
        self.sync();
        self.file = file;
        self.measure()
    }

    /// Begins another file when this one is long or old enough.
    fn rotate(&mut self, more: u64) {
        let long = self.settings.most_bytes.is_some_and(|most| self.length + more > most);
        let age = self.begun.elapsed().unwrap_or_default();
        let old = self.settings.most_age.is_some_and(|most| age >= most);
        if self.length == 0 || !(long || old) {
            return;
        }
        let path = &self.settings.path;
        let name = format!("{}.{}", path.display(), Utc::now().format("%Y%m%dT%H%M%S%.6fZ"));
        let renamed = fs::rename(path, &name);
        match renamed.and_then(|()| self.begin()) {
            Ok(()) => info!(file = name, "another SMF dump is begun"),
            Err(problem) => error!(%problem, "no other SMF dump can be begun; this one goes on"),
        }
    }

    /// Puts on the disk what has waited long enough, and deletes files that are too old.
    pub(super) fn look(&mut self) {
        if self.dirty.is_some_and(|since| since.elapsed() >= self.settings.sync) {
            self.sync();
        }
        if let Some(keep) = self.settings.keep.filter(|_| self.looked.is_none_or(|time| time.elapsed() > LOOK)) {
            self.looked = Some(Instant::now());
            for file in earlier(&self.settings.path) {
                let age = fs::metadata(&file).and_then(|metadata| metadata.modified()).map(|time| time.elapsed());
                if age.is_ok_and(|age| age.unwrap_or_default() > keep) {
                    match fs::remove_file(&file) {
                        Ok(()) => info!(file = %file.display(), "an SMF dump that is too old is deleted"),
                        Err(problem) => error!(%problem, file = %file.display(), "an SMF dump that is too old stays"),
                    }
                }
            }
        }
    }

    /// Puts on the disk what is written.
    pub(super) fn sync(&mut self) {
        if self.dirty.take().is_some()
            && let Err(problem) = self.file.sync_data()
        {
            error!(%problem, path = %self.settings.path.display(), "SMF records may not be on the disk");
        }
    }
}

/// The files before a dump, oldest first.
pub(crate) fn earlier(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = path.file_name().map(|name| format!("{}.", name.to_string_lossy())) else { return Vec::new() };
    let is_earlier = |file: &PathBuf| {
        let found = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // A time, and nothing that somebody else has put there.
        found.strip_prefix(&name).is_some_and(|time| {
            time.len() == 23
                && time.ends_with('Z')
                && time.bytes().all(|byte| byte.is_ascii_digit() || b"T.Z".contains(&byte))
        })
    };
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).filter(is_earlier).collect();
    files.sort();
    files
}

/// A dump's bytes. What looks cut at its end may be what a daemon is writing at that moment: it is looked at again.
///
/// # Errors
///
/// The file cannot be read.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = fs::read(path)?;
    for _ in 0..LOOKS {
        let cut = Frames::new(&bytes).any(|frame| matches!(frame, Err(RecordError::Truncated { .. })));
        // What comes by a pipe comes once.
        if !cut || !fs::metadata(path)?.is_file() {
            break;
        }
        std::thread::sleep(BETWEEN_LOOKS);
        bytes = fs::read(path)?;
    }
    Ok(bytes)
}

/// Where the last whole record of a dump ends.
fn whole_records(dump: &mut (impl io::Read + io::Seek), length: u64) -> io::Result<u64> {
    let mut at = 0;
    while at < length {
        let mut head = [0; 2];
        if length - at < 2 {
            return Ok(at);
        }
        dump.read_exact(&mut head)?;
        let record = u64::from(u16::from_be_bytes(head));
        if record < SHORTEST || at + record > length {
            return Ok(at);
        }
        at += record;
        dump.seek_relative(i64::try_from(record - 2).unwrap_or_default())?;
    }
    Ok(at)
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(path: PathBuf) -> DumpSettings {
        DumpSettings { path, most_bytes: None, most_age: None, keep: None, sync: Duration::ZERO }
    }

    fn record(length: u16) -> Vec<u8> {
        let mut record = vec![0x5A; usize::from(length)];
        record[..2].copy_from_slice(&length.to_be_bytes());
        record
    }

    #[test]
    fn what_a_crash_left_of_a_record_is_cut_off_and_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("smf119.dump");
        let whole = [record(30), record(500)].concat();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).expect("a dump");
            let _ = fs::remove_file(folder.path().join("smf119.dump.torn"));
            let mut dump = Dump::open(settings(path.clone()), true).expect("a dump");
            dump.write(&record(40)).expect("room");
            let left = if cut < 30 { 0 } else { 30 };
            let expected = [&whole[..left], &record(40)].concat();
            assert_eq!(fs::read(&path).expect("a dump"), expected, "cut at {cut}");
            let torn = fs::read(folder.path().join("smf119.dump.torn")).unwrap_or_default();
            assert_eq!(torn, whole[left..cut], "cut at {cut}");
        }
        // Beside another writer nothing is touched.
        fs::write(&path, &whole[..100]).expect("a dump");
        drop(Dump::open(settings(path.clone()), false).expect("a dump"));
        assert_eq!(fs::read(&path).expect("a dump").len(), 100);
    }

    #[test]
    fn a_record_that_is_being_written_is_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("smf119.dump");
        let whole = [record(30), record(500)].concat();
        fs::write(&path, &whole[..100]).expect("a dump");
        let rest = whole.clone();
        let writer = std::thread::spawn({
            let path = path.clone();
            move || {
                std::thread::sleep(BETWEEN_LOOKS);
                append(&path).and_then(|mut file| file.write_all(&rest[100..]))
            }
        });
        assert_eq!(read(&path).expect("a dump"), whole);
        writer.join().expect("the writer").expect("room");
        // What stays cut is read as it is.
        fs::write(&path, &whole[..100]).expect("a dump");
        assert_eq!(read(&path).expect("a dump"), whole[..100]);
    }

    #[test]
    fn a_long_dump_is_followed_by_another_and_old_ones_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("smf119.dump");
        let others = ["smf119.dump.torn", "smf119.dump.20260101T000000.000000", "other.20260101T000000.000000Z"];
        others.iter().for_each(|name| fs::write(folder.path().join(name), "mine").expect("a file"));
        let mut dump =
            Dump::open(DumpSettings { most_bytes: Some(1000), ..settings(path.clone()) }, true).expect("a dump");
        let records: Vec<Vec<u8>> = (0..10).map(|number| record(300 + number)).collect();
        for record in &records {
            dump.write(record).expect("room");
            std::thread::sleep(Duration::from_millis(1));
        }
        let files: Vec<PathBuf> = earlier(&path).into_iter().chain([path.clone()]).collect();
        assert_eq!(files.len(), 4);
        let all: Vec<u8> = files.iter().flat_map(|file| fs::read(file).expect("a dump")).collect();
        assert_eq!(all, records.concat(), "in order, and nothing lost");
        let old = DumpSettings { keep: Some(Duration::ZERO), ..settings(path.clone()) };
        std::thread::sleep(Duration::from_millis(10));
        Dump::open(old, true).expect("a dump").look();
        assert_eq!(earlier(&path), Vec::<PathBuf>::new());
        assert!(others.iter().all(|name| folder.path().join(name).exists()), "what is no dump stays");
    }
}
