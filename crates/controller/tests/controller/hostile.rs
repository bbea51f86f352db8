//! Bytes that nobody wrote: refused without a panic, and without memory for what they only claim to hold.

use bytes::Bytes;
use proptest::prelude::*;
use wiber_controller::{ClusterImage, DecodeError, MetadataRecord, RecordError, Recovered};

use crate::node::{Disk, Node, topic};

fn disk() -> Disk {
    let mut node = Node::new();
    for name in ["a", "b.c", "d"] {
        node.create_one(topic(name, 3));
    }
    node.checkpoint();
    node.sync_some(0);
    node.create_one(topic("e", 1));
    node.crash(0)
}

fn entry() -> Bytes {
    let disk = disk();
    let entry = disk.frames.iter().rfind(|frame| frame[1] == 3).unwrap();
    entry.slice(18..)
}

#[test]
fn no_cut_of_a_record_or_a_snapshot_is_taken_for_whole() {
    let entry = entry();
    for cut in 1..entry.len() {
        assert_eq!(
            MetadataRecord::decode_all(entry.slice(..cut)),
            Err(RecordError::Damaged(DecodeError::Short)),
            "{cut}"
        );
    }
    let snapshot = disk().recover().image().to_snapshot();
    for cut in 0..snapshot.len() {
        assert!(ClusterImage::from_snapshot(snapshot.slice(..cut)).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        let _ = MetadataRecord::decode_all(bytes.clone());
        let _ = ClusterImage::from_snapshot(bytes.clone());
        let _ = Recovered::new(Some(bytes.clone()), vec![bytes.clone()]);
        let _ = Recovered::new(None, vec![bytes]);
    }

    #[test]
    fn changed_bytes_do_no_harm(at in any::<prop::sample::Index>(), to in any::<u8>(), section in any::<bool>()) {
        let disk = disk();
        let (cut, bytes) = disk.checkpoint.unwrap();
        let (mut bytes, mut frames) = (bytes.to_vec(), disk.frames[cut..].to_vec());
        if section {
            let at = at.index(bytes.len());
            bytes[at] = to;
        } else {
            let frame = at.get(&frames).clone();
            let position = frames.iter().position(|other| *other == frame).unwrap();
            let mut frame = frame.to_vec();
            let at = at.index(frame.len());
            frame[at] = to;
            frames[position] = frame.into();
        }
        if let Ok(recovered) = Recovered::new(Some(bytes.into()), frames) {
            let image = recovered.image();
            let again = ClusterImage::from_snapshot(image.to_snapshot());
            prop_assert_eq!(again.as_ref(), Ok(image));
        }
    }
}
