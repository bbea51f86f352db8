import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Sends the golden records with Kafka's Java producer, one batch to a topic for each codec: `java JavaBatches.java HOST:PORT`. */
public class JavaBatches {
    public static void main(String[] arguments) throws Exception {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd", "zstd-22")) {
            String[] parts = codec.split("-");
            Map<String, Object> settings = new java.util.HashMap<>(Map.of(
                "bootstrap.servers", arguments[0],
                "compression.type", parts[0],
                "batch.size", 4 << 20,
                "linger.ms", 3000,
                "max.request.size", 4 << 20));
            if (parts.length > 1) {
                settings.put("compression.zstd.level", parts[1]);
            }
            try (var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
                for (int i = 0; i < (codec.equals("none") ? 4 : 60); i++) {
                    byte[] key = i % 7 == 3 ? null : bytes("key-" + i);
                    byte[] value = i % 11 == 5 ? null : bytes("record " + i + ": " + "all work and no play ".repeat(codec.equals("none") ? 1 : 75));
                    List<Header> headers = i % 2 == 0 ? List.of()
                        : List.of(new RecordHeader("number", bytes("" + i)), new RecordHeader("number", null));
                    producer.send(new ProducerRecord<>("java-" + codec, 0, 1_700_000_000_000L + i, key, value, headers));
                }
            }
        }
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
