//! A broker of small machines that echo: what they are sent comes back through every way that a broker uses.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use wiber_broker::broker_config::NodeOptions;
use wiber_broker::{ConnectionId, Effect, Job, JobToken, Message};
use wiber_model::limit::MAX_FRAME_BYTES;
use wiber_model::{Monotonic, Now, Rng};
use wiber_protocol::{Frame, Writer};
use wiber_storage::io::BLOCK_BYTES;
use wiber_storage::{DiskOp, FileId, OpToken};

use super::*;

/// How long anything may take that is expected to happen.
const DEADLINE: Duration = Duration::from_secs(60);

/// What the machines tell the test.
#[derive(Default)]
struct Record {
    connected: usize,
    disconnected: BTreeMap<ConnectionId, usize>,
    frames: usize,
    held: usize,
}

type Shared = Arc<Mutex<Record>>;

/// A shard that answers a frame by its first word:
/// - `shard`: with its number; `count`: with the frame's length; `big`: with 64 KiB
/// - `none`: with nothing; `close`: by closing the connection; `fatal` and `panic`: not at all
/// - `hold`: when somebody sends `free`
/// - `relay`: when every other machine has answered; `wal`: when a block is durable in the WAL
/// - `file`: when a file was written and read back; `job`: when a job is done; `timer MS`: after a time
/// - anything else: with the frame.
///
/// Answers are kept in order for each connection.
struct EchoShard {
    number: u16,
    others: Vec<Address>,
    connections: HashMap<ConnectionId, VecDeque<(u64, Option<Bytes>)>>,
    requests: u64,
    held: Vec<(ConnectionId, u64, Bytes)>,
    timed: BTreeMap<(Monotonic, u64), (ConnectionId, Bytes)>,
    waiting: BTreeMap<u64, (ConnectionId, Bytes, usize)>,
    last_from: HashMap<Address, u64>,
    record: Shared,
}

fn frame_of(bytes: &Bytes) -> Frame {
    let mut writer = Writer::with_capacity(4);
    writer.reserve_size();
    writer.put_shared(bytes);
    writer.finish_sized().unwrap()
}

impl EchoShard {
    fn new(number: u16, shards: u16, record: &Shared) -> EchoShard {
        let others = (0..shards).filter(|other| *other != number);
        let others = others.map(Address::Shard);
        EchoShard {
            number,
            others: others.chain([Address::Controller, Address::Disk]).collect(),
            connections: HashMap::new(),
            requests: 0,
            held: Vec::new(),
            timed: BTreeMap::new(),
            waiting: BTreeMap::new(),
            last_from: HashMap::new(),
            record: record.clone(),
        }
    }

    fn answer(
        &mut self,
        connection: ConnectionId,
        request: u64,
        answer: Bytes,
        effects: &mut Vec<Effect>,
    ) {
        let Some(queue) = self.connections.get_mut(&connection) else {
            return;
        };
        let slot = queue.iter_mut().find(|(id, _)| *id == request).unwrap();
        slot.1 = Some(answer);
        while let Some((_, answer)) = queue.pop_front_if(|(_, answer)| answer.is_some()) {
            let answer = answer.unwrap();
            effects.push(Effect::Respond {
                connection,
                frame: (&answer[..] != b"none").then(|| frame_of(&answer)),
            });
        }
    }

    /// One of the parts that a request waits for is done.
    fn part_done(&mut self, request: u64, effects: &mut Vec<Effect>) {
        let waiting = self.waiting.get_mut(&request).unwrap();
        waiting.2 -= 1;
        if waiting.2 == 0 {
            let (connection, frame, _) = self.waiting.remove(&request).unwrap();
            self.answer(connection, request, frame, effects);
        }
    }

    fn frame(
        &mut self,
        now: Now,
        connection: ConnectionId,
        frame: Bytes,
        effects: &mut Vec<Effect>,
    ) {
        self.requests += 1;
        let request = self.requests;
        let queue = self.connections.get_mut(&connection).unwrap();
        queue.push_back((request, None));
        self.record.lock().unwrap().frames += 1;
        let word = frame.split(|byte| *byte == b' ').next().unwrap();
        let mut wait = |parts| {
            self.waiting
                .insert(request, (connection, frame.clone(), parts));
        };
        match word {
            b"shard" => {
                let number = Bytes::from(self.number.to_string());
                self.answer(connection, request, number, effects);
            }
            b"count" => {
                let count = Bytes::from(frame.len().to_string());
                self.answer(connection, request, count, effects);
            }
            b"big" => {
                let big = Bytes::from(vec![b'x'; 64 * 1024]);
                self.answer(connection, request, big, effects);
            }
            b"close" => effects.push(Effect::Close {
                connection,
                reason: "asked to".to_owned(),
            }),
            b"fatal" => effects.push(Effect::Fatal("the disk is gone".to_owned())),
            b"panic" => panic!("asked to"),
            b"hold" => {
                self.held.push((connection, request, frame));
                self.record.lock().unwrap().held = self.held.len();
            }
            b"free" => {
                for (connection, request, frame) in std::mem::take(&mut self.held) {
                    self.answer(connection, request, frame, effects);
                }
                self.answer(connection, request, frame, effects);
            }
            b"timer" => {
                let text = str::from_utf8(&frame).unwrap();
                let ms = text.split(' ').nth(1).unwrap().parse().unwrap();
                let at = now.monotonic.plus_ms(ms);
                self.timed.insert((at, request), (connection, frame));
                effects.extend(self.timed.keys().next().map(|(at, _)| Effect::WakeAt(*at)));
            }
            b"relay" => {
                wait(self.others.len());
                for to in self.others.clone() {
                    let message = Message::Durable { frames: request };
                    effects.push(Effect::Send { to, message });
                }
            }
            b"wal" => {
                wait(1);
                let message = Message::Written { frames: request };
                let to = Address::Disk;
                effects.push(Effect::Send { to, message });
            }
            b"file" => {
                wait(2);
                for (file, token) in [(FileId::Checkpoint, 0), (FileId::CheckpointDraft, 1)] {
                    effects.push(Effect::Disk {
                        token: OpToken(request << 1 | token),
                        op: DiskOp::Write {
                            file,
                            at: 0,
                            data: vec![frame.clone()],
                        },
                    });
                }
            }
            b"job" => {
                wait(1);
                effects.push(Effect::Job {
                    token: JobToken(request),
                    job: Job::Validate {
                        parts: Vec::new(),
                        now: now.wall,
                    },
                });
            }
            _ => self.answer(connection, request, frame, effects),
        }
    }
}

impl Machine for EchoShard {
    fn step(&mut self, now: Now, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Connected {
                connection,
                peer,
                local,
                ..
            } => {
                assert!(peer.ip().is_loopback() && local.ip().is_loopback());
                self.connections.insert(connection, VecDeque::new());
                self.record.lock().unwrap().connected += 1;
            }
            Event::Frame { connection, frame } => self.frame(now, connection, frame, effects),
            Event::Disconnected { connection } => {
                self.connections.remove(&connection).unwrap();
                let mut record = self.record.lock().unwrap();
                *record.disconnected.entry(connection).or_default() += 1;
            }
            Event::Message {
                from,
                message: Message::Durable { frames },
            } => {
                let last = self.last_from.insert(from, frames);
                assert!(last < Some(frames), "messages of {from:?} come in order");
                let message = Message::Written { frames };
                effects.push(Effect::Send { to: from, message });
            }
            Event::Message {
                message: Message::Written { frames },
                ..
            } => self.part_done(frames, effects),
            Event::DiskDone { token, result } => {
                result.unwrap();
                self.part_done(token.0 >> 1, effects);
            }
            Event::JobDone { token, .. } => self.part_done(token.0, effects),
            Event::Timer => {
                let late = self.timed.split_off(&(Monotonic(now.monotonic.0 + 1), 0));
                for ((_, request), (connection, frame)) in std::mem::replace(&mut self.timed, late)
                {
                    self.answer(connection, request, frame, effects);
                }
                effects.extend(self.timed.keys().next().map(|(at, _)| Effect::WakeAt(*at)));
            }
            other => panic!("unexpected: {other:?}"),
        }
    }
}

/// A controller that has nothing to do.
struct EchoController {
    is_ready: bool,
    stops: bool,
}

impl Machine for EchoController {
    fn step(&mut self, _: Now, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Timer if !std::mem::replace(&mut self.is_ready, true) => {
                effects.push(Effect::Ready);
            }
            Event::Message {
                from,
                message: Message::Durable { frames },
            } => effects.push(Effect::Send {
                to: from,
                message: Message::Written { frames },
            }),
            Event::Shutdown if self.stops => effects.push(Effect::Stopped),
            _ => {}
        }
    }
}

/// A disk that writes a block for whatever has come while it wrote the last one.
#[derive(Default)]
struct EchoDisk {
    allocated: bool,
    is_writing: bool,
    waiting: Vec<(Address, u64)>,
    writing: Vec<(Address, u64)>,
    writes: u64,
}

const EXTENT_BLOCKS: u64 = 16;

impl EchoDisk {
    fn write(&mut self, effects: &mut Vec<Effect>) {
        if self.is_writing || self.waiting.is_empty() || !self.allocated {
            return;
        }
        self.is_writing = true;
        self.writing = std::mem::take(&mut self.waiting);
        self.writes += 1;
        effects.push(Effect::Disk {
            token: OpToken(self.writes),
            op: DiskOp::WalWrite {
                file: FileId::Wal(1),
                at: self.writes % EXTENT_BLOCKS * BLOCK_BYTES as u64,
                data: Bytes::from(vec![self.writes as u8; BLOCK_BYTES]),
                sync: true,
            },
        });
    }
}

impl Machine for EchoDisk {
    fn step(&mut self, _: Now, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Timer => effects.push(Effect::Disk {
                token: OpToken(0),
                op: DiskOp::Allocate {
                    file: FileId::Wal(1),
                    len: EXTENT_BLOCKS * BLOCK_BYTES as u64,
                },
            }),
            Event::Message {
                from,
                message: Message::Durable { frames },
            } => effects.push(Effect::Send {
                to: from,
                message: Message::Written { frames },
            }),
            Event::Message {
                from,
                message: Message::Written { frames },
            } => self.waiting.push((from, frames)),
            Event::DiskDone { token, result } => {
                result.unwrap();
                self.allocated = true;
                self.is_writing &= token.0 != self.writes;
                for (to, frames) in self.writing.drain(..) {
                    let message = Message::Written { frames };
                    effects.push(Effect::Send { to, message });
                }
            }
            other => panic!("unexpected: {other:?}"),
        }
        self.write(effects);
    }
}

fn listener(host: &str, port: u16) -> Listener {
    Listener {
        name: "PLAINTEXT".to_owned(),
        host: host.to_owned(),
        port,
    }
}

/// A server of these machines on a directory that goes away with it.
struct Echo {
    server: Option<Server>,
    address: SocketAddr,
    record: Shared,
    path: PathBuf,
}

impl Echo {
    fn start(shards: u16) -> Echo {
        Echo::with(shards, Limits::default(), true)
    }

    fn with(shards: u16, limits: Limits, stops: bool) -> Echo {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("wiber-echo-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let record = Shared::default();
        let machines = Machines {
            shards: (0..shards)
                .map(|shard| {
                    Box::new(EchoShard::new(shard, shards, &record)) as Box<dyn Machine + Send>
                })
                .collect(),
            controller: Box::new(EchoController {
                is_ready: false,
                stops,
            }),
            disk: Box::new(EchoDisk::default()),
        };
        let directory = DataDirectory::open(&path, 100).unwrap();
        let network = NodeOptions::default().network;
        let socket = bind(&listener("127.0.0.1", 0), &network).unwrap();
        let sockets = vec![("PLAINTEXT".to_owned(), socket)];
        let server = Server::run(machines, directory, sockets, Clock::new(), limits).unwrap();
        Echo {
            address: server.listening()[0].address,
            server: Some(server),
            record,
            path,
        }
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Client(stream)
    }

    fn wait_until(&self, what: &str, condition: impl Fn(&Record) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !condition(&self.record.lock().unwrap()) {
            assert!(Instant::now() < end, "not in time: {what}");
            std::thread::yield_now();
        }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    fn notice(&self) -> Notice {
        let until = Instant::now() + DEADLINE;
        self.server().wait_for_notice(Some(until)).unwrap()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.server = None;
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

struct Client(TcpStream);

impl Client {
    fn send(&mut self, frame: &[u8]) {
        self.try_send(frame).unwrap();
    }

    fn try_send(&mut self, frame: &[u8]) -> io::Result<()> {
        // In one piece: half a frame does not wait for long.
        let size = (frame.len() as i32).to_be_bytes();
        self.0.write_all(&[&size[..], frame].concat())
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut size = [0; 4];
        self.0.read_exact(&mut size).unwrap();
        let mut frame = vec![0; i32::from_be_bytes(size) as usize];
        self.0.read_exact(&mut frame).unwrap();
        frame
    }

    fn ask(&mut self, frame: impl AsRef<[u8]>) -> Vec<u8> {
        self.send(frame.as_ref());
        self.receive()
    }

    /// Waits until the server closes the connection; what came before.
    fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("{error}"),
        }
        rest
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    for shards in 1..=3 {
        let echo = Echo::start(shards);
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let client = echo.connect();
                scope.spawn(move || {
                    let mut rng = Rng::new(seed);
                    let ways = ["echo", "relay", "wal", "file", "job", "timer"];
                    let frames: Vec<Vec<u8>> = (0..400)
                        .map(|n| {
                            let most = [20, 2_000, 200_000][rng.below(3) as usize];
                            let way = ways[rng.below(ways.len() as u64) as usize];
                            let mut frame = format!("{way} {} {n} ", n % 7).into_bytes();
                            frame.resize(frame.len() + rng.below(most) as usize, b'.');
                            frame
                        })
                        .collect();
                    let mut writer = Client(client.0.try_clone().unwrap());
                    let mut reader = client;
                    std::thread::scope(|scope| {
                        scope.spawn(|| frames.iter().for_each(|frame| writer.send(frame)));
                        for frame in &frames {
                            assert!(reader.receive() == *frame);
                        }
                    });
                });
            }
        });
    }
}

#[test]
fn machines_hear_of_each_connection_once() {
    let echo = Echo::start(2);
    let mut clients: Vec<Client> = (0..50).map(|_| echo.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.ask("echo"), b"echo");
    }
    for (n, mut client) in clients.into_iter().enumerate() {
        match n % 3 {
            0 => drop(client),
            1 => client.0.shutdown(Shutdown::Write).unwrap(),
            _ => assert_eq!(
                {
                    client.send(b"close");
                    client.rest()
                },
                b""
            ),
        }
    }
    echo.wait_until("every disconnection", |record| {
        record.disconnected.len() == 50
    });
    let record = echo.record.lock().unwrap();
    assert_eq!(record.connected, 50);
    assert!(record.disconnected.values().all(|times| *times == 1));
}

#[test]
fn clients_are_spread_over_the_shards() {
    let echo = Echo::start(3);
    let mut clients: Vec<Client> = (0..30).map(|_| echo.connect()).collect();
    let mut counts = BTreeMap::new();
    for client in &mut clients {
        *counts.entry(client.ask("shard")).or_insert(0) += 1;
    }
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [10, 10, 10]);
}

#[test]
fn a_frame_of_the_largest_size_fits_however_small_the_budget() {
    let limits = Limits {
        requests_max_bytes: 1024,
        ..Limits::default()
    };
    let echo = Echo::with(1, limits, true);
    let mut frame = b"count ".to_vec();
    frame.resize(MAX_FRAME_BYTES, b'.');
    let count = MAX_FRAME_BYTES.to_string();
    assert_eq!(echo.connect().ask(&frame), count.as_bytes());
}

#[test]
fn streams_that_are_none_of_frames_end() {
    let echo = Echo::start(1);
    let too_large = (MAX_FRAME_BYTES as i32 + 1).to_be_bytes();
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4], &too_large] {
        let mut client = echo.connect();
        assert_eq!(client.ask("echo"), b"echo");
        client.0.write_all(garbage).unwrap();
        assert_eq!(client.rest(), b"");
    }
    assert_eq!(echo.connect().ask("echo"), b"echo");
}

#[test]
fn half_a_frame_does_not_wait_for_ever() {
    let limits = Limits {
        stalled: Duration::from_millis(40),
        ..Limits::default()
    };
    let echo = Echo::with(1, limits, true);
    let mut patient = echo.connect();
    for half in [
        &[0][..],
        &[0, 0, 1, 0],
        &[0, 0, 1, 0, 7, 7],
        &[0, 100, 0, 0, 7, 7],
    ] {
        let mut client = echo.connect();
        assert_eq!(client.ask("echo"), b"echo");
        client.0.write_all(half).unwrap();
        assert_eq!(client.rest(), b"");
    }
    assert_eq!(patient.ask("echo"), b"echo");
}

#[test]
fn idle_connections_end_and_waiting_ones_do_not() {
    let limits = Limits {
        idle: Duration::from_secs(1),
        ..Limits::default()
    };
    let echo = Echo::with(1, limits, true);
    let mut waiting = echo.connect();
    waiting.send(b"hold");
    let mut idle = echo.connect();
    assert_eq!(idle.ask("echo"), b"echo");
    assert_eq!(idle.rest(), b"");
    echo.connect().ask("free");
    assert_eq!(waiting.receive(), b"hold");
}

#[test]
fn a_closed_connection_gets_its_answers_first() {
    let echo = Echo::start(1);
    let mut client = echo.connect();
    let mut requests = Vec::new();
    let words = ["big", "none", "echo", "close", "echo", "panic"];
    for frame in words {
        requests.extend((frame.len() as i32).to_be_bytes());
        requests.extend(frame.as_bytes());
    }
    client.0.write_all(&requests).unwrap();
    let rest = client.rest();
    assert_eq!(rest.len(), 4 + 64 * 1024 + 4 + 4);
    assert!(rest.ends_with(b"\0\0\0\x04echo"));
    echo.wait_until("the disconnection", |record| record.disconnected.len() == 1);
    assert_eq!(echo.record.lock().unwrap().frames, 4);
}

#[test]
fn a_client_with_many_unanswered_requests_is_not_read() {
    const FRAMES: usize = 100;
    let in_bytes = |len: usize| Limits {
        unanswered_max_bytes: 4 * len,
        ..Limits::default()
    };
    let in_number = || Limits {
        unanswered_max: 4,
        ..Limits::default()
    };
    for (limits, len) in [
        (in_number(), 10),
        (in_number(), 100_000),
        (in_bytes(10), 10),
        (in_bytes(100_000), 100_000),
    ] {
        let echo = Echo::with(1, limits, true);
        let mut client = echo.connect();
        let mut other = echo.connect();
        let mut frame = b"hold ".to_vec();
        frame.resize(len, b'.');
        std::thread::scope(|scope| {
            let mut writer = Client(client.0.try_clone().unwrap());
            let frame = &frame;
            scope.spawn(move || (0..FRAMES).for_each(|_| writer.send(frame)));
            for _ in 0..FRAMES / 4 {
                echo.wait_until("requests", |record| record.held >= 4);
                assert_eq!(other.ask("echo"), b"echo");
                let held = std::mem::take(&mut echo.record.lock().unwrap().held);
                assert_eq!(held, 4, "requests are read beyond the limit");
                assert_eq!(other.ask("free"), b"free");
                for _ in 0..held {
                    assert!(client.receive() == *frame);
                }
            }
        });
    }
}

#[test]
fn a_client_that_takes_no_responses_is_not_read() {
    const REQUESTS: usize = 4000;
    let limits = Limits {
        unsent_max_bytes: 256 * 1024,
        ..Limits::default()
    };
    let echo = Echo::with(1, limits, true);
    let mut client = echo.connect();
    let mut writer = Client(client.0.try_clone().unwrap());
    let writing = std::thread::spawn(move || {
        (0..REQUESTS).for_each(|_| writer.send(b"big"));
    });
    // The sockets' memory and the limit together hold far less than all responses, which are 250 MiB.
    let mut seen = 0;
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_millis(200) {
        let frames = echo.record.lock().unwrap().frames;
        if frames != seen {
            (seen, since) = (frames, Instant::now());
        }
        std::thread::yield_now();
    }
    assert!(seen < REQUESTS / 4, "{seen} requests were served");
    assert_eq!(echo.connect().ask("echo"), b"echo");
    for _ in 0..REQUESTS {
        assert_eq!(client.receive().len(), 64 * 1024);
    }
    writing.join().unwrap();
}

#[test]
fn half_frames_that_use_up_the_budget_are_completed_one_by_one() {
    let limits = Limits {
        requests_max_bytes: 256 * 1024,
        ..Limits::default()
    };
    let echo = Echo::with(2, limits, true);
    let mut frame = b"count ".to_vec();
    frame.resize(200_000, b'.');
    let mut clients: Vec<Client> = (0..8).map(|_| echo.connect()).collect();
    for client in &mut clients {
        client.0.write_all(&200_000i32.to_be_bytes()).unwrap();
        client.0.write_all(&frame[..100_000]).unwrap();
    }
    // What is sent first is not read first.
    for client in clients.iter_mut().rev() {
        client.0.write_all(&frame[100_000..]).unwrap();
    }
    for client in &mut clients {
        assert_eq!(client.receive(), b"200000");
        assert_eq!(client.ask("echo"), b"echo");
    }
}

#[test]
fn a_spent_budget_stops_reading_until_there_is_room() {
    let limits = Limits {
        requests_max_bytes: 100_000,
        ..Limits::default()
    };
    let echo = Echo::with(2, limits, true);
    let mut clients: Vec<Client> = (0..4).map(|_| echo.connect()).collect();
    let shards: Vec<Vec<u8>> = clients
        .iter_mut()
        .map(|client| client.ask("shard"))
        .collect();
    let other = (1..4).find(|n| shards[*n] != shards[0]).unwrap();
    let mut frame = b"timer 200 ".to_vec();
    frame.resize(120_000, b'.');
    let begun = Instant::now();
    let served = echo.record.lock().unwrap().frames;
    clients[0].send(&frame);
    echo.wait_until("the request", |record| record.frames > served);
    // The budget is that of all shards, and so is the room that the answer makes.
    assert_eq!(clients[other].ask("echo"), b"echo");
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert!(clients[0].receive() == frame);
}

#[test]
fn connections_beyond_the_limit_are_refused() {
    let mut limits = Limits::default();
    limits.admission.connections_max = 2;
    let echo = Echo::with(1, limits, true);
    let (mut first, mut second) = (echo.connect(), echo.connect());
    assert_eq!(first.ask("echo"), b"echo");
    assert_eq!(second.ask("echo"), b"echo");
    assert_eq!(echo.connect().rest(), b"");
    drop(first);
    echo.wait_until("the disconnection", |record| record.disconnected.len() == 1);
    assert_eq!(echo.connect().ask("echo"), b"echo");
}

#[test]
fn a_broker_that_cannot_go_on_says_why_and_answers_nothing_more() {
    let echo = Echo::start(1);
    let mut client = echo.connect();
    client.send(b"fatal");
    // The broker may be gone before this one is sent.
    let _ = client.try_send(b"echo");
    let Notice::Failed(reason) = echo.notice() else {
        panic!("it failed");
    };
    assert_eq!(reason, "the disk is gone");
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_thread_that_panics_fails_the_broker() {
    let echo = Echo::start(2);
    echo.connect().send(b"panic");
    let Notice::Failed(reason) = echo.notice() else {
        panic!("it failed");
    };
    assert!(reason.contains("thread shard-"), "{reason}");
}

#[test]
fn stopping_waits_for_the_controller_but_not_for_ever() {
    let mut echo = Echo::start(2);
    let server = echo.server.take().unwrap();
    server.shutdown().unwrap();
    let mut stuck = Echo::with(2, Limits::default(), false);
    let server = stuck.server.take().unwrap();
    let begun = Instant::now();
    let limit = Duration::from_millis(50);
    server.shutdown_within(limit).unwrap();
    assert!(begun.elapsed() >= limit);
    // Whoever connected is cut off, and nobody else can connect.
    assert!(TcpStream::connect(echo.address).is_err());
}

#[test]
fn a_server_that_stops_takes_no_more_requests() {
    let mut stuck = Echo::with(2, Limits::default(), false);
    let mut clients: Vec<Client> = (0..2).map(|_| stuck.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.ask("echo"), b"echo");
    }
    let mut waiting = stuck.connect();
    waiting.send(b"timer 100");
    stuck.wait_until("the request", |record| record.frames == 3);
    let server = stuck.server.take().unwrap();
    let stopping = std::thread::spawn(move || server.shutdown_within(Duration::from_secs(1)));
    let end = Instant::now() + DEADLINE;
    while TcpStream::connect(stuck.address).is_ok() {
        assert!(Instant::now() < end, "clients are accepted");
    }
    // The first shard has stopped serving, and the second has the same mail; or the server is gone already.
    let _ = clients[0].try_send(b"echo");
    // What was taken is answered.
    assert_eq!(waiting.receive(), b"timer 100");
    stopping.join().unwrap().unwrap();
    assert_eq!(stuck.record.lock().unwrap().frames, 3);
}

#[test]
fn a_taken_port_is_named_with_the_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener("127.0.0.1", taken.local_addr().unwrap().port());
    for wrong in [taken, listener("192.0.2.1", 9092)] {
        let error = bind(&wrong, &NodeOptions::default().network).err();
        let text = error.unwrap().to_string();
        let address = wrong.to_string();
        assert!(
            text.contains(&address) && text.contains("--listen"),
            "{text}"
        );
    }
}

/// Prints figures; there is nothing to assert about them.
#[test]
fn figures() {
    fn resident_kib() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
    let echo = Echo::start(1);
    let mut client = echo.connect();
    for (name, frame) in [("echo", vec![b'e'; 1024]), ("wal", b"wal ".repeat(256))] {
        let mut times: Vec<Duration> = (0..3000)
            .map(|_| {
                let begun = Instant::now();
                client.ask(&frame);
                begun.elapsed()
            })
            .collect();
        times.sort();
        println!(
            "{name} of 1 KiB: p50 {:?}, p99 {:?}",
            times[1500], times[2970]
        );
    }
    let before = resident_kib();
    let mut clients: Vec<Client> = (0..1000).map(|_| echo.connect()).collect();
    for client in &mut clients {
        client.ask("echo");
    }
    let after = resident_kib();
    println!("1,000 idle connections: {} KiB more", after - before);
}
