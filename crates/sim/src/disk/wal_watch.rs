//! Reads along what is written to the write-ahead log, and so knows by itself what is durable.
//!
//! It goes by the layout in `docs/format.md` and not by the code that writes it. Invariant: a partition's durable end counts
//! a frame only when every frame before it is on stable storage too, as recovery follows the chain.

use std::collections::BTreeMap;
use std::ops::Range;

use wiber_model::{Lsn, Offset, PartitionId, Rng};
use wiber_storage::frame::{FrameHeader, FrameKind, HEADER_BYTES};
use wiber_storage::io::BLOCK_BYTES;
use wiber_storage::wal::GROUP_HEADER_BYTES;

/// A group that stands in an extent.
#[derive(Clone, Debug)]
struct Group {
    number: u64,
    len: usize,
    first_lsn: u64,
    /// The LSN of its last frame; that of the frame before, if it has none.
    last_lsn: u64,
    /// The LSN that it says is durable.
    durable: u64,
    /// The change of the disk that wrote it.
    written: u64,
    stable: bool,
    /// The bytes that bits were flipped in.
    flips: Vec<usize>,
    frames: Vec<FrameSpan>,
}

/// A frame in its group.
#[derive(Clone, Debug)]
struct FrameSpan {
    /// Its bytes within the group.
    bytes: Range<usize>,
    header: FrameHeader,
}

/// What a flipped bit may cost.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    /// Offsets of partitions that may be lost.
    pub lost: Vec<(PartitionId, Range<Offset>)>,
    /// Offsets of a partition that may not be found in a segment.
    pub unreadable: Option<(PartitionId, Range<Offset>)>,
    /// Metadata may be lost.
    pub metadata: bool,
    /// It may be that nobody can tell whose frames are lost.
    pub anonymous: bool,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct WalWatch {
    groups: BTreeMap<(u32, u64), Group>,
    /// Every frame up to this LSN was on stable storage at some time.
    contiguous: u64,
    /// Groups beyond that which are on stable storage, by their first LSN.
    ahead: BTreeMap<u64, (u64, Vec<(PartitionId, Offset)>)>,
    written_ends: BTreeMap<PartitionId, Offset>,
    durable_ends: BTreeMap<PartitionId, Offset>,
}

impl WalWatch {
    /// The end of what is written of a partition's log.
    pub fn written_end(&self, partition: PartitionId) -> Offset {
        self.written_ends
            .get(&partition)
            .copied()
            .unwrap_or_default()
    }

    /// The end of what is durable of a partition's log.
    pub fn durable_end(&self, partition: PartitionId) -> Offset {
        self.durable_ends
            .get(&partition)
            .copied()
            .unwrap_or_default()
    }

    /// Bytes were written to an extent, as change `change` of the disk; `stable` if they are durable.
    pub fn wrote(&mut self, change: u64, extent: u32, at: u64, data: &[u8], stable: bool) {
        let end = at + data.len() as u64;
        let from = self.groups.range(..(extent, at)).next_back();
        let from = from.filter(|(key, group)| key.0 == extent && key.1 + group.len as u64 > at);
        let from = from.map_or((extent, at), |(key, _)| *key);
        let covered: Vec<_> = self
            .groups
            .range(from..(extent, end))
            .map(|(key, _)| *key)
            .collect();
        for key in covered {
            self.groups.remove(&key);
        }
        let mut position = 0;
        while let Some(group) = parse(&data[position..], change) {
            for (partition, end) in group.ends() {
                raise(&mut self.written_ends, partition, end);
            }
            let key = (extent, at + position as u64);
            position += group.len;
            self.groups.insert(key, group);
            if stable {
                self.settle(key);
            }
        }
    }

    /// An extent was synced: what change `change` and those before it wrote is durable.
    pub fn synced(&mut self, change: u64, extent: u32) {
        let of_extent = self.groups.range((extent, 0)..(extent + 1, 0));
        let settled: Vec<_> = of_extent
            .filter(|(_, g)| !g.stable && g.written <= change)
            .map(|(key, _)| *key)
            .collect();
        for key in settled {
            self.settle(key);
        }
    }

    /// The process or the machine died. What was not stable counts again once recovery has written it again.
    pub fn crashed(&mut self) {
        self.groups.retain(|_, group| group.stable);
        self.ahead.clear();
        self.written_ends.clone_from(&self.durable_ends);
    }

    /// An extent is zeroed or gone.
    pub fn removed(&mut self, extent: u32) {
        self.groups.retain(|key, _| key.0 != extent);
    }

    /// A place in the log for a bit to flip in, that recovery can tell from a write that was torn: another group proves that it
    /// was durable, and goes on doing so (S3 names the window that is left).
    pub fn flippable(&mut self, rng: &mut Rng) -> Option<(u32, u64, usize)> {
        let proof = |except: (u32, u64)| {
            let others = self
                .groups
                .iter()
                .filter(|(key, g)| **key != except && g.stable && g.flips.is_empty());
            others.map(|(_, g)| g.durable).max().unwrap_or(0)
        };
        let flipped = self
            .groups
            .values()
            .filter(|g| !g.flips.is_empty())
            .map(|g| g.last_lsn)
            .max()
            .unwrap_or(0);
        let candidates: Vec<_> = self
            .groups
            .iter()
            .filter(|(_, g)| g.stable)
            .map(|(key, _)| *key)
            .collect();
        // What is newest is what recovery reads.
        let newest = candidates.len().min(24);
        let mut recent = candidates;
        recent.sort_by_key(|key| self.groups.get(key).map_or(0, |g| g.number));
        let recent = &recent[recent.len() - newest..];
        if recent.is_empty() {
            return None;
        }
        let key = recent[rng.below(recent.len() as u64) as usize];
        let (last_lsn, len) = self.groups.get(&key).map(|g| (g.last_lsn, g.len))?;
        if proof(key) < last_lsn.max(flipped) {
            return None;
        }
        Some((key.0, key.1, len))
    }

    /// A bit is flipped in byte `byte` of the group at a place.
    pub fn flipped(&mut self, extent: u32, at: u64, byte: usize) -> Cost {
        let Some(group) = self.groups.get_mut(&(extent, at)) else {
            return Cost::default();
        };
        group.flips.push(byte);
        group.cost()
    }

    fn settle(&mut self, key: (u32, u64)) {
        let Some(group) = self.groups.get_mut(&key) else {
            return;
        };
        group.stable = true;
        let has_frames = group.last_lsn >= group.first_lsn;
        if has_frames && group.last_lsn > self.contiguous {
            self.ahead
                .insert(group.first_lsn, (group.last_lsn, group.ends().collect()));
        }
        while let Some((last_lsn, ends)) = self.ahead.remove(&(self.contiguous + 1)) {
            self.contiguous = last_lsn;
            for (partition, end) in ends {
                raise(&mut self.durable_ends, partition, end);
            }
        }
    }
}

impl Group {
    /// The ends of the batches in it.
    fn ends(&self) -> impl Iterator<Item = (PartitionId, Offset)> + '_ {
        self.frames.iter().filter_map(|frame| {
            let range = frame
                .offsets()
                .filter(|_| frame.header.kind == FrameKind::Batch)?;
            Some((frame.header.partition, range.end))
        })
    }

    /// What the flipped bits in it may cost: the frame that was hit. Where several bits were, nobody can follow the frames any more.
    fn cost(&self) -> Cost {
        let mut cost = Cost::default();
        let several = self.flips.len() > 1;
        for frame in &self.frames {
            let in_it = |byte: &usize| frame.bytes.contains(byte);
            let in_header = |byte: &usize| in_it(byte) && byte - frame.bytes.start < HEADER_BYTES;
            if several || self.flips.iter().any(in_it) {
                let of = frame.header.partition;
                cost.lost.extend(frame.offsets().map(|range| (of, range)));
                cost.metadata |= frame.header.kind == FrameKind::Metadata;
                cost.anonymous |= several || self.flips.iter().any(in_header);
            }
        }
        cost
    }
}

impl FrameSpan {
    /// The offsets that are lost with it: a batch's; those that a log start had left behind, whose files may be gone.
    fn offsets(&self) -> Option<Range<Offset>> {
        let header = &self.header;
        match header.kind {
            FrameKind::Batch => {
                let next = i64::from(header.last_offset_delta) + 1;
                Some(header.offset..header.offset.plus(next))
            }
            FrameKind::LogStart => Some(Offset::ZERO..header.offset),
            FrameKind::Epochs | FrameKind::Metadata => None,
        }
    }
}

fn raise(ends: &mut BTreeMap<PartitionId, Offset>, partition: PartitionId, end: Offset) {
    let known = ends.entry(partition).or_default();
    *known = end.max(*known);
}

/// The group at the front of `data`.
fn parse(data: &[u8], change: u64) -> Option<Group> {
    let header = data.get(..GROUP_HEADER_BYTES)?;
    if &header[..4] != b"WbrG" {
        return None;
    }
    let u64_at = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap_or_default());
    let u32_at = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap_or_default());
    let (opening, number, first_lsn, durable) = (u64_at(24), u64_at(32), u64_at(40), u64_at(48));
    let (frame_count, frame_bytes) = (u32_at(68), u32_at(72) as usize);
    let mut at = GROUP_HEADER_BYTES;
    let mut frames = Vec::new();
    for lsn in first_lsn..first_lsn + u64::from(frame_count) {
        let header = FrameHeader::decode(data.get(at..)?, opening, Lsn(lsn))?;
        let end = at + HEADER_BYTES + header.body_bytes as usize;
        let bytes = at..end;
        frames.push(FrameSpan { bytes, header });
        at = end;
    }
    if at != GROUP_HEADER_BYTES + frame_bytes || at > data.len() {
        return None;
    }
    Some(Group {
        number,
        len: (GROUP_HEADER_BYTES + frame_bytes).next_multiple_of(BLOCK_BYTES),
        first_lsn,
        last_lsn: first_lsn + u64::from(frame_count) - 1,
        durable,
        written: change,
        stable: false,
        flips: Vec::new(),
        frames,
    })
}
