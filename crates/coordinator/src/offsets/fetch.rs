//! OffsetFetch.

use super::GroupOffsets;
use crate::error::GroupError;
use crate::groups::{Group, Groups};
use crate::request::FetchOffsetsRequest;
use crate::response::FetchedTopic;
use crate::step::Step;

impl Groups {
    /// OffsetFetch, of one group. A group that is not there has committed nothing.
    pub(crate) fn fetch(
        &self,
        step: &Step<'_>,
        request: FetchOffsetsRequest,
    ) -> Result<Vec<FetchedTopic>, GroupError> {
        if let Some(Group::Consumer(group)) = self.groups.get(&request.group) {
            group.may_fetch(request.member_id.as_deref(), request.member_epoch)?;
        }
        let offsets = self.offsets.group(&request.group);
        let mut fetched: Vec<FetchedTopic> = match request.partitions {
            Some(topics) => topics
                .into_iter()
                .map(|(topic, partitions)| fetch_topic(offsets, topic, partitions))
                .collect(),
            None => offsets.into_iter().flat_map(fetch_all).collect(),
        };
        if self.sweep.is_under_way() {
            for FetchedTopic { topic, partitions } in &mut fetched {
                for (_, committed) in partitions {
                    committed.take_if(|it| self.sweep.takes(step.cluster, topic, it));
                }
            }
        }
        Ok(fetched)
    }
}

fn fetch_topic(
    offsets: Option<&GroupOffsets>,
    topic: String,
    partitions: Vec<i32>,
) -> FetchedTopic {
    let committed = offsets.and_then(|offsets| offsets.get(&topic));
    let partitions = partitions.into_iter().map(|partition| {
        let committed = committed.and_then(|committed| committed.get(&partition));
        (partition, committed.cloned())
    });
    let partitions = partitions.collect();
    FetchedTopic { topic, partitions }
}

fn fetch_all(offsets: &GroupOffsets) -> impl Iterator<Item = FetchedTopic> {
    offsets.iter().map(|(topic, committed)| FetchedTopic {
        topic: topic.clone(),
        partitions: committed
            .iter()
            .map(|(partition, value)| (*partition, Some(value.clone())))
            .collect(),
    })
}
