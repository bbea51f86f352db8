import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.lang.reflect.Proxy;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.Optional;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.requests.ProduceRequest;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.server.util.KafkaScheduler;
import org.apache.kafka.storage.internals.log.LogConfig;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;
import org.apache.kafka.storage.internals.log.ProducerStateManagerConfig;
import org.apache.kafka.storage.internals.log.RecordValidationException;
import org.apache.kafka.storage.internals.log.UnifiedLog;
import org.apache.kafka.storage.log.metrics.BrokerTopicStats;

/** Asks Apache Kafka's own log for its verdict on each case that `tests/verdicts.rs` prints. */
public class Verdicts {
    static final long NOW = 1_700_000_000_000L;

    public static void main(String[] arguments) throws Exception {
        var scheduler = new KafkaScheduler(1);
        scheduler.startup();
        try (var in = new BufferedReader(new InputStreamReader(System.in))) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                if (line.startsWith("case ")) {
                    String[] fields = line.split(" ", -1);
                    System.out.println(fields[1] + " " + verdict(fields, scheduler));
                }
            }
        }
        System.exit(0);
    }

    static String verdict(String[] fields, KafkaScheduler scheduler) throws Exception {
        var properties = new Properties();
        properties.put("max.message.bytes", fields[3]);
        properties.put("message.timestamp.type", fields[4].equals("true") ? "LogAppendTime" : "CreateTime");
        properties.put("message.timestamp.before.max.ms", fields[5]);
        properties.put("cleanup.policy", fields[6].equals("true") ? "compact" : "delete");
        var root = Files.createTempDirectory("verdict");
        var directory = Files.createDirectory(root.resolve("topic-0"));
        var time = (Time) Proxy.newProxyInstance(Time.class.getClassLoader(), new Class<?>[] {Time.class},
            (proxy, method, values) -> method.getName().equals("milliseconds") ? NOW : method.invoke(Time.SYSTEM, values));
        var log = UnifiedLog.create(directory.toFile(), new LogConfig(properties), 0, 0, scheduler, new BrokerTopicStats(), time,
            60_000, new ProducerStateManagerConfig(86_400_000, false), 600_000, new LogDirFailureChannel(1), true,
            Optional.of(Uuid.randomUuid()));
        try {
            var records = MemoryRecords.readableRecords(ByteBuffer.wrap(HexFormat.of().parseHex(fields[7])));
            ProduceRequest.validateRecords(Short.parseShort(fields[2]), records);
            log.appendAsLeader(records, 0);
            log.flush(true);
            byte[] stored = Files.readAllBytes(directory.resolve("00000000000000000000.log"));
            return "stored " + HexFormat.of().formatHex(stored, 16, 61);
        } catch (RecordValidationException e) {
            var indexes = e.recordErrors().stream().map(error -> String.valueOf(error.batchIndex)).collect(Collectors.joining(","));
            return "error " + Errors.forException(e.invalidException()).code() + " [" + indexes + "]";
        } catch (Exception e) {
            return "error " + Errors.forException(e).code() + " []";
        } finally {
            log.close();
            try (var files = Files.walk(root)) {
                files.sorted(Comparator.reverseOrder()).map(Path::toFile).forEach(File::delete);
            }
        }
    }
}
