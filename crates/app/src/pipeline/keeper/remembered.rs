//! What shards remember of decided traces, on disk: a file for each, written when the shard says so.
//!
//! Files of another number of shards are read like any other: what is in them is true whoever reads it.
//! They go when every shard of now has written its own, which holds what it read in them.

use std::path::{Path, PathBuf};

use anyhow::Result;
use spanwise_assembler::{Decided, LateConfig, Share, Snapshot};
use tracing::warn;

use crate::persist;

/// How the names of the files begin and end.
const BEGIN: &str = "decided";
const END: &str = ".spanwise";

/// The files, and how far they reach.
#[derive(Debug)]
pub(super) struct Remembered {
    dir: PathBuf,
    /// By shard: up to which record of the kept log its file has the verdicts; `None` until it was
    /// written by this process.
    reached: Vec<Option<u64>>,
    /// Whether files of another number of shards may be there.
    has_others: bool,
}

impl Remembered {
    /// Reads what is there for `decided`, those of all shards.
    pub(super) fn restore(dir: PathBuf, decided: &mut [&mut Decided]) -> Self {
        let mut snapshots = Vec::new();
        let config = decided.first().map(|first| first.config()).unwrap_or_default();
        for path in files(&dir) {
            match read(&path, &config) {
                Ok(snapshot) => snapshots.extend(snapshot),
                Err(error) => {
                    let (path, error) = (path.display(), format!("{error:#}"));
                    warn!(
                        error,
                        %path, "decided traces cannot be used; late spans of them are judged anew"
                    );
                }
            }
        }
        if !snapshots.is_empty() {
            for (share, decided) in Share::all(decided.len() as u32).zip(decided.iter_mut()) {
                decided.restore(share, &snapshots);
            }
        }
        Self { dir, reached: vec![None; decided.len()], has_others: true }
    }

    /// Writes the file of a shard that has handed in everything up to record `last_seq` of the kept log.
    /// Up to where all shards have, if that is known.
    pub(super) fn save(
        &mut self,
        share: Share,
        bytes: &[u8],
        last_seq: u64,
    ) -> Result<Option<u64>> {
        persist::replace(&self.dir.join(name_of(share)), bytes)?;
        if let Some(reached) = self.reached.get_mut(share.idx as usize) {
            *reached = Some(last_seq);
        }
        let Some(reached) = self.reached.iter().copied().collect::<Option<Vec<u64>>>() else {
            return Ok(None);
        };
        if std::mem::take(&mut self.has_others) {
            self.remove_others();
        }
        Ok(reached.into_iter().min())
    }

    fn remove_others(&self) {
        let own: Vec<PathBuf> = Share::all(self.reached.len() as u32)
            .map(|share| self.dir.join(name_of(share)))
            .collect();
        for path in files(&self.dir).into_iter().filter(|path| !own.contains(path)) {
            if let Err(error) = std::fs::remove_file(&path) {
                warn!(%error, path = %path.display(), "superfluous file");
            }
        }
    }
}

fn name_of(share: Share) -> String {
    match share {
        Share { n: 1, .. } => format!("{BEGIN}{END}"),
        Share { idx, n } => format!("{BEGIN}-{}-of-{n}{END}", idx + 1),
    }
}

/// Every file with what somebody remembered, in order of names.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(BEGIN) && name.ends_with(END))
        })
        .collect();
    files.sort();
    files
}

fn read(path: &Path, config: &LateConfig) -> Result<Option<Snapshot>> {
    let Some(bytes) = persist::read(path)? else { return Ok(None) };
    Ok(Some(Snapshot::read(config, &bytes)?))
}

#[cfg(test)]
mod tests {
    use spanwise_assembler::{Known, Note};
    use spanwise_model::TraceId;

    use super::*;

    fn id(number: u64) -> TraceId {
        TraceId(u128::from(number).to_be_bytes())
    }

    fn names(dir: &Path) -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        files(dir).iter().map(name).collect()
    }

    fn start(dir: &Path, n: u32) -> (Vec<Decided>, Remembered) {
        let mut all: Vec<Decided> = (0..n).map(|_| Decided::new(LateConfig::default())).collect();
        let mut borrowed: Vec<&mut Decided> = all.iter_mut().collect();
        let remembered = Remembered::restore(dir.to_owned(), &mut borrowed);
        (all, remembered)
    }

    fn save(remembered: &mut Remembered, share: Share, decided: &Decided, seq: u64) -> Option<u64> {
        let mut bytes = Vec::new();
        decided.snapshot(share, &mut bytes);
        remembered.save(share, &bytes, seq).unwrap()
    }

    #[test]
    fn files_of_other_numbers_of_shards_go_when_all_shards_of_now_have_written() {
        let dir = tempfile::tempdir().unwrap();
        let (mut one, mut remembered) = start(dir.path(), 1);
        for number in 0..100 {
            one[0].keep(id(number), Note::default());
        }
        assert_eq!(save(&mut remembered, Share::ALL, &one[0], 7), Some(7));
        assert_eq!(names(dir.path()), ["decided.spanwise"]);

        let (mut two, mut remembered) = start(dir.path(), 2);
        let [first, second] = [Share { idx: 0, n: 2 }, Share { idx: 1, n: 2 }];
        assert_eq!(save(&mut remembered, second, &two[1], 20), None, "the first has not");
        // The process ends before the first has written: everything is still there.
        let (mut three, _) = start(dir.path(), 3);
        assert_eq!(save(&mut remembered, first, &two[0], 10), Some(10));
        assert_eq!(save(&mut remembered, first, &two[0], 30), Some(20));
        assert_eq!(names(dir.path()), ["decided-1-of-2.spanwise", "decided-2-of-2.spanwise"]);
        let (mut four, _) = start(dir.path(), 4);
        for all in [&mut two, &mut three, &mut four] {
            let n = all.len() as u32;
            for number in 0..100 {
                let found = all[id(number).part_of(n) as usize].find(id(number));
                assert_eq!(found, Some(Known::Kept(Note::default())), "{number} of {n}");
            }
        }
    }

    #[test]
    fn a_damaged_file_takes_nothing_else_along() {
        let dir = tempfile::tempdir().unwrap();
        let (mut two, mut remembered) = start(dir.path(), 2);
        for number in 0..100 {
            two[id(number).part_of(2) as usize].keep(id(number), Note::default());
        }
        for share in Share::all(2) {
            save(&mut remembered, share, &two[share.idx as usize], 1);
        }
        std::fs::write(dir.path().join("decided-1-of-2.spanwise"), b"SPANDEC?").unwrap();
        let (mut again, _) = start(dir.path(), 2);
        for number in 0..100 {
            let shard = id(number).part_of(2) as usize;
            assert_eq!(again[shard].find(id(number)).is_some(), shard == 1, "{number}");
        }
    }
}
