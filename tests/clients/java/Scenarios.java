import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.DeleteRecordsResult;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.OffsetOutOfRangeException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The Java client against a broker: each scenario uses a topic of its own and prints PASS or FAIL with its name.
 *
 * <p>Usage: {@code Scenarios HOST:PORT} runs all of them, {@code Scenarios HOST:PORT NAME...} some.
 */
public final class Scenarios {
  private static final Duration DEADLINE = Duration.ofSeconds(30);

  private interface Scenario {
    void run(Scenarios broker, String topic) throws Exception;
  }

  private static final Map<String, Scenario> ALL = new LinkedHashMap<>();

  static {
    for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
      ALL.put("round-trip-" + codec, (broker, topic) -> broker.roundTrip(topic, codec));
    }
    ALL.put("not-idempotent", Scenarios::notIdempotent);
    ALL.put("shapes-of-records", Scenarios::shapesOfRecords);
    ALL.put("too-large", Scenarios::tooLarge);
    ALL.put("offsets-for-times", Scenarios::offsetsForTimes);
    ALL.put("beginning-and-end-offsets", Scenarios::beginningAndEndOffsets);
    ALL.put("seek", Scenarios::seek);
    ALL.put("fetch-session", Scenarios::fetchSession);
    ALL.put("assign-and-close", Scenarios::assignAndClose);
    ALL.put("long-poll", Scenarios::longPoll);
    ALL.put("admin-topics", Scenarios::adminTopics);
    ALL.put("admin-errors", Scenarios::adminErrors);
    ALL.put("delete-records", Scenarios::deleteRecords);
    ALL.put("create-partitions", Scenarios::createPartitions);
    ALL.put("describe-producers", Scenarios::describeProducers);
    ALL.put("admin-cluster", Scenarios::adminCluster);
    ALL.put("recreated-topic", Scenarios::recreatedTopic);
  }

  private final String bootstrap;

  private Scenarios(String bootstrap) {
    this.bootstrap = bootstrap;
  }

  public static void main(String[] arguments) {
    List<String> names = arguments.length > 1 ? Arrays.asList(arguments).subList(1, arguments.length) : new ArrayList<>(ALL.keySet());
    Scenarios broker = new Scenarios(arguments[0]);
    boolean failed = false;
    for (String name : names) {
      long begun = System.nanoTime();
      try {
        ALL.get(name).run(broker, "java-" + name);
        System.out.println("PASS " + name + " " + (System.nanoTime() - begun) / 1_000_000 + " ms");
      } catch (Throwable problem) {
        failed = true;
        StackTraceElement[] at = problem.getStackTrace();
        String line = Arrays.stream(at).filter(each -> each.getClassName().startsWith("Scenarios")).findFirst().map(Object::toString).orElse("");
        System.out.println("FAIL " + name + " " + String.valueOf(problem).replace('\n', ' ') + " " + line);
      }
    }
    System.exit(failed ? 1 : 0);
  }

  private KafkaProducer<byte[], byte[]> producer(Map<String, Object> more) {
    Map<String, Object> config = new LinkedHashMap<>(Map.of("bootstrap.servers", bootstrap, "delivery.timeout.ms", 25_000, "request.timeout.ms", 10_000, "max.block.ms", 20_000, "linger.ms", 5));
    config.putAll(more);
    return new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
  }

  private KafkaConsumer<byte[], byte[]> consumer(Map<String, Object> more) {
    Map<String, Object> config = new LinkedHashMap<>(Map.of("bootstrap.servers", bootstrap, "enable.auto.commit", false, "auto.offset.reset", "none", "fetch.max.wait.ms", 200));
    config.putAll(more);
    return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
  }

  private Admin admin() {
    return Admin.create(Map.of("bootstrap.servers", bootstrap, "default.api.timeout.ms", 20_000, "request.timeout.ms", 10_000));
  }

  private void create(String topic, int partitions) throws Exception {
    try (Admin admin = admin()) {
      admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1))).all().get();
      awaitListed(admin, List.of(topic), true);
    }
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  private static void check(boolean holds, String what) {
    if (!holds) {
      throw new AssertionError(what);
    }
  }

  private static void checkEquals(Object expected, Object got, String what) {
    check(expected.equals(got), what + ": expected " + expected + ", got " + got);
  }

  /** Polls until {@code count} records have come. */
  private static List<ConsumerRecord<byte[], byte[]>> poll(KafkaConsumer<byte[], byte[]> consumer, int count) {
    List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
    long end = System.nanoTime() + DEADLINE.toNanos();
    while (records.size() < count) {
      check(System.nanoTime() < end, "only " + records.size() + " of " + count + " records came");
      consumer.poll(Duration.ofMillis(200)).forEach(records::add);
    }
    checkEquals(count, records.size(), "records polled");
    return records;
  }

  private void roundTrip(String topic, String codec) throws Exception {
    int count = 2_000;
    Random random = new Random(codec.hashCode());
    List<byte[]> values = new ArrayList<>();
    for (int number = 0; number < count; number++) {
      byte[] value = new byte[random.nextInt(2_000)];
      random.nextBytes(value);
      Arrays.fill(value, 0, value.length / 2, (byte) number);
      values.add(value);
    }
    // The client's defaults: idempotent, acks=all.
    try (KafkaProducer<byte[], byte[]> producer = producer(Map.of("compression.type", codec))) {
      List<Future<RecordMetadata>> sent = new ArrayList<>();
      for (int number = 0; number < count; number++) {
        sent.add(producer.send(new ProducerRecord<>(topic, 0, bytes("key " + number), values.get(number))));
      }
      producer.flush();
      for (int number = 0; number < count; number++) {
        checkEquals((long) number, sent.get(number).get().offset(), "acknowledged offset");
      }
    }
    try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of())) {
      consumer.assign(List.of(new TopicPartition(topic, 0)));
      consumer.seekToBeginning(consumer.assignment());
      List<ConsumerRecord<byte[], byte[]>> records = poll(consumer, count);
      for (int number = 0; number < count; number++) {
        ConsumerRecord<byte[], byte[]> record = records.get(number);
        checkEquals((long) number, record.offset(), "offset");
        check(Arrays.equals(values.get(number), record.value()), "the value at offset " + number + " differs");
        check(Arrays.equals(bytes("key " + number), record.key()), "the key at offset " + number + " differs");
      }
    }
  }

  private void notIdempotent(String topic) throws Exception {
    create(topic, 1);
    for (String acks : List.of("0", "1", "all")) {
      try (KafkaProducer<byte[], byte[]> producer = producer(Map.of("enable.idempotence", false, "acks", acks))) {
        for (int number = 0; number < 100; number++) {
          Future<RecordMetadata> sent = producer.send(new ProducerRecord<>(topic, bytes(acks + number)));
          if (number == 99) {
            sent.get();
          }
        }
      }
    }
    try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of())) {
      consumer.assign(List.of(new TopicPartition(topic, 0)));
      consumer.seekToBeginning(consumer.assignment());
      List<String> got = poll(consumer, 300).stream().map(record -> new String(record.value(), StandardCharsets.UTF_8)).collect(Collectors.toList());
      List<String> expected = new ArrayList<>();
      for (String acks : List.of("0", "1", "all")) {
        IntStream.range(0, 100).forEach(number -> expected.add(acks + number));
      }
      checkEquals(expected, got, "values");
    }
  }

  private void shapesOfRecords(String topic) throws Exception {
    create(topic, 1);
    try (KafkaProducer<byte[], byte[]> producer = producer(Map.of())) {
      producer.send(new ProducerRecord<>(topic, 0, null, null)).get();
      producer.send(new ProducerRecord<>(topic, 0, new byte[0], new byte[0])).get();
      ProducerRecord<byte[], byte[]> headed = new ProducerRecord<>(topic, 0, 1_234_567L, bytes("key"), bytes("value"));
      headed.headers().add("a", bytes("1")).add("b", null).add("a", bytes("2")).add("", new byte[0]);
      producer.send(headed).get();
    }
    try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of())) {
      consumer.assign(List.of(new TopicPartition(topic, 0)));
      consumer.seekToBeginning(consumer.assignment());
      List<ConsumerRecord<byte[], byte[]>> records = poll(consumer, 3);
      check(records.get(0).key() == null && records.get(0).value() == null, "null became something else");
      check(records.get(1).key().length == 0 && records.get(1).value().length == 0, "empty became something else");
      checkEquals(1_234_567L, records.get(2).timestamp(), "timestamp");
      Header[] headers = records.get(2).headers().toArray();
      checkEquals(List.of("a", "b", "a", ""), Arrays.stream(headers).map(Header::key).collect(Collectors.toList()), "header names");
      check(Arrays.equals(bytes("1"), headers[0].value()) && headers[1].value() == null, "a header's value differs");
      check(Arrays.equals(bytes("2"), headers[2].value()) && headers[3].value().length == 0, "a header's value differs");
    }
  }

  private void tooLarge(String topic) throws Exception {
    create(topic, 1);
    try (KafkaProducer<byte[], byte[]> producer = producer(Map.of("max.request.size", 10_000_000))) {
      producer.send(new ProducerRecord<>(topic, 0, null, new byte[1_000_000])).get();
      try {
        producer.send(new ProducerRecord<>(topic, 0, null, new byte[2_000_000])).get();
        throw new AssertionError("a message above the limit was taken");
      } catch (ExecutionException refused) {
        check(refused.getCause() instanceof RecordTooLargeException, "refused with " + refused.getCause());
      }
      checkEquals(1L, producer.send(new ProducerRecord<>(topic, 0, null, bytes("small"))).get().offset(), "offset after it");
    }
  }

  private void offsetsForTimes(String topic) throws Exception {
    create(topic, 2);
    try (KafkaProducer<byte[], byte[]> producer = producer(Map.of("compression.type", "zstd"))) {
      for (int number = 0; number < 100; number++) {
        producer.send(new ProducerRecord<>(topic, number % 2, 1_000_000L + 10 * number, null, bytes("x")));
      }
    }
    TopicPartition even = new TopicPartition(topic, 0);
    TopicPartition odd = new TopicPartition(topic, 1);
    try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of())) {
      Map<TopicPartition, OffsetAndTimestamp> found = consumer.offsetsForTimes(Map.of(even, 1_000_401L, odd, 1_000_410L), DEADLINE);
      checkEquals(21L, found.get(even).offset(), "offset for a time between records");
      checkEquals(1_000_420L, found.get(even).timestamp(), "timestamp");
      checkEquals(20L, found.get(odd).offset(), "offset for a record's time");
      checkEquals(1_000_410L, found.get(odd).timestamp(), "timestamp");
      check(consumer.offsetsForTimes(Map.of(even, 2_000_000L), DEADLINE).get(even) == null, "an offset for a time after the last record");
    }
  }

  private void beginningAndEndOffsets(String topic) throws Exception {
    create(topic, 3);
    try (KafkaProducer<byte[], byte[]> producer = producer(Map.of())) {
      for (int number = 0; number < 30; number++) {
        producer.send(new ProducerRecord<>(topic, number % 2, null, bytes("x")));
      }
    }
    List<TopicPartition> partitions = IntStream.range(0, 3).mapToObj(each -> new TopicPartition(topic, each)).collect(Collectors.toList());
    try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of())) {
      check(consumer.beginningOffsets(partitions, DEADLINE).values().stream().allMatch(offset -> offset == 0), "beginning offsets");
      Map<TopicPartition, Long> ends = consumer.endOffsets(partitions, DEADLINE);
      checkEquals(List.of(15L, 15L, 0L), partitions.stream().map(ends::get).collect(Collectors.toList()), "end offsets");
      checkEquals(3, consumer.partitionsFor(topic, DEADLINE).size(), "partitions");
    }
  }

  private void seek(String topic) throws Exception {
    create(topic, 1);
    try (KafkaProducer<byte[], byte[]> producer = producer(Map.of("compression.type", "lz4"))) {
      for (int number = 0; number < 500; number++) {
        producer.send(new ProducerRecord<>(topic, 0, null, bytes("" + number)));
      }
    }
    TopicPartition partition = new TopicPartition(topic, 0);
    try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of("max.poll.records", 10))) {
      consumer.assign(List.of(partition));
      for (int offset : new int[] {490, 0, 250, 499, 7}) {
        consumer.seek(partition, offset);
        ConsumerRecord<byte[], byte[]> first = poll(consumer, Math.min(10, 500 - offset)).get(0);
        checkEquals((long) offset, first.offset(), "offset after seeking");
        checkEquals("" + offset, new String(first.value(), StandardCharsets.UTF_8), "value after seeking");
      }
      consumer.seekToEnd(List.of(partition));
      checkEquals(500L, consumer.position(partition, DEADLINE), "position at the end");
    }
  }

  /** Many partitions over many polls: the session's later fetches name only what changed. */
  private void fetchSession(String topic) throws Exception {
    int count = 100;
    create(topic, count);
    List<TopicPartition> partitions = IntStream.range(0, count).mapToObj(each -> new TopicPartition(topic, each)).collect(Collectors.toList());
    Map<Integer, List<String>> expected = new LinkedHashMap<>();
    Map<Integer, List<String>> got = new LinkedHashMap<>();
    for (int each = 0; each < count; each++) {
      expected.put(each, new ArrayList<>());
      got.put(each, new ArrayList<>());
    }
    Random random = new Random(17);
    try (KafkaProducer<byte[], byte[]> producer = producer(Map.of());
        KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of("max.partition.fetch.bytes", 4_096))) {
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      for (int round = 0; round < 20; round++) {
        int sent = 0;
        for (int number = 0; number < 30; number++) {
          int partition = round == 0 ? number : random.nextInt(count);
          String value = "round " + round + " number " + number;
          producer.send(new ProducerRecord<>(topic, partition, null, bytes(value)));
          expected.get(partition).add(value);
          sent++;
        }
        producer.flush();
        // Partitions leave the session and come back in the middle of it.
        if (round == 8) {
          consumer.pause(partitions.subList(0, 50));
          consumer.poll(Duration.ofMillis(50)).forEach(record -> got.get(record.partition()).add(new String(record.value(), StandardCharsets.UTF_8)));
          sent = expected.values().stream().mapToInt(List::size).sum() - got.values().stream().mapToInt(List::size).sum();
          consumer.resume(partitions.subList(0, 50));
        }
        for (ConsumerRecord<byte[], byte[]> record : poll(consumer, sent)) {
          got.get(record.partition()).add(new String(record.value(), StandardCharsets.UTF_8));
        }
      }
    }
    checkEquals(expected, got, "values by partition");
  }

  /** Partitions of two topics come and go; consumers are closed in the middle of a long poll. */
  private void assignAndClose(String topic) throws Exception {
    create(topic, 5);
    create(topic + "-b", 3);
    List<TopicPartition> one = IntStream.range(0, 5).mapToObj(each -> new TopicPartition(topic, each)).collect(Collectors.toList());
    List<TopicPartition> other = IntStream.range(0, 3).mapToObj(each -> new TopicPartition(topic + "-b", each)).collect(Collectors.toList());
    List<TopicPartition> both = new ArrayList<>(one);
    both.addAll(other);
    try (KafkaProducer<byte[], byte[]> producer = producer(Map.of())) {
      for (TopicPartition partition : both) {
        producer.send(new ProducerRecord<>(partition.topic(), partition.partition(), null, bytes("x")));
      }
    }
    for (int round = 0; round < 5; round++) {
      try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of())) {
        for (List<TopicPartition> partitions : List.of(one, one.subList(0, 2), other, both)) {
          consumer.assign(partitions);
          consumer.seekToBeginning(partitions);
          poll(consumer, partitions.size());
        }
        consumer.pause(one);
        checkEquals(0, consumer.poll(Duration.ofMillis(50)).count(), "records after the end");
        consumer.assign(one.subList(0, 1 + round % 3));
        consumer.seekToEnd(consumer.assignment());
        consumer.poll(Duration.ofMillis(50));
      }
    }
  }

  private void longPoll(String topic) throws Exception {
    create(topic, 1);
    TopicPartition partition = new TopicPartition(topic, 0);
    try (KafkaProducer<byte[], byte[]> producer = producer(Map.of("linger.ms", 0));
        KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of("fetch.max.wait.ms", 10_000, "request.timeout.ms", 30_000))) {
      consumer.assign(List.of(partition));
      consumer.seek(partition, 0);
      checkEquals(0, consumer.poll(Duration.ofMillis(300)).count(), "records before any was sent");
      for (int number = 0; number < 5; number++) {
        long begun = System.nanoTime();
        producer.send(new ProducerRecord<>(topic, 0, null, bytes("x"))).get();
        checkEquals(1, consumer.poll(Duration.ofSeconds(10)).count(), "records that woke the poll");
        check(System.nanoTime() - begun < 2_500_000_000L, "the waiting consumer was woken late");
      }
    }
  }

  private void adminTopics(String topic) throws Exception {
    try (Admin admin = admin()) {
      List<NewTopic> wanted = List.of(new NewTopic(topic + "-a", 3, (short) 1), new NewTopic(topic + "-b", Map.of(0, brokers(admin), 1, brokers(admin))));
      admin.createTopics(wanted).all().get();
      awaitListed(admin, List.of(topic + "-a", topic + "-b"), true);
      Map<String, TopicDescription> described = admin.describeTopics(List.of(topic + "-a", topic + "-b")).allTopicNames().get();
      checkEquals(3, described.get(topic + "-a").partitions().size(), "partitions");
      checkEquals(2, described.get(topic + "-b").partitions().size(), "partitions");
      check(described.values().stream().flatMap(each -> each.partitions().stream()).allMatch(each -> each.leader() != null && each.isr().size() == 1), "every partition has a leader and an ISR");
      Set<Uuid> ids = described.values().stream().map(TopicDescription::topicId).collect(Collectors.toSet());
      check(ids.size() == 2 && !ids.contains(Uuid.ZERO_UUID), "topic ids: " + ids);
      admin.deleteTopics(List.of(topic + "-a", topic + "-b")).all().get();
      awaitListed(admin, List.of(topic + "-a", topic + "-b"), false);
    }
  }

  /** Waits until every one of the topics is listed or none is: a broker may lag behind the controller. */
  private static void awaitListed(Admin admin, List<String> topics, boolean listed) throws Exception {
    long end = System.nanoTime() + DEADLINE.toNanos();
    while (true) {
      Set<String> names = admin.listTopics().names().get();
      if (topics.stream().allMatch(topic -> names.contains(topic) == listed)) {
        return;
      }
      check(System.nanoTime() < end, topics + " should " + (listed ? "" : "not ") + "be listed, got " + names);
    }
  }

  private static List<Integer> brokers(Admin admin) throws Exception {
    return admin.describeCluster().nodes().get().stream().map(org.apache.kafka.common.Node::id).collect(Collectors.toList());
  }

  private void adminErrors(String topic) throws Exception {
    try (Admin admin = admin()) {
      admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get();
      refused(TopicExistsException.class, () -> admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get());
      refused(InvalidPartitionsException.class, () -> admin.createTopics(List.of(new NewTopic(topic + "-a", 0, (short) 1))).all().get());
      refused(InvalidReplicationFactorException.class, () -> admin.createTopics(List.of(new NewTopic(topic + "-b", 1, (short) 2))).all().get());
      refused(UnknownTopicOrPartitionException.class, () -> admin.deleteTopics(List.of(topic + "-c")).all().get());
      refused(UnknownTopicOrPartitionException.class, () -> admin.describeTopics(List.of(topic + "-d")).allTopicNames().get());
    }
  }

  private void deleteRecords(String topic) throws Exception {
    create(topic, 1);
    TopicPartition partition = new TopicPartition(topic, 0);
    try (Admin admin = admin();
        KafkaProducer<byte[], byte[]> producer = producer(Map.of());
        KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of())) {
      for (int number = 0; number < 20; number++) {
        producer.send(new ProducerRecord<>(topic, 0, null, bytes("" + number)));
      }
      producer.flush();
      consumer.assign(List.of(partition));
      checkEquals(0L, consumer.beginningOffsets(List.of(partition), DEADLINE).get(partition), "beginning before");
      for (long before : new long[] {7, -1}) {
        long start = before < 0 ? 20 : before;
        DeleteRecordsResult result = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(before)));
        checkEquals(start, result.lowWatermarks().get(partition).get().lowWatermark(), "low watermark");
        checkEquals(start, consumer.beginningOffsets(List.of(partition), DEADLINE).get(partition), "beginning after");
      }
      checkEquals(20L, consumer.endOffsets(List.of(partition), DEADLINE).get(partition), "end after");
      refused(OffsetOutOfRangeException.class, () -> admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(21))).all().get());
    }
  }

  /** A producer and a consumer that know the topic from before see its new partitions. */
  private void createPartitions(String topic) throws Exception {
    create(topic, 1);
    TopicPartition added = new TopicPartition(topic, 2);
    Map<String, Object> curious = Map.of("metadata.max.age.ms", 200);
    try (Admin admin = admin();
        KafkaProducer<byte[], byte[]> producer = producer(curious);
        KafkaConsumer<byte[], byte[]> consumer = consumer(curious)) {
      producer.send(new ProducerRecord<>(topic, 0, null, bytes("old"))).get();
      checkEquals(1, consumer.partitionsFor(topic, DEADLINE).size(), "partitions before");
      refused(InvalidPartitionsException.class, () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(1))).all().get());
      admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all().get();
      long end = System.nanoTime() + DEADLINE.toNanos();
      while (producer.partitionsFor(topic).size() < 3) {
        check(System.nanoTime() < end, "the producer should know of three partitions");
      }
      checkEquals(0L, producer.send(new ProducerRecord<>(topic, 2, null, bytes("new"))).get().offset(), "offset in the new partition");
      consumer.assign(List.of(new TopicPartition(topic, 0), added));
      consumer.seekToBeginning(consumer.assignment());
      Set<String> got = poll(consumer, 2).stream()
          .map(record -> record.partition() + "/" + new String(record.value(), StandardCharsets.UTF_8))
          .collect(Collectors.toSet());
      checkEquals(Set.of("0/old", "2/new"), got, "records");
    }
  }

  private void describeProducers(String topic) throws Exception {
    create(topic, 1);
    TopicPartition partition = new TopicPartition(topic, 0);
    try (Admin admin = admin();
        KafkaProducer<byte[], byte[]> producer = producer(Map.of("enable.idempotence", true))) {
      check(admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers().isEmpty(), "no producer before");
      for (int number = 0; number < 5; number++) {
        producer.send(new ProducerRecord<>(topic, 0, 1_000_000L + number, null, bytes("" + number))).get();
      }
      List<ProducerState> producers = admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers();
      checkEquals(1, producers.size(), "producers");
      checkEquals(0, producers.get(0).producerEpoch(), "epoch");
      checkEquals(4, producers.get(0).lastSequence(), "last sequence");
      checkEquals(1_000_004L, producers.get(0).lastTimestamp(), "last timestamp");
      check(producers.get(0).coordinatorEpoch().isEmpty() && producers.get(0).currentTransactionStartOffset().isEmpty(), "no transaction");
    }
  }

  private interface Call {
    void run() throws Exception;
  }

  private static void refused(Class<? extends Exception> expected, Call call) throws Exception {
    try {
      call.run();
    } catch (ExecutionException refused) {
      check(expected.isInstance(refused.getCause()), "expected " + expected.getSimpleName() + ", got " + refused.getCause());
      return;
    }
    throw new AssertionError("expected " + expected.getSimpleName());
  }

  private void adminCluster(String topic) throws Exception {
    try (Admin admin = admin()) {
      Collection<org.apache.kafka.common.Node> nodes = admin.describeCluster().nodes().get();
      checkEquals(1, nodes.size(), "nodes");
      org.apache.kafka.common.Node node = nodes.iterator().next();
      checkEquals(bootstrap, node.host() + ":" + node.port(), "address");
      checkEquals(node.id(), admin.describeCluster().controller().get().id(), "controller");
      check(!admin.describeCluster().clusterId().get().isEmpty(), "cluster id");
      Set<org.apache.kafka.common.config.ConfigResource.Type> brokers = Set.of(org.apache.kafka.common.config.ConfigResource.Type.BROKER);
      List<String> configured = admin.listConfigResources(brokers, new org.apache.kafka.clients.admin.ListConfigResourcesOptions()).all().get().stream()
          .map(org.apache.kafka.common.config.ConfigResource::name).collect(Collectors.toList());
      checkEquals(List.of(node.idString()), configured, "brokers with settings");
    }
  }

  private void recreatedTopic(String topic) throws Exception {
    TopicPartition partition = new TopicPartition(topic, 0);
    try (Admin admin = admin()) {
      for (int generation = 0; generation < 2; generation++) {
        create(topic, 1);
        try (KafkaProducer<byte[], byte[]> producer = producer(Map.of());
            KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of())) {
          checkEquals(0L, consumer.endOffsets(List.of(partition), DEADLINE).get(partition), "end of the new topic");
          for (int number = 0; number < 10 - generation; number++) {
            producer.send(new ProducerRecord<>(topic, 0, null, bytes(generation + "/" + number)));
          }
          producer.flush();
          consumer.assign(List.of(partition));
          consumer.seekToBeginning(List.of(partition));
          for (ConsumerRecord<byte[], byte[]> record : poll(consumer, 10 - generation)) {
            checkEquals(generation + "/" + record.offset(), new String(record.value(), StandardCharsets.UTF_8), "value");
          }
        }
        admin.deleteTopics(List.of(topic)).all().get();
        awaitListed(admin, List.of(topic), false);
      }
    }
  }
}
