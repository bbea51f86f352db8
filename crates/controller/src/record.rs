//! Metadata records: what changed in the cluster, and how that is written down.
//!
//! A record is its type, the version of its body, the length of its body, and the body. `docs/format.md` lists the bodies. A
//! body of a known version never changes: what must change gets another version, and readers keep the old ones.
//!
//! Invariant: a record of a type or version that this release does not know is an error, never skipped: an image that left
//! something out would differ from the other brokers'.

use std::fmt;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use wiber_model::{BrokerId, TopicId};

use crate::codec::{DecodeError, Reader, put_list, put_option, put_string};

/// A position in the metadata log: the number of an entry, from 1. The records of one entry share it. 0 is before the first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct MetadataOffset(pub u64);

impl fmt::Display for MetadataOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

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

/// Where a new partition goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionAssignment {
    /// The brokers that hold it, the preferred leader first. At least one, none twice.
    pub replicas: Arc<[BrokerId]>,
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
    /// A topic with its partitions. Each begins at leader epoch 0, led by the first of its replicas, all of them in sync.
    CreateTopic {
        /// Its name.
        name: String,
        /// Its id, never given before.
        id: TopicId,
        /// Its own settings.
        configs: Vec<(String, String)>,
        /// Its partitions, by index.
        partitions: Vec<PartitionAssignment>,
    },
    /// A topic is gone, with all that is in it.
    DeleteTopic {
        /// Its id.
        id: TopicId,
    },
    /// A topic has more partitions. They are numbered on from those that it has, and each begins as in a new topic.
    AddPartitions {
        /// The topic's id.
        topic: TopicId,
        /// The new partitions, by index.
        partitions: Vec<PartitionAssignment>,
    },
    /// A topic has other settings.
    TopicConfigs {
        /// The topic's id.
        topic: TopicId,
        /// All that it has from now on.
        configs: Vec<(String, String)>,
    },
    /// A broker, or every broker, has other settings.
    BrokerConfigs {
        /// Whose they are; `None` for those of every broker that has none of its own.
        broker: Option<BrokerId>,
        /// All that it has from now on.
        configs: Vec<(String, String)>,
    },
    /// A group has other settings.
    GroupConfigs {
        /// The group's id.
        group: String,
        /// All that it has from now on; none where it has the brokers' again.
        configs: Vec<(String, String)>,
    },
    /// All producer ids below `next` were given out to brokers (KIP-730).
    ProducerIds {
        /// The first id that was not.
        next: i64,
    },
}

/// Why bytes are not a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordError {
    /// Another release wrote it.
    #[error(
        "a metadata record has type {kind} in version {version}, which this release does not know: start the release that wrote it, or a newer one"
    )]
    Unknown {
        /// The type.
        kind: u8,
        /// The version of the body.
        version: u8,
    },
    /// It is damaged.
    #[error("a metadata record cannot be read: {0}")]
    Damaged(#[from] DecodeError),
}

const REGISTER_BROKER: u8 = 1;
const CREATE_TOPIC: u8 = 2;
const DELETE_TOPIC: u8 = 3;
const PRODUCER_IDS: u8 = 4;
const ADD_PARTITIONS: u8 = 5;
const TOPIC_CONFIGS: u8 = 6;
const BROKER_CONFIGS: u8 = 7;
const GROUP_CONFIGS: u8 = 8;

/// The version of every body so far.
const VERSION: u8 = 1;

/// The least bytes that a listener takes.
pub(crate) const LISTENER_BYTES: usize = 6;

/// The least bytes that a setting takes.
pub(crate) const CONFIG_BYTES: usize = 4;

impl MetadataRecord {
    /// The bytes of records, one after another: an entry of the metadata log.
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
    /// As [`RecordError`] says; the first that cannot be read decides.
    pub fn decode_all(bytes: Bytes) -> Result<Vec<MetadataRecord>, RecordError> {
        let mut reader = Reader::new(bytes);
        let mut records = Vec::new();
        while !reader.is_empty() {
            let (kind, version) = (reader.u8()?, reader.u8()?);
            let mut body = Reader::new(reader.sized()?);
            records.push(MetadataRecord::read_body(kind, version, &mut body)?);
            body.end()?;
        }
        Ok(records)
    }

    fn kind(&self) -> u8 {
        match self {
            MetadataRecord::RegisterBroker { .. } => REGISTER_BROKER,
            MetadataRecord::CreateTopic { .. } => CREATE_TOPIC,
            MetadataRecord::DeleteTopic { .. } => DELETE_TOPIC,
            MetadataRecord::ProducerIds { .. } => PRODUCER_IDS,
            MetadataRecord::TopicConfigs { .. } => TOPIC_CONFIGS,
            MetadataRecord::AddPartitions { .. } => ADD_PARTITIONS,
            MetadataRecord::BrokerConfigs { .. } => BROKER_CONFIGS,
            MetadataRecord::GroupConfigs { .. } => GROUP_CONFIGS,
        }
    }

    fn put(&self, out: &mut BytesMut) {
        out.put_slice(&[self.kind(), VERSION]);
        let length_at = out.len();
        out.put_u32_le(0);
        self.put_body(out);
        let length = (out.len() - length_at - 4) as u32;
        out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }

    fn put_body(&self, out: &mut BytesMut) {
        match self {
            MetadataRecord::RegisterBroker {
                id,
                incarnation,
                directory,
                listeners,
                rack,
            } => {
                out.put_i32_le(id.0);
                out.put_slice(incarnation);
                out.put_slice(directory);
                put_list(out, listeners.iter(), put_listener);
                put_option(out, rack.as_deref(), put_string);
            }
            MetadataRecord::CreateTopic {
                name,
                id,
                configs,
                partitions,
            } => {
                put_string(out, name);
                out.put_slice(&id.0);
                put_configs(out, configs);
                put_assignments(out, partitions);
            }
            MetadataRecord::AddPartitions { topic, partitions } => {
                out.put_slice(&topic.0);
                put_assignments(out, partitions);
            }
            MetadataRecord::TopicConfigs { topic, configs } => {
                out.put_slice(&topic.0);
                put_configs(out, configs);
            }
            MetadataRecord::BrokerConfigs { broker, configs } => {
                put_option(out, *broker, |out, id| out.put_i32_le(id.0));
                put_configs(out, configs);
            }
            MetadataRecord::GroupConfigs { group, configs } => {
                put_string(out, group);
                put_configs(out, configs);
            }
            MetadataRecord::DeleteTopic { id } => out.put_slice(&id.0),
            MetadataRecord::ProducerIds { next } => out.put_i64_le(*next),
        }
    }

    fn read_body(kind: u8, version: u8, body: &mut Reader) -> Result<MetadataRecord, RecordError> {
        let record = match (kind, version) {
            (REGISTER_BROKER, 1) => MetadataRecord::RegisterBroker {
                id: BrokerId(body.i32()?),
                incarnation: body.id()?,
                directory: body.id()?,
                listeners: body.list(LISTENER_BYTES, read_listener)?,
                rack: body.option(Reader::string)?,
            },
            (CREATE_TOPIC, 1) => MetadataRecord::CreateTopic {
                name: body.string()?,
                id: TopicId(body.id()?),
                configs: body.list(CONFIG_BYTES, read_config)?,
                partitions: read_assignments(body)?,
            },
            (DELETE_TOPIC, 1) => MetadataRecord::DeleteTopic {
                id: TopicId(body.id()?),
            },
            (PRODUCER_IDS, 1) => MetadataRecord::ProducerIds { next: body.i64()? },
            (ADD_PARTITIONS, 1) => MetadataRecord::AddPartitions {
                topic: TopicId(body.id()?),
                partitions: read_assignments(body)?,
            },
            (TOPIC_CONFIGS, 1) => MetadataRecord::TopicConfigs {
                topic: TopicId(body.id()?),
                configs: body.list(CONFIG_BYTES, read_config)?,
            },
            (BROKER_CONFIGS, 1) => MetadataRecord::BrokerConfigs {
                broker: body.option(Reader::i32)?.map(BrokerId),
                configs: body.list(CONFIG_BYTES, read_config)?,
            },
            (GROUP_CONFIGS, 1) => MetadataRecord::GroupConfigs {
                group: body.string()?,
                configs: body.list(CONFIG_BYTES, read_config)?,
            },
            _ => return Err(RecordError::Unknown { kind, version }),
        };
        Ok(record)
    }
}

pub(crate) fn put_listener(out: &mut BytesMut, listener: &Listener) {
    put_string(out, &listener.name);
    put_string(out, &listener.host);
    out.put_u16_le(listener.port);
}

pub(crate) fn read_listener(reader: &mut Reader) -> Result<Listener, DecodeError> {
    Ok(Listener {
        name: reader.string()?,
        host: reader.string()?,
        port: reader.u16()?,
    })
}

pub(crate) fn put_brokers(out: &mut BytesMut, brokers: &[BrokerId]) {
    put_list(out, brokers.iter(), |out, broker| out.put_i32_le(broker.0));
}

pub(crate) fn read_brokers(reader: &mut Reader) -> Result<Arc<[BrokerId]>, DecodeError> {
    let brokers = reader.list(4, |reader| reader.i32().map(BrokerId))?;
    Ok(brokers.into())
}

fn put_configs(out: &mut BytesMut, configs: &[(String, String)]) {
    put_list(out, configs.iter(), |out, (key, value)| {
        put_string(out, key);
        put_string(out, value);
    });
}

pub(crate) fn read_config(reader: &mut Reader) -> Result<(String, String), DecodeError> {
    Ok((reader.string()?, reader.string()?))
}

fn put_assignments(out: &mut BytesMut, partitions: &[PartitionAssignment]) {
    put_list(out, partitions.iter(), |out, partition| {
        put_brokers(out, &partition.replicas);
    });
}

/// Partitions in a row often have the same replicas; they share them in memory.
fn read_assignments(reader: &mut Reader) -> Result<Vec<PartitionAssignment>, DecodeError> {
    let mut last: Option<Arc<[BrokerId]>> = None;
    reader.list(4, |reader| {
        let mut replicas = read_brokers(reader)?;
        if let Some(last) = last.as_ref().filter(|last| **last == replicas) {
            replicas = Arc::clone(last);
        }
        last = Some(Arc::clone(&replicas));
        Ok(PartitionAssignment { replicas })
    })
}
