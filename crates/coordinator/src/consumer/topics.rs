//! What groups remember of the cluster's topics. Soft: it is made anew after a restart.

use std::collections::BTreeMap;

use twox_hash::XxHash3_64;

use crate::cluster::Cluster;

/// The version of the way in which a topic is hashed (Kafka's `TOPIC_HASH_MAGIC_BYTE`).
const HASH_VERSION: u8 = 0;

/// The hashes of topics, so that a group's is made without looking at each partition.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    hashes: BTreeMap<String, i64>,
    /// The version of the metadata that last had new topics: what regular expressions came to before that may lack them.
    new_at_version: i64,
}

impl Topics {
    /// The hash of a group's topics, as Kafka makes it (KIP-1101): XXH3 over the hashes of those that exist, which come in order.
    /// 0 if there are none.
    pub(crate) fn hash<'a>(
        &mut self,
        names: impl Iterator<Item = &'a String>,
        cluster: &dyn Cluster,
    ) -> i64 {
        let mut bytes = Vec::new();
        for name in names {
            if let Some(hash) = self.topic_hash(name, cluster) {
                bytes.extend_from_slice(&hash.to_le_bytes());
            }
        }
        if bytes.is_empty() {
            return 0;
        }
        XxHash3_64::oneshot(&bytes) as i64
    }

    fn topic_hash(&mut self, name: &str, cluster: &dyn Cluster) -> Option<i64> {
        if let Some(hash) = self.hashes.get(name) {
            return Some(*hash);
        }
        let hash = topic_hash(name, cluster)?;
        self.hashes.insert(name.to_owned(), hash);
        Some(hash)
    }

    /// Topics came, went or changed.
    pub(crate) fn changed(&mut self, names: &[String], cluster: &dyn Cluster) {
        for name in names {
            self.hashes.remove(name);
        }
        self.new_at_version = cluster.version();
    }

    /// Nothing is known any more of what was resolved before.
    pub(crate) fn loaded(&mut self, cluster: &dyn Cluster) {
        self.hashes.clear();
        self.new_at_version = cluster.version();
    }

    /// See [`Topics::new_at_version`].
    pub(crate) fn new_at_version(&self) -> i64 {
        self.new_at_version
    }
}

/// The hash of a topic: its id, its name, its partitions and the racks of their replicas.
fn topic_hash(name: &str, cluster: &dyn Cluster) -> Option<i64> {
    let id = cluster.topic_id(name)?;
    let partitions = cluster.partitions(id);
    let mut bytes = vec![HASH_VERSION];
    // Java writes the two halves of an id as integers, and integers the small end first.
    for half in id.0.chunks(8) {
        bytes.extend(half.iter().rev());
    }
    put_string(&mut bytes, name);
    bytes.extend_from_slice(&partitions.to_le_bytes());
    for partition in 0..partitions {
        bytes.extend_from_slice(&partition.to_le_bytes());
        let mut racks = cluster.racks(id, partition);
        racks.sort_unstable();
        for rack in racks {
            let length = rack.encode_utf16().count() as i32;
            bytes.extend_from_slice(&length.to_le_bytes());
            put_string(&mut bytes, rack);
        }
    }
    Some(XxHash3_64::oneshot(&bytes) as i64)
}

/// Text as the library that Kafka hashes with takes it: UTF-16, then the length.
fn put_string(bytes: &mut Vec<u8>, text: &str) {
    let mut length = 0i32;
    for unit in text.encode_utf16() {
        bytes.extend_from_slice(&unit.to_le_bytes());
        length += 1;
    }
    bytes.extend_from_slice(&length.to_le_bytes());
}

#[cfg(test)]
mod tests;
