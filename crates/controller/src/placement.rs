//! Where the replicas of new partitions go.

use std::collections::BTreeMap;
use std::sync::Arc;

use wiber_model::{BrokerId, Rng};

use crate::command::{AssignmentError, ReplicationFactorError};
use crate::image::ClusterImage;
use crate::record::PartitionAssignment;

/// Spreads partitions over the brokers in turn, from a random one on, so that the first partitions of many topics do not all go to
/// the same broker. `factor` is at least 1.
pub(crate) fn place(
    image: &ClusterImage,
    partitions: usize,
    factor: i16,
    rng: &mut Rng,
) -> Result<Vec<PartitionAssignment>, ReplicationFactorError> {
    let brokers: Vec<_> = image.brokers().map(|(id, _)| id).collect();
    let replicas = usize::from(factor.unsigned_abs());
    if replicas > brokers.len() {
        return Err(ReplicationFactorError::TooFewBrokers {
            factor,
            brokers: brokers.len(),
        });
    }
    let from = rng.below(brokers.len() as u64) as usize;
    // Partitions that start at the same broker have the same replicas; they share them in memory.
    let starts: Vec<Arc<[BrokerId]>> = (0..brokers.len().min(partitions))
        .map(|start| {
            let broker = |i| brokers[(from + start + i) % brokers.len()];
            (0..replicas).map(broker).collect()
        })
        .collect();
    let assignment = |partition: usize| PartitionAssignment {
        replicas: Arc::clone(&starts[partition % starts.len()]),
    };
    Ok((0..partitions).map(assignment).collect())
}

/// Takes an assignment that was made by hand, if it can be.
pub(crate) fn check(
    image: &ClusterImage,
    assignments: &[(i32, Vec<BrokerId>)],
) -> Result<Vec<PartitionAssignment>, AssignmentError> {
    let mut partitions = BTreeMap::new();
    let mut factor = None;
    for (partition, replicas) in assignments {
        check_replicas(image, *partition, replicas)?;
        let before = *factor.get_or_insert(replicas.len());
        if before != replicas.len() {
            return Err(AssignmentError::Uneven {
                partition: *partition,
                replicas: replicas.len(),
                before,
            });
        }
        let assignment = PartitionAssignment {
            replicas: replicas.as_slice().into(),
        };
        if partitions.insert(*partition, assignment).is_some() {
            return Err(AssignmentError::Repeated(*partition));
        }
    }
    let count = partitions.len();
    for (expected, partition) in (0..).zip(partitions.keys()) {
        if *partition != expected {
            return Err(AssignmentError::Gap {
                count,
                missing: expected,
            });
        }
    }
    Ok(partitions.into_values().collect())
}

/// Takes an assignment by hand of partitions that are added to those of a topic, if it can be. They are numbered from `first`, and
/// have `factor` replicas, as those before them.
pub(crate) fn check_added(
    image: &ClusterImage,
    first: i32,
    factor: usize,
    assignments: &[Vec<BrokerId>],
) -> Result<Vec<PartitionAssignment>, AssignmentError> {
    let assignment = |(partition, replicas): (i32, &Vec<BrokerId>)| {
        check_replicas(image, partition, replicas)?;
        if replicas.len() != factor {
            return Err(AssignmentError::Uneven {
                partition,
                replicas: replicas.len(),
                before: factor,
            });
        }
        Ok(PartitionAssignment {
            replicas: replicas.as_slice().into(),
        })
    };
    (first..).zip(assignments).map(assignment).collect()
}

fn check_replicas(
    image: &ClusterImage,
    partition: i32,
    replicas: &[BrokerId],
) -> Result<(), AssignmentError> {
    if replicas.is_empty() {
        return Err(AssignmentError::Empty(partition));
    }
    for (i, broker) in replicas.iter().enumerate() {
        let broker = *broker;
        // In this order: a list without unknown brokers and repetitions is no longer than there are brokers.
        if image.broker(broker).is_none() {
            return Err(AssignmentError::UnknownBroker { partition, broker });
        }
        if replicas[..i].contains(&broker) {
            return Err(AssignmentError::RepeatedBroker { partition, broker });
        }
    }
    Ok(())
}
