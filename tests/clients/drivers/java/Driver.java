import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.Exit;

/**
 * The Java client as a driver of the tests, and Kafka's own tools: answers one JSON line for each that it reads. A tool gets its arguments and standard input
 * as from a shell, and runs in this process, which spares a start of the JVM for each.
 *
 * <p>Usage: {@code Driver HOST:PORT TOOLS_JAR}. The jar of the tools is not on the class path: each run loads it anew, as tools keep state in static fields.
 */
public final class Driver {
  private static final Duration DEADLINE = Duration.ofSeconds(40);
  private static final int LARGEST_BYTES = 12_000_000;
  private static final ObjectMapper JSON = new ObjectMapper();

  private final String bootstrap;
  private final URL tools;

  private Driver(String bootstrap, URL tools) {
    this.bootstrap = bootstrap;
    this.tools = tools;
  }

  public static void main(String[] arguments) throws Exception {
    Driver driver = new Driver(arguments[0], new File(arguments[1]).toURI().toURL());
    PrintStream answers = System.out;
    System.setOut(System.err);
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      ObjectNode answer = JSON.createObjectNode();
      try {
        answer.set("result", driver.perform(JSON.readTree(line)));
      } catch (Throwable failed) {
        failed.printStackTrace();
        answer.put("error", failed.toString());
      }
      answers.write((answer + "\n").getBytes(StandardCharsets.UTF_8));
      answers.flush();
    }
    Runtime.getRuntime().halt(0);
  }

  private JsonNode perform(JsonNode asked) throws Exception {
    switch (asked.get("op").asText()) {
      case "create":
        return create(asked);
      case "partitions":
        return partitions(asked);
      case "produce":
        return produce(asked);
      case "consume":
        return consume(asked);
      case "offset":
        return offset(asked);
      case "tool":
        return tool(asked);
      default:
        throw new IllegalArgumentException("unknown operation " + asked.get("op"));
    }
  }

  private Admin admin() {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", bootstrap);
    settings.put("default.api.timeout.ms", (int) DEADLINE.toMillis());
    return Admin.create(settings);
  }

  private JsonNode create(JsonNode asked) throws Exception {
    String topic = asked.get("topic").asText();
    int count = asked.get("partitions").asInt();
    Map<String, String> configs = new HashMap<>();
    asked.get("config").properties().forEach(each -> configs.put(each.getKey(), each.getValue().asText()));
    try (Admin admin = admin()) {
      admin.createTopics(List.of(new NewTopic(topic, count, (short) 1).configs(configs))).all().get();
      // A broker may lag behind the controller.
      while (!admin.listTopics().names().get().contains(topic)) {
        Thread.sleep(10);
      }
    }
    return JSON.nullNode();
  }

  private JsonNode partitions(JsonNode asked) throws Exception {
    String topic = asked.get("topic").asText();
    ArrayNode found = JSON.createArrayNode();
    try (Admin admin = admin()) {
      admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().forEach(each -> found.add(each.partition()));
    }
    return found;
  }

  private static byte[] bytes(JsonNode text) throws Exception {
    return text.isNull() ? null : text.binaryValue();
  }

  private JsonNode produce(JsonNode asked) throws Exception {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", bootstrap);
    settings.put("acks", "all");
    settings.put("linger.ms", 5);
    settings.put("compression.type", asked.get("codec").asText());
    settings.put("enable.idempotence", asked.get("idempotent").asBoolean());
    settings.put("max.request.size", LARGEST_BYTES);
    List<Future<RecordMetadata>> sent = new ArrayList<>();
    ArrayNode offsets = JSON.createArrayNode();
    try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
      for (JsonNode each : asked.get("records")) {
        List<Header> headers = new ArrayList<>();
        for (JsonNode header : each.get("headers")) {
          headers.add(new RecordHeader(header.get(0).asText(), bytes(header.get(1))));
        }
        sent.add(producer.send(new ProducerRecord<>(asked.get("topic").asText(), each.get("partition").asInt(), each.get("timestamp").asLong(),
            bytes(each.get("key")), bytes(each.get("value")), headers)));
      }
      for (Future<RecordMetadata> each : sent) {
        offsets.add(each.get().offset());
      }
    }
    return offsets;
  }

  private KafkaConsumer<byte[], byte[]> consumer() {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", bootstrap);
    settings.put("enable.auto.commit", false);
    settings.put("auto.offset.reset", "none");
    settings.put("fetch.max.wait.ms", 200);
    settings.put("max.partition.fetch.bytes", LARGEST_BYTES);
    return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
  }

  private JsonNode consume(JsonNode asked) throws Exception {
    List<TopicPartition> partitions = new ArrayList<>();
    asked.get("partitions").forEach(each -> partitions.add(new TopicPartition(asked.get("topic").asText(), each.asInt())));
    String start = asked.get("start").asText();
    ArrayNode received = JSON.createArrayNode();
    try (KafkaConsumer<byte[], byte[]> consumer = consumer()) {
      consumer.assign(partitions);
      if (start.equals("earliest")) {
        consumer.seekToBeginning(partitions);
      } else {
        for (TopicPartition each : partitions) {
          consumer.seek(each, start.startsWith("time:") ? offsetOfTime(consumer, each, start) : Long.parseLong(start));
        }
      }
      long end = System.nanoTime() + DEADLINE.toNanos();
      while (received.size() < asked.get("count").asInt()) {
        if (System.nanoTime() > end) {
          throw new AssertionError("only " + received.size() + " of " + asked.get("count") + " messages");
        }
        for (ConsumerRecord<byte[], byte[]> each : consumer.poll(Duration.ofMillis(200))) {
          ObjectNode record = received.addObject();
          record.put("partition", each.partition()).put("offset", each.offset()).put("timestamp", each.timestamp());
          record.put("key", each.key()).put("value", each.value());
          ArrayNode headers = record.putArray("headers");
          for (Header header : each.headers()) {
            headers.addArray().add(header.key()).add(header.value());
          }
        }
      }
    }
    return received;
  }

  private static long offsetOfTime(KafkaConsumer<byte[], byte[]> consumer, TopicPartition partition, String at) {
    long timeMs = Long.parseLong(at.substring("time:".length()));
    OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, timeMs), DEADLINE).get(partition);
    return found == null ? -1 : found.offset();
  }

  private JsonNode offset(JsonNode asked) {
    TopicPartition partition = new TopicPartition(asked.get("topic").asText(), asked.get("partition").asInt());
    String at = asked.get("at").asText();
    try (KafkaConsumer<byte[], byte[]> consumer = consumer()) {
      switch (at) {
        case "earliest":
          return JSON.getNodeFactory().numberNode(consumer.beginningOffsets(List.of(partition), DEADLINE).get(partition));
        case "latest":
          return JSON.getNodeFactory().numberNode(consumer.endOffsets(List.of(partition), DEADLINE).get(partition));
        default:
          return JSON.getNodeFactory().numberNode(offsetOfTime(consumer, partition, at));
      }
    }
  }

  /** Thrown where a tool would end the process. */
  private static final class Ended extends Error {
    private static final long serialVersionUID = 1L;

    private Ended() {
      super("the tool ended", null, false, false);
    }
  }

  private JsonNode tool(JsonNode asked) throws Exception {
    List<String> arguments = new ArrayList<>();
    asked.get("arguments").forEach(each -> arguments.add(each.asText()));
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    ByteArrayOutputStream err = new ByteArrayOutputStream();
    InputStream stdin = System.in;
    PrintStream stdout = System.out;
    PrintStream stderr = System.err;
    // Some tools catch whatever is thrown and end a second time; a process ends with the first code.
    List<Integer> codes = new ArrayList<>();
    Exit.Procedure ends = (code, message) -> {
      codes.add(code);
      throw new Ended();
    };
    Exit.setExitProcedure(ends);
    Exit.setHaltProcedure(ends);
    List<Runnable> hooks = new ArrayList<>();
    Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
    System.setIn(new ByteArrayInputStream(bytes(asked.get("stdin"))));
    System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
    System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
    try (URLClassLoader loader = new URLClassLoader(new URL[] {tools}, Driver.class.getClassLoader())) {
      loader.loadClass(asked.get("tool").asText()).getMethod("main", String[].class).invoke(null, (Object) arguments.toArray(new String[0]));
    } catch (InvocationTargetException failed) {
      if (codes.isEmpty()) {
        failed.getCause().printStackTrace();
        codes.add(1);
      }
    } finally {
      // As at the end of a process; some tools send what is left only then.
      hooks.forEach(Runnable::run);
      System.out.flush();
      System.err.flush();
      System.setIn(stdin);
      System.setOut(stdout);
      System.setErr(stderr);
    }
    return JSON.createObjectNode().put("code", codes.isEmpty() ? 0 : codes.get(0)).put("stdout", out.toByteArray()).put("stderr", err.toByteArray());
  }
}
