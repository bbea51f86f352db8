//! Which errors there may be in answers about groups.

use wiber_protocol::ErrorCode;

use super::{Checker, error_name};
use crate::exchange::{Answer, Exchange};
use crate::story::About;

impl Checker {
    /// Errors that there may be, with brokers that start, disks that are full and members that come and go.
    pub(super) fn check_codes(&mut self, exchange: &Exchange, answer: &Answer) {
        const EXCUSED: &[ErrorCode] = &[
            ErrorCode::None,
            ErrorCode::CoordinatorLoadInProgress,
            ErrorCode::CoordinatorNotAvailable,
            ErrorCode::NotCoordinator,
            ErrorCode::UnknownMemberId,
            ErrorCode::IllegalGeneration,
            ErrorCode::RebalanceInProgress,
            ErrorCode::MemberIdRequired,
            ErrorCode::FencedInstanceId,
            ErrorCode::UnknownTopicOrPartition,
            ErrorCode::UnknownTopicId,
            ErrorCode::NonEmptyGroup,
            ErrorCode::GroupIdNotFound,
            ErrorCode::GroupSubscribedToTopic,
            ErrorCode::FencedMemberEpoch,
            ErrorCode::StaleMemberEpoch,
            ErrorCode::UnreleasedInstanceId,
        ];
        let codes: Vec<i16> = match answer {
            Answer::FindCoordinator(response) => {
                let several = response.coordinators.iter().map(|found| found.error_code);
                several.chain([response.error_code]).collect()
            }
            Answer::JoinGroup(response) => vec![response.error_code],
            Answer::SyncGroup(response) => vec![response.error_code],
            Answer::Heartbeat(response) => vec![response.error_code],
            Answer::LeaveGroup(response) => vec![response.error_code],
            Answer::ConsumerHeartbeat(response) => vec![response.error_code],
            Answer::OffsetCommit(response) => {
                let parts = response.topics.iter().flat_map(|topic| &topic.partitions);
                parts.map(|part| part.error_code).collect()
            }
            Answer::OffsetFetch(response) => {
                let groups = response.groups.iter().map(|group| group.error_code);
                groups.chain([response.error_code]).collect()
            }
            Answer::OffsetDelete(response) => vec![response.error_code],
            Answer::DeleteGroups(response) => response
                .results
                .iter()
                .map(|result| result.error_code)
                .collect(),
            Answer::ListGroups(response) => vec![response.error_code],
            Answer::DescribeGroups(response) => response
                .groups
                .iter()
                .map(|group| group.error_code)
                .collect(),
            _ => Vec::new(),
        };
        let wrong = codes.into_iter().find(|code| {
            let code = ErrorCode::from_code(*code);
            !code.is_some_and(|code| EXCUSED.contains(&code))
        });
        if let Some(code) = wrong {
            let what = format!("{} is answered {}", exchange.ask.key(), error_name(code));
            self.fail(About::Broker, what);
        }
    }
}
