//! The bytes of a whole image: what a checkpoint keeps, and what a new broker would be sent. `docs/format.md` lists them.

use bytes::{BufMut, Bytes, BytesMut};
use wiber_model::{BrokerId, LeaderEpoch, TopicId};

use super::{ClusterImage, ImageError, PartitionState, Registration, TopicState};
use crate::codec::{DecodeError, Reader, put_list, put_option, put_string};
use crate::record::{
    CONFIG_BYTES, LISTENER_BYTES, MetadataOffset, put_brokers, put_listener, read_brokers,
    read_config, read_listener,
};

/// The version of the bytes where no broker and no group has settings, which releases without them read too.
const VERSION_1: u8 = 1;
/// The version where some brokers have: their settings stand at the end.
const VERSION_2: u8 = 2;
/// The version where some groups have: their settings stand behind those of brokers.
const VERSION_3: u8 = 3;

/// The least bytes that a broker's settings take.
const BROKER_CONFIGS_BYTES: usize = 5;

/// The least bytes that a group's settings take.
const GROUP_CONFIGS_BYTES: usize = 8;

/// The least bytes that a broker takes.
const BROKER_BYTES: usize = 49;

/// The least bytes that a topic takes.
const TOPIC_BYTES: usize = 26;

/// The least bytes that a partition takes.
const PARTITION_BYTES: usize = 20;

/// Why bytes are not an image.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Another release wrote it.
    #[error(
        "a snapshot of the metadata has version {0}, which this release does not know: start the release that wrote it, or a newer one"
    )]
    Version(u8),
    /// It is damaged.
    #[error("a snapshot of the metadata cannot be read: {0}")]
    Damaged(#[from] DecodeError),
    /// It contradicts itself.
    #[error("a snapshot of the metadata makes no sense: {0}")]
    Contradiction(#[from] ImageError),
}

impl ClusterImage {
    /// The image's bytes. Equal images have equal bytes.
    #[must_use]
    pub fn to_snapshot(&self) -> Bytes {
        let mut out = BytesMut::new();
        let version = match (
            self.broker_configs.is_empty(),
            self.group_configs.is_empty(),
        ) {
            (true, true) => VERSION_1,
            (false, true) => VERSION_2,
            (_, false) => VERSION_3,
        };
        out.put_u8(version);
        out.put_u64_le(self.offset.0);
        out.put_i64_le(self.next_producer_id);
        put_list(&mut out, self.brokers.iter(), |out, (id, broker)| {
            out.put_i32_le(id.0);
            put_registration(out, broker);
        });
        put_list(&mut out, self.topics.values(), |out, topic| {
            put_topic(out, topic);
        });
        if version >= VERSION_2 {
            put_list(
                &mut out,
                self.broker_configs.iter(),
                |out, (id, configs)| {
                    put_option(out, *id, |out, id| out.put_i32_le(id.0));
                    put_configs(out, configs.iter());
                },
            );
        }
        if version >= VERSION_3 {
            put_list(
                &mut out,
                self.group_configs.iter(),
                |out, (group, configs)| {
                    put_string(out, group);
                    put_configs(out, configs.iter());
                },
            );
        }
        out.freeze()
    }

    /// The image that [`ClusterImage::to_snapshot`] wrote.
    ///
    /// # Errors
    /// As [`SnapshotError`] says.
    pub fn from_snapshot(bytes: Bytes) -> Result<ClusterImage, SnapshotError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if !(VERSION_1..=VERSION_3).contains(&version) {
            return Err(SnapshotError::Version(version));
        }
        let mut image = ClusterImage {
            offset: MetadataOffset(read_offset(&mut reader)?),
            next_producer_id: reader.i64()?,
            ..ClusterImage::default()
        };
        let brokers = reader.list(BROKER_BYTES, |reader| {
            Ok((BrokerId(reader.i32()?), read_registration(reader)?))
        })?;
        image.brokers.extend(brokers);
        for topic in reader.list(TOPIC_BYTES, read_topic)? {
            image.insert_topic(topic)?;
        }
        if version >= VERSION_2 {
            let settings = reader.list(BROKER_CONFIGS_BYTES, |reader| {
                let id = reader.option(Reader::i32)?.map(BrokerId);
                Ok((id, reader.list(CONFIG_BYTES, read_config)?))
            })?;
            for (id, configs) in settings {
                image.set_broker_configs(id, configs.into_iter().collect());
            }
        }
        if version >= VERSION_3 {
            let settings = reader.list(GROUP_CONFIGS_BYTES, |reader| {
                let group = reader.string()?;
                Ok((group, reader.list(CONFIG_BYTES, read_config)?))
            })?;
            for (group, configs) in settings {
                let configs = configs.into_iter().collect();
                image.group_configs.insert(group, configs);
            }
        }
        reader.end()?;
        Ok(image)
    }
}

/// Kafka's offsets and broker epochs are signed.
fn read_offset(reader: &mut Reader) -> Result<u64, DecodeError> {
    let offset = reader.u64()?;
    match i64::try_from(offset) {
        Ok(_) => Ok(offset),
        Err(_) => Err(DecodeError::Range(offset)),
    }
}

fn put_registration(out: &mut BytesMut, broker: &Registration) {
    out.put_slice(&broker.incarnation);
    out.put_slice(&broker.directory);
    out.put_u64_le(broker.epoch.0);
    put_list(out, broker.listeners.iter(), put_listener);
    put_option(out, broker.rack.as_deref(), put_string);
}

fn read_registration(reader: &mut Reader) -> Result<Registration, DecodeError> {
    Ok(Registration {
        incarnation: reader.id()?,
        directory: reader.id()?,
        epoch: MetadataOffset(read_offset(reader)?),
        listeners: reader.list(LISTENER_BYTES, read_listener)?,
        rack: reader.option(Reader::string)?,
    })
}

fn put_configs<'a>(
    out: &mut BytesMut,
    configs: impl ExactSizeIterator<Item = (&'a String, &'a String)>,
) {
    put_list(out, configs, |out, (key, value)| {
        put_string(out, key);
        put_string(out, value);
    });
}

fn put_topic(out: &mut BytesMut, topic: &TopicState) {
    out.put_slice(&topic.id.0);
    put_string(out, &topic.name);
    put_configs(out, topic.configs.iter());
    put_list(out, topic.partitions.iter(), |out, partition| {
        put_brokers(out, &partition.replicas);
        put_brokers(out, &partition.isr);
        out.put_i32_le(partition.leader.0);
        out.put_i32_le(partition.leader_epoch.0);
        out.put_i32_le(partition.partition_epoch);
    });
}

fn read_topic(reader: &mut Reader) -> Result<TopicState, DecodeError> {
    Ok(TopicState {
        id: TopicId(reader.id()?),
        name: reader.string()?,
        configs: reader
            .list(CONFIG_BYTES, read_config)?
            .into_iter()
            .collect(),
        partitions: reader.list(PARTITION_BYTES, read_partition)?,
    })
}

fn read_partition(reader: &mut Reader) -> Result<PartitionState, DecodeError> {
    let replicas = read_brokers(reader)?;
    let mut isr = read_brokers(reader)?;
    if isr == replicas {
        isr = replicas.clone();
    }
    Ok(PartitionState {
        replicas,
        isr,
        leader: BrokerId(reader.i32()?),
        leader_epoch: LeaderEpoch(reader.i32()?),
        partition_epoch: reader.i32()?,
    })
}
