//! The records inside a batch, walked without copying.
//!
//! Every record of every Produce passes here. Inlined as a whole, the walk keeps its place in registers, and takes half the time.

use super::BatchError;

/// One record, as a view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordView<'a> {
    /// Added to the batch's base timestamp.
    pub timestamp_delta: i64,
    /// Added to the batch's base offset.
    pub offset_delta: i32,
    /// The key; null and empty differ.
    pub key: Option<&'a [u8]>,
    /// The value; null is a tombstone.
    pub value: Option<&'a [u8]>,
    header_count: i32,
    header_bytes: &'a [u8],
}

/// A header of a record. Keys may repeat, and their order counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header<'a> {
    /// The key, UTF-8 by convention.
    pub key: &'a [u8],
    /// The value.
    pub value: Option<&'a [u8]>,
}

impl<'a> RecordView<'a> {
    /// How many headers the record has.
    #[must_use]
    pub fn header_count(&self) -> i32 {
        self.header_count
    }

    /// The headers, in order. They were walked once when the record was read, so an error here is a bug.
    pub fn headers(&self) -> impl Iterator<Item = Result<Header<'a>, BatchError>> + use<'a> {
        let mut rest = self.header_bytes;
        (0..self.header_count)
            .map(move |_| header(&mut rest).map_err(|problem| record_error(0, problem)))
    }

    /// Reads one record's body: all that follows its length.
    #[inline]
    fn parse(mut body: &'a [u8]) -> Result<RecordView<'a>, &'static str> {
        let rest = &mut body;
        take(rest, 1).ok_or("it ends before its attributes")?;
        let timestamp_delta = varlong(rest).ok_or("its timestamp delta is not a varint")?;
        let offset_delta = varint(rest).ok_or("its offset delta is not a varint")?;
        let key = nullable_bytes(rest).ok_or("its key goes beyond its end")?;
        let value = nullable_bytes(rest).ok_or("its value goes beyond its end")?;
        let header_count = varint(rest).ok_or("its header count is not a varint")?;
        if header_count < 0 {
            return Err("its header count is negative");
        }
        let header_bytes = *rest;
        for _ in 0..header_count {
            header(rest)?;
        }
        if !rest.is_empty() {
            return Err("bytes follow its last header");
        }
        Ok(RecordView {
            timestamp_delta,
            offset_delta,
            key,
            value,
            header_count,
            header_bytes,
        })
    }
}

/// Walks `count` records in a payload that is not compressed. After the last one nothing may be left.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    index: i32,
    count: i32,
}

impl<'a> Records<'a> {
    /// A walk over the `count` records in `payload`.
    #[must_use]
    pub fn new(payload: &'a [u8], count: i32) -> Records<'a> {
        Records {
            rest: payload,
            index: 0,
            count,
        }
    }

    /// The bytes that were not walked yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    fn record(&mut self) -> Result<RecordView<'a>, &'static str> {
        let length = varint(&mut self.rest).ok_or("its length is not a varint")?;
        let length = usize::try_from(length).map_err(|_| "its length is negative")?;
        let body = take(&mut self.rest, length).ok_or("it goes beyond the end of the batch")?;
        let record = RecordView::parse(body)?;
        if self.index + 1 == self.count && !self.rest.is_empty() {
            return Err("bytes follow the last record");
        }
        Ok(record)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.index >= self.count {
            return None;
        }
        let record = self
            .record()
            .map_err(|problem| record_error(self.index, problem));
        self.index = if record.is_ok() {
            self.index + 1
        } else {
            self.count
        };
        Some(record)
    }
}

fn record_error(index: i32, problem: &'static str) -> BatchError {
    BatchError::Record { index, problem }
}

fn header<'a>(rest: &mut &'a [u8]) -> Result<Header<'a>, &'static str> {
    let key = nullable_bytes(rest)
        .ok_or("a header's key goes beyond its end")?
        .ok_or("a header's key is null")?;
    let value = nullable_bytes(rest).ok_or("a header's value goes beyond its end")?;
    Ok(Header { key, value })
}

#[inline(always)]
fn nullable_bytes<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match varint(rest)? {
        -1 => Some(None),
        length => Some(Some(take(rest, usize::try_from(length).ok()?)?)),
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

#[inline(always)]
fn varint(rest: &mut &[u8]) -> Option<i32> {
    let raw = u32::try_from(unsigned(rest, 5)?).ok()?;
    Some((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

#[inline(always)]
fn varlong(rest: &mut &[u8]) -> Option<i64> {
    let raw = unsigned(rest, 10)?;
    Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

#[inline(always)]
fn unsigned(rest: &mut &[u8], most_bytes: usize) -> Option<u64> {
    // Nearly every varint of a record is one or two bytes.
    match **rest {
        [first, ..] if first < 0x80 => {
            *rest = &rest[1..];
            Some(u64::from(first))
        }
        [first, second, ..] if second < 0x80 => {
            *rest = &rest[2..];
            Some(u64::from(first & 0x7f) | u64::from(second) << 7)
        }
        _ => unsigned_of_many(rest, most_bytes),
    }
}

fn unsigned_of_many(rest: &mut &[u8], most_bytes: usize) -> Option<u64> {
    let mut value = 0u64;
    for (i, byte) in rest.iter().take(most_bytes).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if i == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * i);
        if byte & 0x80 == 0 {
            *rest = &rest[i + 1..];
            return Some(value);
        }
    }
    None
}

/// Appends the record in `raw`, which was walked before, with another timestamp delta.
///
/// # Errors
/// If it is no record: it was not walked.
pub fn put_restamped(
    out: &mut Vec<u8>,
    raw: &[u8],
    timestamp_delta: i64,
) -> Result<(), BatchError> {
    let mut rest = raw;
    let mut behind_delta = || {
        let length = usize::try_from(varint(&mut rest)?).ok()?;
        let mut body = take(&mut rest, length)?;
        let attributes = take(&mut body, 1)?;
        varlong(&mut body)?;
        Some((attributes, body))
    };
    let (attributes, body) =
        behind_delta().ok_or(record_error(0, "it ends before its timestamp delta"))?;
    let mut delta = Vec::with_capacity(10);
    put_varlong(&mut delta, timestamp_delta);
    put_varint(out, (attributes.len() + delta.len() + body.len()) as i32);
    for part in [attributes, &delta, body] {
        out.extend_from_slice(part);
    }
    Ok(())
}

/// Appends `value` as a zigzag varint.
pub fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_unsigned(out, u64::from(((value << 1) ^ (value >> 31)) as u32));
}

/// Appends `value` as a zigzag varint of up to ten bytes.
pub fn put_varlong(out: &mut Vec<u8>, value: i64) {
    put_unsigned(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_come_back(a: i32, b: i64) {
            let mut out = Vec::new();
            put_varint(&mut out, a);
            put_varlong(&mut out, b);
            let mut rest = &out[..];
            prop_assert_eq!(varint(&mut rest), Some(a));
            prop_assert_eq!(varlong(&mut rest), Some(b));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn any_bytes_end_in_records_or_an_error(payload: Vec<u8>, count in 0..100i32) {
            for record in Records::new(&payload, count).flatten() {
                prop_assert!(record.headers().all(|header| header.is_ok()));
            }
        }
    }

    #[test]
    fn a_restamped_record_differs_in_its_time_alone() {
        let mut body = vec![0];
        put_varlong(&mut body, 5);
        body.extend_from_slice(&[2, 1, 2, b'v', 0]);
        let mut raw = Vec::new();
        put_varint(&mut raw, body.len() as i32);
        raw.extend_from_slice(&body);
        let mut out = Vec::new();
        put_restamped(&mut out, &raw, -1_700_000_000_000).unwrap();
        let view = |bytes| Records::new(bytes, 1).next().unwrap().unwrap();
        let (before, after) = (view(&raw), view(&out));
        assert_eq!(after.timestamp_delta, -1_700_000_000_000);
        assert_eq!(
            (after.offset_delta, after.key, after.value),
            (before.offset_delta, before.key, before.value)
        );
        assert!(put_restamped(&mut out, &raw[..2], 0).is_err());
    }

    #[test]
    fn an_endless_varint_is_refused() {
        assert_eq!(varint(&mut &[0xff; 12][..]), None);
        assert_eq!(varlong(&mut &[0xff; 12][..]), None);
        assert_eq!(varint(&mut &[0x80][..]), None);
    }

    #[test]
    fn bytes_after_the_last_record_are_refused() {
        let record = [12, 0, 0, 0, 1, 1, 0];
        assert_eq!(Records::new(&record, 1).filter(Result::is_ok).count(), 1);
        let mut more = record.to_vec();
        more.push(0);
        assert!(Records::new(&more, 1).next().is_some_and(|r| r.is_err()));
    }
}
