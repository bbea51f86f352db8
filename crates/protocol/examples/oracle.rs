//! Compares the codec with another implementation, given as a command that answers on its stdin and stdout: Kafka's own
//! message classes, as `tests/oracle/run` starts them.
//!
//! Every message and version, in both directions: a random value's bytes must be read there, shown as the same JSON,
//! and written as the same bytes; and a random value from there must come back the same. Read in one version and written
//! in another, a value must give the same bytes here and there, or an error in both: that shows what may be dropped. The
//! defaults of all fields must be the same.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufReader, BufWriter, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

use bytes::Bytes;
use serde_json::Value;
use wiber_protocol::introspect::{self, Entry, Sample};
use wiber_protocol::{ApiKey, ErrorCode, Versions};

/// Values for each message, version and direction, if the command line does not say.
const DEFAULT_COUNT: u64 = 20;
/// The most differences that are printed.
const MAX_PRINTED: usize = 20;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let outcome = Options::parse().and_then(|options| compare(&options));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("oracle: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    seed: u64,
    count: u64,
    command: Vec<String>,
}

impl Options {
    fn parse() -> Result<Options> {
        let mut options = Options {
            seed: 1,
            count: DEFAULT_COUNT,
            command: Vec::new(),
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number = || {
                arguments
                    .next()
                    .ok_or("a number is missing")
                    .map(|text| text.parse())
            };
            match argument.as_str() {
                "--seed" => options.seed = number()??,
                "--count" => options.count = number()??,
                _ => {
                    options.command = std::iter::once(argument).chain(arguments).collect();
                    return Ok(options);
                }
            }
        }
        Err("usage: oracle [--seed N] [--count N] COMMAND...".into())
    }
}

fn compare(options: &Options) -> Result<bool> {
    let mut peer = Peer::start(&options.command)?;
    let mut differences = compare_apis(&peer.apis()?);
    differences.extend(compare_errors(&peer.errors()?));
    let (mut messages, mut versions, mut values) = (0, 0, 0);
    for entry in introspect::entries() {
        messages += 1;
        for version in entry.versions.iter() {
            versions += 1;
            let mut report =
                |seed, found: Option<String>| {
                    differences.extend(found.map(|text| {
                        format!("{} version {version} seed {seed}: {text}", entry.name)
                    }));
                };
            values += 1;
            report(0, peer.check_defaults(&entry, version)?);
            for index in 0..options.count {
                let seed = seed(options.seed, entry.name, version, index);
                values += 3;
                report(seed, peer.check_ours(&entry, version, seed)?);
                report(seed, peer.check_theirs(&entry, version, seed)?);
                report(seed, peer.check_conversion(&entry, version, seed)?);
            }
        }
    }
    peer.stop()?;
    for difference in differences.iter().take(MAX_PRINTED) {
        println!("{difference}");
    }
    println!(
        "oracle: seed {}: {} APIs, {messages} messages, {versions} message versions, {values} values, {} differences",
        options.seed,
        ApiKey::ALL.len(),
        differences.len(),
    );
    Ok(differences.is_empty() && values > 0)
}

/// The seed of one value: it depends on nothing but what it is for, so that a difference can be looked at alone.
fn seed(base: u64, name: &str, version: i16, index: u64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ base;
    for byte in name
        .bytes()
        .chain(version.to_be_bytes())
        .chain(index.to_be_bytes())
    {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

/// An API as the other side knows it.
#[derive(PartialEq, Debug)]
struct Api {
    name: String,
    versions: Versions,
    /// The request's and the response's header version, for each version.
    headers: Vec<(i16, i16)>,
}

/// What the two tables of APIs disagree on.
fn compare_apis(theirs: &BTreeMap<i16, Api>) -> Vec<String> {
    let ours: BTreeMap<i16, Api> = ApiKey::ALL
        .iter()
        .map(|key| {
            let header = |version| {
                (
                    key.request_header_version(version),
                    key.response_header_version(version),
                )
            };
            let api = Api {
                name: key.name().to_owned(),
                versions: key.versions(),
                headers: key.versions().iter().map(header).collect(),
            };
            (key.number(), api)
        })
        .collect();
    let keys: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    keys.into_iter()
        .filter(|key| ours.get(key) != theirs.get(key))
        .map(|key| {
            format!(
                "API {key}: {:?} here, {:?} there",
                ours.get(key),
                theirs.get(key)
            )
        })
        .collect()
}

/// What the two tables of error codes disagree on.
fn compare_errors(theirs: &BTreeMap<i16, String>) -> Vec<String> {
    let name = |code| ErrorCode::from_code(code).map(ErrorCode::name);
    (i16::MIN..=i16::MAX)
        .filter(|code| name(*code) != theirs.get(code).map(String::as_str))
        .map(|code| {
            format!(
                "error {code}: {:?} here, {:?} there",
                name(code),
                theirs.get(&code)
            )
        })
        .collect()
}

/// The other side.
struct Peer {
    child: Child,
    requests: BufWriter<ChildStdin>,
    replies: BufReader<ChildStdout>,
}

impl Peer {
    fn start(command: &[String]) -> Result<Peer> {
        let (program, arguments) = command.split_first().ok_or("no command")?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().ok_or("no stdin")?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        Ok(Peer {
            child,
            requests: BufWriter::new(stdin),
            replies: BufReader::new(stdout),
        })
    }

    fn stop(self) -> Result<()> {
        let Peer {
            mut child,
            requests,
            ..
        } = self;
        drop(requests);
        let status = child.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the other side ended with {status}").into())
        }
    }

    fn apis(&mut self) -> Result<BTreeMap<i16, Api>> {
        self.requests.write_all(b"T")?;
        self.requests.flush()?;
        let mut table = BTreeMap::new();
        for _ in 0..i32::from_be_bytes(self.read()?) {
            let key = self.read_i16()?;
            let name = self.read_name()?;
            let versions = Versions {
                min: self.read_i16()?,
                max: self.read_i16()?,
            };
            let mut headers = Vec::new();
            for _ in versions.iter() {
                headers.push((self.read_i16()?, self.read_i16()?));
            }
            table.insert(
                key,
                Api {
                    name,
                    versions,
                    headers,
                },
            );
        }
        Ok(table)
    }

    fn errors(&mut self) -> Result<BTreeMap<i16, String>> {
        self.requests.write_all(b"E")?;
        self.requests.flush()?;
        let mut errors = BTreeMap::new();
        for _ in 0..i32::from_be_bytes(self.read()?) {
            errors.insert(self.read_i16()?, self.read_name()?);
        }
        Ok(errors)
    }

    /// A value from here, read and written there.
    fn check_ours(&mut self, entry: &Entry, version: i16, seed: u64) -> Result<Option<String>> {
        let sample = match entry.random(seed, version) {
            Ok(sample) => sample,
            Err(fault) => return Ok(Some(format!("ours: {fault}"))),
        };
        self.request(b'C', entry.name, version)?;
        self.write_bytes(&sample.bytes)?;
        self.write_bytes(show_record_sizes(sample.json).to_string().as_bytes())?;
        self.requests.flush()?;
        let difference = self.read_text()?;
        Ok((!difference.is_empty()).then(|| format!("ours: {difference}")))
    }

    /// A value from there, read and written here.
    fn check_theirs(&mut self, entry: &Entry, version: i16, seed: u64) -> Result<Option<String>> {
        self.request(b'M', entry.name, version)?;
        self.requests.write_all(&seed.to_be_bytes())?;
        self.requests.flush()?;
        let (bytes, json) = match self.read_sample()? {
            Ok(sample) => sample,
            Err(error) => return Ok(Some(format!("theirs cannot be made: {error}"))),
        };
        Ok(match entry.convert(bytes.clone(), version, version) {
            Err(fault) => Some(format!("theirs: {fault}, in {json}")),
            Ok(sample) => differ("theirs", sample, bytes, json),
        })
    }

    /// The value with one element in each array of structs, and every other field at its default.
    fn check_defaults(&mut self, entry: &Entry, version: i16) -> Result<Option<String>> {
        self.request(b'D', entry.name, version)?;
        self.requests.flush()?;
        let (bytes, json) = match self.read_sample()? {
            Ok(sample) => sample,
            Err(error) => return Ok(Some(format!("their defaults cannot be made: {error}"))),
        };
        Ok(match entry.defaults(version) {
            Err(fault) => Some(format!("defaults: {fault}")),
            Ok(sample) => differ("defaults", sample, bytes, json),
        })
    }

    /// A value from here, read in this version and written in another, here and there.
    fn check_conversion(&mut self, entry: &Entry, from: i16, seed: u64) -> Result<Option<String>> {
        let Ok(sample) = entry.random(!seed, from) else {
            return Ok(None); // `check_ours` reports what cannot be written.
        };
        let versions = (entry.versions.max - entry.versions.min + 1) as u64;
        let to = entry.versions.min + (seed % versions) as i16;
        self.request(b'X', entry.name, from)?;
        self.requests.write_all(&to.to_be_bytes())?;
        self.write_bytes(&sample.bytes)?;
        self.requests.flush()?;
        let error = self.read_text()?;
        let theirs = self.read_bytes()?;
        let place = format!("{} as version {to}", sample.json);
        Ok(match entry.convert(sample.bytes, from, to) {
            Ok(ours) if error.is_empty() && ours.bytes == theirs => None,
            Ok(ours) if error.is_empty() => Some(format!(
                "{place}: wrote {:?}, not {:?}",
                ours.bytes,
                Bytes::from(theirs)
            )),
            Ok(_) => Some(format!("{place}: {error}")),
            Err(_) if !error.is_empty() => None,
            Err(fault) => Some(format!("{place}: {fault}")),
        })
    }

    /// Bytes and JSON, or why there are none.
    fn read_sample(&mut self) -> Result<std::result::Result<(Bytes, Value), String>> {
        let bytes = Bytes::from(self.read_bytes()?);
        let json = self.read_text()?;
        Ok(serde_json::from_str(&json)
            .map(|value| (bytes, value))
            .map_err(|_| json))
    }

    fn request(&mut self, kind: u8, name: &str, version: i16) -> Result<()> {
        self.requests.write_all(&[kind])?;
        self.requests
            .write_all(&(name.len() as u16).to_be_bytes())?;
        self.requests.write_all(name.as_bytes())?;
        self.requests.write_all(&version.to_be_bytes())?;
        Ok(())
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.requests
            .write_all(&(bytes.len() as u32).to_be_bytes())?;
        self.requests.write_all(bytes)?;
        Ok(())
    }

    fn read<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.replies.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn read_i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.read()?))
    }

    fn read_name(&mut self) -> Result<String> {
        let mut name = vec![0; self.read_i16()? as usize];
        self.replies.read_exact(&mut name)?;
        Ok(String::from_utf8(name)?)
    }

    fn read_bytes(&mut self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; u32::from_be_bytes(self.read()?) as usize];
        self.replies.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn read_text(&mut self) -> Result<String> {
        Ok(String::from_utf8(self.read_bytes()?)?)
    }
}

/// What differs between a value here and the same there.
fn differ(what: &str, ours: Sample, bytes: Bytes, json: Value) -> Option<String> {
    let shown = show_record_sizes(ours.json);
    if shown != json {
        Some(format!("{what}: {shown} here, {json} there"))
    } else if ours.bytes != bytes {
        Some(format!(
            "{what}: {:?} here, {bytes:?} there, for {json}",
            ours.bytes
        ))
    } else {
        None
    }
}

/// Kafka's converters show record bytes by their size only.
fn show_record_sizes(value: Value) -> Value {
    match value {
        Value::Array(elements) => elements.into_iter().map(show_record_sizes).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(key, value)| match (key.as_str(), &value) {
                ("records" | "unalignedRecords", Value::String(base64)) => {
                    let padding = base64
                        .bytes()
                        .rev()
                        .take_while(|byte| *byte == b'=')
                        .count();
                    (
                        format!("{key}SizeInBytes"),
                        Value::from(base64.len() / 4 * 3 - padding),
                    )
                }
                _ => (key, show_record_sizes(value)),
            })
            .collect(),
        other => other,
    }
}
