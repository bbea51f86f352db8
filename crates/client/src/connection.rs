//! One connection to a broker. Requests are pipelined; answers come in the order of the requests, as Kafka promises.
//!
//! Two tasks share a connection: one writes requests and says which answers to expect, the other reads answers. Whichever fails first ends
//! both, and everybody who waits is told why.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use wiber_protocol::messages::api_versions::FinalizedFeatureKey;
use wiber_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use wiber_protocol::{
    ApiKey, ErrorCode, Frame, Message, Request, SIZE_PREFIX_BYTES, Str, Versions, decode_response,
    encode_request, peek_correlation_id,
};

use crate::error::ClientError;

/// What the requests call themselves.
const CLIENT_ID: Str = Str::from_static("wiber");
/// The largest answer that is read, in bytes: as much as a broker takes of a client, and room for metadata of 100,000 topics.
pub const MAX_ANSWER_BYTES: usize = wiber_model::limit::MAX_FRAME_BYTES;
/// The most requests that are under way on a connection; more wait.
pub const MAX_IN_FLIGHT: usize = 64;
/// Memory for an answer is taken in steps of this, as its bytes arrive.
const READ_STEP_BYTES: usize = 1 << 20;
/// A frame up to this size leaves in one write.
const ONE_WRITE_BYTES: usize = 16 << 10;
/// Bytes of the correlation id before the body of an ApiVersions answer.
const CORRELATION_ID_BYTES: usize = 4;

/// A connection whose broker has said what it speaks.
#[derive(Debug)]
pub struct Connection {
    address: String,
    requests: mpsc::Sender<Outgoing>,
    ended: Arc<OnceLock<End>>,
    versions: BTreeMap<i16, Versions>,
    features: Vec<FinalizedFeatureKey>,
    answer_within: Duration,
    next_correlation_id: AtomicI32,
}

/// A request on its way out.
#[derive(Debug)]
struct Outgoing {
    frame: Frame,
    correlation_id: i32,
    /// None where the broker does not answer.
    answer: Option<oneshot::Sender<Bytes>>,
}

/// An answer that is on its way in.
type Expected = (i32, oneshot::Sender<Bytes>);

impl Connection {
    /// Connects, and asks which versions the broker speaks.
    ///
    /// # Errors
    /// In words, why there is no connection; the caller knows what the address was for.
    pub async fn open(
        address: &str,
        connect_within: Duration,
        answer_within: Duration,
    ) -> Result<Connection, String> {
        let stream = timeout(connect_within, TcpStream::connect(address))
            .await
            .map_err(|_| format!("no connection within {} s", connect_within.as_secs_f64()))?
            .map_err(|error| in_words(&error))?;
        stream.set_nodelay(true).map_err(|e| in_words(&e))?;
        let (read, write) = stream.into_split();
        let (requests, outgoing) = mpsc::channel(MAX_IN_FLIGHT);
        let (expect, expected) = mpsc::channel(MAX_IN_FLIGHT);
        let ended = Arc::new(OnceLock::new());
        tokio::spawn(write_requests(write, outgoing, expect, ended.clone()));
        tokio::spawn(read_answers(read, expected, ended.clone()));
        let mut connection = Connection {
            address: address.to_owned(),
            requests,
            ended,
            versions: BTreeMap::new(),
            features: Vec::new(),
            answer_within: connect_within,
            next_correlation_id: AtomicI32::new(0),
        };
        let told = connection
            .api_versions()
            .await
            .map_err(|error| match error {
                ClientError::Broken { reason, .. } => {
                    format!("it closes the connection before it says what it speaks ({reason})")
                }
                ClientError::Malformed { problem, .. } => {
                    format!("no Kafka broker answers there: {problem}")
                }
                ClientError::TimedOut { after, .. } => {
                    format!(
                        "it does not say what it speaks within {} s",
                        after.as_secs_f64()
                    )
                }
                error => error.to_string(),
            })?;
        // Until now the versions were not known, and only ApiVersions needs none.
        connection.versions = told
            .api_keys
            .iter()
            .map(|api| {
                let versions = Versions {
                    min: api.min_version,
                    max: api.max_version,
                };
                (api.api_key, versions)
            })
            .collect();
        connection.features = told.finalized_features;
        connection.answer_within = answer_within;
        Ok(connection)
    }

    /// Where the broker is.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether the connection is of no more use.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.ended.get().is_some() || self.requests.is_closed()
    }

    /// The cluster's finalized features, such as `metadata.version` (KIP-584).
    #[must_use]
    pub fn features(&self) -> &[FinalizedFeatureKey] {
        &self.features
    }

    /// The highest version of an API that both sides speak, if there is one.
    #[must_use]
    pub fn highest(&self, api: ApiKey) -> Option<i16> {
        self.version(api, i16::MAX).ok()
    }

    /// Whether the broker serves an API in a version that this client speaks.
    #[must_use]
    pub fn serves(&self, api: ApiKey) -> bool {
        self.version(api, i16::MAX).is_ok()
    }

    /// Asks in the highest version that both sides speak.
    ///
    /// # Errors
    /// If the broker does not serve it, does not answer in time, or the connection breaks. What the answer says is not looked at.
    pub async fn call<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        self.call_up_to(request, i16::MAX).await
    }

    /// As [`Connection::call`], in no version above `highest`.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn call_up_to<R: Request>(
        &self,
        request: &R,
        highest: i16,
    ) -> Result<R::Response, ClientError> {
        let version = self.version(R::KEY, highest)?;
        let answer = self.exchange(request, version).await?;
        self.decode(answer, version)
    }

    /// As [`Connection::call`], in one of these versions.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn call_within<R: Request>(
        &self,
        request: &R,
        versions: Versions,
    ) -> Result<R::Response, ClientError> {
        let version = self.version(R::KEY, versions.max)?;
        if version < versions.min {
            return Err(self.unsupported(R::KEY));
        }
        let answer = self.exchange(request, version).await?;
        self.decode(answer, version)
    }

    /// Sends a request that the broker does not answer: a Produce with `acks=0`.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn tell<R: Request>(&self, request: &R, highest: i16) -> Result<(), ClientError> {
        let version = self.version(R::KEY, highest)?;
        self.send(request, version, None).await
    }

    /// Asks for something that any broker answers at once: once it has, it has read all that was sent before.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn round_trip(&self) -> Result<(), ClientError> {
        self.api_versions().await.map(drop)
    }

    async fn api_versions(&self) -> Result<ApiVersionsResponse, ClientError> {
        let request = ApiVersionsRequest {
            client_software_name: CLIENT_ID,
            client_software_version: Str::from_static(env!("CARGO_PKG_VERSION")),
        };
        let highest = ApiVersionsRequest::VERSIONS.max;
        let answer = self.exchange(&request, highest).await?;
        // A broker that does not know the version answers in version 0, and says which it knows (KIP-511).
        let code = answer.get(CORRELATION_ID_BYTES..CORRELATION_ID_BYTES + 2);
        let unsupported = ErrorCode::UnsupportedVersion.code().to_be_bytes();
        let told: ApiVersionsResponse = if code == Some(&unsupported) {
            let told: ApiVersionsResponse = self.decode(answer, 0)?;
            let known = told
                .api_keys
                .iter()
                .find(|api| api.api_key == ApiKey::ApiVersions.number())
                .map_or(0, |api| api.max_version.clamp(0, highest));
            let answer = self.exchange(&request, known).await?;
            self.decode(answer, known)?
        } else {
            self.decode(answer, highest)?
        };
        ClientError::check(told.error_code, None)?;
        Ok(told)
    }

    fn version(&self, api: ApiKey, highest: i16) -> Result<i16, ClientError> {
        let ours = api.versions();
        self.versions
            .get(&api.number())
            .map(|theirs| (theirs.max.min(ours.max).min(highest), theirs.min))
            .filter(|(version, lowest)| *version >= ours.min && version >= lowest)
            .map(|(version, _)| version)
            .ok_or_else(|| self.unsupported(api))
    }

    fn unsupported(&self, api: ApiKey) -> ClientError {
        ClientError::Unsupported {
            broker: self.address.clone(),
            api,
        }
    }

    async fn exchange<R: Request>(&self, request: &R, version: i16) -> Result<Bytes, ClientError> {
        let (answer, answered) = oneshot::channel();
        let waited = timeout(self.answer_within, async {
            self.send(request, version, Some(answer)).await?;
            answered.await.map_err(|_| self.broken())
        });
        waited.await.unwrap_or_else(|_| {
            // Its answers may still come; nobody may take them for those of later requests.
            let _ = self
                .ended
                .set(End::Broken("it did not answer in time".to_owned()));
            Err(ClientError::TimedOut {
                broker: self.address.clone(),
                api: R::KEY,
                after: self.answer_within,
            })
        })
    }

    async fn send<R: Request>(
        &self,
        request: &R,
        version: i16,
        answer: Option<oneshot::Sender<Bytes>>,
    ) -> Result<(), ClientError> {
        let correlation_id = self.next_correlation_id.fetch_add(1, Ordering::Relaxed);
        let frame = encode_request(request, version, correlation_id, Some(CLIENT_ID))
            .map_err(|error| ClientError::Unwritable(error.to_string()))?;
        let outgoing = Outgoing {
            frame,
            correlation_id,
            answer,
        };
        self.requests
            .send(outgoing)
            .await
            .map_err(|_| self.broken())
    }

    fn decode<R: wiber_protocol::Response>(
        &self,
        answer: Bytes,
        version: i16,
    ) -> Result<R, ClientError> {
        let (_, response) =
            decode_response(answer, version).map_err(|error| ClientError::Malformed {
                broker: self.address.clone(),
                problem: error.to_string(),
            })?;
        Ok(response)
    }

    fn broken(&self) -> ClientError {
        match self.ended.get() {
            Some(End::NotKafka(problem)) => ClientError::Malformed {
                broker: self.address.clone(),
                problem: problem.clone(),
            },
            Some(End::Broken(reason)) => ClientError::Broken {
                broker: self.address.clone(),
                reason: reason.clone(),
            },
            None => ClientError::Broken {
                broker: self.address.clone(),
                reason: "it was closed".to_owned(),
            },
        }
    }
}

/// Why a connection ended.
#[derive(Clone, Debug)]
enum End {
    Broken(String),
    NotKafka(String),
}

/// Writes requests until there are none any more or the connection fails.
async fn write_requests(
    mut stream: OwnedWriteHalf,
    mut requests: mpsc::Receiver<Outgoing>,
    expect: mpsc::Sender<Expected>,
    ended: Arc<OnceLock<End>>,
) {
    loop {
        let next = tokio::select! {
            next = requests.recv() => next,
            () = expect.closed() => None,
        };
        let Some(outgoing) = next else { return };
        if let Some(answer) = outgoing.answer {
            // Before the request: its answer may be quick.
            if expect
                .send((outgoing.correlation_id, answer))
                .await
                .is_err()
            {
                return;
            }
        }
        if let Err(error) = write(&mut stream, &outgoing.frame).await {
            let _ = ended.set(End::Broken(in_words(&error)));
            return;
        }
    }
}

async fn write(stream: &mut OwnedWriteHalf, frame: &Frame) -> std::io::Result<()> {
    if frame.len() <= ONE_WRITE_BYTES {
        return stream.write_all(&frame.to_bytes()).await;
    }
    for chunk in frame.chunks() {
        stream.write_all(&chunk).await?;
    }
    Ok(())
}

/// Hands answers to those who wait for them, until the connection fails.
async fn read_answers(
    stream: OwnedReadHalf,
    mut expected: mpsc::Receiver<Expected>,
    ended: Arc<OnceLock<End>>,
) {
    let mut stream = BufReader::new(stream);
    loop {
        let frame = match read_frame(&mut stream).await {
            Ok(frame) => frame,
            Err(end) => {
                let _ = ended.set(end);
                return;
            }
        };
        let Ok((correlation_id, answer)) = expected.try_recv() else {
            let _ = ended.set(End::NotKafka("it sends what nobody asked for".to_owned()));
            return;
        };
        if peek_correlation_id(&frame) != Some(correlation_id) {
            let _ = ended.set(End::NotKafka(
                "it answers another request than the one that is next".to_owned(),
            ));
            return;
        }
        // Whoever asked may have given up.
        let _ = answer.send(frame);
    }
}

async fn read_frame(stream: &mut BufReader<OwnedReadHalf>) -> Result<Bytes, End> {
    let broken = |error: std::io::Error| End::Broken(in_words(&error));
    let mut prefix = [0; SIZE_PREFIX_BYTES];
    stream.read_exact(&mut prefix).await.map_err(broken)?;
    let declared = i32::from_be_bytes(prefix);
    let size = usize::try_from(declared)
        .ok()
        .filter(|size| *size <= MAX_ANSWER_BYTES)
        .ok_or_else(|| End::NotKafka(format!("it announces an answer of {declared} bytes")))?;
    let mut frame = BytesMut::new();
    while frame.len() < size {
        let step = (size - frame.len()).min(READ_STEP_BYTES);
        frame.reserve(step);
        let read = (&mut *stream)
            .take(step as u64)
            .read_buf(&mut frame)
            .await
            .map_err(broken)?;
        if read == 0 {
            return Err(End::Broken("the broker closed it".to_owned()));
        }
    }
    Ok(frame.freeze())
}

/// An IO error without Rust's and the system's numbers.
pub fn in_words(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::UnexpectedEof => "the broker closed it".to_owned(),
        ErrorKind::ConnectionReset => "connection reset".to_owned(),
        _ => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            text.strip_prefix("failed to lookup address information: ")
                .map_or_else(
                    || text.to_lowercase(),
                    |why| format!("unknown host ({why})"),
                )
        }
    }
}
