// kafkajs as a driver of the tests: it answers one JSON line for each that it reads. Its consumers need a group, so it only produces
// and administers. Usage: node driver.js HOST:PORT, with NODE_PATH naming the modules.
'use strict';

const readline = require('node:readline');
const { promisify } = require('node:util');
const zlib = require('node:zlib');
const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = require('kafkajs');
const SnappyCodec = require('kafkajs-snappy');
const lz4 = require('lz4-napi');

const MESSAGES_PER_BATCH = 100;
const DEADLINE_MS = 40_000;

CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec;
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: (encoder) => lz4.compressFrame(encoder.buffer),
  decompress: (buffer) => lz4.decompressFrame(buffer),
});
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: (encoder) => promisify(zlib.zstdCompress)(encoder.buffer),
  decompress: (buffer) => promisify(zlib.zstdDecompress)(buffer),
});

const CODECS = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
};

const kafka = new Kafka({
  brokers: [process.argv[2]],
  logLevel: logLevel.WARN,
  logCreator: () => (entry) => console.error(JSON.stringify(entry)),
  requestTimeout: DEADLINE_MS,
});

const bytes = (text) => (text === null ? null : Buffer.from(text, 'base64'));

async function withAdmin(use) {
  const admin = kafka.admin();
  await admin.connect();
  try {
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
}

async function listed(admin, topic) {
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  return topics[0].partitions.map((each) => each.partitionId).sort((one, other) => one - other);
}

function create({ topic, partitions, config }) {
  return withAdmin(async (admin) => {
    const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
    const made = await admin.createTopics({
      waitForLeaders: false,
      topics: [{ topic, numPartitions: partitions, replicationFactor: 1, configEntries }],
    });
    if (!made) {
      throw new Error(`${topic} exists`);
    }
    // A broker may lag behind the controller.
    for (const end = Date.now() + DEADLINE_MS; ; ) {
      const { topics } = await admin.fetchTopicMetadata();
      if (topics.some((each) => each.name === topic && each.partitions.length === partitions)) {
        break;
      }
      if (Date.now() > end) {
        throw new Error(`${topic} did not appear`);
      }
    }
    return null;
  });
}

// Headers of equal names are arrays, which keeps their order among themselves.
function headersOf(pairs) {
  const headers = {};
  for (const [name, value] of pairs) {
    (headers[name] ??= []).push(bytes(value));
  }
  return headers;
}

async function produce({ topic, codec, idempotent, records }) {
  const producer = kafka.producer({ idempotent, maxInFlightRequests: 1, allowAutoTopicCreation: false });
  await producer.connect();
  try {
    const offsets = [];
    for (let from = 0; from < records.length; from += MESSAGES_PER_BATCH) {
      const some = records.slice(from, from + MESSAGES_PER_BATCH);
      const messages = some.map((each) => ({
        key: bytes(each.key),
        value: bytes(each.value),
        headers: headersOf(each.headers),
        partition: each.partition,
        timestamp: String(each.timestamp),
      }));
      const placed = await producer.send({ topic, acks: -1, compression: CODECS[codec], messages });
      const next = new Map(placed.map((each) => [each.partition, Number(each.baseOffset)]));
      for (const { partition } of some) {
        offsets.push(next.get(partition));
        next.set(partition, next.get(partition) + 1);
      }
    }
    return offsets;
  } finally {
    await producer.disconnect();
  }
}

function offset({ topic, partition, at }) {
  return withAdmin(async (admin) => {
    const own = (all) => all.find((each) => each.partition === partition);
    const ends = own(await admin.fetchTopicOffsets(topic));
    if (at === 'earliest') {
      return Number(ends.low);
    }
    if (at === 'latest') {
      return Number(ends.high);
    }
    const found = own(await admin.fetchTopicOffsetsByTimestamp(topic, Number(at.replace('time:', ''))));
    // The client itself puts the end in the place of "there is none".
    return found.offset === ends.high ? -1 : Number(found.offset);
  });
}

const OPERATIONS = {
  create,
  produce,
  offset,
  partitions: ({ topic }) => withAdmin((admin) => listed(admin, topic)),
};

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line);
    let answer;
    try {
      answer = { result: await OPERATIONS[asked.op](asked) };
    } catch (error) {
      answer = { error: String(error.stack) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}

main().then(() => process.exit(0));
