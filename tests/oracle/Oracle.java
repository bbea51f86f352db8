import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Callable;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.record.internal.MemoryRecords;

/**
 * Kafka's own message classes, asked over stdin and stdout. Requests and replies, in Java's DataInput form:
 *
 * <pre>
 * T                                   the table of APIs: a count, then key, name, versions and header versions of each
 * E                                   the error codes: a count, then code and name of each
 * C name version bytes json           whether Kafka reads, shows and writes a message in the same way: "" or what differs
 * M name version seed                 a random value: bytes and json, or an empty string and what went wrong
 * D name version                      the defaults: one element in each array of structs; bytes and json, as for M
 * X name version to-version bytes     the message written in another version: "" or what went wrong, and the bytes
 * </pre>
 *
 * A name is that of a schema, as in "FetchRequest". Byte strings and texts are preceded by a 32-bit length.
 */
public final class Oracle {
    private static final ObjectMapper MAPPER = JsonMapper.builder()
        .enable(JsonReadFeature.ALLOW_JAVA_COMMENTS)
        .build();

    private final Map<String, Codec> codecs = new HashMap<>();
    private final DataInputStream in = new DataInputStream(new BufferedInputStream(System.in));
    private final DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out));

    public static void main(String[] args) throws Exception {
        new Oracle().serve();
    }

    private void serve() throws Exception {
        int request;
        while ((request = in.read()) >= 0) {
            switch (request) {
                case 'T' -> table();
                case 'E' -> errors();
                case 'C' -> check();
                case 'M' -> make();
                case 'D' -> defaults();
                case 'X' -> convert();
                default -> throw new IOException("unknown request " + request);
            }
            out.flush();
        }
    }

    private void table() throws IOException {
        List<ApiKeys> keys = Arrays.stream(ApiKeys.values()).filter(ApiKeys::hasValidVersion).toList();
        out.writeInt(keys.size());
        for (ApiKeys key : keys) {
            short min = key.oldestVersion();
            short max = key.latestVersion(false);
            out.writeShort(key.id);
            out.writeUTF(key.messageType.name);
            out.writeShort(min);
            out.writeShort(max);
            for (short version = min; version <= max; version++) {
                out.writeShort(key.requestHeaderVersion(version));
                out.writeShort(key.responseHeaderVersion(version));
            }
        }
    }

    private void errors() throws IOException {
        out.writeInt(Errors.values().length);
        for (Errors error : Errors.values()) {
            out.writeShort(error.code());
            out.writeUTF(error.name());
        }
    }

    private void check() throws Exception {
        Codec codec = codec(in.readUTF());
        short version = in.readShort();
        byte[] bytes = readBytes();
        String json = new String(readBytes(), StandardCharsets.UTF_8);
        String difference;
        try {
            difference = codec.compare(version, bytes, json);
        } catch (Exception e) {
            difference = describe(e);
        }
        writeBytes(difference.getBytes(StandardCharsets.UTF_8));
    }

    private void make() throws Exception {
        Codec codec = codec(in.readUTF());
        short version = in.readShort();
        Random random = new Random(in.readLong());
        writeSample(codec, version, () -> codec.fromJson(new Generator(codec.schema, version, random).message(), version));
    }

    private void defaults() throws Exception {
        Codec codec = codec(in.readUTF());
        short version = in.readShort();
        writeSample(codec, version, () -> codec.defaults(version));
    }

    private void writeSample(Codec codec, short version, Callable<Message> source) throws IOException {
        byte[] bytes;
        String json;
        try {
            Message message = source.call();
            bytes = codec.write(message, version);
            json = MAPPER.writeValueAsString(codec.toJson(message, version));
        } catch (Exception e) {
            bytes = new byte[0];
            json = describe(e);
        }
        writeBytes(bytes);
        writeBytes(json.getBytes(StandardCharsets.UTF_8));
    }

    private void convert() throws Exception {
        Codec codec = codec(in.readUTF());
        short from = in.readShort();
        short to = in.readShort();
        byte[] message = readBytes();
        byte[] bytes = new byte[0];
        String error = "";
        try {
            bytes = codec.write(codec.read(from, ByteBuffer.wrap(message)), to);
        } catch (Exception e) {
            error = describe(e);
        }
        writeBytes(error.getBytes(StandardCharsets.UTF_8));
        writeBytes(bytes);
    }

    private byte[] readBytes() throws IOException {
        return in.readNBytes(in.readInt());
    }

    private void writeBytes(byte[] bytes) throws IOException {
        out.writeInt(bytes.length);
        out.write(bytes);
    }

    private Codec codec(String name) throws Exception {
        Codec codec = codecs.get(name);
        if (codec == null) {
            codec = new Codec(name);
            codecs.put(name, codec);
        }
        return codec;
    }

    private static String describe(Exception e) {
        Throwable cause = e instanceof InvocationTargetException ? e.getCause() : e;
        StackTraceElement[] trace = cause.getStackTrace();
        return cause + (trace.length > 0 ? " at " + trace[0] : "");
    }

    /** A generated message class with its JSON converter and its schema. */
    private static final class Codec {
        final JsonNode schema;
        private final Class<? extends Message> type;
        private final Method fromJson;
        private final Method toJson;

        Codec(String name) throws Exception {
            String className = "org.apache.kafka.common.message." + name + "Data";
            type = Class.forName(className).asSubclass(Message.class);
            Class<?> converter = Class.forName(className + "JsonConverter");
            fromJson = converter.getMethod("read", JsonNode.class, short.class);
            toJson = converter.getMethod("write", type, short.class, boolean.class);
            try (InputStream resource = Oracle.class.getResourceAsStream("/common/message/" + name + ".json")) {
                schema = MAPPER.readTree(resource);
            }
        }

        Message fromJson(JsonNode json, short version) throws Exception {
            return (Message) fromJson.invoke(null, json, version);
        }

        /** Records are shown by their size: the converter cannot show their bytes. */
        JsonNode toJson(Message message, short version) throws Exception {
            return (JsonNode) toJson.invoke(null, message, version, false);
        }

        byte[] write(Message message, short version) {
            return MessageUtil.toByteBufferAccessor(message, version).buffer().array();
        }

        Message read(short version, ByteBuffer buffer) throws Exception {
            Message message = type.getDeclaredConstructor().newInstance();
            message.read(new ByteBufferAccessor(buffer), version);
            return message;
        }

        Message defaults(short version) throws Exception {
            Message message = type.getDeclaredConstructor().newInstance();
            fill(message, schema.get("fields"), version);
            return message;
        }

        /** Gives each array of structs, and each struct that is null, one struct with defaults. */
        private void fill(Message message, JsonNode fields, short version) throws Exception {
            for (JsonNode field : fields) {
                String type = field.get("type").asText().replace("[]", "");
                boolean records = type.equals("records") && !includes(nullableVersions(field), version);
                boolean struct = Character.isUpperCase(type.charAt(0));
                if (!includes(field.get("versions").asText(), version) || !(records || struct)) {
                    continue;
                }
                Field member = message.getClass().getDeclaredField(camelCase(field.get("name").asText()));
                member.setAccessible(true);
                if (records) {
                    // The default is null, which then cannot be written.
                    member.set(message, MemoryRecords.EMPTY);
                    continue;
                }
                Message element = Class.forName(this.type.getName() + "$" + type)
                    .asSubclass(Message.class)
                    .getDeclaredConstructor()
                    .newInstance();
                fill(element, field.has("fields") ? field.get("fields") : commonStruct(schema, type), version);
                if (!field.get("type").asText().startsWith("[]")) {
                    member.set(message, element);
                    continue;
                }
                if (member.get(message) == null) {
                    member.set(message, new ArrayList<Message>());
                }
                Collection.class.getMethod("add", Object.class).invoke(member.get(message), element);
            }
        }

        String compare(short version, byte[] bytes, String json) throws Exception {
            ByteBuffer buffer = ByteBuffer.wrap(bytes);
            Message message = read(version, buffer);
            if (buffer.hasRemaining()) {
                return buffer.remaining() + " bytes remain";
            }
            List<RawTaggedField> unknown = message.unknownTaggedFields();
            if (!unknown.isEmpty()) {
                return "unknown tag " + unknown.get(0).tag();
            }
            JsonNode ours = MAPPER.readTree(json);
            JsonNode theirs = MAPPER.readTree(MAPPER.writeValueAsString(toJson(message, version)));
            if (!ours.equals(theirs)) {
                return "Kafka reads " + theirs + " from " + ours;
            }
            int size = message.size(new ObjectSerializationCache(), version);
            byte[] written = write(message, version);
            if (size != bytes.length || !Arrays.equals(written, bytes)) {
                HexFormat hex = HexFormat.of();
                return "Kafka writes " + hex.formatHex(written) + " for " + hex.formatHex(bytes);
            }
            return "";
        }
    }

    /** Draws JSON of a message, as its converter reads it, from the schema that Kafka ships. */
    private static final class Generator {
        private static final String[] LETTERS = {"a", "Z", "0", ".", "-", "_", " ", "\"", "\\", "é", "漢", "🦀"};

        private final JsonNode schema;
        private final short version;
        private final Random random;

        Generator(JsonNode schema, short version, Random random) {
            this.schema = schema;
            this.version = version;
            this.random = random;
        }

        JsonNode message() {
            return struct(schema.get("fields"));
        }

        private JsonNode struct(JsonNode fields) {
            ObjectNode object = JsonNodeFactory.instance.objectNode();
            for (JsonNode field : fields) {
                boolean tagged = includes(field.path("taggedVersions").asText("none"), version);
                if (!includes(field.get("versions").asText(), version) || (tagged && random.nextBoolean())) {
                    continue;
                }
                String name = camelCase(field.get("name").asText());
                if (includes(nullableVersions(field), version) && random.nextInt(4) == 0) {
                    object.putNull(name);
                } else {
                    object.set(name, value(field.get("type").asText(), field));
                }
            }
            return object;
        }

        private JsonNode value(String type, JsonNode field) {
            JsonNodeFactory nodes = JsonNodeFactory.instance;
            if (type.startsWith("[]")) {
                ArrayNode array = nodes.arrayNode();
                for (int left = random.nextInt(4); left > 0; left--) {
                    array.add(value(type.substring(2), field));
                }
                return array;
            }
            return switch (type) {
                case "bool" -> nodes.booleanNode(random.nextBoolean());
                case "int8" -> nodes.numberNode((byte) bits());
                case "int16" -> nodes.numberNode((short) bits());
                case "uint16" -> nodes.numberNode((int) (bits() & 0xffff));
                case "int32" -> nodes.numberNode((int) bits());
                case "int64" -> nodes.numberNode(bits());
                case "float64" -> nodes.numberNode((int) bits() / 8.0);
                case "uuid" -> nodes.textNode(new Uuid(bits(), bits()).toString());
                case "string" -> nodes.textNode(text());
                case "bytes", "records" -> nodes.binaryNode(bytes());
                default -> struct(field.has("fields") ? field.get("fields") : commonStruct(schema, type));
            };
        }

        private long bits() {
            return switch (random.nextInt(6)) {
                case 0 -> 0;
                case 1 -> -1;
                case 2 -> random.nextInt(200);
                case 3 -> 0x8000_0000_8000_8080L;
                default -> random.nextLong();
            };
        }

        private String text() {
            StringBuilder text = new StringBuilder();
            for (int left = random.nextInt(20) == 0 ? 130 : random.nextInt(12); left > 0; left--) {
                text.append(LETTERS[random.nextInt(LETTERS.length)]);
            }
            return text.toString();
        }

        private byte[] bytes() {
            byte[] bytes = new byte[random.nextInt(20) == 0 ? 5000 : random.nextInt(12)];
            random.nextBytes(bytes);
            return bytes;
        }
    }

    /** Whether a range such as "3", "3-5", "3+" or "none" has the version. */
    private static boolean includes(String versions, short version) {
        if (versions.equals("none")) {
            return false;
        }
        if (versions.endsWith("+")) {
            return version >= Short.parseShort(versions.substring(0, versions.length() - 1));
        }
        String[] ends = versions.split("-");
        return version >= Short.parseShort(ends[0]) && version <= Short.parseShort(ends[ends.length - 1]);
    }

    private static String nullableVersions(JsonNode field) {
        return field.path("nullableVersions").asText("none");
    }

    private static String camelCase(String name) {
        return Character.toLowerCase(name.charAt(0)) + name.substring(1);
    }

    private static JsonNode commonStruct(JsonNode schema, String name) {
        for (JsonNode struct : schema.path("commonStructs")) {
            if (struct.get("name").asText().equals(name)) {
                return struct.get("fields");
            }
        }
        throw new IllegalArgumentException("no struct " + name);
    }
}
