//! Consumer groups from the outside: which there are, who is in them, what they have committed, and how to change that.
//!
//! A group's coordinator is found, asked, and found again where it has moved or is only just loading. Groups that share a coordinator share
//! requests. Brokers must be as young as those that take many groups at once: Apache Kafka from 3.0 on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use wiber_protocol::internal::consumer_protocol::{ConsumerProtocolAssignment, PROTOCOL_TYPE};
use wiber_protocol::internal::decode_lenient;
use wiber_protocol::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use wiber_protocol::messages::offset_delete::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use wiber_protocol::messages::offset_fetch::OffsetFetchRequestGroup;
use wiber_protocol::messages::{
    ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest,
    FindCoordinatorRequest, ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest, consumer_group_describe, describe_groups, list_groups,
};
use wiber_protocol::{ApiKey, ErrorCode, Str, Versions};

use crate::cluster::{Cluster, RETRY_PAUSE, longer};
use crate::connection::Connection;
use crate::error::ClientError;
use crate::offsets::TopicPartition;

/// The most groups that one request names: answers stay far below what a connection takes.
pub const GROUPS_IN_REQUEST: usize = 200;
/// FindCoordinator for many groups (KIP-699).
const FIND_MANY: Versions = Versions { min: 4, max: 6 };
/// OffsetFetch for many groups (KIP-709) that names topics rather than their ids.
const FETCH_MANY: Versions = Versions { min: 8, max: 9 };
/// The last version of OffsetCommit that names topics rather than their ids.
pub(crate) const COMMIT_VERSION_MAX: i16 = 9;
/// FindCoordinator's name for groups.
const GROUP_KEYS: i8 = 0;
/// The state of a group that is not there, where the broker does not say so otherwise.
const DEAD: &str = "Dead";

/// Which protocol a group's members speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GroupType {
    /// JoinGroup and SyncGroup; a member assigns.
    Classic,
    /// ConsumerGroupHeartbeat; the broker assigns (KIP-848).
    Consumer,
}

/// The groups of a cluster.
#[derive(Debug)]
pub struct ListedGroups {
    /// Those that were told of, by name.
    pub groups: Vec<list_groups::ListedGroup>,
    /// What went wrong with brokers that did not tell of theirs.
    pub failed: Vec<ClientError>,
}

/// A group and its members.
#[derive(Clone, Debug)]
pub struct GroupDescription {
    /// The group's id.
    pub group: Str,
    /// What its members speak.
    pub group_type: GroupType,
    /// Kafka's name of its state, such as `Stable`.
    pub state: Str,
    /// The class of protocols, such as `consumer`.
    pub protocol_type: Str,
    /// How partitions are assigned, such as `range`; empty where none are.
    pub assignor: Str,
    /// The broker that coordinates it.
    pub coordinator: i32,
    /// The epoch of a group of the type consumer.
    pub epoch: Option<i32>,
    /// The members, by id.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Clone, Debug)]
pub struct GroupMember {
    /// Its id.
    pub id: Str,
    /// The id of a static member (KIP-345).
    pub instance: Option<Str>,
    /// The client's own name.
    pub client: Str,
    /// Where the client is.
    pub host: Str,
    /// Its rack, where the broker knows it.
    pub rack: Option<Str>,
    /// Its epoch, in a group of the type consumer.
    pub epoch: Option<i32>,
    /// The partitions that it has, ascending.
    pub assignment: Vec<TopicPartition>,
    /// Those that it shall get to have, in a group of the type consumer.
    pub target: Option<Vec<TopicPartition>>,
}

/// What is committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The offset to be read next.
    pub offset: i64,
    /// The leader epoch of the last record that was read; −1 if it is unknown.
    pub leader_epoch: i32,
    /// What the group keeps beside it.
    pub metadata: Option<Str>,
}

/// What came of each group.
pub type OfGroups<T> = BTreeMap<Str, Result<T, ClientError>>;
/// What came of each partition.
pub type OfPartitions<T> = BTreeMap<TopicPartition, Result<T, ClientError>>;

impl Cluster {
    /// All groups, as the brokers that are up tell of those that they coordinate.
    ///
    /// # Errors
    /// As [`Connection::call`], if no broker answers.
    pub async fn list_groups(&self, within: Duration) -> Result<ListedGroups, ClientError> {
        let deadline = Instant::now() + within;
        self.metadata(Some(&[]), false).await?;
        let mut listed = ListedGroups {
            groups: Vec::new(),
            failed: Vec::new(),
        };
        let brokers = self.brokers();
        for (broker, _) in &brokers {
            match self.list_groups_of(*broker, deadline).await {
                Ok(groups) => listed.groups.extend(groups),
                Err(error) => listed.failed.push(error),
            }
        }
        if listed.failed.len() == brokers.len()
            && let Some(error) = listed.failed.pop()
        {
            return Err(error);
        }
        listed.groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
        // A coordinator that has just moved may be told of twice.
        listed.groups.dedup_by(|a, b| a.group_id == b.group_id);
        Ok(listed)
    }

    async fn list_groups_of(
        &self,
        broker: i32,
        deadline: Instant,
    ) -> Result<Vec<list_groups::ListedGroup>, ClientError> {
        let mut pause = RETRY_PAUSE;
        loop {
            let outcome = async {
                let connection = self.broker(broker).await?;
                let answer = connection.call(&ListGroupsRequest::default()).await?;
                ClientError::check(answer.error_code, None)?;
                Ok(answer.groups)
            };
            match outcome.await {
                Err(error) if is_moving(&error) && Instant::now() < deadline => {
                    tokio::time::sleep(pause).await;
                    pause = longer(pause);
                }
                outcome => return outcome,
            }
        }
    }

    /// The brokers that coordinate groups, by id; asked once.
    ///
    /// # Errors
    /// As [`Connection::call`]; what is said of a group stands with it.
    pub async fn coordinators(&self, groups: &[Str]) -> Result<OfGroups<i32>, ClientError> {
        let request = FindCoordinatorRequest {
            key_type: GROUP_KEYS,
            coordinator_keys: groups.to_vec(),
            ..Default::default()
        };
        let connection = self.any().await?;
        let answer = connection.call_within(&request, FIND_MANY).await?;
        let mut found: OfGroups<i32> = OfGroups::new();
        for it in answer.coordinators {
            let coordinator = ClientError::check(it.error_code, it.error_message.as_deref());
            if coordinator.is_ok() {
                self.learn(it.node_id, &it.host, it.port);
            }
            found.insert(it.key, coordinator.map(|()| it.node_id));
        }
        Ok(found)
    }

    /// Describes groups of both types.
    pub async fn describe_groups(
        &self,
        groups: &[Str],
        within: Duration,
    ) -> OfGroups<GroupDescription> {
        self.ask_coordinators(groups, within, describe).await
    }

    /// What groups have committed. A group that is not there has committed nothing.
    pub async fn committed(
        &self,
        groups: &[Str],
        within: Duration,
    ) -> OfGroups<BTreeMap<TopicPartition, Committed>> {
        let ask = async |_: i32, connection: Arc<Connection>, groups: Vec<Str>| {
            fetch_offsets(&connection, groups, false).await
        };
        self.ask_coordinators(groups, within, ask).await
    }

    /// What a group has committed, for somebody who goes on from there: waits for transactions that are about to change it (KIP-447).
    ///
    /// # Errors
    /// What is said of the group.
    pub async fn stable_offsets(
        &self,
        group: &Str,
        within: Duration,
    ) -> Result<BTreeMap<TopicPartition, Committed>, ClientError> {
        let ask = async |_: i32, connection: Arc<Connection>, groups: Vec<Str>| {
            fetch_offsets(&connection, groups, true).await
        };
        self.ask_coordinator(group, within, ask).await
    }

    /// Commits offsets for a group without members, and makes the group if it is not there.
    ///
    /// # Errors
    /// What is said of the group; what is said of a partition stands with it.
    pub async fn commit_offsets(
        &self,
        group: &Str,
        offsets: &BTreeMap<TopicPartition, Committed>,
        within: Duration,
    ) -> Result<OfPartitions<()>, ClientError> {
        let request = commit_request(group, offsets);
        let ask = async |_: i32, connection: Arc<Connection>, groups: Vec<Str>| {
            let outcome = commit(&connection, &request).await;
            Ok(groups.into_iter().map(|it| (it, outcome.clone())).collect())
        };
        self.ask_coordinator(group, within, ask).await
    }

    /// Deletes what a group has committed for partitions that no member of it reads.
    ///
    /// # Errors
    /// What is said of the group; what is said of a partition stands with it.
    pub async fn delete_offsets(
        &self,
        group: &Str,
        partitions: &[TopicPartition],
        within: Duration,
    ) -> Result<OfPartitions<()>, ClientError> {
        let mut topics: BTreeMap<&Str, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
        for it in partitions {
            let partition = OffsetDeleteRequestPartition {
                partition_index: it.partition,
            };
            topics.entry(&it.topic).or_default().push(partition);
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            let name = name.clone();
            OffsetDeleteRequestTopic { name, partitions }
        });
        let request = OffsetDeleteRequest {
            group_id: group.clone(),
            topics: topics.collect(),
        };
        let ask = async |_: i32, connection: Arc<Connection>, groups: Vec<Str>| {
            let answer = connection.call(&request).await?;
            let outcome = ClientError::check(answer.error_code, None).map(|()| {
                let mut outcomes: OfPartitions<()> = OfPartitions::new();
                for topic in answer.topics {
                    for it in topic.partitions {
                        let at = TopicPartition::new(topic.name.clone(), it.partition_index);
                        outcomes.insert(at, ClientError::check(it.error_code, None));
                    }
                }
                outcomes
            });
            Ok(groups.into_iter().map(|it| (it, outcome.clone())).collect())
        };
        self.ask_coordinator(group, within, ask).await
    }

    /// Deletes groups that have no members, with all that they have committed.
    pub async fn delete_groups(&self, groups: &[Str], within: Duration) -> OfGroups<()> {
        let ask = async |_: i32, connection: Arc<Connection>, groups: Vec<Str>| {
            let request = DeleteGroupsRequest {
                groups_names: groups,
            };
            let answer = connection.call(&request).await?;
            let outcomes = answer.results.into_iter();
            Ok(outcomes
                .map(|it| (it.group_id, ClientError::check(it.error_code, None)))
                .collect())
        };
        self.ask_coordinators(groups, within, ask).await
    }

    async fn ask_coordinator<T>(
        &self,
        group: &Str,
        within: Duration,
        ask: impl AsyncFn(i32, Arc<Connection>, Vec<Str>) -> Result<OfGroups<T>, ClientError>,
    ) -> Result<T, ClientError> {
        let mut outcomes = self
            .ask_coordinators(std::slice::from_ref(group), within, ask)
            .await;
        outcomes.remove(group).unwrap_or_else(|| {
            let code = ErrorCode::UnknownServerError.code();
            Err(ClientError::Refused {
                code,
                message: None,
            })
        })
    }

    /// Asks the coordinators of groups, again where one has moved, is loading or cannot be reached, and until there is an outcome for each
    /// group or time is up.
    async fn ask_coordinators<T>(
        &self,
        groups: &[Str],
        within: Duration,
        ask: impl AsyncFn(i32, Arc<Connection>, Vec<Str>) -> Result<OfGroups<T>, ClientError>,
    ) -> OfGroups<T> {
        let deadline = Instant::now() + within;
        let mut outcomes: OfGroups<T> = OfGroups::new();
        for some in groups.chunks(GROUPS_IN_REQUEST) {
            let mut missing = some.to_vec();
            let mut pause = RETRY_PAUSE;
            loop {
                self.ask_coordinators_once(&missing, &ask, &mut outcomes)
                    .await;
                missing.retain(|it| outcomes.get(it).is_some_and(may_pass));
                if missing.is_empty() || Instant::now() >= deadline {
                    break;
                }
                tokio::time::sleep(pause).await;
                pause = longer(pause);
            }
        }
        outcomes
    }

    /// Puts an outcome for each of `groups` into `outcomes`.
    async fn ask_coordinators_once<T>(
        &self,
        groups: &[Str],
        ask: &impl AsyncFn(i32, Arc<Connection>, Vec<Str>) -> Result<OfGroups<T>, ClientError>,
        outcomes: &mut OfGroups<T>,
    ) {
        let found = match self.coordinators(groups).await {
            Ok(found) => found,
            Err(error) => {
                outcomes.extend(groups.iter().map(|it| (it.clone(), Err(error.clone()))));
                return;
            }
        };
        let mut by_coordinator: BTreeMap<i32, Vec<Str>> = BTreeMap::new();
        for group in groups {
            match found.get(group) {
                Some(Ok(coordinator)) => {
                    let told = by_coordinator.entry(*coordinator).or_default();
                    told.push(group.clone());
                }
                Some(Err(error)) => {
                    outcomes.insert(group.clone(), Err(error.clone()));
                }
                None => {
                    outcomes.insert(group.clone(), Err(not_told()));
                }
            }
        }
        for (coordinator, groups) in by_coordinator {
            let answered = async {
                let connection = self.broker(coordinator).await?;
                ask(coordinator, connection, groups.clone()).await
            };
            match answered.await {
                Ok(mut told) => {
                    for group in groups {
                        let outcome = told.remove(&group).unwrap_or_else(|| Err(not_told()));
                        outcomes.insert(group, outcome);
                    }
                }
                Err(error) => {
                    outcomes.extend(groups.into_iter().map(|it| (it, Err(error.clone()))));
                }
            }
        }
    }
}

/// A request that commits for a group outside of any generation.
pub(crate) fn commit_request(
    group: &Str,
    offsets: &BTreeMap<TopicPartition, Committed>,
) -> OffsetCommitRequest {
    let mut topics: BTreeMap<&Str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for (at, committed) in offsets {
        let partition = OffsetCommitRequestPartition {
            partition_index: at.partition,
            committed_offset: committed.offset,
            committed_leader_epoch: committed.leader_epoch,
            committed_metadata: committed.metadata.clone(),
        };
        topics.entry(&at.topic).or_default().push(partition);
    }
    let topics = topics.into_iter().map(|(name, partitions)| {
        let name = name.clone();
        OffsetCommitRequestTopic {
            name,
            partitions,
            ..Default::default()
        }
    });
    OffsetCommitRequest {
        group_id: group.clone(),
        topics: topics.collect(),
        ..Default::default()
    }
}

/// Sends a commit to the coordinator.
///
/// # Errors
/// What says that nothing was committed, as each partition has the same error; else a partition's error stands with it.
pub(crate) async fn commit(
    connection: &Connection,
    request: &OffsetCommitRequest,
) -> Result<OfPartitions<()>, ClientError> {
    let answer = connection.call_up_to(request, COMMIT_VERSION_MAX).await?;
    let mut outcomes: OfPartitions<()> = OfPartitions::new();
    for topic in answer.topics {
        for it in topic.partitions {
            let outcome = ClientError::check(it.error_code, None);
            if let Err(error) = &outcome
                && is_of_group(error)
            {
                return Err(error.clone());
            }
            let at = TopicPartition::new(topic.name.clone(), it.partition_index);
            outcomes.insert(at, outcome);
        }
    }
    Ok(outcomes)
}

/// Whether an error that stands with a partition is about the group or its coordinator.
fn is_of_group(error: &ClientError) -> bool {
    is_moving(error)
        || matches!(
            error.code(),
            Some(
                ErrorCode::UnknownMemberId
                    | ErrorCode::IllegalGeneration
                    | ErrorCode::FencedInstanceId
                    | ErrorCode::RebalanceInProgress
                    | ErrorCode::StaleMemberEpoch
                    | ErrorCode::GroupIdNotFound
                    | ErrorCode::InvalidGroupId
                    | ErrorCode::GroupAuthorizationFailed
            )
        )
}

/// Whether the group has no coordinator right now, or another one.
pub(crate) fn is_moving(error: &ClientError) -> bool {
    matches!(
        error.code(),
        Some(
            ErrorCode::NotCoordinator
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::CoordinatorLoadInProgress
        )
    )
}

fn may_pass<T>(outcome: &Result<T, ClientError>) -> bool {
    outcome.as_ref().is_err_and(ClientError::is_passing)
}

fn not_told() -> ClientError {
    ClientError::Refused {
        code: ErrorCode::UnknownServerError.code(),
        message: Some("the broker says nothing of the group".to_owned()),
    }
}

/// Groups are asked for as those of the consumer protocol, those that are none as classic ones, and those that are neither as the former again: they
/// may have become so in between.
async fn describe(
    coordinator: i32,
    connection: Arc<Connection>,
    groups: Vec<Str>,
) -> Result<OfGroups<GroupDescription>, ClientError> {
    let mut described = describe_consumers(coordinator, &connection, &groups).await?;
    let classic = unknown(&groups, &described);
    if classic.is_empty() {
        return Ok(described);
    }
    let request = DescribeGroupsRequest {
        groups: classic.clone(),
        ..Default::default()
    };
    for it in connection.call(&request).await?.groups {
        let name = it.group_id.clone();
        let checked = ClientError::check(it.error_code, it.error_message.as_deref());
        let told = checked.and_then(|()| GroupDescription::of_classic(it, coordinator));
        described.insert(name, told);
    }
    let neither = unknown(&classic, &described);
    if !neither.is_empty() {
        let again = describe_consumers(coordinator, &connection, &neither).await?;
        described.extend(again.into_iter().filter(|(_, told)| told.is_ok()));
    }
    Ok(described)
}

async fn describe_consumers(
    coordinator: i32,
    connection: &Connection,
    groups: &[Str],
) -> Result<OfGroups<GroupDescription>, ClientError> {
    if !connection.serves(ApiKey::ConsumerGroupDescribe) {
        return Ok(OfGroups::new());
    }
    let request = ConsumerGroupDescribeRequest {
        group_ids: groups.to_vec(),
        ..Default::default()
    };
    let answer = connection.call(&request).await?;
    let told = answer.groups.into_iter().map(|it| {
        let name = it.group_id.clone();
        let checked = ClientError::check(it.error_code, it.error_message.as_deref());
        (
            name,
            checked.map(|()| GroupDescription::of_consumers(it, coordinator)),
        )
    });
    Ok(told.collect())
}

/// Those of which it is not known what they are.
fn unknown(groups: &[Str], described: &OfGroups<GroupDescription>) -> Vec<Str> {
    let unknown = groups
        .iter()
        .filter(|it| !described.get(*it).is_some_and(is_known));
    unknown.cloned().collect()
}

/// Whether this is the outcome: the group is of the type consumer, or nobody knows yet.
fn is_known(outcome: &Result<GroupDescription, ClientError>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(error) => !matches!(
            error.code(),
            Some(ErrorCode::GroupIdNotFound | ErrorCode::UnsupportedVersion)
        ),
    }
}

async fn fetch_offsets(
    connection: &Connection,
    groups: Vec<Str>,
    require_stable: bool,
) -> Result<OfGroups<BTreeMap<TopicPartition, Committed>>, ClientError> {
    let groups = groups.into_iter().map(|group_id| OffsetFetchRequestGroup {
        group_id,
        // All for which something is committed.
        topics: None,
        ..Default::default()
    });
    let request = OffsetFetchRequest {
        groups: groups.collect(),
        require_stable,
        ..Default::default()
    };
    let answer = connection.call_within(&request, FETCH_MANY).await?;
    let told = answer.groups.into_iter().map(|group| {
        let outcome = ClientError::check(group.error_code, None).and_then(|()| {
            let mut offsets = BTreeMap::new();
            for topic in group.topics {
                for it in topic.partitions {
                    ClientError::check(it.error_code, None)?;
                    if it.committed_offset < 0 {
                        continue;
                    }
                    let at = TopicPartition::new(topic.name.clone(), it.partition_index);
                    let committed = Committed {
                        offset: it.committed_offset,
                        leader_epoch: it.committed_leader_epoch,
                        metadata: it.metadata.filter(|it| !it.is_empty()),
                    };
                    offsets.insert(at, committed);
                }
            }
            Ok(offsets)
        });
        (group.group_id, outcome)
    });
    Ok(told.collect())
}

impl GroupDescription {
    fn of_consumers(
        group: consumer_group_describe::DescribedGroup,
        coordinator: i32,
    ) -> GroupDescription {
        let partitions = |assignment: consumer_group_describe::Assignment| {
            sorted(
                assignment
                    .topic_partitions
                    .into_iter()
                    .map(|it| (it.topic_name, it.partitions)),
            )
        };
        let members = group.members.into_iter().map(|it| GroupMember {
            id: it.member_id,
            instance: it.instance_id,
            client: it.client_id,
            host: it.client_host,
            rack: it.rack_id,
            epoch: Some(it.member_epoch),
            assignment: partitions(it.assignment),
            target: Some(partitions(it.target_assignment)),
        });
        let mut members: Vec<_> = members.collect();
        members.sort_by(|a, b| a.id.cmp(&b.id));
        GroupDescription {
            group: group.group_id,
            group_type: GroupType::Consumer,
            state: group.group_state,
            protocol_type: PROTOCOL_TYPE,
            assignor: group.assignor_name,
            coordinator,
            epoch: Some(group.group_epoch),
            members,
        }
    }

    /// # Errors
    /// [`ErrorCode::GroupIdNotFound`], where an older broker says that in its own way.
    fn of_classic(
        group: describe_groups::DescribedGroup,
        coordinator: i32,
    ) -> Result<GroupDescription, ClientError> {
        if group.group_state == DEAD && group.members.is_empty() {
            ClientError::check(ErrorCode::GroupIdNotFound.code(), None)?;
        }
        let of_consumers = group.protocol_type == PROTOCOL_TYPE;
        let members = group.members.into_iter().map(|it| GroupMember {
            id: it.member_id,
            instance: it.group_instance_id,
            client: it.client_id,
            host: it.client_host,
            rack: None,
            epoch: None,
            assignment: if of_consumers {
                assigned(it.member_assignment)
            } else {
                Vec::new()
            },
            target: None,
        });
        let mut members: Vec<_> = members.collect();
        members.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(GroupDescription {
            group: group.group_id,
            group_type: GroupType::Classic,
            state: group.group_state,
            protocol_type: group.protocol_type,
            assignor: group.protocol_data,
            coordinator,
            epoch: None,
            members,
        })
    }
}

/// What a member got; nothing where it has not got it yet, or only it and its leader know how to read it.
fn assigned(bytes: Bytes) -> Vec<TopicPartition> {
    let assignment =
        decode_lenient(bytes).map(|(message, _): (ConsumerProtocolAssignment, _)| message);
    sorted(
        assignment
            .unwrap_or_default()
            .assigned_partitions
            .into_iter()
            .map(|it| (it.topic, it.partitions)),
    )
}

fn sorted(topics: impl Iterator<Item = (Str, Vec<i32>)>) -> Vec<TopicPartition> {
    let mut all: Vec<_> = topics
        .flat_map(|(topic, partitions)| {
            partitions
                .into_iter()
                .map(move |it| TopicPartition::new(topic.clone(), it))
        })
        .collect();
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use wiber_protocol::messages::delete_groups::DeletableGroupResult;
    use wiber_protocol::messages::find_coordinator::Coordinator;
    use wiber_protocol::messages::{DeleteGroupsResponse, FindCoordinatorResponse};

    use super::*;
    use crate::fake_broker::{BROKER, FakeBroker, answer};

    /// One group is coordinated somewhere else the first time, another one is not there; the coordinator of all is not known at first.
    #[tokio::test]
    async fn a_coordinator_is_found_again_and_a_refusal_is_an_outcome() {
        let port = Arc::new(OnceLock::new());
        let (finds, deletions) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let (its_port, counted) = (port.clone(), deletions.clone());
        let broker = FakeBroker::start(1, move |request| match request.key {
            ApiKey::FindCoordinator => {
                let asked: FindCoordinatorRequest = request.decode().expect("a FindCoordinator");
                let first = finds.fetch_add(1, Ordering::Relaxed) == 0;
                let code = if first {
                    ErrorCode::CoordinatorNotAvailable
                } else {
                    ErrorCode::None
                };
                let told = asked.coordinator_keys.into_iter().map(|key| Coordinator {
                    key,
                    node_id: BROKER,
                    host: Str::from_static("127.0.0.1"),
                    port: its_port.get().copied().unwrap_or_default(),
                    error_code: code.code(),
                    ..Default::default()
                });
                let told = FindCoordinatorResponse {
                    coordinators: told.collect(),
                    ..Default::default()
                };
                answer(request, &told)
            }
            _ => {
                let asked: DeleteGroupsRequest = request.decode().expect("a DeleteGroups");
                let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
                let results = asked.groups_names.into_iter().map(|group_id| {
                    let code = match group_id.as_str() {
                        "moved" if first => ErrorCode::NotCoordinator,
                        "missing" => ErrorCode::GroupIdNotFound,
                        _ => ErrorCode::None,
                    };
                    DeletableGroupResult {
                        group_id,
                        error_code: code.code(),
                    }
                });
                let told = DeleteGroupsResponse {
                    results: results.collect(),
                    ..Default::default()
                };
                answer(request, &told)
            }
        })
        .await;
        port.set(broker.port()).expect("it is set once");
        let cluster = broker.cluster().await;
        let groups = ["moved", "missing", "there"].map(Str::from_static);
        let outcomes = cluster
            .delete_groups(&groups, Duration::from_secs(30))
            .await;
        assert_eq!(outcomes["moved"], Ok(()));
        assert_eq!(outcomes["there"], Ok(()));
        let missing = outcomes["missing"].as_ref().expect_err("it is not there");
        assert_eq!(missing.code(), Some(ErrorCode::GroupIdNotFound));
        assert_eq!(deletions.load(Ordering::Relaxed), 2);
    }
}
