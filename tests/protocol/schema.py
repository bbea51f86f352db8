"""Messages as bytes and back, by the schemas in Kafka's client jar; shares nothing with the codec under test.

A message is written from values by name, in snake case, and read into a namespace of the same names. What a version
does not have is left out where the schema calls it ignorable, and is an error elsewhere, as in Kafka.
"""

import json
import re
import struct
import uuid
import zipfile
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

from kafka_jars import CLIENTS_JAR, fetch_jars, fetch_tools

NO_ID = uuid.UUID(int=0)

_FORMATS = {
    "int8": ">b",
    "int16": ">h",
    "uint16": ">H",
    "int32": ">i",
    "uint32": ">I",
    "int64": ">q",
    "float64": ">d",
    "bool": ">?",
}


class SchemaError(AssertionError):
    """Bytes or values that do not fit the schema."""


@dataclass(frozen=True)
class Versions:
    """A range of versions; empty if the first is above the last."""

    first: int
    last: int

    def __contains__(self, version: int) -> bool:
        """Whether the range has the version."""
        return self.first <= version <= self.last

    @classmethod
    def parse(cls, text: str) -> "Versions":
        """From `none`, `3`, `3+` or `3-5`."""
        if text == "none":
            return cls(0, -1)
        if text.endswith("+"):
            return cls(int(text[:-1]), 32_767)
        first, _, last = text.partition("-")
        return cls(int(first), int(last or first))


class Reader:
    """Bytes that are read from the front."""

    def __init__(self, data: bytes) -> None:
        """Reads `data`."""
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if not 0 <= count <= len(self.data) - self.at:
            raise SchemaError(f"{count} bytes are declared at {self.at}, of {len(self.data)}")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, kind: str) -> Any:  # noqa: ANN401
        """A number of fixed size."""
        (value,) = struct.unpack(_FORMATS[kind], self.take(struct.calcsize(_FORMATS[kind])))
        return value

    def varint(self) -> int:
        """An unsigned varint."""
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value


def varint(value: int) -> bytes:
    """An unsigned varint."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


class Field:
    """A field of a message or of a struct in it."""

    def __init__(self, declared: dict[str, Any], structs: dict[str, list[Any]]) -> None:
        """From its schema; `structs` are the message's common ones."""
        self.name = re.sub(r"(?<!^)(?=[A-Z])", "_", declared["name"]).lower()
        self.versions = Versions.parse(declared["versions"])
        self.nullable = Versions.parse(declared.get("nullableVersions", "none"))
        self.tagged = Versions.parse(declared.get("taggedVersions", "none"))
        self.flexible = declared.get("flexibleVersions")
        self.tag = declared.get("tag")
        self.ignorable = declared.get("ignorable", False)
        self.is_array = declared["type"].startswith("[]")
        self.type = declared["type"].removeprefix("[]")
        fields = declared.get("fields") or structs.get(self.type)
        self.fields = [Field(each, structs) for each in fields] if fields else None
        self._default = declared.get("default")

    def default(self) -> Any:  # noqa: ANN401
        """What is written where nothing is given."""
        if self._default == "null":
            return None
        if self.is_array:
            return []
        if self.fields is not None:
            return {}
        match self.type:
            case "string":
                return self._default or ""
            case "uuid":
                return NO_ID
            case "bytes" | "records":
                return b""
            case "bool":
                return str(self._default).lower() == "true"
            case _:
                return int(str(self._default or 0), 0)


def _write(field: Field, value: Any, version: int, flexible: bool) -> bytes:  # noqa: ANN401
    if value is None and version not in field.nullable:
        raise SchemaError(f"{field.name} cannot be null in version {version}")
    if field.is_array:
        head = _length(None if value is None else len(value), "int32", flexible)
        return head + b"".join(_write_one(field, each, version, flexible) for each in value or ())
    if field.fields is not None and version in field.nullable:
        return b"\xff" if value is None else b"\x01" + _write_one(field, value, version, flexible)
    return _write_one(field, value, version, flexible)


def _write_one(field: Field, value: Any, version: int, flexible: bool) -> bytes:  # noqa: ANN401
    if field.fields is not None:
        return write_struct(field.fields, value, version, flexible)
    match field.type:
        case "string":
            text = None if value is None else value.encode()
            return _length(None if text is None else len(text), "int16", flexible) + (text or b"")
        case "bytes" | "records":
            return _length(None if value is None else len(value), "int32", flexible) + (value or b"")
        case "uuid":
            return value.bytes
        case kind:
            return struct.pack(_FORMATS[kind], value)


def _length(length: int | None, kind: str, flexible: bool) -> bytes:
    if flexible:
        return varint(0 if length is None else length + 1)
    return struct.pack(_FORMATS[kind], -1 if length is None else length)


def write_struct(fields: list[Field], values: dict[str, Any], version: int, flexible: bool) -> bytes:
    """A struct or a message body."""
    unknown = values.keys() - {field.name for field in fields}
    if unknown:
        raise SchemaError(f"there are no fields {unknown}")
    out, tagged = b"", {}
    for field in fields:
        value = values.get(field.name, field.default())
        if version not in field.versions:
            if field.name in values and not field.ignorable and value != field.default():
                raise SchemaError(f"version {version} has no {field.name}")
        elif version in field.tagged:
            if field.name in values:
                tagged[field.tag] = _write(field, value, version, flexible)
        else:
            own = flexible and field.flexible != "none"
            out += _write(field, value, version, own)
    if flexible:
        out += varint(len(tagged))
        out += b"".join(varint(tag) + varint(len(data)) + data for tag, data in sorted(tagged.items()))
    return out


def _read(field: Field, reader: Reader, version: int, flexible: bool) -> Any:  # noqa: ANN401
    if field.is_array:
        count = _read_length(reader, "int32", flexible)
        if count is not None:
            return [_read_one(field, reader, version, flexible) for _ in range(count)]
    elif field.fields is not None and version in field.nullable and reader.number("int8") < 0:
        pass
    else:
        value = _read_one(field, reader, version, flexible)
        if value is not None:
            return value
    if version not in field.nullable:
        raise SchemaError(f"{field.name} is null in version {version}")
    return None


def _read_one(field: Field, reader: Reader, version: int, flexible: bool) -> Any:  # noqa: ANN401
    if field.fields is not None:
        return read_struct(field.fields, reader, version, flexible)
    match field.type:
        case "string":
            length = _read_length(reader, "int16", flexible)
            return None if length is None else reader.take(length).decode()
        case "bytes" | "records":
            length = _read_length(reader, "int32", flexible)
            return None if length is None else reader.take(length)
        case "uuid":
            return uuid.UUID(bytes=reader.take(16))
        case kind:
            return reader.number(kind)


def _read_length(reader: Reader, kind: str, flexible: bool) -> int | None:
    length = reader.varint() - 1 if flexible else reader.number(kind)
    return None if length == -1 else length


def read_struct(fields: list[Field], reader: Reader, version: int, flexible: bool) -> SimpleNamespace:
    """A struct or a message body."""
    values: dict[str, Any] = {}
    for field in fields:
        if version in field.versions and version not in field.tagged:
            own = flexible and field.flexible != "none"
            values[field.name] = _read(field, reader, version, own)
        elif field.fields is None or field.is_array:
            values[field.name] = field.default()
        else:
            values[field.name] = None
    if flexible:
        by_tag = {field.tag: field for field in fields if version in field.tagged}
        for _ in range(reader.varint()):
            tag = reader.varint()
            inner = Reader(reader.take(reader.varint()))
            field = by_tag[tag]
            # A struct that may be null has one byte before it, which for a tagged one is 0 where it is null.
            absent = inner.data == b"\0" and field.fields is not None and not field.is_array
            values[field.name] = None if absent and inner.take(1) else _read(field, inner, version, flexible)
            assert inner.at == len(inner.data), f"tag {tag} has bytes left"
    return SimpleNamespace(**values)


class Message:
    """A request, a response or a header."""

    def __init__(self, schema: dict[str, Any]) -> None:
        """From its schema."""
        structs = {each["name"]: each["fields"] for each in schema.get("commonStructs", [])}
        self.api_key = schema.get("apiKey", -1)
        valid = Versions.parse(schema["validVersions"])
        unstable = schema.get("latestVersionUnstable", False)
        self.versions = Versions(valid.first, valid.last - unstable)
        self._flexible = Versions.parse(schema["flexibleVersions"])
        self._fields = [Field(each, structs) for each in schema["fields"]]

    def flexible(self, version: int) -> bool:
        """Whether a version has compact lengths and tagged fields."""
        return version in self._flexible

    def write(self, version: int, values: dict[str, Any]) -> bytes:
        """The bytes of a message."""
        return write_struct(self._fields, values, version, self.flexible(version))

    def read(self, version: int, reader: Reader) -> SimpleNamespace:
        """The message at the reader."""
        return read_struct(self._fields, reader, version, self.flexible(version))


@cache
def message(name: str) -> Message:
    """A message by its name, such as `FetchRequest`."""
    fetch_jars()
    with zipfile.ZipFile(CLIENTS_JAR) as jar:
        return _parsed(jar.read(f"common/message/{name}.json"))


def _parsed(schema: bytes) -> Message:
    return Message(json.loads(re.sub(r"^\s*//.*$", "", schema.decode(), flags=re.MULTILINE)))


@cache
def coordinator_records() -> dict[int, tuple[str, Message, Message]]:
    """The records of consumers' groups, by the number that their keys begin with: name, key and value."""
    (path,) = fetch_tools().glob("kafka-group-coordinator-[0-9]*.jar")
    halves: dict[tuple[str, str], Message] = {}
    with zipfile.ZipFile(path) as jar:
        for entry in jar.namelist():
            if half := re.fullmatch(r"common/message/((?!Share|Streams)\w+?)(Key|Value)\.json", entry):
                halves[half[1], half[2]] = _parsed(jar.read(entry))
    keys = [(name, key) for (name, half), key in halves.items() if half == "Key"]
    return {key.api_key: (name, key, halves[name, "Value"]) for name, key in keys}


def versions(api: str, since: int = 0) -> list[int]:
    """The stable versions of an API, from `since` on."""
    span = message(f"{api}Request").versions
    return list(range(max(span.first, since), span.last + 1))
