//! DescribeCluster (key 60): KIP-919, KIP-1073.

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Describes the nodes of the cluster.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-2", flexible = "0+")]
pub struct DescribeClusterRequest {
    /// Whether to say what the client may do with the cluster.
    pub include_cluster_authorized_operations: bool,
    /// 1 for brokers, 2 for controllers (KIP-919).
    #[field(versions = "1+", default = 1)]
    pub endpoint_type: i8,
    /// Whether to list fenced brokers too (KIP-1073).
    #[field(versions = "2+")]
    pub include_fenced_brokers: bool,
}

/// Answers [`DescribeClusterRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-2", flexible = "0+")]
pub struct DescribeClusterResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(default = null)]
    pub error_message: Option<Str>,
    /// 1 for brokers, 2 for controllers (KIP-919).
    #[field(versions = "1+", default = 1)]
    pub endpoint_type: i8,
    /// The cluster's id.
    pub cluster_id: Str,
    /// The leading controller, from a controller; from a broker, any broker that is alive. −1 if there is none.
    #[field(default = -1)]
    pub controller_id: i32,
    /// The nodes.
    pub brokers: Vec<DescribeClusterBroker>,
    /// What the client may do with the cluster, a bit for each ACL operation; `i32::MIN` if it did not ask.
    #[field(default = i32::MIN)]
    pub cluster_authorized_operations: i32,
}

/// An element of [`DescribeClusterResponse::brokers`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DescribeClusterBroker {
    /// The broker's node id.
    pub broker_id: i32,
    /// The host to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: i32,
    /// The rack, if it has one.
    #[field(default = null)]
    pub rack: Option<Str>,
    /// Whether the broker is fenced.
    #[field(versions = "2+")]
    pub is_fenced: bool,
}
