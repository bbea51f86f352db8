use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::AtomicU32;
use wiber_model::Offset;
use wiber_storage::io::SegmentId;

use super::*;

/// A directory that goes away with the test.
struct TempDir(PathBuf);

impl TempDir {
    fn new() -> TempDir {
        TempDir::below(&std::env::temp_dir())
    }

    fn below(parent: &FsPath) -> TempDir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("wiber-disk-{}-{number}", std::process::id());
        TempDir(parent.join(name))
    }

    fn open(&self) -> DataDirectory {
        DataDirectory::open(&self.0, 100).unwrap()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const TOPIC: TopicId = TopicId([7; 16]);

fn segment_id(partition: i32, base: i64) -> SegmentId {
    SegmentId {
        partition: PartitionId {
            topic: TOPIC,
            partition,
        },
        base: Offset(base),
        generation: 0,
    }
}

fn segment(partition: i32, base: i64) -> FileId {
    FileId::Segment(segment_id(partition, base))
}

fn write(directory: &DataDirectory, file: FileId, at: u64, data: &[u8]) {
    let data = vec![Bytes::copy_from_slice(data)];
    directory.perform(DiskOp::Write { file, at, data }).unwrap();
}

fn read(directory: &DataDirectory, file: FileId, at: u64, len: usize) -> DiskResult {
    directory.perform(DiskOp::Read { file, at, len })
}

fn delete(directory: &DataDirectory, files: &[FileId]) {
    let files = files.to_vec();
    directory.perform(DiskOp::Delete { files }).unwrap();
}

#[test]
fn what_is_written_is_read() {
    let temp = TempDir::new();
    let directory = temp.open();
    let file = segment(0, 0);
    // More pieces than one system call takes, some of them empty.
    let data: Vec<Bytes> = (0..3000u32)
        .map(|n| Bytes::from(vec![n as u8; n as usize % 4]))
        .collect();
    let whole = data.concat();
    directory
        .perform(DiskOp::Write { file, at: 5, data })
        .unwrap();
    assert_eq!(directory.size_of(file), Ok(5 + whole.len() as u64));
    assert_eq!(
        read(&directory, file, 5, whole.len()),
        Ok(whole.clone().into())
    );
    assert_eq!(
        read(&directory, file, 0, 5),
        Ok(Bytes::from_static(&[0; 5]))
    );
    // Only as much as there is, whatever length is asked for.
    let tail = Bytes::copy_from_slice(&whole[whole.len() - 2..]);
    let end = 5 + whole.len() as u64;
    for len in [
        3,
        READ_UNCHECKED_MAX_BYTES,
        READ_UNCHECKED_MAX_BYTES + 1,
        usize::MAX,
    ] {
        assert_eq!(read(&directory, file, end - 2, len), Ok(tail.clone()));
        assert_eq!(read(&directory, file, end, len), Ok(Bytes::new()));
        assert_eq!(read(&directory, file, end + 9, len), Ok(Bytes::new()));
    }
    assert_eq!(
        read(&directory, segment(0, 1), 0, 1),
        Err(DiskError::NotFound)
    );
    assert_eq!(directory.size_of(segment(0, 1)), Err(DiskError::NotFound));
}

#[test]
fn long_runs_of_any_length_follow_one_another() {
    let mut rng = wiber_model::Rng::new(3);
    // Not every filesystem for temporary files takes direct I/O; that of the build does, most likely.
    let program = std::env::current_exe().unwrap();
    let temp = TempDir::below(program.parent().unwrap());
    for direct in [true, false] {
        let directory = temp.open();
        directory.direct.store(direct, Ordering::Relaxed);
        let file = segment(0, 0);
        let mut expected = Vec::new();
        for len in [
            5, 4091, 70_000, 100, 65_536, 8192, 65_535, 2_500_000, 1, 131_072, 69_633,
        ] {
            let mut run = vec![0; len];
            rng.fill(&mut run);
            let data = run.chunks(1111).map(Bytes::copy_from_slice).collect();
            let at = expected.len() as u64;
            // Whoever reads meanwhile brings into the page cache what is about to be written over.
            let last = expected.len().saturating_sub(10_000);
            let got = read(&directory, file, last as u64, 20_000);
            assert!(expected.is_empty() || got.unwrap() == expected[last..]);
            directory.perform(DiskOp::Write { file, at, data }).unwrap();
            expected.extend_from_slice(&run);
            assert_eq!(directory.size_of(file), Ok(expected.len() as u64));
        }
        directory
            .perform(DiskOp::Sync { files: vec![file] })
            .unwrap();
        let got = read(&directory, file, 0, expected.len()).unwrap();
        assert!(got == expected, "with direct I/O: {direct}");
        delete(&directory, &[file]);
    }
}

#[test]
fn files_are_listed_by_what_they_hold() {
    let temp = TempDir::new();
    let mut directory = temp.open();
    assert_eq!(directory.wal_extents(), Ok(vec![]));
    assert_eq!(directory.topics(), Ok(vec![]));
    let first = segment_id(3, 0);
    write(&directory, FileId::Wal(12), 0, b"x");
    write(&directory, FileId::Wal(2), 0, b"x");
    write(&directory, FileId::Segment(first), 0, b"abc");
    write(&directory, FileId::Index(first), 0, b"defg");
    write(&directory, segment(12, 99), 0, b"");
    write(&directory, segment(3, 99), 0, b"hi");
    let partition = first.partition;
    let below = format!("topics/{TOPIC}/3");
    for stray in [
        "wal/2.wal",
        "wal/notes.txt",
        "topics/readme",
        &format!("{below}/0.0.log"),
        &format!("{below}/00000000000000000007.0.log.old"),
        &format!("{below}/00000000000000000007.00.log"),
        &format!("{below}/00000000000000000007.0.txt"),
    ] {
        std::fs::write(temp.0.join(stray), b"stray").unwrap();
    }
    std::fs::create_dir(temp.0.join(format!("topics/{TOPIC}/03"))).unwrap();
    assert_eq!(directory.wal_extents(), Ok(vec![2, 12]));
    assert_eq!(directory.topics(), Ok(vec![TOPIC]));
    let partitions = [3, 12].map(|partition| PartitionId {
        topic: TOPIC,
        partition,
    });
    assert_eq!(directory.partitions(TOPIC), Ok(partitions.to_vec()));
    let files = [
        (FileId::Segment(first), 3),
        (segment(3, 99), 2),
        (FileId::Index(first), 4),
    ];
    assert_eq!(directory.partition_files(partition), Ok(files.to_vec()));
    assert_eq!(
        directory.partition_files(PartitionId::default()),
        Ok(vec![])
    );
}

#[test]
fn deleting_the_last_file_deletes_its_directories() {
    let temp = TempDir::new();
    let directory = temp.open();
    write(&directory, segment(0, 0), 0, b"x");
    write(&directory, segment(0, 1), 0, b"x");
    write(&directory, segment(1, 0), 0, b"x");
    delete(&directory, &[segment(0, 0), segment(5, 5)]);
    assert!(temp.0.join(segment(0, 1).path()).exists());
    delete(&directory, &[segment(0, 0), segment(0, 1)]);
    assert!(!temp.0.join(format!("topics/{TOPIC}/0")).exists());
    assert!(temp.0.join(format!("topics/{TOPIC}/1")).exists());
    delete(&directory, &[segment(1, 0)]);
    assert!(!temp.0.join(format!("topics/{TOPIC}")).exists());
    // A deletion can be made durable although the directory is gone.
    let files = vec![segment(1, 0)];
    directory
        .perform(DiskOp::SyncDirectories { files })
        .unwrap();
}

#[test]
fn a_file_made_anew_is_another_file() {
    let temp = TempDir::new();
    let directory = temp.open();
    write(&directory, segment(0, 0), 0, b"old and long");
    delete(&directory, &[segment(0, 0)]);
    write(&directory, segment(0, 0), 0, b"new");
    assert_eq!(
        std::fs::read(temp.0.join(segment(0, 0).path())).unwrap(),
        b"new"
    );
    // So it is after a rename, on both sides of it.
    write(&directory, FileId::Checkpoint, 0, b"first");
    write(&directory, FileId::CheckpointDraft, 0, b"second");
    let (from, to) = (FileId::CheckpointDraft, FileId::Checkpoint);
    directory.perform(DiskOp::Rename { from, to }).unwrap();
    write(&directory, from, 0, b"third!");
    assert_eq!(
        read(&directory, to, 0, 99),
        Ok(Bytes::from_static(b"second"))
    );
    assert_eq!(
        read(&directory, from, 0, 99),
        Ok(Bytes::from_static(b"third!"))
    );
    let missing = DiskOp::Rename {
        from: FileId::IdentityDraft,
        to: FileId::Identity,
    };
    assert_eq!(directory.perform(missing), Err(DiskError::NotFound));
}

#[test]
fn files_are_cut_and_grown() {
    let temp = TempDir::new();
    let directory = temp.open();
    let file = segment(0, 0);
    let truncate = |len| directory.perform(DiskOp::Truncate { file, len });
    assert_eq!(truncate(1), Err(DiskError::NotFound));
    write(&directory, file, 0, b"abcdef");
    truncate(2).unwrap();
    truncate(4).unwrap();
    assert_eq!(
        read(&directory, file, 0, 9),
        Ok(Bytes::from_static(b"ab\0\0"))
    );
}

#[test]
fn few_descriptors_serve_many_files() {
    let temp = TempDir::new();
    let directory = DataDirectory::open(&temp.0, 4).unwrap();
    let files: Vec<FileId> = (0..50).map(|base| segment(0, base)).collect();
    for round in 0..3u8 {
        for file in &files {
            write(&directory, *file, u64::from(round), &[round]);
        }
    }
    for file in &files {
        assert_eq!(
            read(&directory, *file, 0, 9),
            Ok(Bytes::from_static(&[0, 1, 2]))
        );
    }
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let open = open
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|path| path.starts_with(std::fs::canonicalize(&temp.0).unwrap()));
    // The directory itself and its lock are open too.
    assert_eq!(open.count(), 4 + 2);
    // Most of them were closed unsynced: one file's sync must cover the failures that they cannot report any more.
    assert!(directory.descriptors.unsynced().pending());
    let sync = |files: &[FileId]| {
        directory
            .perform(DiskOp::Sync {
                files: files.to_vec(),
            })
            .unwrap();
    };
    sync(&files[..1]);
    assert!(!directory.descriptors.unsynced().pending());
    // What was synced may be closed.
    for file in &files {
        read(&directory, *file, 0, 9).unwrap();
    }
    assert!(!directory.descriptors.unsynced().pending());
    write(&directory, files[0], 0, b"x");
    sync(&files[..1]);
    delete(&directory, &files);
    assert!(!directory.descriptors.unsynced().pending());
}

#[test]
fn syncs_of_few_and_many_files_and_directories() {
    let temp = TempDir::new();
    let directory = temp.open();
    let files: Vec<FileId> = (0..20).map(|partition| segment(partition, 0)).collect();
    for file in &files {
        write(&directory, *file, 0, b"x");
    }
    for files in [&files[..1], &files[..]] {
        let files = files.to_vec();
        directory
            .perform(DiskOp::Sync {
                files: files.clone(),
            })
            .unwrap();
        directory
            .perform(DiskOp::SyncDirectories { files })
            .unwrap();
    }
    let files = vec![segment(99, 0)];
    let missing = directory.perform(DiskOp::Sync { files });
    assert!(missing.is_ok(), "what was deleted since needs no sync");
}

#[test]
fn directories_are_made_while_others_prune_them() {
    let temp = TempDir::new();
    let directory = temp.open();
    std::thread::scope(|scope| {
        for base in 0..3 {
            let directory = &directory;
            scope.spawn(move || {
                for _ in 0..500 {
                    write(directory, segment(0, base), 0, b"x");
                    assert_eq!(
                        read(directory, segment(0, base), 0, 9),
                        Ok(Bytes::from_static(b"x"))
                    );
                    delete(directory, &[segment(0, base)]);
                }
            });
        }
    });
}

/// Blocks that do not begin on a boundary in memory, or do.
fn blocks(count: usize, byte: u8, aligned: bool) -> Bytes {
    let len = count * BLOCK_BYTES;
    let memory = Bytes::from(vec![byte; len + 2 * BLOCK_BYTES]);
    let start = memory.as_ptr().align_offset(BLOCK_BYTES) + usize::from(!aligned);
    memory.slice(start..start + len)
}

/// Writes an extent in every way and reads it back.
fn use_an_extent(directory: &DataDirectory) {
    let file = FileId::Wal(1);
    let len = 3 * ZERO_PIECE_BYTES as u64 + BLOCK_BYTES as u64;
    directory.perform(DiskOp::Allocate { file, len }).unwrap();
    let zeros = Bytes::from(vec![0; len as usize]);
    assert_eq!(read(directory, file, 0, len as usize), Ok(zeros));
    let mut byte = 0;
    for sync in [true, false] {
        for aligned in [true, false] {
            for count in [1, 2, 300] {
                byte += 1;
                let at = u64::from(byte) * BLOCK_BYTES as u64;
                let data = blocks(count, byte, aligned);
                let expected = data.clone();
                directory
                    .perform(DiskOp::WalWrite {
                        file,
                        at,
                        data,
                        sync,
                    })
                    .unwrap();
                assert_eq!(read(directory, file, at, expected.len()), Ok(expected));
            }
        }
    }
    directory
        .perform(DiskOp::Sync { files: vec![file] })
        .unwrap();
    assert_eq!(directory.size_of(file), Ok(len));
    for (at, data) in [
        (1, blocks(1, 1, true)),
        (0, Bytes::from_static(b"part of a block")),
    ] {
        let write = DiskOp::WalWrite {
            file,
            at,
            data,
            sync: true,
        };
        assert!(matches!(
            directory.perform(write),
            Err(DiskError::Failed(_))
        ));
    }
    let elsewhere = DiskOp::WalWrite {
        file: FileId::Wal(2),
        at: 0,
        data: blocks(1, 1, true),
        sync: true,
    };
    assert_eq!(directory.perform(elsewhere), Err(DiskError::NotFound));
    delete(directory, &[file]);
    assert_eq!(directory.size_of(file), Err(DiskError::NotFound));
}

#[test]
fn extents_are_written_with_and_without_direct_io() {
    let temp = TempDir::new();
    let directory = temp.open();
    use_an_extent(&directory);
    directory.refuse_dsync();
    use_an_extent(&directory);
    directory.refuse_direct();
    use_an_extent(&directory);
    directory.dsync.store(true, Ordering::Relaxed);
    use_an_extent(&directory);
}

#[test]
fn extents_are_written_in_memory_filesystems() {
    let shm = FsPath::new("/dev/shm");
    if shm.is_dir() {
        let temp = TempDir::below(shm);
        use_an_extent(&temp.open());
    }
}

/// Prints how long durable writes take here; there is nothing to assert about it.
#[test]
fn time_of_durable_writes() {
    let temp = TempDir::new();
    let directory = temp.open();
    let file = FileId::Wal(1);
    let len = 1 << 20;
    let begun = Instant::now();
    directory.perform(DiskOp::Allocate { file, len }).unwrap();
    println!("allocate 1 MiB: {:?}", begun.elapsed());
    for (name, aligned) in [("aligned", true), ("copied", false)] {
        let mut times: Vec<Duration> = (0..200)
            .map(|n| {
                let data = blocks(1, n as u8, aligned);
                let begun = Instant::now();
                directory
                    .perform(DiskOp::WalWrite {
                        file,
                        at: n * BLOCK_BYTES as u64,
                        data,
                        sync: true,
                    })
                    .unwrap();
                begun.elapsed()
            })
            .collect();
        times.sort();
        println!("4 KiB {name}: p50 {:?}, p99 {:?}", times[100], times[198]);
    }
}

#[test]
fn a_directory_is_used_by_one_at_a_time() {
    let temp = TempDir::new();
    let directory = temp.open();
    let error = DataDirectory::open(&temp.0, 1).err().unwrap();
    let text = error.to_string();
    assert!(
        text.contains(&format!("in use by process {}", std::process::id())),
        "{text}"
    );
    assert!(text.contains(&temp.0.display().to_string()), "{text}");
    // Looking is free, and changes nothing.
    write(&directory, FileId::Checkpoint, 0, b"x");
    let reader = DataDirectory::open_read_only(&temp.0).unwrap();
    assert_eq!(
        read(&reader, FileId::Checkpoint, 0, 9),
        Ok(Bytes::from_static(b"x"))
    );
    let refused = reader.perform(DiskOp::Delete {
        files: vec![FileId::Checkpoint],
    });
    assert!(matches!(refused, Err(DiskError::Failed(_))));
    assert_eq!(directory.size_of(FileId::Checkpoint), Ok(1));
    drop(directory);
    drop(temp.open());
}

#[test]
fn a_refused_directory_is_named_with_the_remedy() {
    let temp = TempDir::new();
    std::fs::create_dir(&temp.0).unwrap();
    std::fs::write(temp.0.join("file"), b"").unwrap();
    for below in ["file", "file/data"] {
        let path = temp.0.join(below);
        let text = DataDirectory::open(&path, 1).err().unwrap().to_string();
        assert!(text.contains(&path.display().to_string()), "{text}");
        assert!(text.contains("--data-dir"), "{text}");
    }
    let missing = DataDirectory::open_read_only(&temp.0.join("missing"));
    assert!(missing.err().unwrap().to_string().contains("missing"));
    if rustix::process::geteuid().is_root() {
        return; // Root may write everywhere.
    }
    std::fs::set_permissions(&temp.0, std::fs::Permissions::from_mode(0o500)).unwrap();
    let text = DataDirectory::open(&temp.0, 1).err().unwrap().to_string();
    assert!(text.contains("write access"), "{text}");
}

#[test]
fn new_directories_above_are_synced_once() {
    let temp = TempDir::new();
    let path = temp.0.join("a/b");
    let directory = DataDirectory::open(&path, 1).unwrap();
    let above = directory.above.lock().unwrap().clone();
    let parent = temp.0.parent().unwrap().to_owned();
    assert_eq!(above, [temp.0.join("a"), temp.0.clone(), parent]);
    write(&directory, FileId::Identity, 0, b"x");
    let files = vec![FileId::Identity];
    directory
        .perform(DiskOp::SyncDirectories { files })
        .unwrap();
    assert!(directory.above.lock().unwrap().is_empty());
}

#[test]
fn a_full_disk_is_told_from_a_broken_one() {
    assert_eq!(failed("write to", "f", Errno::NOSPC), DiskError::NoSpace);
    assert_eq!(failed("write to", "f", Errno::DQUOT), DiskError::NoSpace);
    assert_eq!(failed("open", "f", Errno::NOENT), DiskError::NotFound);
    let DiskError::Failed(text) = failed("sync", "wal/0000000001.wal", Errno::IO) else {
        panic!("an I/O error is none of the others");
    };
    assert_eq!(
        text,
        "sync wal/0000000001.wal: Input/output error (os error 5)"
    );
}

#[test]
fn directories_lead_to_a_file_from_the_nearest_on() {
    assert_eq!(parents("a/b/c").collect::<Vec<_>>(), ["a/b", "a", "."]);
    assert_eq!(parents("c").collect::<Vec<_>>(), ["."]);
}
