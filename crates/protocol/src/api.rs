//! The table of the APIs: number, name, messages. Versions stand with the messages.

use std::fmt;

use crate::message::{Message, Request, Response, Versions};
use crate::messages::*;

/// The lowest version of Produce to advertise: librdkafka does not compress if it is more, although 0–2 are not served
/// (KAFKA-18659).
pub const PRODUCE_ADVERTISED_MIN_VERSION: i16 = 0;

/// Makes [`ApiKey`] of the table's rows.
macro_rules! api_table {
    ($($number:literal $name:ident $request:ident $response:ident;)*) => {
        /// An API of the protocol.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(i16)]
        pub enum ApiKey {
            $(
                #[doc = concat!("See [`", stringify!($request), "`].")]
                $name = $number,
            )*
        }

        impl ApiKey {
            /// All APIs, by ascending number.
            pub const ALL: &'static [ApiKey] = &[$(ApiKey::$name),*];

            /// The API with this number.
            #[must_use]
            pub const fn from_number(number: i16) -> Option<ApiKey> {
                match number {
                    $($number => Some(ApiKey::$name),)*
                    _ => None,
                }
            }

            /// Kafka's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(ApiKey::$name => stringify!($name),)*
                }
            }

            /// The stable versions, which are those that this crate speaks.
            #[must_use]
            pub const fn versions(self) -> Versions {
                match self {
                    $(ApiKey::$name => $request::VERSIONS,)*
                }
            }

            /// The first version with compact lengths and tagged fields; `i16::MAX` if there is none.
            const fn first_flexible(self) -> i16 {
                match self {
                    $(ApiKey::$name => $request::FIRST_FLEXIBLE,)*
                }
            }
        }

        $(
            impl Request for $request {
                const KEY: ApiKey = ApiKey::$name;
                type Response = $response;
            }

            impl Response for $response {
                const KEY: ApiKey = ApiKey::$name;
                type Request = $request;
            }

            const _: () = {
                let (request, response) = ($request::VERSIONS, $response::VERSIONS);
                assert!(request.min == response.min && request.max == response.max);
                assert!($request::FIRST_FLEXIBLE == $response::FIRST_FLEXIBLE);
            };
        )*

        /// Every request and response, with the types erased.
        #[cfg(any(test, feature = "introspect"))]
        pub(crate) fn entries() -> Vec<crate::introspect::Entry> {
            use crate::introspect::{Entry, Role};
            vec![$(
                Entry::of::<$request>(Role::Request(ApiKey::$name)),
                Entry::of::<$response>(Role::Response(ApiKey::$name)),
            )*]
        }
    };
}

api_table! {
    0 Produce ProduceRequest ProduceResponse;
    1 Fetch FetchRequest FetchResponse;
    2 ListOffsets ListOffsetsRequest ListOffsetsResponse;
    3 Metadata MetadataRequest MetadataResponse;
    8 OffsetCommit OffsetCommitRequest OffsetCommitResponse;
    9 OffsetFetch OffsetFetchRequest OffsetFetchResponse;
    10 FindCoordinator FindCoordinatorRequest FindCoordinatorResponse;
    11 JoinGroup JoinGroupRequest JoinGroupResponse;
    12 Heartbeat HeartbeatRequest HeartbeatResponse;
    13 LeaveGroup LeaveGroupRequest LeaveGroupResponse;
    14 SyncGroup SyncGroupRequest SyncGroupResponse;
    15 DescribeGroups DescribeGroupsRequest DescribeGroupsResponse;
    16 ListGroups ListGroupsRequest ListGroupsResponse;
    17 SaslHandshake SaslHandshakeRequest SaslHandshakeResponse;
    18 ApiVersions ApiVersionsRequest ApiVersionsResponse;
    19 CreateTopics CreateTopicsRequest CreateTopicsResponse;
    20 DeleteTopics DeleteTopicsRequest DeleteTopicsResponse;
    21 DeleteRecords DeleteRecordsRequest DeleteRecordsResponse;
    22 InitProducerId InitProducerIdRequest InitProducerIdResponse;
    23 OffsetForLeaderEpoch OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse;
    24 AddPartitionsToTxn AddPartitionsToTxnRequest AddPartitionsToTxnResponse;
    25 AddOffsetsToTxn AddOffsetsToTxnRequest AddOffsetsToTxnResponse;
    26 EndTxn EndTxnRequest EndTxnResponse;
    27 WriteTxnMarkers WriteTxnMarkersRequest WriteTxnMarkersResponse;
    28 TxnOffsetCommit TxnOffsetCommitRequest TxnOffsetCommitResponse;
    29 DescribeAcls DescribeAclsRequest DescribeAclsResponse;
    30 CreateAcls CreateAclsRequest CreateAclsResponse;
    31 DeleteAcls DeleteAclsRequest DeleteAclsResponse;
    32 DescribeConfigs DescribeConfigsRequest DescribeConfigsResponse;
    33 AlterConfigs AlterConfigsRequest AlterConfigsResponse;
    34 AlterReplicaLogDirs AlterReplicaLogDirsRequest AlterReplicaLogDirsResponse;
    35 DescribeLogDirs DescribeLogDirsRequest DescribeLogDirsResponse;
    36 SaslAuthenticate SaslAuthenticateRequest SaslAuthenticateResponse;
    37 CreatePartitions CreatePartitionsRequest CreatePartitionsResponse;
    38 CreateDelegationToken CreateDelegationTokenRequest CreateDelegationTokenResponse;
    39 RenewDelegationToken RenewDelegationTokenRequest RenewDelegationTokenResponse;
    40 ExpireDelegationToken ExpireDelegationTokenRequest ExpireDelegationTokenResponse;
    41 DescribeDelegationToken DescribeDelegationTokenRequest DescribeDelegationTokenResponse;
    42 DeleteGroups DeleteGroupsRequest DeleteGroupsResponse;
    43 ElectLeaders ElectLeadersRequest ElectLeadersResponse;
    44 IncrementalAlterConfigs IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse;
    45 AlterPartitionReassignments AlterPartitionReassignmentsRequest AlterPartitionReassignmentsResponse;
    46 ListPartitionReassignments ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse;
    47 OffsetDelete OffsetDeleteRequest OffsetDeleteResponse;
    48 DescribeClientQuotas DescribeClientQuotasRequest DescribeClientQuotasResponse;
    49 AlterClientQuotas AlterClientQuotasRequest AlterClientQuotasResponse;
    50 DescribeUserScramCredentials DescribeUserScramCredentialsRequest DescribeUserScramCredentialsResponse;
    51 AlterUserScramCredentials AlterUserScramCredentialsRequest AlterUserScramCredentialsResponse;
    52 Vote VoteRequest VoteResponse;
    53 BeginQuorumEpoch BeginQuorumEpochRequest BeginQuorumEpochResponse;
    54 EndQuorumEpoch EndQuorumEpochRequest EndQuorumEpochResponse;
    55 DescribeQuorum DescribeQuorumRequest DescribeQuorumResponse;
    56 AlterPartition AlterPartitionRequest AlterPartitionResponse;
    57 UpdateFeatures UpdateFeaturesRequest UpdateFeaturesResponse;
    58 Envelope EnvelopeRequest EnvelopeResponse;
    59 FetchSnapshot FetchSnapshotRequest FetchSnapshotResponse;
    60 DescribeCluster DescribeClusterRequest DescribeClusterResponse;
    61 DescribeProducers DescribeProducersRequest DescribeProducersResponse;
    62 BrokerRegistration BrokerRegistrationRequest BrokerRegistrationResponse;
    63 BrokerHeartbeat BrokerHeartbeatRequest BrokerHeartbeatResponse;
    64 UnregisterBroker UnregisterBrokerRequest UnregisterBrokerResponse;
    65 DescribeTransactions DescribeTransactionsRequest DescribeTransactionsResponse;
    66 ListTransactions ListTransactionsRequest ListTransactionsResponse;
    67 AllocateProducerIds AllocateProducerIdsRequest AllocateProducerIdsResponse;
    68 ConsumerGroupHeartbeat ConsumerGroupHeartbeatRequest ConsumerGroupHeartbeatResponse;
    69 ConsumerGroupDescribe ConsumerGroupDescribeRequest ConsumerGroupDescribeResponse;
    70 ControllerRegistration ControllerRegistrationRequest ControllerRegistrationResponse;
    71 GetTelemetrySubscriptions GetTelemetrySubscriptionsRequest GetTelemetrySubscriptionsResponse;
    72 PushTelemetry PushTelemetryRequest PushTelemetryResponse;
    73 AssignReplicasToDirs AssignReplicasToDirsRequest AssignReplicasToDirsResponse;
    74 ListConfigResources ListConfigResourcesRequest ListConfigResourcesResponse;
    75 DescribeTopicPartitions DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse;
    76 ShareGroupHeartbeat ShareGroupHeartbeatRequest ShareGroupHeartbeatResponse;
    77 ShareGroupDescribe ShareGroupDescribeRequest ShareGroupDescribeResponse;
    78 ShareFetch ShareFetchRequest ShareFetchResponse;
    79 ShareAcknowledge ShareAcknowledgeRequest ShareAcknowledgeResponse;
    80 AddRaftVoter AddRaftVoterRequest AddRaftVoterResponse;
    81 RemoveRaftVoter RemoveRaftVoterRequest RemoveRaftVoterResponse;
    82 UpdateRaftVoter UpdateRaftVoterRequest UpdateRaftVoterResponse;
    83 InitializeShareGroupState InitializeShareGroupStateRequest InitializeShareGroupStateResponse;
    84 ReadShareGroupState ReadShareGroupStateRequest ReadShareGroupStateResponse;
    85 WriteShareGroupState WriteShareGroupStateRequest WriteShareGroupStateResponse;
    86 DeleteShareGroupState DeleteShareGroupStateRequest DeleteShareGroupStateResponse;
    87 ReadShareGroupStateSummary ReadShareGroupStateSummaryRequest ReadShareGroupStateSummaryResponse;
    88 StreamsGroupHeartbeat StreamsGroupHeartbeatRequest StreamsGroupHeartbeatResponse;
    89 StreamsGroupDescribe StreamsGroupDescribeRequest StreamsGroupDescribeResponse;
    90 DescribeShareGroupOffsets DescribeShareGroupOffsetsRequest DescribeShareGroupOffsetsResponse;
    91 AlterShareGroupOffsets AlterShareGroupOffsetsRequest AlterShareGroupOffsetsResponse;
    92 DeleteShareGroupOffsets DeleteShareGroupOffsetsRequest DeleteShareGroupOffsetsResponse;
}

impl ApiKey {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> i16 {
        self as i16
    }

    /// The versions to advertise if all of [`versions`](ApiKey::versions) are served.
    #[must_use]
    pub const fn advertised_versions(self) -> Versions {
        match self {
            ApiKey::Produce => Versions {
                min: PRODUCE_ADVERTISED_MIN_VERSION,
                ..self.versions()
            },
            _ => self.versions(),
        }
    }

    /// The version of the header before a request of `version`, which need not be supported.
    #[must_use]
    pub const fn request_header_version(self, version: i16) -> i16 {
        if version >= self.first_flexible() {
            2
        } else {
            1
        }
    }

    /// The version of the header before a response of `version`. Always 0 for ApiVersions: a client that asks does not
    /// know yet which versions the broker speaks.
    #[must_use]
    pub const fn response_header_version(self, version: i16) -> i16 {
        match self {
            ApiKey::ApiVersions => 0,
            _ if version >= self.first_flexible() => 1,
            _ => 0,
        }
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
