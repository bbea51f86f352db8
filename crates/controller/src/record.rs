//! Metadata records and their bytes.
//!
//! A record is a type byte, a version byte, and a body; integers are big endian, strings have a 32-bit length in front. A binary that meets
//! a type or version that it does not know refuses to go on: guessing would fork the image.

use bytes::{Buf, BufMut, Bytes, BytesMut, TryGetError};
use wiber_model::{BrokerId, LeaderEpoch, TopicId};

use crate::image::PartitionState;

/// The position of an entry in the metadata log; 0 is before the first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct MetadataOffset(pub u64);

/// Where a broker listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// The listener's name.
    pub name: String,
    /// The host that clients are told.
    pub host: String,
    /// The port that clients are told.
    pub port: u16,
}

/// A change of the cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MetadataRecord {
    /// A broker started. Its epoch is the offset of this record (R9), and each partition that it leads begins a new leader
    /// epoch (R2).
    RegisterBroker {
        /// Its id.
        id: BrokerId,
        /// Drawn anew at each start.
        incarnation: [u8; 16],
        /// The identity of its data directory.
        directory: [u8; 16],
        /// Where it listens.
        listeners: Vec<Listener>,
        /// Its rack.
        rack: Option<String>,
    },
    /// A topic with its partitions.
    CreateTopic {
        /// Its name.
        name: String,
        /// Its id, never given before.
        id: TopicId,
        /// Its own settings.
        configs: Vec<(String, String)>,
        /// Its partitions, by index.
        partitions: Vec<PartitionState>,
    },
    /// A topic is gone, with all that is in it.
    DeleteTopic {
        /// Its id.
        id: TopicId,
    },
    /// All producer ids below this one were given out.
    ProducerIds {
        /// The first that was not.
        next: i64,
    },
}

const REGISTER_BROKER: u8 = 1;
const CREATE_TOPIC: u8 = 2;
const DELETE_TOPIC: u8 = 3;
const PRODUCER_IDS: u8 = 4;
/// The only version of each type so far.
const VERSION: u8 = 1;

/// Why bytes are not a record.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordError {
    /// They end in the middle.
    #[error("a metadata record is cut short")]
    Short,
    /// A newer release wrote it.
    #[error(
        "metadata record type {kind} version {version} is not known to this release; start the release that wrote it"
    )]
    Unknown {
        /// The type byte.
        kind: u8,
        /// The version byte.
        version: u8,
    },
    /// A string is not UTF-8.
    #[error("a metadata record holds a string that is not UTF-8")]
    Utf8,
}

impl From<TryGetError> for RecordError {
    fn from(_: TryGetError) -> RecordError {
        RecordError::Short
    }
}

impl MetadataRecord {
    /// Appends the record's bytes.
    pub fn put(&self, out: &mut BytesMut) {
        match self {
            MetadataRecord::RegisterBroker {
                id,
                incarnation,
                directory,
                listeners,
                rack,
            } => {
                out.put_slice(&[REGISTER_BROKER, VERSION]);
                out.put_i32(id.0);
                out.put_slice(incarnation);
                out.put_slice(directory);
                out.put_u32(listeners.len() as u32);
                for listener in listeners {
                    put_string(out, &listener.name);
                    put_string(out, &listener.host);
                    out.put_u16(listener.port);
                }
                out.put_u8(u8::from(rack.is_some()));
                put_string(out, rack.as_deref().unwrap_or_default());
            }
            MetadataRecord::CreateTopic {
                name,
                id,
                configs,
                partitions,
            } => {
                out.put_slice(&[CREATE_TOPIC, VERSION]);
                put_string(out, name);
                out.put_slice(&id.0);
                out.put_u32(configs.len() as u32);
                for (key, value) in configs {
                    put_string(out, key);
                    put_string(out, value);
                }
                out.put_u32(partitions.len() as u32);
                for partition in partitions {
                    put_partition(out, partition);
                }
            }
            MetadataRecord::DeleteTopic { id } => {
                out.put_slice(&[DELETE_TOPIC, VERSION]);
                out.put_slice(&id.0);
            }
            MetadataRecord::ProducerIds { next } => {
                out.put_slice(&[PRODUCER_IDS, VERSION]);
                out.put_i64(*next);
            }
        }
    }

    /// Takes a record off the front of `bytes`.
    ///
    /// # Errors
    /// As [`RecordError`] says.
    pub fn get(bytes: &mut Bytes) -> Result<MetadataRecord, RecordError> {
        let (kind, version) = (bytes.try_get_u8()?, bytes.try_get_u8()?);
        match (kind, version) {
            (REGISTER_BROKER, VERSION) => {
                let id = BrokerId(bytes.try_get_i32()?);
                let (incarnation, directory) = (get_id(bytes)?, get_id(bytes)?);
                let mut listeners = Vec::new();
                for _ in 0..bytes.try_get_u32()? {
                    listeners.push(Listener {
                        name: get_string(bytes)?,
                        host: get_string(bytes)?,
                        port: bytes.try_get_u16()?,
                    });
                }
                let has_rack = bytes.try_get_u8()? != 0;
                let rack = Some(get_string(bytes)?).filter(|_| has_rack);
                Ok(MetadataRecord::RegisterBroker {
                    id,
                    incarnation,
                    directory,
                    listeners,
                    rack,
                })
            }
            (CREATE_TOPIC, VERSION) => {
                let name = get_string(bytes)?;
                let id = TopicId(get_id(bytes)?);
                let mut configs = Vec::new();
                for _ in 0..bytes.try_get_u32()? {
                    configs.push((get_string(bytes)?, get_string(bytes)?));
                }
                let mut partitions = Vec::new();
                for _ in 0..bytes.try_get_u32()? {
                    partitions.push(get_partition(bytes)?);
                }
                Ok(MetadataRecord::CreateTopic {
                    name,
                    id,
                    configs,
                    partitions,
                })
            }
            (DELETE_TOPIC, VERSION) => Ok(MetadataRecord::DeleteTopic {
                id: TopicId(get_id(bytes)?),
            }),
            (PRODUCER_IDS, VERSION) => Ok(MetadataRecord::ProducerIds {
                next: bytes.try_get_i64()?,
            }),
            _ => Err(RecordError::Unknown { kind, version }),
        }
    }

    /// The bytes of some records, one after another.
    #[must_use]
    pub fn encode_all(records: &[MetadataRecord]) -> Bytes {
        let mut out = BytesMut::new();
        for record in records {
            record.put(&mut out);
        }
        out.freeze()
    }

    /// The records that stand one after another in `bytes`.
    ///
    /// # Errors
    /// As [`RecordError`] says.
    pub fn decode_all(mut bytes: Bytes) -> Result<Vec<MetadataRecord>, RecordError> {
        let mut records = Vec::new();
        while !bytes.is_empty() {
            records.push(MetadataRecord::get(&mut bytes)?);
        }
        Ok(records)
    }
}

fn put_string(out: &mut BytesMut, text: &str) {
    out.put_u32(text.len() as u32);
    out.put_slice(text.as_bytes());
}

fn get_string(bytes: &mut Bytes) -> Result<String, RecordError> {
    let len = bytes.try_get_u32()? as usize;
    if len > bytes.len() {
        return Err(RecordError::Short);
    }
    String::from_utf8(bytes.split_to(len).to_vec()).map_err(|_| RecordError::Utf8)
}

fn get_id(bytes: &mut Bytes) -> Result<[u8; 16], RecordError> {
    let mut id = [0; 16];
    bytes.try_copy_to_slice(&mut id)?;
    Ok(id)
}

fn put_partition(out: &mut BytesMut, partition: &PartitionState) {
    for brokers in [&partition.replicas, &partition.isr] {
        out.put_u32(brokers.len() as u32);
        for broker in brokers {
            out.put_i32(broker.0);
        }
    }
    out.put_i32(partition.leader.0);
    out.put_i32(partition.leader_epoch.0);
    out.put_i32(partition.partition_epoch);
}

fn get_partition(bytes: &mut Bytes) -> Result<PartitionState, RecordError> {
    let mut lists = [Vec::new(), Vec::new()];
    for list in &mut lists {
        for _ in 0..bytes.try_get_u32()? {
            list.push(BrokerId(bytes.try_get_i32()?));
        }
    }
    let [replicas, isr] = lists;
    Ok(PartitionState {
        replicas,
        isr,
        leader: BrokerId(bytes.try_get_i32()?),
        leader_epoch: LeaderEpoch(bytes.try_get_i32()?),
        partition_epoch: bytes.try_get_i32()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<MetadataRecord> {
        vec![
            MetadataRecord::RegisterBroker {
                id: BrokerId(1),
                incarnation: [1; 16],
                directory: [2; 16],
                listeners: vec![Listener {
                    name: "PLAINTEXT".to_owned(),
                    host: "h".to_owned(),
                    port: 9092,
                }],
                rack: Some("r".to_owned()),
            },
            MetadataRecord::CreateTopic {
                name: "t".to_owned(),
                id: TopicId([3; 16]),
                configs: vec![("retention.ms".to_owned(), "5".to_owned())],
                partitions: vec![PartitionState {
                    replicas: vec![BrokerId(1), BrokerId(2)],
                    isr: vec![BrokerId(1)],
                    leader: BrokerId(1),
                    leader_epoch: LeaderEpoch(4),
                    partition_epoch: 5,
                }],
            },
            MetadataRecord::DeleteTopic {
                id: TopicId([3; 16]),
            },
            MetadataRecord::ProducerIds { next: 7000 },
        ]
    }

    #[test]
    fn records_come_back_and_no_cut_is_taken_for_whole() {
        let bytes = MetadataRecord::encode_all(&samples());
        assert_eq!(MetadataRecord::decode_all(bytes.clone()), Ok(samples()));
        for record in samples() {
            let whole = MetadataRecord::encode_all(std::slice::from_ref(&record));
            for cut in 1..whole.len() {
                assert_eq!(
                    MetadataRecord::decode_all(whole.slice(..cut)),
                    Err(RecordError::Short)
                );
            }
        }
    }

    #[test]
    fn the_bytes_of_version_1_do_not_change() {
        let hex: String = MetadataRecord::encode_all(&samples())
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let golden = concat!(
            "0101000000010101010101010101010101010101010102020202020202020202020202020202",
            "0000000100000009504c41494e5445585400000001682384010000000172",
            "0201000000017403030303030303030303030303030303",
            "000000010000000c726574656e74696f6e2e6d730000000135",
            "00000001000000020000000100000002000000010000000100000001",
            "0000000400000005",
            "030103030303030303030303030303030303",
            "04010000000000001b58",
        );
        assert_eq!(hex, golden);
    }

    #[test]
    fn an_unknown_record_is_refused_by_name() {
        let error = MetadataRecord::decode_all(Bytes::from_static(&[9, 1]));
        assert_eq!(
            error,
            Err(RecordError::Unknown {
                kind: 9,
                version: 1
            })
        );
    }
}
