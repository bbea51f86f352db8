//! Connections between clients and shards: frames in order in both directions, until either end closes.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use wiber_broker::{Address, ConnectionId, Event};
use wiber_model::Rng;
use wiber_protocol::Frame;

use super::{Item, World};
use crate::checker::Scene;
use crate::client::Action;
use crate::exchange::{Answer, Ask, Exchange, GroupSeen};
use crate::story::About;

/// A frame takes up to so long over the network, in nanoseconds.
const NETWORK_NS: u64 = 100_000;
/// A client hears up to so much later that its connection is gone.
const LOSS_NS: u64 = 3_000_000;

/// What comes to a client.
#[derive(Debug)]
pub(super) enum Delivery {
    /// The connection is open.
    Opened,
    /// An answer.
    Answered(Box<Exchange>, Answer),
    /// The connection is gone, or could not be opened.
    Lost,
}

/// A connection.
#[derive(Debug)]
struct Link {
    client: usize,
    shard: u16,
    /// The broker has it.
    open: bool,
    /// The client knows that it is gone.
    lost: bool,
    /// What is not answered, in order; so many of them came in at the broker.
    waiting: VecDeque<Exchange>,
    arrived: usize,
    next_correlation_id: i32,
    /// When the last delivery to the client arrives.
    last_delivery: u64,
}

/// All connections.
#[derive(Debug)]
pub(super) struct Links {
    links: BTreeMap<u64, Link>,
    /// By client.
    of_clients: Vec<Option<u64>>,
    next: u64,
    /// How many shards the broker has.
    pub shards: u16,
}

impl Links {
    pub fn new(clients: usize) -> Links {
        Links {
            links: BTreeMap::new(),
            of_clients: vec![None; clients],
            next: 1,
            shards: 1,
        }
    }

    /// One of the clients that have a connection.
    pub fn some_client(&self, rng: &mut Rng) -> Option<usize> {
        let connected: Vec<_> = (0..self.of_clients.len())
            .filter(|client| self.of_clients[*client].is_some())
            .collect();
        connected
            .get(rng.below(connected.len().max(1) as u64) as usize)
            .copied()
    }

    /// The link, as long as the broker has it.
    fn open(&mut self, connection: ConnectionId) -> Option<&mut Link> {
        self.links.get_mut(&connection.0).filter(|link| link.open)
    }

    /// Forgets a link that is gone at both ends.
    fn forget(&mut self, number: u64) {
        if self
            .links
            .get(&number)
            .is_some_and(|link| link.lost && !link.open)
        {
            self.links.remove(&number);
        }
    }
}

impl World<'_> {
    /// Does what a client wants.
    pub(super) fn perform_action(&mut self, client: usize, action: Action) {
        match action {
            Action::Connect => self.connect(client),
            Action::Send(ask, version) => self.send_request(client, *ask, version),
            Action::Disconnect => self.disconnect_client(client),
        }
    }

    fn connect(&mut self, client: usize) {
        let number = self.links.next;
        self.links.next += 1;
        self.links.of_clients[client] = Some(number);
        let open = self
            .running
            .as_ref()
            .is_some_and(|running| !running.stopping);
        let shard = self.rng.below(u64::from(self.links.shards)) as u16;
        let link = Link {
            client,
            shard,
            open,
            lost: false,
            waiting: VecDeque::new(),
            arrived: 0,
            next_correlation_id: self.rng.below(1 << 31) as i32,
            last_delivery: 0,
        };
        self.links.links.insert(number, link);
        if open {
            let address = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
            let event = Event::Connected {
                connection: ConnectionId(number),
                peer: address(10_000 + client as u16),
                local: address(9092),
                listener: 0,
            };
            self.send_event(None, Address::Shard(shard), event);
            self.deliver_later(number, NETWORK_NS, Delivery::Opened);
        } else {
            self.deliver_later(number, LOSS_NS, Delivery::Lost);
        }
    }

    fn send_request(&mut self, client: usize, ask: Ask, version: i16) {
        let Some(number) = self.links.of_clients[client] else {
            return;
        };
        let Some(link) = self.links.links.get_mut(&number) else {
            return;
        };
        let exchange = Exchange {
            ask,
            version,
            correlation_id: link.next_correlation_id,
            sent_ns: self.now_ns,
            arrived_ns: None,
            seen: Vec::new(),
            group: GroupSeen::default(),
        };
        link.next_correlation_id = link.next_correlation_id.wrapping_add(1);
        match exchange.encode() {
            Ok(frame) => {
                let (shard, open) = (link.shard, link.open);
                link.waiting.push_back(exchange);
                if let Some(client) = self.clients[client].as_mut() {
                    client.connection().sent(self.now_ns);
                }
                if open {
                    let connection = ConnectionId(number);
                    self.send_event(
                        None,
                        Address::Shard(shard),
                        Event::Frame { connection, frame },
                    );
                }
            }
            Err(error) => self.checker.fail(
                About::Client(client),
                format!("a request cannot be written: {error}"),
            ),
        }
    }

    /// A client closes its connection, or the network does.
    pub(super) fn disconnect_client(&mut self, client: usize) {
        let Some(number) = self.links.of_clients[client].take() else {
            return;
        };
        let connection = ConnectionId(number);
        if let Some(link) = self.links.open(connection) {
            let shard = link.shard;
            self.send_event(
                None,
                Address::Shard(shard),
                Event::Disconnected { connection },
            );
        }
        self.deliver_later(number, LOSS_NS, Delivery::Lost);
    }

    /// The broker closes a connection.
    pub(super) fn close_by_broker(&mut self, connection: ConnectionId, reason: &str) {
        let Some(link) = self.links.open(connection) else {
            return;
        };
        let client = link.client;
        // With acks=0 that is how a producer learns that something went wrong.
        let excused = link
            .waiting
            .iter()
            .any(|exchange| !exchange.ask.is_answered());
        link.open = false;
        self.story.tell(About::Client(client), || {
            format!("its connection is closed: {reason}")
        });
        if !excused {
            self.checker.fail(
                About::Client(client),
                format!("the broker closes a connection: {reason}"),
            );
        }
        self.deliver_later(connection.0, LOSS_NS, Delivery::Lost);
    }

    /// The broker is gone, and all connections with it. What it sent may still arrive.
    pub(super) fn cut_links(&mut self) {
        let numbers: Vec<_> = self.links.links.keys().copied().collect();
        for number in numbers {
            if let Some(link) = self.links.open(ConnectionId(number)) {
                link.open = false;
                self.deliver_later(number, LOSS_NS, Delivery::Lost);
                self.links.forget(number);
            }
        }
    }

    /// Looks at an event on its way into a machine. Returns none if it does not get there.
    pub(super) fn admit(&mut self, to: Address, event: Event) -> Option<Event> {
        match &event {
            Event::Frame { connection, .. } => {
                let running = self.running.as_ref()?;
                let link = self.links.open(*connection)?;
                if let (Address::Shard(number), Some(exchange)) =
                    (to, link.waiting.get_mut(link.arrived))
                {
                    self.checker.arrive(
                        exchange,
                        &running.shards[usize::from(number)],
                        self.now_ns,
                    );
                    link.arrived += 1;
                }
            }
            Event::Disconnected { connection } => {
                self.links.open(*connection)?.open = false;
                self.links.forget(connection.0);
            }
            _ => {}
        }
        Some(event)
    }

    /// The broker answers the oldest request of a connection.
    pub(super) fn respond(
        &mut self,
        from: Address,
        connection: ConnectionId,
        frame: Option<Frame>,
    ) {
        let Some(link) = self
            .links
            .open(connection)
            .filter(|link| from == Address::Shard(link.shard))
        else {
            self.checker.fail(
                About::Broker,
                "an answer goes to a connection that is closed",
            );
            return;
        };
        let client = link.client;
        let exchange = match link.waiting.pop_front() {
            Some(exchange) if link.arrived > 0 => exchange,
            _ => {
                self.checker.fail(
                    About::Client(client),
                    "an answer comes that nobody asked for",
                );
                return;
            }
        };
        link.arrived -= 1;
        let answer = match frame {
            None => Ok(Answer::Nothing),
            Some(frame) => exchange.decode(&frame.to_bytes()),
        };
        match answer {
            Err(what) => self.checker.fail(About::Client(client), what),
            Ok(answer) => {
                let now = self.now();
                let mut scene = Scene {
                    now,
                    wal: self.disk.wal(),
                    coverage: &mut self.coverage,
                    story: self.story,
                };
                self.checker.answered(&exchange, &answer, &mut scene);
                self.deliver_later(
                    connection.0,
                    NETWORK_NS,
                    Delivery::Answered(Box::new(exchange), answer),
                );
            }
        }
    }

    /// Sends something to a client, after what was sent before.
    fn deliver_later(&mut self, number: u64, within_ns: u64, delivery: Delivery) {
        let delay = 1 + self.rng.below(within_ns);
        let Some(link) = self.links.links.get_mut(&number) else {
            return;
        };
        link.last_delivery = (self.now_ns + delay).max(link.last_delivery + 1);
        let at = link.last_delivery;
        self.schedule_at(at, Item::Delivery(number, Box::new(delivery)));
    }

    /// Something comes to a client.
    pub(super) fn deliver(&mut self, number: u64, delivery: Delivery) {
        let Some(link) = self.links.links.get_mut(&number) else {
            return;
        };
        let client = link.client;
        let of_client = self.links.of_clients[client];
        let current = of_client == Some(number);
        match delivery {
            Delivery::Lost if !link.lost => {
                link.lost = true;
                self.links.forget(number);
                if !current && of_client.is_some() {
                    return;
                }
                self.links.of_clients[client] = None;
                self.act(client, |client, hands| {
                    client.connection().lost();
                    client.lost(hands);
                });
            }
            Delivery::Opened if current => {
                self.act(client, |client, _| client.connection().opened());
            }
            Delivery::Answered(exchange, answer) if current => {
                self.act(client, |client, hands| {
                    client.connection().answered();
                    client.answered(&exchange, &answer, hands);
                });
            }
            _ => return,
        }
        self.rouse(client);
    }
}
