//! Standard input in blocks of whole lines, read by a thread of its own.

use std::io::{self, Read};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

/// So much is read at a time, in bytes.
const READ_BYTES: usize = 64 << 10;
/// The blocks that wait to be sent; more are not read.
const BLOCKS_WAITING: usize = 16;
/// The longest line, in bytes: beyond what any topic takes.
const LINE_BYTES_MAX: usize = 64 << 20;

/// Whole lines, as they were read.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// The number of the first line, from 1.
    pub first_line: u64,
    bytes: Bytes,
}

impl Block {
    /// The lines without their ends, of which Windows' `\r\n` is one.
    pub fn lines(&self) -> impl Iterator<Item = Bytes> + '_ {
        let mut rest = self.bytes.clone();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let end = rest.iter().position(|byte| *byte == b'\n');
            let mut line = rest.split_to(end.unwrap_or(rest.len()));
            if !rest.is_empty() {
                let _ = rest.split_to(1);
                if line.ends_with(b"\r") {
                    line.truncate(line.len() - 1);
                }
            }
            Some(line)
        })
    }
}

/// The blocks of standard input.
#[derive(Debug)]
pub struct Input {
    blocks: mpsc::Receiver<Result<Block, String>>,
}

impl Input {
    /// Begins to read. On a terminal each line is a block.
    pub fn start(interactive: bool) -> Input {
        let waiting = if interactive { 1 } else { BLOCKS_WAITING };
        let (send, blocks) = mpsc::channel(waiting);
        // The command may end while this thread waits for a line.
        std::thread::spawn(move || {
            let mut reader = LineReader::new(io::stdin().lock());
            while let Some(block) = reader.next_block().transpose() {
                let failed = block.is_err();
                if send.blocking_send(block).is_err() || failed {
                    return;
                }
            }
        });
        Input { blocks }
    }

    /// A block that was read already.
    pub fn ready(&mut self) -> Option<Result<Block, String>> {
        self.blocks.try_recv().ok()
    }

    /// The next block; none at the end.
    pub async fn next(&mut self) -> Option<Result<Block, String>> {
        self.blocks.recv().await
    }
}

struct LineReader<R> {
    source: R,
    /// The beginning of a line whose end was not read yet.
    begun: BytesMut,
    next_line: u64,
    ended: bool,
}

impl<R: Read> LineReader<R> {
    fn new(source: R) -> LineReader<R> {
        LineReader {
            source,
            begun: BytesMut::new(),
            next_line: 1,
            ended: false,
        }
    }

    /// The lines that come next; none at the end.
    fn next_block(&mut self) -> Result<Option<Block>, String> {
        loop {
            if self.ended {
                let rest = self.begun.split();
                return Ok((!rest.is_empty()).then(|| self.block(rest)));
            }
            let before = self.begun.len();
            self.begun.resize(before + READ_BYTES, 0);
            let read = self.source.read(&mut self.begun[before..]);
            let count = match &read {
                Ok(count) => *count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                Err(error) => return Err(format!("cannot read standard input: {error}")),
            };
            self.ended = read.is_ok() && count == 0;
            self.begun.truncate(before + count);
            let end = self.begun[before..].iter().rposition(|byte| *byte == b'\n');
            if let Some(end) = end {
                let lines = self.begun.split_to(before + end + 1);
                return Ok(Some(self.block(lines)));
            }
            if self.begun.len() > LINE_BYTES_MAX {
                return Err(format!(
                    "line {} is longer than {} MiB",
                    self.next_line,
                    LINE_BYTES_MAX >> 20
                ));
            }
        }
    }

    fn block(&mut self, lines: BytesMut) -> Block {
        let first_line = self.next_line;
        let ends = lines.iter().filter(|byte| **byte == b'\n').count();
        let unended = !lines.ends_with(b"\n");
        self.next_line += ends as u64 + u64::from(unended);
        Block {
            first_line,
            bytes: lines.freeze(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(self.1).min(out.len());
            let (now, later) = self.0.split_at(count);
            out[..count].copy_from_slice(now);
            self.0 = later;
            Ok(count)
        }
    }

    fn lines(text: &[u8], step: usize) -> Vec<(u64, Vec<u8>)> {
        let mut reader = LineReader::new(Dribble(text, step));
        let mut found = Vec::new();
        while let Some(block) = reader.next_block().unwrap() {
            let numbered = block.lines().zip(block.first_line..);
            found.extend(numbered.map(|(line, number)| (number, line.to_vec())));
        }
        found
    }

    #[test]
    fn lines_have_their_numbers_however_they_come() {
        for step in [1, 2, 3, 5, 1000] {
            assert_eq!(
                lines(b"a\n\nbc\r\nlast", step),
                [
                    (1, b"a".to_vec()),
                    (2, b"".to_vec()),
                    (3, b"bc".to_vec()),
                    (4, b"last".to_vec())
                ]
            );
            assert_eq!(lines(b"", step), []);
            assert_eq!(lines(b"\n", step), [(1, b"".to_vec())]);
        }
    }

    #[test]
    fn a_line_without_end_is_refused_by_its_number() {
        let mut reader = LineReader::new(io::repeat(b'x'));
        assert_eq!(
            reader.next_block(),
            Err("line 1 is longer than 64 MiB".to_owned())
        );
    }
}
