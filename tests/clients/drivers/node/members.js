// Consumers of kafkajs, in the way of clients/groups. Usage: node members.js HOST:PORT, with NODE_PATH naming the modules.
'use strict';

const readline = require('node:readline');
const { Kafka, logLevel } = require('kafkajs');

const COMMIT_EVERY_MS = 300;
const RETRIES = 1_000;

const kafka = new Kafka({
  brokers: [process.argv[2]],
  logLevel: logLevel.WARN,
  logCreator: () => (entry) => console.error(JSON.stringify(entry)),
  retry: { initialRetryTime: 100, maxRetryTime: 500, retries: RETRIES },
});

function say(name, event, ...words) {
  const microseconds = Math.round((performance.timeOrigin + performance.now()) * 1000);
  process.stdout.write(`${[name, microseconds, event, ...words].join(' ').replaceAll('\n', ' ')}\n`);
}

async function start(name, group, topic) {
  const consumer = kafka.consumer({
    groupId: group,
    sessionTimeout: 3_000,
    heartbeatInterval: 300,
    rebalanceTimeout: 10_000,
    maxWaitTimeInMs: 100,
    metadataMaxAge: 1_000,
  });
  let owned = [];
  let waiting = new Map();
  const revoked = () => {
    if (owned.length > 0) {
      say(name, 'revoked', ...owned);
    }
    owned = [];
    waiting = new Map();
  };

  async function commit() {
    const taken = waiting;
    waiting = new Map();
    if (taken.size === 0) {
      return;
    }
    try {
      await consumer.commitOffsets([...taken].map(([partition, next]) => ({ topic, partition, offset: String(next) })));
    } catch (error) {
      say(name, 'trouble', String(error));
      return;
    }
    for (const [partition, next] of taken) {
      say(name, 'committed', partition, next);
    }
  }

  consumer.on(consumer.events.REBALANCING, revoked);
  // After a connection was lost it joins again without saying so, and others may have its partitions before it has joined.
  consumer.on(consumer.events.REQUEST, ({ payload }) => {
    if (payload.apiName === 'JoinGroup') {
      revoked();
    }
  });
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    revoked();
    owned = (payload.memberAssignment[topic] ?? []).toSorted((one, other) => one - other);
    say(name, 'assigned', ...owned);
  });
  let due = performance.now() + COMMIT_EVERY_MS;
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: true,
    eachBatch: async ({ batch, heartbeat, isStale, isRunning }) => {
      // First, as a batch comes again where this ends in an error, a lost connection's for one.
      await heartbeat();
      // Batches of a generation that is over are let go.
      if (isStale() || !isRunning() || !owned.includes(batch.partition)) {
        return;
      }
      say(name, 'processed', batch.partition, batch.firstOffset(), batch.lastOffset());
      waiting.set(batch.partition, Number(batch.lastOffset()) + 1);
      if (performance.now() > due) {
        await commit();
        due = performance.now() + COMMIT_EVERY_MS;
      }
    },
  });
  return async () => {
    await commit();
    await consumer.disconnect();
    say(name, 'stopped');
  };
}

async function main() {
  const stops = new Map();
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [word, name, group, topic] = line.split(' ');
    if (word === 'start') {
      stops.set(name, start(name, group, topic));
    } else {
      stops.get(name).then((stop) => stop());
    }
  }
}

main().then(() => process.exit(0));
