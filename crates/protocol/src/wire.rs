//! How each type of the protocol stands on the wire.

use bytes::Bytes;
use wiber_model::TopicId;

use crate::reader::{DecodeErrorKind, MAX_STRING_BYTES, Reader};
use crate::records::Records;
use crate::str::Str;
use crate::writer::{SHARE_MIN_BYTES, Writer};

/// A 128-bit id of something other than a topic: a log directory, a client, a run of a process. Kafka has one type for
/// all of them, with one notation.
pub type Uuid = TopicId;

/// A type that a field can have. `field` is for errors only.
pub trait Wire: Sized {
    /// The least that a value takes in any version, in bytes.
    const MIN_BYTES: usize;

    /// Reads a value; any value once the reader has failed.
    fn read(reader: &mut Reader, field: &'static str) -> Self;

    /// Writes the value.
    fn write(&self, writer: &mut Writer, field: &'static str);
}

/// A type that a field can have and that can be null. What the trait itself provides is for structs: a byte precedes
/// them, 1 or, for null, −1; Kafka writes 0 for it in a tagged field.
pub trait Nullable: Wire {
    /// Reads a value or null.
    fn read_nullable(reader: &mut Reader, field: &'static str) -> Option<Self> {
        let present = i8::read(reader, field) > 0;
        present.then(|| Self::read(reader, field))
    }

    /// Writes a value or null.
    fn write_nullable(value: Option<&Self>, writer: &mut Writer, field: &'static str) {
        match value {
            Some(value) => {
                1i8.write(writer, field);
                value.write(writer, field);
            }
            None => (-1i8).write(writer, field),
        }
    }
}

macro_rules! number {
    ($($number:ty)*) => {$(
        impl Wire for $number {
            const MIN_BYTES: usize = size_of::<$number>();

            #[inline]
            fn read(reader: &mut Reader, field: &'static str) -> Self {
                Self::from_be_bytes(reader.array(field))
            }

            #[inline]
            fn write(&self, writer: &mut Writer, _field: &'static str) {
                writer.put(&self.to_be_bytes());
            }
        }
    )*};
}

number!(i8 i16 u16 i32 i64 f64);

impl Wire for bool {
    const MIN_BYTES: usize = 1;

    #[inline]
    fn read(reader: &mut Reader, field: &'static str) -> bool {
        reader.array(field) != [0]
    }

    #[inline]
    fn write(&self, writer: &mut Writer, _field: &'static str) {
        writer.put(&[u8::from(*self)]);
    }
}

impl Wire for TopicId {
    const MIN_BYTES: usize = 16;

    #[inline]
    fn read(reader: &mut Reader, field: &'static str) -> TopicId {
        TopicId(reader.array(field))
    }

    #[inline]
    fn write(&self, writer: &mut Writer, _field: &'static str) {
        writer.put(&self.0);
    }
}

/// Reads what must not be null.
fn not_null<T: Nullable + Default>(reader: &mut Reader, field: &'static str) -> T {
    T::read_nullable(reader, field).unwrap_or_else(|| {
        reader.fail(field, DecodeErrorKind::UnexpectedNull);
        T::default()
    })
}

impl Wire for Str {
    const MIN_BYTES: usize = 1;

    fn read(reader: &mut Reader, field: &'static str) -> Str {
        not_null(reader, field)
    }

    fn write(&self, writer: &mut Writer, field: &'static str) {
        Str::write_nullable(Some(self), writer, field);
    }
}

impl Nullable for Str {
    fn read_nullable(reader: &mut Reader, field: &'static str) -> Option<Str> {
        let length = reader.string_length(field)?;
        if length > MAX_STRING_BYTES {
            reader.fail(field, DecodeErrorKind::InvalidLength);
            return Some(Str::default());
        }
        let bytes = reader.slice(length, field);
        Some(Str::from_utf8(bytes).unwrap_or_else(|| {
            reader.fail(field, DecodeErrorKind::InvalidUtf8);
            Str::default()
        }))
    }

    fn write_nullable(value: Option<&Str>, writer: &mut Writer, field: &'static str) {
        writer.put_string_length(value.map(|text| text.len()), field);
        if let Some(text) = value {
            writer.put(text.as_bytes());
        }
    }
}

impl Wire for Bytes {
    const MIN_BYTES: usize = 1;

    fn read(reader: &mut Reader, field: &'static str) -> Bytes {
        not_null(reader, field)
    }

    fn write(&self, writer: &mut Writer, field: &'static str) {
        Bytes::write_nullable(Some(self), writer, field);
    }
}

impl Nullable for Bytes {
    fn read_nullable(reader: &mut Reader, field: &'static str) -> Option<Bytes> {
        let length = reader.length(field)?;
        Some(reader.slice(length, field))
    }

    fn write_nullable(value: Option<&Bytes>, writer: &mut Writer, field: &'static str) {
        writer.put_length(value.map(Bytes::len), field);
        match value {
            Some(bytes) if bytes.len() >= SHARE_MIN_BYTES => writer.put_shared(bytes),
            Some(bytes) => writer.put(bytes),
            None => {}
        }
    }
}

impl Wire for Records {
    const MIN_BYTES: usize = 1;

    fn read(reader: &mut Reader, field: &'static str) -> Records {
        Bytes::read(reader, field).into()
    }

    fn write(&self, writer: &mut Writer, field: &'static str) {
        Records::write_nullable(Some(self), writer, field);
    }
}

impl Nullable for Records {
    fn read_nullable(reader: &mut Reader, field: &'static str) -> Option<Records> {
        Bytes::read_nullable(reader, field).map(Records::from)
    }

    fn write_nullable(value: Option<&Records>, writer: &mut Writer, field: &'static str) {
        writer.put_length(value.map(Records::len), field);
        for chunk in value.map_or(&[][..], Records::chunks) {
            writer.put_shared(chunk);
        }
    }
}

impl<T: Wire> Wire for Vec<T> {
    const MIN_BYTES: usize = 1;

    fn read(reader: &mut Reader, field: &'static str) -> Vec<T> {
        not_null(reader, field)
    }

    fn write(&self, writer: &mut Writer, field: &'static str) {
        Vec::write_nullable(Some(self), writer, field);
    }
}

impl<T: Wire> Nullable for Vec<T> {
    fn read_nullable(reader: &mut Reader, field: &'static str) -> Option<Vec<T>> {
        let length = reader.length(field)?;
        let count = reader.admit(length, T::MIN_BYTES, size_of::<T>(), field);
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(T::read(reader, field));
            if reader.failed() {
                break;
            }
        }
        Some(elements)
    }

    fn write_nullable(value: Option<&Vec<T>>, writer: &mut Writer, field: &'static str) {
        writer.put_length(value.map(Vec::len), field);
        for element in value.map_or(&[][..], Vec::as_slice) {
            element.write(writer, field);
        }
    }
}
