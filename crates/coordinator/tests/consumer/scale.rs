//! Large groups settle in few heartbeats, and cost little.

use wiber_coordinator::{ConsumerHeartbeat, TopicPartitions};

use super::harness::{World, join, owning, plain};

const MEMBERS: usize = 1_000;
const TOPICS: usize = 100;
const PARTITIONS: i32 = 100;

/// A client that gives up at once what it is to give up.
struct Client {
    id: String,
    epoch: i32,
    owned: TopicPartitions,
    /// Whether the coordinator knows what it has.
    is_known: bool,
}

impl Client {
    fn hear(&mut self, answer: ConsumerHeartbeat) {
        self.epoch = answer.member_epoch;
        self.is_known = true;
        if let Some(assignment) = answer.assignment {
            self.is_known = assignment == self.owned;
            self.owned = assignment;
        }
    }

    fn heartbeat(&mut self, world: &mut World) {
        let request = if self.is_known {
            plain(&self.id, self.epoch)
        } else {
            owning(&self.id, self.epoch, self.owned.clone())
        };
        let answer = world.beat(request).expect("a member");
        self.hear(answer);
    }
}

/// Lets all members join one after the other, and heartbeat until nothing moves. Returns how many rounds of heartbeats it took.
fn settle(interval_ms: i32, assignor: &str, heartbeats_between: usize) -> usize {
    let names: Vec<String> = (0..TOPICS).map(|number| format!("topic{number}")).collect();
    let mut world = World::with(&[], |config| {
        config.consumer_assignment_interval_ms = interval_ms;
    });
    world.validates = false;
    for name in &names {
        world.set_topic(name, PARTITIONS);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut clients: Vec<Client> = Vec::new();
    for number in 0..MEMBERS {
        let mut client = Client {
            id: format!("member{number:04}"),
            epoch: 0,
            owned: TopicPartitions::new(),
            is_known: true,
        };
        let mut request = join(&client.id, &names);
        request.assignor = Some(assignor.to_owned());
        let answer = world.beat(request).expect("joined");
        client.hear(answer);
        clients.push(client);
        world.pass(1);
        for other in 0..heartbeats_between {
            let other = (number * 7 + other * 13) % clients.len();
            clients[other].heartbeat(&mut world);
        }
    }
    for round in 1..=20 {
        world.pass(5_000);
        for client in &mut clients {
            client.heartbeat(&mut world);
        }
        if world.state() == "Stable" && clients.iter().all(|client| client.is_known) {
            world.coordinator.validate();
            let loads: Vec<usize> = clients
                .iter()
                .map(|client| client.owned.values().map(Vec::len).sum())
                .collect();
            assert_eq!(loads.iter().sum::<usize>(), TOPICS * PARTITIONS as usize);
            if assignor == "uniform" {
                assert!(loads.iter().all(|load| *load == 10), "{loads:?}");
            }
            return round;
        }
    }
    panic!("nothing settles");
}

/// How long this thread has had a processor, in milliseconds, as Linux counts it: others may be busy, too.
fn processor_ms() -> u64 {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let ns = counted
        .split(' ')
        .next()
        .and_then(|ns| ns.parse::<u64>().ok());
    ns.expect("nanoseconds") / 1_000_000
}

#[test]
fn a_thousand_members_settle_over_ten_thousand_partitions_within_a_second() {
    // At most one assignment in a second, as is the default; then one with each join, and the others heartbeating in between.
    for (interval_ms, assignor, between) in [
        (1_000, "uniform", 0),
        (0, "uniform", 0),
        (0, "uniform", 5),
        (1_000, "range", 0),
        (0, "range", 0),
    ] {
        // Without optimisation that says nothing, and takes long.
        if cfg!(debug_assertions) && interval_ms == 0 {
            continue;
        }
        let start_ms = processor_ms();
        let rounds = settle(interval_ms, assignor, between);
        let ms = processor_ms() - start_ms;
        println!(
            "interval {interval_ms} ms, {assignor}, {between} between: {rounds} rounds, {ms} ms"
        );
        assert!(rounds <= 5, "{rounds} rounds");
        assert!(
            cfg!(debug_assertions) || interval_ms == 0 || ms < 1_000,
            "{ms} ms"
        );
    }
}
