import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Consumers of the Java client, in the way of clients/groups. Usage: {@code Members HOST:PORT} */
public final class Members {
  private static final long COMMIT_EVERY_NANOS = 300_000_000L;

  private Members() {}

  public static void main(String[] arguments) throws Exception {
    Map<String, AtomicBoolean> ends = new ConcurrentHashMap<>();
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String[] words = line.split(" ");
      if (words[0].equals("start")) {
        AtomicBoolean end = new AtomicBoolean();
        ends.put(words[1], end);
        Member member = new Member(arguments[0], words[1], words[2], words[3], words[4]);
        Thread runs = new Thread(() -> member.run(end), words[1]);
        runs.setDaemon(true);
        runs.start();
      } else {
        ends.get(words[1]).set(true);
      }
    }
    System.exit(0);
  }

  /** One consumer. */
  private static final class Member implements ConsumerRebalanceListener {
    private final String name;
    private final String topic;
    private final KafkaConsumer<byte[], byte[]> client;
    private final Map<TopicPartition, OffsetAndMetadata> waiting = new HashMap<>();

    Member(String bootstrap, String name, String group, String topic, String mode) {
      this.name = name;
      this.topic = topic;
      Properties settings = new Properties();
      settings.put("bootstrap.servers", bootstrap);
      settings.put("group.id", group);
      settings.put("enable.auto.commit", false);
      settings.put("auto.offset.reset", "earliest");
      settings.put("fetch.max.wait.ms", 100);
      settings.put("default.api.timeout.ms", 5_000);
      settings.put("reconnect.backoff.max.ms", 500);
      if (mode.equals("consumer")) {
        settings.put("group.protocol", "consumer");
      } else {
        settings.put("session.timeout.ms", 3_000);
        settings.put("heartbeat.interval.ms", 300);
        settings.put("partition.assignment.strategy", (mode.equals("eager") ? RangeAssignor.class : CooperativeStickyAssignor.class).getName());
      }
      client = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    void run(AtomicBoolean end) {
      client.subscribe(List.of(topic), this);
      long due = System.nanoTime() + COMMIT_EVERY_NANOS;
      while (!end.get()) {
        try {
          Map<Integer, long[]> runs = new TreeMap<>();
          for (ConsumerRecord<byte[], byte[]> record : client.poll(Duration.ofMillis(100))) {
            long[] run = runs.computeIfAbsent(record.partition(), each -> new long[] {record.offset(), record.offset() - 1});
            if (run[1] + 1 != record.offset()) {
              say("trouble", "a gap at " + record.partition() + "@" + record.offset());
            }
            run[1] = record.offset();
          }
          runs.forEach((partition, run) -> {
            say("processed", partition + " " + run[0] + " " + run[1]);
            waiting.put(new TopicPartition(topic, partition), new OffsetAndMetadata(run[1] + 1));
          });
        } catch (KafkaException failed) {
          say("trouble", failed.toString());
        }
        if (System.nanoTime() > due) {
          commit();
          due = System.nanoTime() + COMMIT_EVERY_NANOS;
        }
      }
      commit();
      client.close();
      say("stopped", "");
    }

    private void commit() {
      if (waiting.isEmpty()) {
        return;
      }
      try {
        client.commitSync(waiting);
      } catch (KafkaException failed) {
        say("trouble", failed.toString());
        return;
      }
      waiting.forEach((partition, offset) -> say("committed", partition.partition() + " " + offset.offset()));
      waiting.clear();
    }

    private static String numbers(Collection<TopicPartition> partitions) {
      return partitions.stream().map(each -> String.valueOf(each.partition())).collect(Collectors.joining(" "));
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
      say("assigned", numbers(partitions));
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
      commit();
      onPartitionsLost(partitions);
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
      waiting.keySet().removeAll(partitions);
      say("revoked", numbers(partitions));
    }

    private void say(String event, String words) {
      Instant now = Instant.now();
      long microseconds = now.getEpochSecond() * 1_000_000 + now.getNano() / 1_000;
      String line = (name + " " + microseconds + " " + event + " " + words).strip().replace('\n', ' ');
      synchronized (System.out) {
        System.out.println(line);
        System.out.flush();
      }
    }
  }
}
