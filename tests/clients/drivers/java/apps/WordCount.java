import java.nio.file.Files;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * Counts words, at least once: reads lines from a topic, sends each word to its partition through a topic of its own, keeps the counts in a store with a
 * changelog, and writes each new count. Ends with its input. Usage: {@code WordCount HOST:PORT APPLICATION FROM TO}
 */
public final class WordCount {
  private WordCount() {}

  public static void main(String[] arguments) throws Exception {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", arguments[0]);
    settings.put("application.id", arguments[1]);
    settings.put("state.dir", Files.createTempDirectory("word-count").toString());
    settings.put("commit.interval.ms", 200);
    settings.put("num.stream.threads", 2);
    settings.put("replication.factor", 1);
    settings.put("statestore.cache.max.bytes", 0);
    settings.put("auto.offset.reset", "earliest");
    settings.put("session.timeout.ms", 6_000);
    settings.put("heartbeat.interval.ms", 500);
    StreamsBuilder builder = new StreamsBuilder();
    Materialized<String, Long, KeyValueStore<Bytes, byte[]>> counts = Materialized.as(Stores.inMemoryKeyValueStore("counts"));
    builder.stream(arguments[2], Consumed.with(Serdes.ByteArray(), Serdes.String()))
        .flatMapValues(line -> List.of(line.split(" ")))
        .groupBy((key, word) -> word, Grouped.with("words", Serdes.String(), Serdes.String()))
        .count(counts.withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()))
        .toStream()
        .mapValues(String::valueOf)
        .to(arguments[3], Produced.with(Serdes.String(), Serdes.String()));
    try (KafkaStreams streams = new KafkaStreams(builder.build(), settings)) {
      streams.start();
      System.out.println("started");
      while (System.in.read() >= 0) {
        continue;
      }
    }
    System.out.println("ended");
  }
}
