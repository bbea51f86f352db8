//! A broker for tests: it says what it speaks and who leads, and answers all else as the test has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wiber_protocol::messages::api_versions::ApiVersion;
use wiber_protocol::messages::metadata::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use wiber_protocol::messages::{ApiVersionsResponse, MetadataResponse};
use wiber_protocol::{ApiKey, RequestFrame, Response, Str, encode_response};

use crate::cluster::{Cluster, ClusterOptions};

/// The topic that there is.
pub(crate) const TOPIC: &str = "t";
/// The id of the broker.
pub(crate) const BROKER: i32 = 1;
/// How long tests wait for answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// What it answers; none closes the connection.
type Answer = dyn Fn(&RequestFrame) -> Option<Bytes> + Send + Sync;

/// A broker that leads all partitions of [`TOPIC`].
pub(crate) struct FakeBroker {
    address: String,
    accepted: Arc<AtomicUsize>,
}

impl FakeBroker {
    /// Listens.
    pub(crate) async fn start(
        partitions: i32,
        answer: impl Fn(&RequestFrame) -> Option<Bytes> + Send + Sync + 'static,
    ) -> FakeBroker {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = accepted.clone();
        let answer: Arc<Answer> = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, port, partitions, answer.clone()));
            }
        });
        FakeBroker {
            address: format!("127.0.0.1:{port}"),
            accepted,
        }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> i32 {
        let port = self.address.rsplit(':').next();
        port.and_then(|it| it.parse().ok()).expect("a port")
    }

    /// How many connections were made to it.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// A client.
    pub(crate) async fn cluster(&self) -> Arc<Cluster> {
        let options = ClusterOptions {
            bootstrap: vec![self.address.clone()],
            connect_within: PATIENCE,
            answer_within: PATIENCE,
        };
        Cluster::connect(options).await.expect("it answers")
    }
}

/// The frame of an answer.
pub(crate) fn answer<R: Response>(to: &RequestFrame, response: &R) -> Option<Bytes> {
    let frame = encode_response(response, to.version, to.correlation_id);
    Some(frame.expect("it can be written").to_bytes())
}

async fn serve(mut stream: TcpStream, port: u16, partitions: i32, tell: Arc<Answer>) {
    while let Ok(size) = stream.read_i32().await {
        let mut frame = vec![0; size as usize];
        if stream.read_exact(&mut frame).await.is_err() {
            return;
        }
        let request = RequestFrame::parse(frame.into()).expect("a request");
        let told = match request.key {
            ApiKey::ApiVersions => answer(&request, &versions()),
            ApiKey::Metadata => answer(&request, &metadata(port, partitions)),
            _ => tell(&request),
        };
        let Some(told) = told else { return };
        if stream.write_all(&told).await.is_err() {
            return;
        }
    }
}

fn versions() -> ApiVersionsResponse {
    let keys = [
        ApiKey::Produce,
        ApiKey::Fetch,
        ApiKey::ListOffsets,
        ApiKey::Metadata,
        ApiKey::InitProducerId,
        ApiKey::FindCoordinator,
        ApiKey::DeleteGroups,
    ];
    let api_keys = keys.map(|key| ApiVersion {
        api_key: key.number(),
        min_version: key.versions().min,
        max_version: key.versions().max,
    });
    ApiVersionsResponse {
        api_keys: api_keys.into(),
        ..Default::default()
    }
}

fn metadata(port: u16, partitions: i32) -> MetadataResponse {
    let partitions = (0..partitions).map(|index| MetadataResponsePartition {
        partition_index: index,
        leader_id: BROKER,
        ..Default::default()
    });
    MetadataResponse {
        brokers: vec![MetadataResponseBroker {
            node_id: BROKER,
            host: Str::from_static("127.0.0.1"),
            port: port.into(),
            rack: None,
        }],
        controller_id: BROKER,
        topics: vec![MetadataResponseTopic {
            name: Some(Str::from_static(TOPIC)),
            partitions: partitions.collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}
