//! Asks for one thing at a time, rests, and does not mind what it is told: the checker does.

use super::{Client, Connection, Hands, Phase};
use crate::checker::Checker;
use crate::exchange::{Answer, Exchange};

/// Sends one request, or none and says so.
type Ask = fn(&mut Hands<'_>) -> bool;

/// See the module.
#[derive(Debug)]
pub struct Asker {
    connection: Connection,
    ask: Ask,
    pause_us: u64,
    busy: bool,
}

impl Asker {
    /// One that asks for this, and rests so long between requests.
    pub fn new(ask: Ask, pause_us: u64) -> Asker {
        Asker {
            connection: Connection::default(),
            ask,
            pause_us,
            busy: false,
        }
    }
}

impl Client for Asker {
    fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    fn wake(&mut self, hands: &mut Hands<'_>) -> u64 {
        let asks = hands.phase == Phase::Chaos && !self.busy;
        if asks && self.connection.is_usable(hands) {
            self.busy = (self.ask)(hands);
        }
        self.pause_us
    }

    fn answered(&mut self, _: &Exchange, _: &Answer, _: &mut Hands<'_>) {
        self.busy = false;
    }

    fn lost(&mut self, _: &mut Hands<'_>) {
        self.busy = false;
    }

    fn unfinished(&self, _: &Checker) -> Option<String> {
        None
    }
}
