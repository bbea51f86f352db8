//! Who may import whom, as ARCHITECTURE.md has it, and that the core stays deterministic: read from the manifests, so that a
//! dependency which breaks the order fails here rather than in a review.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What a crate of the workspace may be.
struct Rule {
    name: &'static str,
    /// Part of the deterministic core: no IO, clock, OS randomness, threads or async.
    core: bool,
    /// The crates of the workspace that it may import.
    imports: &'static [&'static str],
}

const fn core(name: &'static str, imports: &'static [&'static str]) -> Rule {
    Rule {
        name,
        core: true,
        imports,
    }
}

const fn outside(name: &'static str, imports: &'static [&'static str]) -> Rule {
    Rule {
        name,
        core: false,
        imports,
    }
}

/// The table of the crates. Siblings never import each other: the broker joins them.
const RULES: &[Rule] = &[
    core("model", &[]),
    core("protocol", &["model", "protocol-derive"]),
    outside("protocol-derive", &[]),
    core("compression", &["model"]),
    core("storage", &["compression", "model"]),
    core("controller", &["model"]),
    core("coordinator", &["model"]),
    core(
        "broker",
        &["model", "protocol", "storage", "controller", "coordinator"],
    ),
    outside("server", &["broker", "storage", "protocol", "model"]),
    outside("client", &["compression", "protocol", "model"]),
    outside("cli", &["client", "server", "protocol", "model", "stream"]),
    outside("bench", &["protocol", "model"]),
    outside("sim", &["broker", "storage", "protocol", "model"]),
    outside(
        "fuzz",
        &["broker", "storage", "controller", "protocol", "model"],
    ),
];

/// What no crate of the core may depend on: runtimes, sockets and files, threads, clocks, and randomness of the system's.
const DENIED_IN_THE_CORE: &[&str] = &[
    // Runtimes and event loops.
    "async-io",
    "async-std",
    "compio",
    "embassy-executor",
    "futures",
    "futures-executor",
    "glommio",
    "io-uring",
    "mio",
    "monoio",
    "polling",
    "smol",
    "tokio",
    "tokio-uring",
    "tokio-util",
    // The operating system.
    "libc",
    "memmap2",
    "nix",
    "rustix",
    "socket2",
    "tempfile",
    "windows-sys",
    // Threads, and what is shared among them.
    "arc-swap",
    "crossbeam",
    "crossbeam-channel",
    "dashmap",
    "flume",
    "parking_lot",
    "rayon",
    "threadpool",
    // Clocks.
    "chrono",
    "coarsetime",
    "jiff",
    "minstant",
    "quanta",
    "time",
    // Randomness, also that of hash maps.
    "ahash",
    "fastrand",
    "foldhash",
    "getrandom",
    "hashbrown",
    "oorandom",
    "rand",
    "rand_core",
    "uuid",
];

/// What the root's clippy.toml, which rules the core, must ban.
const BANNED_IN_THE_CORE: &[&str] = &[
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::env::var",
    "std::fs::File",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::sync::Condvar",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::thread::sleep",
    "std::thread::spawn",
    "std::time::Instant",
    "std::time::Instant::now",
    "std::time::SystemTime",
    "std::time::SystemTime::now",
];

/// How the package of the crate in the folder `NAME` is called: `wiber-NAME`.
const PREFIX: &str = "wiber-";

/// A workspace, as far as the rules look at it.
#[derive(Clone)]
struct Workspace {
    manifest: String,
    clippy: String,
    crates: Vec<Crate>,
}

#[derive(Clone)]
struct Crate {
    /// Its folder below `crates`.
    folder: String,
    manifest: String,
    has_clippy: bool,
    /// The text of its sources.
    sources: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Normal,
    Build,
    Dev,
}

/// All that breaks a rule, in words.
fn violations(workspace: &Workspace) -> Vec<String> {
    let mut found = Vec::new();
    for ban in BANNED_IN_THE_CORE {
        if !workspace.clippy.contains(&format!("\"{ban}\"")) {
            found.push(format!("the root's clippy.toml does not ban {ban}"));
        }
    }
    for rule in RULES {
        if !workspace.crates.iter().any(|it| it.folder == rule.name) {
            found.push(format!("{} has a rule and is no crate", rule.name));
        }
    }
    let renamed = match renames(&workspace.manifest) {
        Ok(renamed) => renamed,
        Err(problem) => {
            found.push(format!("the workspace: {problem}"));
            BTreeMap::new()
        }
    };
    for it in &workspace.crates {
        let name = &it.folder;
        let Some(rule) = RULES.iter().find(|rule| rule.name == name) else {
            found.push(format!("{name} has no rule in the table"));
            continue;
        };
        let broken = violations_of(it, rule, &renamed);
        found.extend(
            broken
                .into_iter()
                .map(|problem| format!("{name} {problem}")),
        );
    }
    found
}

fn violations_of(it: &Crate, rule: &Rule, renamed: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    if !it
        .manifest
        .contains(&format!("name = \"{PREFIX}{}\"", it.folder))
    {
        found.push(format!("is not named {PREFIX}{}", it.folder));
    }
    if !it.manifest.contains("[lints]\nworkspace = true") {
        found.push("does not take the workspace's lints".to_string());
    }
    if rule.core && it.has_clippy {
        found.push("is of the core and replaces its clippy.toml".to_string());
    }
    if !rule.core && !it.has_clippy {
        found.push("is outside the core and has no clippy.toml of its own".to_string());
    }
    if rule.core && it.sources.contains("clippy::disallowed_") {
        found.push("is of the core and lifts its bans".to_string());
    }
    match dependencies(&it.manifest, renamed) {
        Err(problem) => found.push(problem),
        Ok(dependencies) => found.extend(dependencies.into_iter().filter_map(|(kind, package)| {
            match package.strip_prefix(PREFIX) {
                Some(import) if rule.imports.contains(&import) => None,
                Some(import) => Some(format!("must not import {import} ({kind:?})")),
                // A test may do what the code may not.
                None if !rule.core || kind == Kind::Dev => None,
                None if DENIED_IN_THE_CORE.contains(&package.as_str()) => {
                    Some(format!("is of the core and depends on {package}"))
                }
                None => None,
            }
        })),
    }
    found
}

/// The packages that a manifest names, by their own names.
fn dependencies(
    manifest: &str,
    renamed: &BTreeMap<String, String>,
) -> Result<Vec<(Kind, String)>, String> {
    let entries = entries(manifest, |section| {
        // `target.'cfg(unix)'.dependencies` is of the kind of `dependencies`.
        let section = match section.rsplit_once('.') {
            Some((before, last)) if before.starts_with("target.") => last,
            _ => section,
        };
        match section {
            "dependencies" => Some(Kind::Normal),
            "build-dependencies" => Some(Kind::Build),
            "dev-dependencies" => Some(Kind::Dev),
            _ => None,
        }
    })?;
    let package = |key: &str| renamed.get(key).cloned().unwrap_or_else(|| key.to_string());
    Ok(entries
        .into_iter()
        .map(|entry| {
            (
                entry.kind,
                entry.package.unwrap_or_else(|| package(&entry.key)),
            )
        })
        .collect())
}

/// What the workspace's dependencies are really called, where their key is another name.
fn renames(manifest: &str) -> Result<BTreeMap<String, String>, String> {
    let all = |section: &str| (section == "workspace.dependencies").then_some(Kind::Normal);
    Ok(entries(manifest, all)?
        .into_iter()
        .filter_map(|entry| Some((entry.key, entry.package?)))
        .collect())
}

struct Entry {
    kind: Kind,
    key: String,
    /// As `package = "..."` says, if it does.
    package: Option<String>,
}

/// The entries of the sections that `kind_of` names. Only TOML that a dependency is commonly written in is understood; all
/// other is an error, so that nothing is overlooked.
fn entries(manifest: &str, kind_of: impl Fn(&str) -> Option<Kind>) -> Result<Vec<Entry>, String> {
    let mut found: Vec<Entry> = Vec::new();
    let mut section = Section::Other;
    // How many brackets of an array are open: it may go on for lines.
    let mut open = 0;
    for line in manifest.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        if open == 0 && line.starts_with('[') {
            section = Section::Other;
            let header = line.trim_matches(['[', ']']).trim();
            if let Some(kind) = kind_of(header) {
                section = Section::Table(kind);
            } else if let Some((table, key)) = header.rsplit_once('.')
                && let Some(kind) = kind_of(table)
            {
                section = Section::Entry;
                found.push(Entry {
                    kind,
                    key: unquoted(key),
                    package: None,
                });
            }
            continue;
        }
        let depth = line.matches('[').count() as i32 - line.matches(']').count() as i32;
        let continued = open > 0;
        open += depth;
        if continued || matches!(section, Section::Other) {
            continue;
        }
        let not_understood = || format!("has a line that this test does not understand: {line}");
        let (key, value) = line.split_once('=').ok_or_else(not_understood)?;
        let (key, value) = (key.trim(), value.trim());
        match section {
            Section::Other => {}
            Section::Entry => {
                if let (Some(entry), "package") = (found.last_mut(), key) {
                    entry.package = Some(unquoted(value));
                }
            }
            Section::Table(kind) => {
                let (key, field) = key.split_once('.').unwrap_or((key, ""));
                let package = match field {
                    "package" => Some(unquoted(value)),
                    _ => package_in(value),
                };
                let key = unquoted(key);
                if key.is_empty() || key.contains(['"', '\'', ' ', '{']) {
                    return Err(not_understood());
                }
                found.push(Entry { kind, key, package });
            }
        }
    }
    Ok(found)
}

enum Section {
    Other,
    /// One entry a line.
    Table(Kind),
    /// A section for the last entry alone.
    Entry,
}

/// The value of `package` in an inline table.
fn package_in(value: &str) -> Option<String> {
    let table = value.strip_prefix('{')?.trim_end_matches('}');
    table.split(',').find_map(|field| {
        let (key, value) = field.split_once('=')?;
        (key.trim() == "package").then(|| unquoted(value.trim()))
    })
}

fn unquoted(text: &str) -> String {
    text.trim_matches(['"', '\'']).to_string()
}

/// The workspace that this test is of.
fn here() -> Workspace {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &Path| {
        fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let folders = fs::read_dir(root.join("crates")).expect("the folder of the crates");
    let crates = folders
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.join("Cargo.toml").is_file())
        .map(|path| Crate {
            folder: path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .expect("a folder has a name"),
            manifest: read(&path.join("Cargo.toml")),
            has_clippy: ["clippy.toml", ".clippy.toml"]
                .iter()
                .any(|name| path.join(name).exists()),
            sources: sources(&path.join("src")),
        })
        .collect();
    Workspace {
        manifest: read(&root.join("Cargo.toml")),
        clippy: read(&root.join("clippy.toml")),
        crates,
    }
}

/// The text of all sources below `folder`.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            text.push_str(&sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap_or_default());
        }
    }
    text
}

#[test]
fn the_crates_import_only_what_they_may() {
    let workspace = here();
    assert!(workspace.crates.len() >= 2, "the crates were not found");
    let found = violations(&workspace);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// A workspace in which all is well.
fn good() -> Workspace {
    let crates = RULES.iter().map(|rule| Crate {
        folder: rule.name.to_string(),
        manifest: format!(
            "[package]\nname = \"wiber-{}\"\n\n[lints]\nworkspace = true\n\n[dependencies]\nbytes.workspace = true\n",
            rule.name
        ) + &rule
            .imports
            .iter()
            .map(|import| format!("wiber-{import}.workspace = true\n"))
            .collect::<String>(),
        has_clippy: !rule.core,
        sources: String::new(),
    });
    Workspace {
        manifest: "[workspace.dependencies]\nbytes = \"1\"\nruntime = { version = \"1\", package = \"tokio\" }\n"
            .to_string(),
        clippy: BANNED_IN_THE_CORE
            .iter()
            .map(|ban| format!("{{ path = \"{ban}\" }},\n"))
            .collect(),
        crates: crates.collect(),
    }
}

/// What is found once `text` is appended to the manifest of `name`.
fn with_manifest(name: &str, text: &str) -> Vec<String> {
    let mut workspace = good();
    for it in &mut workspace.crates {
        if it.folder == name {
            it.manifest.push_str(text);
        }
    }
    violations(&workspace)
}

#[test]
fn a_workspace_that_keeps_the_rules_passes() {
    assert_eq!(violations(&good()), Vec::<String>::new());
    for (name, text) in [
        ("server", "tokio.workspace = true\n"),
        ("storage", "[dev-dependencies]\ntempfile = \"3\"\n"),
        ("storage", "# tokio = \"1\"\n"),
        (
            "storage",
            "tracing = { version = \"0.1\", features = [\n  \"tokio\",\n] }\n",
        ),
        ("storage", "[features]\ntokio = []\n"),
        ("model", "[package.metadata]\nrand = 1\n"),
    ] {
        assert_eq!(with_manifest(name, text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn an_import_against_the_order_is_found_however_it_is_written() {
    for (name, import) in [
        ("model", "protocol"),
        ("storage", "protocol"),
        ("storage", "controller"),
        ("controller", "storage"),
        ("protocol", "storage"),
        ("broker", "server"),
        ("sim", "server"),
        ("sim", "controller"),
        ("server", "controller"),
        ("cli", "storage"),
        ("cli", "broker"),
    ] {
        for text in [
            format!("wiber-{import}.workspace = true\n"),
            format!("wiber-{import} = {{ path = \"../{import}\" }}\n"),
            format!("wiber-{import} = {{ workspace = true, features = [\"x\"] }} # why not\n"),
            format!("\"wiber-{import}\" = \"1\"\n"),
            format!("alias = {{ path = \"../{import}\", package = \"wiber-{import}\" }}\n"),
            format!("\n[dependencies.wiber-{import}]\nworkspace = true\n"),
            format!("\n[dependencies.alias]\npath = \"x\"\npackage = \"wiber-{import}\"\n"),
            format!("\n[dev-dependencies]\nwiber-{import}.workspace = true\n"),
            format!("\n[build-dependencies]\nwiber-{import}.workspace = true\n"),
            format!(
                "\n[target.'cfg(target_os = \"linux\")'.dependencies]\nwiber-{import}.workspace = true\n"
            ),
            format!("\n[target.'cfg(unix)'.dependencies.wiber-{import}]\nworkspace = true\n"),
        ] {
            let found = with_manifest(name, &text);
            let told = format!("{name} must not import {import} (");
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].starts_with(&told), "{text}: {found:?}");
        }
    }
}

#[test]
fn the_core_depends_on_nothing_that_is_denied() {
    for name in ["model", "protocol", "storage", "controller", "broker"] {
        for denied in DENIED_IN_THE_CORE {
            let found = with_manifest(name, &format!("{denied}.workspace = true\n"));
            assert_eq!(
                found,
                [format!("{name} is of the core and depends on {denied}")]
            );
        }
        let found = with_manifest(name, "runtime.workspace = true\n");
        let told = format!("{name} is of the core and depends on tokio");
        assert_eq!(found, [told], "another name does not hide it");
    }
}

#[test]
fn the_rest_of_the_wall_is_looked_at() {
    let changed = |change: &dyn Fn(&mut Workspace)| {
        let mut workspace = good();
        change(&mut workspace);
        violations(&workspace)
    };
    let named = |name: &'static str| move |it: &&mut Crate| it.folder == name;
    let change = |name: &'static str, change: &dyn Fn(&mut Crate)| {
        changed(&|workspace| change(workspace.crates.iter_mut().find(named(name)).expect("it")))
    };
    assert_eq!(
        change("storage", &|it| it.has_clippy = true),
        ["storage is of the core and replaces its clippy.toml"]
    );
    assert_eq!(
        change("server", &|it| it.has_clippy = false),
        ["server is outside the core and has no clippy.toml of its own"]
    );
    assert_eq!(
        change("broker", &|it| it.sources =
            "#![allow(clippy::disallowed_types)]".to_string()),
        ["broker is of the core and lifts its bans"]
    );
    assert_eq!(
        change("broker", &|it| it.manifest =
            it.manifest.replace("[lints]", "[hints]")),
        ["broker does not take the workspace's lints"]
    );
    assert_eq!(
        change("broker", &|it| it.manifest =
            it.manifest.replace("wiber-broker", "broker")),
        ["broker is not named wiber-broker"]
    );
    assert_eq!(
        change("broker", &|it| it.manifest.push_str("what is this\n")),
        ["broker has a line that this test does not understand: what is this"]
    );
    assert_eq!(
        changed(&|workspace| workspace.crates.retain(|it| it.folder != "sim")),
        ["sim has a rule and is no crate"]
    );
    assert_eq!(
        changed(&|workspace| {
            let mut other = workspace.crates[0].clone();
            other.folder = "common".to_string();
            workspace.crates.push(other);
        }),
        ["common has no rule in the table"]
    );
    assert_eq!(
        changed(&|workspace| workspace.clippy = workspace.clippy.replace("SystemTime::now", "")),
        ["the root's clippy.toml does not ban std::time::SystemTime::now"]
    );
}
