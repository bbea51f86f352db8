//! Reading the log: which groups are live, where it ends, and what is damaged (S3).
//!
//! The scan follows the chain of groups from a position. Where the group that should come next is not there or not whole,
//! it looks through the blocks behind for one that proves that the log went on: a group of this directory and of no earlier
//! opening, at the place that it names, that was issued when the missing frames were durable, or that follows without a
//! missing frame. If there is one, the place is damaged: what can be read is read, the rest is named, and the scan goes on
//! behind it. If there is none, the log ends here, and what may stand there was never durable.
//!
//! The one window left is the very last group, as long as no mark or other group stands behind it: if it goes bad, it looks
//! like a write that was never finished.
//!
//! Invariant: the scan changes nothing. It may run while a broker writes: then it may end early, and if the broker frees
//! what it reads, it names damage where there is none; a reader looks whether there is a newer checkpoint by then.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::Bytes;
use wiber_model::Lsn;
use wiber_model::mutant::{self, Mutant};

use crate::checkpoint::{Checkpoint, Position};
use crate::frame::{Frame, FrameError, FrameHeader, HEADER_BYTES};
use crate::identity::{DirectoryId, Identity};
use crate::io::BLOCK_BYTES;
use crate::wal::group::{GROUP_HEADER_BYTES, GroupHeader};
use crate::{Disk, DiskError, DiskOp, FileId};

/// Bytes read at a time.
const READ_BYTES: u64 = 4 * 1024 * 1024;

/// So many openings are tried to read the frames of a group whose header is damaged. Each writes a group, so there are few.
const OPENINGS_TRIED_MAX: usize = 256;

/// Where a frame cannot be found, so many of those that follow it are looked for too.
const LOOK_AHEAD_FRAMES: u64 = 64;

const BLOCK: u64 = BLOCK_BYTES as u64;

/// Where a log without a checkpoint begins.
const BEGINNING: Position = Position {
    extent: 1,
    at: 0,
    number: 1,
    lsn: Lsn(1),
    previous: 0,
    opening: 0,
};

/// Frames that were durable and cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The extent where it was found.
    pub extent: u32,
    /// The byte position there.
    pub at: u64,
    /// The first LSN that is lost.
    pub first: Lsn,
    /// How many frames are lost, from `first` on; none if only a header is damaged and all frames were read.
    pub frames: u64,
    /// What is lost, if it is a single frame whose header can be read.
    pub header: Option<FrameHeader>,
}

/// A group that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// The extent that it is in.
    pub extent: u32,
    /// The byte position there.
    pub at: u64,
    /// Its header; none if that is damaged.
    pub header: Option<GroupHeader>,
    /// The frames that can be read.
    pub frames: Vec<(Lsn, FrameHeader, Frame)>,
    /// What cannot be read.
    pub damage: Vec<Damage>,
}

/// Why a log cannot be read or opened.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WalError {
    /// The disk says no.
    #[error("write-ahead log: {0}")]
    Disk(#[from] DiskError),
    /// Another release wrote it.
    #[error(
        "write-ahead log: it has format {0}, and this binary reads format {version} only; start it with the release that \
         wrote it, let that stop cleanly, and try again",
        version = crate::wal::WAL_VERSION
    )]
    Version(u16),
    /// A file belongs to another data directory.
    #[error("{file} belongs to another data directory ({directory}); put the right one back", file = .file.path())]
    Foreign {
        /// The file.
        file: FileId,
        /// Whose it is.
        directory: DirectoryId,
    },
    /// An extent that the log begins in, or goes on in, is not there.
    #[error("{file} is missing; put it back", file = FileId::Wal(*.0).path())]
    Missing(u32),
    /// The extent that the log ends in was cut off.
    #[error("{file} has {bytes} bytes and the log reaches to byte {end}; put the whole file back", file = FileId::Wal(*.extent).path())]
    Short {
        /// The extent.
        extent: u32,
        /// Its size.
        bytes: u64,
        /// The bytes that it should have at least.
        end: u64,
    },
}

/// A file of the log, as the scan found it.
#[derive(Debug)]
pub(super) struct ExtentFile {
    pub bytes: u64,
    /// The header of the group at its beginning, or of the first one whose header can be read.
    pub first: Option<GroupHeader>,
    /// Whether `first` is all that a search would find: a blank first block needs none.
    pub is_searched: bool,
}

/// Bytes read ahead.
#[derive(Debug, Default)]
struct Window {
    extent: u32,
    at: u64,
    bytes: Bytes,
}

/// Walks the groups of a log from a checkpoint on, or from the beginning.
pub struct Scan<'a> {
    disk: &'a mut dyn Disk,
    directory: DirectoryId,
    extents: BTreeMap<u32, ExtentFile>,
    /// Where the next group should be.
    position: Position,
    window: Window,
    /// All frames up to here are known to have been durable.
    proof: Lsn,
    /// The latest opening that wrote any group that was seen, live or not.
    latest_opening: u64,
    ended: bool,
    torn: bool,
}

impl<'a> Scan<'a> {
    /// A scan of the log of this directory.
    ///
    /// # Errors
    /// If a file cannot be read, is of another format, or belongs to another directory.
    pub fn new(
        disk: &'a mut dyn Disk,
        identity: &Identity,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Scan<'a>, WalError> {
        if let Some(foreign) = checkpoint.filter(|it| it.directory != identity.directory) {
            return Err(WalError::Foreign {
                file: FileId::Checkpoint,
                directory: foreign.directory,
            });
        }
        let mut scan = Scan {
            disk,
            directory: identity.directory,
            extents: BTreeMap::new(),
            position: checkpoint.map_or(BEGINNING, |checkpoint| checkpoint.position),
            window: Window::default(),
            proof: Lsn::ZERO,
            latest_opening: 0,
            ended: false,
            torn: false,
        };
        for extent in scan.disk.wal_extents()? {
            scan.look_at(extent)?;
        }
        Ok(scan)
    }

    /// The next group; none at the end of the log.
    ///
    /// # Errors
    /// If the disk fails, or a group is of another format.
    pub fn next_group(&mut self) -> Result<Option<Group>, WalError> {
        if self.ended {
            return Ok(None);
        }
        let found = self.read_group()?;
        self.torn = found.is_some();
        if let Some((group, next)) = found
            && (group.damage.is_empty() || self.position.lsn <= self.proof)
        {
            self.position = next;
            return Ok(Some(group));
        }
        let resume = match mutant::active(Mutant::TruncateAtAnyBadFrame) {
            true => None,
            false => self.find_later_group()?,
        };
        let Some(mut resume) = resume else {
            self.ended = true;
            return Ok(None);
        };
        // What is being written while it is read looks damaged the first time and whole the second.
        self.window = Window::default();
        let (group, next) = match self.read_group()? {
            Some(found) => found,
            None => {
                // Frames behind the proof were perhaps never durable: without them the log ends there.
                let proven = self.position.lsn.max(self.proof.next());
                resume.lsn = resume.lsn.min(proven);
                (self.salvage(&resume)?, resume)
            }
        };
        self.position = next;
        Ok(Some(group))
    }

    /// Where the next group should be, or will be written.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// At the end of the log: the latest opening that wrote to it, be it only a group that is not whole.
    pub(super) fn latest_opening(&self) -> u64 {
        self.latest_opening.max(self.position.opening)
    }

    /// At the end of the log: what is missing of it, if the last group says so: space for a group, and what a link names, are there
    /// durably before it is written.
    ///
    /// # Errors
    /// If the disk fails, or the file that is missing or cut.
    pub(super) fn check_end(&mut self) -> Result<(), WalError> {
        let Position { extent, at, .. } = self.position;
        let Some(block) = self.slice(extent, at, BLOCK)? else {
            return Ok(());
        };
        let found = GroupHeader::decode(&block)?.map(|(header, _)| header);
        let Some(header) = found
            .filter(|header| self.is_ours(header, extent, at) && header.belongs_to(&self.position))
        else {
            return Ok(());
        };
        if let Some(next) = header.next_extent
            && !self.extents.contains_key(&next)
        {
            return Err(WalError::Missing(next));
        }
        let bytes = self.extents.get(&extent).map_or(0, |file| file.bytes);
        let end = at + header.group_bytes();
        match bytes < end {
            true => Err(WalError::Short { extent, bytes, end }),
            false => Ok(()),
        }
    }

    /// At the end of the log: whether a group that is not whole stands there.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        self.ended && self.torn
    }

    /// Gives the disk back, and what is known of the extents.
    pub(super) fn into_parts(self) -> (&'a mut dyn Disk, BTreeMap<u32, ExtentFile>) {
        (self.disk, self.extents)
    }

    fn look_at(&mut self, extent: u32) -> Result<(), WalError> {
        let bytes = self.disk.size(FileId::Wal(extent))?;
        let block = self.disk.perform(DiskOp::Read {
            file: FileId::Wal(extent),
            at: 0,
            len: BLOCK_BYTES,
        })?;
        let first = GroupHeader::decode(&block)?.map(|(header, _)| header);
        if let Some(foreign) = first.filter(|header| header.directory != self.directory) {
            return Err(WalError::Foreign {
                file: FileId::Wal(extent),
                directory: foreign.directory,
            });
        }
        let first = first.filter(|header| header.extent == extent && header.at == 0);
        let is_searched = block.iter().all(|byte| *byte == 0);
        self.extents.insert(
            extent,
            ExtentFile {
                bytes,
                first,
                is_searched,
            },
        );
        Ok(())
    }

    /// The group at the present position and the position behind it; none if it is not there.
    fn read_group(&mut self) -> Result<Option<(Group, Position)>, WalError> {
        let Position { extent, at, .. } = self.position;
        let Some(block) = self.slice(extent, at, BLOCK)? else {
            return Ok(None);
        };
        let Some((header, crc)) = GroupHeader::decode(&block)? else {
            return Ok(None);
        };
        let leads_on = header
            .next_extent
            .is_none_or(|next| self.extents.contains_key(&next));
        if !self.is_ours(&header, extent, at) || !header.belongs_to(&self.position) || !leads_on {
            return Ok(None);
        }
        let Some(bytes) = self.slice(extent, at, header.group_bytes())? else {
            return Ok(None);
        };
        let frames = GROUP_HEADER_BYTES..GROUP_HEADER_BYTES + header.frame_bytes as usize;
        let count = header.frame_count as usize;
        let mut group = Group {
            extent,
            at,
            header: Some(header),
            frames: Vec::with_capacity(count.min(frames.len() / HEADER_BYTES)),
            damage: Vec::new(),
        };
        let mut wanted = Wanted {
            lsn: header.first_lsn,
            end: header.next_lsn(),
            openings: header.opening..=header.opening,
            searched_from: header.opening,
        };
        let stop = group.read_frames(&bytes.slice(frames), extent, at, &mut wanted);
        if wanted.lsn < wanted.end {
            group.lost(stop, wanted.lsn, wanted.end.0 - wanted.lsn.0, None);
        }
        Ok(Some((group, header.next_position(crc))))
    }

    /// Reads what stands before the group that the log goes on with: groups whose own headers are damaged, in this extent and, if the
    /// link to it is among them, in the next. The openings that wrote them are those of the groups before and behind, or between.
    fn salvage(&mut self, resume: &Position) -> Result<Group, WalError> {
        let here = self.position;
        let mut group = Group {
            extent: here.extent,
            at: here.at,
            header: None,
            frames: Vec::new(),
            damage: Vec::new(),
        };
        let mut wanted = Wanted {
            lsn: here.lsn,
            end: resume.lsn,
            openings: here.opening..=resume.opening,
            searched_from: here.opening,
        };
        let extent_end = self.extents.get(&here.extent).map_or(0, |file| file.bytes);
        let parts = match resume.extent == here.extent {
            true => vec![(here.extent, here.at..resume.at, here.opening)],
            // Behind a link there may be frames that an earlier opening left there, and that were never durable.
            false => vec![
                (here.extent, here.at..extent_end, resume.opening),
                (resume.extent, 0..resume.at, here.opening),
            ],
        };
        let mut stop = (here.extent, here.at);
        for (extent, part, searched_from) in parts {
            let len = part.end.saturating_sub(part.start);
            let bytes = self.slice(extent, part.start, len)?.unwrap_or_default();
            let frames = bytes.slice(GROUP_HEADER_BYTES.min(bytes.len())..);
            let before = wanted.lsn;
            wanted.searched_from = searched_from;
            let stopped = group.read_frames(&frames, extent, part.start, &mut wanted);
            if wanted.lsn > before {
                stop = stopped;
            }
        }
        let lost = wanted.end.0.saturating_sub(wanted.lsn.0);
        if lost > 0 {
            group.lost(stop, wanted.lsn, lost, None);
        } else if group.damage.is_empty() {
            group.lost((here.extent, here.at), resume.lsn, 0, None);
        }
        Ok(group)
    }

    /// Looks behind the present position for the group that the log goes on with, and for how far the log was durable.
    fn find_later_group(&mut self) -> Result<Option<Position>, WalError> {
        let here = self.position;
        let mut seen: Vec<(GroupHeader, u32)> = Vec::new();
        let mut resume = None;
        for (extent, from) in self.places_behind()? {
            let mut at = from;
            while let Some(blocks) = self.slice_up_to(extent, at, READ_BYTES)? {
                for block in blocks.chunks_exact(BLOCK_BYTES) {
                    let found = GroupHeader::decode(block)?
                        .filter(|(header, _)| self.is_ours(header, extent, at))
                        .filter(|(header, _)| header.is_behind(&here));
                    at += BLOCK;
                    let Some((header, crc)) = found else {
                        continue;
                    };
                    self.proof = self.proof.max(header.durable);
                    self.latest_opening = self.latest_opening.max(header.opening);
                    // What stands here is no place to go on at, whatever its header says.
                    if resume.is_some() || header.number == here.number {
                        continue;
                    }
                    seen.push((header, crc));
                    if header.proves(&here) {
                        resume = first_believed(&seen);
                    }
                }
            }
        }
        Ok(resume)
    }

    /// The extents and the positions in them where later groups may stand, in the order of the log.
    fn places_behind(&mut self) -> Result<Vec<(u32, u64)>, WalError> {
        self.number_the_beheaded()?;
        let here = &self.position;
        let mut later: Vec<(u64, u32)> = self
            .extents
            .iter()
            .filter(|(extent, _)| **extent != here.extent)
            .filter_map(|(extent, file)| file.first.map(|first| (first.number, *extent)))
            .filter(|(number, _)| *number > here.number)
            .collect();
        later.sort_unstable();
        let mut places = vec![(here.extent, here.at)];
        places.extend(later.into_iter().map(|(_, extent)| (extent, 0)));
        Ok(places)
    }

    /// An extent whose first header is damaged is known by the first one in it that is not. One that was only made is blank.
    fn number_the_beheaded(&mut self) -> Result<(), WalError> {
        let beheaded = self.extents.iter();
        let beheaded: Vec<u32> = beheaded
            .filter(|(_, file)| file.first.is_none() && !file.is_searched)
            .map(|(extent, _)| *extent)
            .collect();
        for extent in beheaded {
            let mut at = 0;
            let mut first = None;
            while first.is_none()
                && let Some(blocks) = self.slice_up_to(extent, at, READ_BYTES)?
            {
                for block in blocks.chunks_exact(BLOCK_BYTES) {
                    let header = GroupHeader::decode(block)?.map(|(header, _)| header);
                    first = first.or(header.filter(|header| self.is_ours(header, extent, at)));
                    at += BLOCK;
                }
            }
            if let Some(file) = self.extents.get_mut(&extent) {
                file.is_searched = true;
                file.first = first;
            }
        }
        Ok(())
    }

    fn is_ours(&self, header: &GroupHeader, extent: u32, at: u64) -> bool {
        header.directory == self.directory && header.extent == extent && header.at == at
    }

    /// Exactly `len` bytes of an extent; none if it does not have them.
    fn slice(&mut self, extent: u32, at: u64, len: u64) -> Result<Option<Bytes>, WalError> {
        let Some(file) = self.extents.get(&extent) else {
            return Ok(None);
        };
        if at.checked_add(len).is_none_or(|end| end > file.bytes) {
            return Ok(None);
        }
        let window = &self.window;
        let inside = window.extent == extent
            && window.at <= at
            && at + len <= window.at + window.bytes.len() as u64;
        if !inside {
            let want = len.max(READ_BYTES).min(file.bytes - at);
            let bytes = self.disk.perform(DiskOp::Read {
                file: FileId::Wal(extent),
                at,
                len: want as usize,
            })?;
            self.window = Window { extent, at, bytes };
        }
        let start = (at - self.window.at) as usize;
        let end = start + len as usize;
        Ok((end <= self.window.bytes.len()).then(|| self.window.bytes.slice(start..end)))
    }

    /// At most `len` bytes of an extent, in whole blocks; none if there is no whole block left.
    fn slice_up_to(&mut self, extent: u32, at: u64, len: u64) -> Result<Option<Bytes>, WalError> {
        let rest = self
            .extents
            .get(&extent)
            .map_or(0, |file| file.bytes.saturating_sub(at));
        match rest.min(len) / BLOCK * BLOCK {
            0 => Ok(None),
            len => self.slice(extent, at, len),
        }
    }
}

/// The frames that are looked for.
struct Wanted {
    /// The next one.
    lsn: Lsn,
    /// Behind the last one.
    end: Lsn,
    /// The openings that may have written them: those of later frames are never earlier ones.
    openings: RangeInclusive<u64>,
    /// The first opening whose frames are taken where they do not stand directly behind the last one.
    searched_from: u64,
}

impl Wanted {
    fn openings(&self, from: u64) -> impl Iterator<Item = u64> + use<> {
        (from.max(*self.openings.start())..=*self.openings.end()).take(OPENINGS_TRIED_MAX)
    }

    /// The next frame, if it stands at the front of `bytes`.
    fn decode(&mut self, bytes: &Bytes) -> Result<(FrameHeader, Frame), FrameError> {
        let lsn = self.lsn;
        let decode = |opening| match Frame::decode(bytes, opening, lsn) {
            Err(FrameError::Header) => None,
            found => Some((opening, found)),
        };
        let Some((opening, found)) = self.openings(0).find_map(decode) else {
            return Err(FrameError::Header);
        };
        self.openings = opening..=*self.openings.end();
        found
    }

    /// Where in `bytes` the next of these frames stands that can be found, and which one it is. Of one further ahead than the next but
    /// one the body must be whole, too: where many are looked for, some bytes may have a header's checksum by chance.
    fn search(&self, bytes: &Bytes) -> Option<(usize, Lsn)> {
        let end = self.end.0.min(self.lsn.0 + LOOK_AHEAD_FRAMES);
        let ahead = self.lsn.next().next();
        let mut places = (1..bytes.len()).filter(|&at| FrameHeader::may_begin(&bytes[at..]));
        places.find_map(|at| {
            let is = |lsn: &Lsn| {
                let mut openings = self.openings(self.searched_from);
                let found =
                    openings.find(|it| FrameHeader::decode(&bytes[at..], *it, *lsn).is_some());
                found.is_some_and(|opening| {
                    *lsn < ahead || Frame::decode(&bytes.slice(at..), opening, *lsn).is_ok()
                })
            };
            let lsn = (self.lsn.0..end).map(Lsn).find(is)?;
            Some((at, lsn))
        })
    }
}

impl Group {
    /// Reads the frames that stand one after another in `bytes`, behind a group's header at `at` of `extent`, and answers where it
    /// stopped: with frames left to find, because there is none of them in the rest.
    fn read_frames(
        &mut self,
        bytes: &Bytes,
        extent: u32,
        at: u64,
        wanted: &mut Wanted,
    ) -> (u32, u64) {
        let mut rest = bytes.clone();
        loop {
            let read = (GROUP_HEADER_BYTES + bytes.len() - rest.len()) as u64;
            let place = (extent, at + read);
            if wanted.lsn >= wanted.end {
                return place;
            }
            let lsn = wanted.lsn;
            let header = match wanted.decode(&rest) {
                Ok((header, frame)) => {
                    self.frames.push((lsn, header, frame));
                    header
                }
                Err(FrameError::Body(header)) => {
                    self.lost(place, lsn, 1, Some(header));
                    header
                }
                Err(FrameError::Header) => {
                    // Where this one ends is unknown, but the next one can be told by its checksum. Between groups whose headers
                    // are lost this one comes yet.
                    let Some((skip, found)) = wanted.search(&rest) else {
                        return place;
                    };
                    if found > lsn {
                        self.lost(place, lsn, found.0 - lsn.0, None);
                    }
                    wanted.lsn = found;
                    rest = rest.slice(skip..);
                    continue;
                }
            };
            let frame_bytes = HEADER_BYTES + header.body_bytes as usize;
            rest = rest.slice(frame_bytes.min(rest.len())..);
            wanted.lsn = lsn.next();
        }
    }

    fn lost(
        &mut self,
        (extent, at): (u32, u64),
        first: Lsn,
        frames: u64,
        header: Option<FrameHeader>,
    ) {
        self.damage.push(Damage {
            extent,
            at,
            first,
            frames,
            header,
        });
    }
}

impl GroupHeader {
    /// Whether the group may belong to the log behind `here`, or be the one that belongs there.
    fn is_behind(&self, here: &Position) -> bool {
        self.number >= here.number && self.opening >= here.opening && self.first_lsn >= here.lsn
    }

    /// Whether the group, being behind `here`, proves that the log went on there: the frame that should be there was durable
    /// when the group was issued; or no frame is missing between, only marks or links, which are synced before anything
    /// follows them.
    fn proves(&self, here: &Position) -> bool {
        self.number > here.number && (self.durable >= here.lsn || self.first_lsn == here.lsn)
    }

    /// Whether the group, of the checksum `crc`, may be one that `later` came after: at once, or with others between, for as many of
    /// which as are missing by number there is room. What an earlier opening left behind is not.
    fn leads_to(&self, crc: u32, later: &GroupHeader) -> bool {
        let next = self.next_position(crc);
        let Some(missing) = later.number.checked_sub(next.number) else {
            return false;
        };
        let has_room = match (next.extent == later.extent, later.at.checked_sub(next.at)) {
            (true, None) => false,
            (true, Some(bytes)) => (missing > 0) == (bytes > 0) && missing <= bytes / BLOCK,
            // A link, and what stands before the later group in its extent. Another opening may have gone on before this one.
            (false, _) => self.opening == later.opening && missing > u64::from(later.at > 0),
        };
        has_room
            && self.opening <= later.opening
            && next.lsn <= later.first_lsn
            && (missing > 0 || (next.lsn == later.first_lsn && next.previous == later.previous))
    }

    fn position(&self) -> Position {
        Position {
            extent: self.extent,
            at: self.at,
            number: self.number,
            lsn: self.first_lsn,
            previous: self.previous,
            opening: self.opening,
        }
    }
}

/// The first of the groups that may be believed to lead to the last one that was seen, which is proven.
fn first_believed(seen: &[(GroupHeader, u32)]) -> Option<Position> {
    let mut run = seen.iter().rev();
    let mut first = run.next()?.0;
    for (header, crc) in run {
        if header.leads_to(*crc, &first) {
            first = *header;
        }
    }
    Some(first.position())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRC: u32 = 77;

    /// A group of two frames in one block.
    fn group(extent: u32, at: u64, number: u64) -> GroupHeader {
        GroupHeader {
            directory: DirectoryId([9; 16]),
            opening: 3,
            number,
            first_lsn: Lsn(10 * number),
            durable: Lsn(1),
            metadata: Lsn(1),
            extent,
            at,
            frame_count: 2,
            frame_bytes: 1_000,
            next_extent: None,
            previous: 0,
        }
    }

    #[test]
    fn a_group_is_believed_where_it_fits_to_what_follows() {
        let one = group(1, 8_192, 5);
        let next = GroupHeader {
            first_lsn: one.next_lsn(),
            previous: CRC,
            ..group(1, 12_288, 6)
        };
        assert!(one.leads_to(CRC, &next));
        assert!(!one.leads_to(CRC + 1, &next), "another stood before it");
        let skipping = GroupHeader {
            first_lsn: Lsn(13),
            ..next
        };
        assert!(
            !one.leads_to(CRC, &skipping),
            "a frame between, and no group"
        );

        let fits = |extent, at, number| one.leads_to(CRC, &group(extent, at, number));
        assert!(fits(1, 16_384, 7));
        assert!(fits(1, 20_480, 7), "the one between may be large");
        assert!(!fits(1, 12_288, 7), "there is no room for the one between");
        assert!(!fits(1, 16_384, 8), "nor for two");
        assert!(
            !fits(1, 4_096, 7),
            "it comes later by number, and lies before"
        );
        assert!(!fits(1, 8_192, 5), "it is the same");
        assert!(fits(2, 0, 7), "the one between may be a link");
        assert!(!fits(2, 0, 6), "it is no link");
        assert!(fits(2, 4_096, 8));
        assert!(
            !fits(2, 4_096, 7),
            "a link, and what stands at the beginning"
        );

        let link = GroupHeader {
            next_extent: Some(2),
            ..one
        };
        assert!(link.leads_to(
            CRC,
            &GroupHeader {
                extent: 2,
                at: 0,
                ..next
            }
        ));
        assert!(link.leads_to(CRC, &group(2, 4_096, 7)));
        assert!(!link.leads_to(CRC, &group(2, 4_096, 6)));

        let newer = |number| GroupHeader {
            opening: 4,
            ..group(2, 4_096, number)
        };
        assert!(
            !one.leads_to(CRC, &newer(8)),
            "it may be a leftover behind the link"
        );
        assert!(link.leads_to(CRC, &newer(7)));

        let later = group(1, 16_384, 7);
        let older = GroupHeader {
            opening: 2,
            ..later
        };
        assert!(!one.leads_to(CRC, &older), "openings only grow");
        let before = GroupHeader {
            first_lsn: Lsn(51),
            ..later
        };
        assert!(!one.leads_to(CRC, &before), "frames are not written twice");
    }
}
