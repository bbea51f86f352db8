//! What is on disk, decoder by decoder, behind the checksums that would refuse most of it.

use bytes::{Bytes, BytesMut};
use wiber_controller::{ClusterImage, MetadataOffset, MetadataRecord, Recovered};
use wiber_model::{LeaderEpoch, Lsn, Offset, PartitionId, TopicId};
use wiber_storage::frame::{EpochStart, Frame, FrameHeader, Origin, Participant};
use wiber_storage::log::{Item, LogState, StateForm};
use wiber_storage::{Checkpoint, Position, Section};

use crate::broker_in_memory::killed_directory;

const OPENING: u64 = 1;
const LSN: Lsn = Lsn(1);

pub fn run_frames(input: &[u8]) {
    let bytes = Bytes::copy_from_slice(input);
    let _ = FrameHeader::decode(&bytes, OPENING, LSN);
    if let Ok((header, frame)) = Frame::decode(&bytes, OPENING, LSN) {
        let origin = Origin {
            participant: header.participant,
            relaxed: header.relaxed,
            opening: OPENING,
            lsn: LSN,
        };
        let mut again = BytesMut::new();
        frame.encode(origin, &mut again);
        assert_eq!(again, bytes[..again.len()]);
    }
}

pub fn frame_seeds() -> Vec<Vec<u8>> {
    let partition = PartitionId {
        topic: TopicId([1; 16]),
        partition: 1,
    };
    let frames = [
        Frame::Epochs(vec![EpochStart {
            partition,
            epoch: LeaderEpoch(3),
            start: Offset(9),
        }]),
        Frame::LogStart {
            partition,
            start: Offset(7),
        },
        Frame::Metadata(Bytes::from_static(b"metadata")),
    ];
    let origin = Origin {
        participant: Participant(0),
        relaxed: false,
        opening: OPENING,
        lsn: LSN,
    };
    let encode = |frame: &Frame| {
        let mut bytes = BytesMut::new();
        frame.encode(origin, &mut bytes);
        bytes.to_vec()
    };
    frames.iter().map(encode).collect()
}

pub fn run_checkpoints(input: &[u8]) {
    let bytes = Bytes::copy_from_slice(input);
    let _ = Checkpoint::decode(bytes.clone());
    for form in [StateForm::V1, StateForm::V2] {
        let mut states = bytes.clone();
        while let Ok(state) = LogState::decode(&mut states, form) {
            let again = LogState::decode(&mut state.encode(), StateForm::V2);
            assert_eq!(again.ok().as_ref(), Some(&state));
            if states.is_empty() {
                break;
            }
        }
    }
    let mut items = bytes;
    while let Ok(item) = Item::split_from(&mut items) {
        if let Item::Gap(gap) = item {
            assert!(gap.from < gap.to);
        }
    }
}

pub fn checkpoint_seeds() -> Vec<Vec<u8>> {
    let Some(checkpoint) = killed_directory().checkpoint() else {
        return Vec::new();
    };
    let mut seeds = vec![checkpoint.to_vec()];
    if let Ok(checkpoint) = Checkpoint::decode(checkpoint) {
        let sections = checkpoint.sections.iter();
        seeds.extend(sections.map(|section: &Section| section.bytes.to_vec()));
        let _: &Position = &checkpoint.position;
    }
    seeds
}

/// As records, which are applied to an image, and as a section with frames behind it.
pub fn run_metadata(input: &[u8]) {
    let bytes = Bytes::copy_from_slice(input);
    if let Ok(records) = MetadataRecord::decode_all(bytes.clone()) {
        let mut image = ClusterImage::default();
        for (number, record) in records.iter().enumerate() {
            let _ = image.try_apply(MetadataOffset(number as u64 + 1), record);
        }
        image.validate();
        let again = MetadataRecord::decode_all(MetadataRecord::encode_all(&records));
        assert_eq!(again, Ok(records));
    }
    let _ = Recovered::new(Some(bytes.clone()), Vec::new());
    // The first byte is the length of a first frame, and so on.
    let (mut frames, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let len = usize::from(rest.split_to(1)[0]).min(rest.len());
        frames.push(rest.split_to(len));
    }
    let _ = Recovered::new(None, frames);
}

pub fn metadata_seeds() -> Vec<Vec<u8>> {
    let frames = killed_directory().metadata_frames();
    let mut seeds = vec![Vec::new()];
    for frame in &frames {
        if let Ok(len) = u8::try_from(frame.len()) {
            seeds[0].push(len);
            seeds[0].extend_from_slice(frame);
        }
        seeds.push(frame.to_vec());
    }
    seeds
}
