//! Directories: which names lead to which contents, now and after a power loss.
//!
//! Entries are changed in memory and become durable one by one, when the directories that lead to them are synced. A power
//! loss keeps each other change or not, so a new file may be gone, a deleted one back, a rename undone; and a file whose
//! directory is gone cannot be reached.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use wiber_model::{PartitionId, Rng, TopicId};
use wiber_storage::FileId;

use super::contents::Survival;

/// Names a file's contents, whatever its name is.
pub type Inode = u64;

/// A directory below the data directory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Directory {
    /// `wal`
    Wal,
    /// `topics`
    Topics,
    /// `topics/TOPIC`
    Topic(TopicId),
    /// `topics/TOPIC/PARTITION`
    Partition(PartitionId),
}

/// The directories that lead to a file, from the top.
fn above(file: FileId) -> Vec<Directory> {
    match file {
        FileId::Identity | FileId::IdentityDraft | FileId::Checkpoint | FileId::CheckpointDraft => {
            Vec::new()
        }
        FileId::Wal(_) => vec![Directory::Wal],
        FileId::Segment(id) | FileId::Index(id) => vec![
            Directory::Topics,
            Directory::Topic(id.partition.topic),
            Directory::Partition(id.partition),
        ],
    }
}

/// The entries of all directories at one time.
#[derive(Clone, Debug, Default)]
struct Entries {
    files: BTreeMap<FileId, Inode>,
    directories: BTreeSet<Directory>,
}

#[derive(Clone, Copy, Debug)]
enum Edit {
    Link(FileId, Inode),
    Unlink(FileId),
    Make(Directory),
    Remove(Directory),
}

#[derive(Clone, Copy, Debug)]
struct Change {
    number: u64,
    edit: Edit,
}

/// All directories.
#[derive(Clone, Debug, Default)]
pub struct Names {
    visible: Entries,
    stable: Entries,
    pending: VecDeque<Change>,
}

impl Entries {
    fn apply(&mut self, edit: Edit) {
        match edit {
            Edit::Link(file, inode) => {
                self.files.insert(file, inode);
            }
            Edit::Unlink(file) => {
                self.files.remove(&file);
            }
            Edit::Make(directory) => {
                self.directories.insert(directory);
            }
            Edit::Remove(directory) => {
                self.directories.remove(&directory);
            }
        }
    }

    /// Takes out what no directory leads to.
    fn prune(&mut self) {
        let directories = &mut self.directories;
        if !directories.contains(&Directory::Topics) {
            directories.retain(|d| !matches!(d, Directory::Topic(_) | Directory::Partition(_)));
        }
        let topics = directories.clone();
        directories.retain(|directory| match directory {
            Directory::Partition(id) => topics.contains(&Directory::Topic(id.topic)),
            _ => true,
        });
        self.files
            .retain(|file, _| above(*file).iter().all(|d| directories.contains(d)));
    }
}

impl Names {
    /// The contents that a name leads to now.
    pub fn find(&self, file: FileId) -> Option<Inode> {
        self.visible.files.get(&file).copied()
    }

    /// All files, by name.
    pub fn files(&self) -> impl Iterator<Item = (FileId, Inode)> + '_ {
        self.visible
            .files
            .iter()
            .map(|(file, inode)| (*file, *inode))
    }

    /// The files from `from` on, by name.
    pub fn files_from(&self, from: FileId) -> impl Iterator<Item = (FileId, Inode)> + '_ {
        self.visible
            .files
            .range(from..)
            .map(|(file, inode)| (*file, *inode))
    }

    /// All directories.
    pub fn directories(&self) -> impl Iterator<Item = Directory> + '_ {
        self.visible.directories.iter().copied()
    }

    /// Makes a name, and the directories that lead to it, or points it to other contents.
    pub fn link(&mut self, number: u64, file: FileId, inode: Inode) {
        for directory in above(file) {
            if !self.visible.directories.contains(&directory) {
                self.change(number, Edit::Make(directory));
            }
        }
        self.change(number, Edit::Link(file, inode));
    }

    /// Takes a name away, and directories that are empty then. Returns whether it was there.
    pub fn unlink(&mut self, number: u64, file: FileId) -> bool {
        if self.find(file).is_none() {
            return false;
        }
        self.change(number, Edit::Unlink(file));
        if let FileId::Segment(id) | FileId::Index(id) = file {
            let partition = Directory::Partition(id.partition);
            let is_of = |other: &FileId| matches!(other, FileId::Segment(other) | FileId::Index(other) if other.partition == id.partition);
            if !self.visible.files.keys().any(is_of) {
                self.change(number, Edit::Remove(partition));
            }
            let topic = Directory::Topic(id.partition.topic);
            let is_in = |d: &Directory| matches!(d, Directory::Partition(p) if p.topic == id.partition.topic);
            if !self.visible.directories.iter().any(is_in) {
                self.change(number, Edit::Remove(topic));
            }
        }
        true
    }

    /// Makes the entries that lead to a file durable, as they were after change `number`.
    pub fn sync(&mut self, number: u64, file: FileId) {
        let above = above(file);
        let leads_to = |edit: &Edit| match edit {
            Edit::Link(other, _) | Edit::Unlink(other) => *other == file,
            Edit::Make(directory) | Edit::Remove(directory) => above.contains(directory),
        };
        let stable = &mut self.stable;
        self.pending.retain(|change| {
            let synced = change.number <= number && leads_to(&change.edit);
            if synced {
                stable.apply(change.edit);
            }
            !synced
        });
    }

    /// The power goes. Returns whether any change was lost.
    pub fn lose_power(&mut self, survival: Survival, rng: &mut Rng) -> bool {
        let mut lost = false;
        for change in std::mem::take(&mut self.pending) {
            let survives = match survival {
                Survival::All => true,
                Survival::None => false,
                Survival::Mixed => rng.one_in(2),
            };
            if survives {
                self.stable.apply(change.edit);
            }
            lost |= !survives;
        }
        self.stable.prune();
        self.visible.clone_from(&self.stable);
        lost
    }

    /// The contents that some name leads to, or may lead to again after a power loss.
    pub fn reachable(&self) -> BTreeSet<Inode> {
        let linked = self.pending.iter().filter_map(|change| match change.edit {
            Edit::Link(_, inode) => Some(inode),
            _ => None,
        });
        let stable = self.stable.files.values().copied();
        self.visible
            .files
            .values()
            .copied()
            .chain(stable)
            .chain(linked)
            .collect()
    }

    /// Whether a power loss could change anything.
    pub fn is_synced(&self) -> bool {
        self.pending.is_empty()
    }

    fn change(&mut self, number: u64, edit: Edit) {
        self.visible.apply(edit);
        self.pending.push_back(Change { number, edit });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wiber_model::Offset;
    use wiber_storage::io::SegmentId;

    fn segment(base: i64) -> FileId {
        FileId::Segment(SegmentId {
            partition: PartitionId::default(),
            base: Offset(base),
            generation: 0,
        })
    }

    fn present(names: &Names) -> Vec<FileId> {
        names.files().map(|(file, _)| file).collect()
    }

    #[test]
    fn an_unsynced_entry_may_vanish_with_its_directories() {
        let mut names = Names::default();
        names.link(1, segment(0), 1);
        names.lose_power(Survival::None, &mut Rng::new(1));
        assert!(present(&names).is_empty());
        assert_eq!(names.directories().count(), 0);
    }

    #[test]
    fn a_file_is_gone_with_a_directory_above_it() {
        let mut unreachable = 0;
        for seed in 0..100 {
            let mut names = Names::default();
            names.link(1, segment(0), 1);
            names.lose_power(Survival::Mixed, &mut Rng::new(seed));
            assert!(names.find(segment(0)).is_none() || names.directories().count() == 3);
            unreachable +=
                usize::from(names.find(segment(0)).is_none() && names.directories().count() > 0);
        }
        assert!(unreachable > 10);
    }

    #[test]
    fn a_sync_keeps_the_entry_and_what_leads_to_it_and_nothing_else() {
        let mut names = Names::default();
        names.link(1, segment(0), 1);
        names.link(2, segment(5), 2);
        names.sync(9, segment(0));
        names.lose_power(Survival::None, &mut Rng::new(1));
        assert_eq!(present(&names), [segment(0)]);
    }

    #[test]
    fn a_sync_does_not_cover_what_comes_after_it_began() {
        let mut names = Names::default();
        names.link(1, segment(0), 1);
        names.sync(9, segment(0));
        names.unlink(10, segment(0));
        names.sync(9, segment(0));
        names.lose_power(Survival::None, &mut Rng::new(1));
        assert_eq!(present(&names), [segment(0)]);
    }

    #[test]
    fn a_deleted_file_may_come_back_and_a_rename_be_undone() {
        let mut names = Names::default();
        names.link(1, FileId::Checkpoint, 1);
        names.sync(1, FileId::Checkpoint);
        names.link(2, FileId::Checkpoint, 2);
        assert_eq!(names.find(FileId::Checkpoint), Some(2));
        assert_eq!(names.reachable().len(), 2);
        names.lose_power(Survival::None, &mut Rng::new(1));
        assert_eq!(names.find(FileId::Checkpoint), Some(1));
        names.unlink(3, FileId::Checkpoint);
        names.lose_power(Survival::None, &mut Rng::new(1));
        assert_eq!(names.find(FileId::Checkpoint), Some(1));
    }

    #[test]
    fn empty_directories_go_with_their_last_file() {
        let mut names = Names::default();
        names.link(1, segment(0), 1);
        names.unlink(2, segment(0));
        assert_eq!(names.directories().collect::<Vec<_>>(), [Directory::Topics]);
    }
}
