//! Flipped bits, overwritten blocks, lost and foreign files: what can be read is read, the rest is named.

use std::collections::BTreeMap;

use wiber_model::Rng;
use wiber_storage::wal::{Group, GroupHeader, Scan};
use wiber_storage::{
    DirectoryId, DiskError, FileId, Frame, Identity, WalEffect, WalError, WalEvent,
};

use crate::disk::MemDisk;
use crate::driver::{Driver, Recovered, frame, written_log};
use crate::{PARTICIPANTS, UNCHECKPOINTED, identity};

const GROUP_HEADER_BYTES: u64 = 128;
const FRAME_HEADER_BYTES: u64 = 48;

/// All groups of a log.
fn groups(disk: &mut MemDisk) -> Vec<Group> {
    let mut scan = Scan::new(disk, &identity(), None).unwrap();
    let mut groups = Vec::new();
    while let Some(group) = scan.next_group().unwrap() {
        groups.push(group);
    }
    assert!(!scan.is_torn());
    groups
}

/// Checks that every frame is there, right, or named as lost; answers how many are lost.
fn check(opened: &Recovered, all: &[Frame]) -> u64 {
    let mut found: BTreeMap<u64, Option<&Frame>> = BTreeMap::new();
    for (lsn, frame) in &opened.frames {
        assert!(
            found.insert(lsn.0, Some(frame)).is_none(),
            "{lsn} is there twice"
        );
    }
    for damage in &opened.damage {
        for lsn in damage.first.0..damage.first.0 + damage.frames {
            assert!(found.insert(lsn, None).is_none(), "{lsn} is not lost");
        }
    }
    let lsns: Vec<u64> = found.keys().copied().collect();
    assert_eq!(lsns, (1..=all.len() as u64).collect::<Vec<_>>());
    for (lsn, frame) in &found {
        assert!(frame.is_none_or(|frame| *frame == all[*lsn as usize - 1]));
    }
    found.values().filter(|frame| frame.is_none()).count() as u64
}

fn recover(disk: MemDisk) -> Recovered {
    Driver::on(disk, UNCHECKPOINTED).1
}

/// Opens a damaged log, goes on with it, opens it again: the same must be lost, and no more.
fn check_and_go_on(disk: MemDisk, all: &[Frame]) -> (u64, Recovered) {
    let (mut driver, recovered) = Driver::on(disk, UNCHECKPOINTED);
    let lost = check(&recovered, all);
    let mut more = all.to_vec();
    for _ in 0..3 {
        let next = frame(more.len() as u64 + 1, 700);
        more.push(next.clone());
        driver.append(PARTICIPANTS[0], vec![next]);
    }
    assert_eq!(check(&driver.recover(UNCHECKPOINTED), &more), lost);
    (lost, recovered)
}

fn error(mut disk: MemDisk) -> Option<WalError> {
    crate::open(&mut disk, UNCHECKPOINTED).err()
}

#[test]
fn a_flipped_bit_costs_what_it_hits_and_nothing_else() {
    // Three extents, with links between them.
    let (mut disk, all) = written_log(14, 6, 1_000);
    let groups = groups(&mut disk);
    assert!(groups.last().unwrap().extent > 2);
    let mut rng = Rng::new(7);
    for group in &groups {
        let header = group.header.unwrap();
        for _ in 0..40 {
            let bytes = GROUP_HEADER_BYTES + u64::from(header.frame_bytes);
            let bit = rng.below(bytes * 8);
            let mut bad = disk.clone();
            bad.flip(FileId::Wal(group.extent), group.at * 8 + bit);
            if header.number == groups.len() as u64 {
                // The mark at the end: what it marks is there all the same.
                assert_eq!(recover(bad).frames.len(), all.len());
                continue;
            }
            let (lost, opened) = check_and_go_on(bad, &all);
            let frame_bytes = u64::from(header.frame_bytes / header.frame_count.max(1));
            let in_frames = (bit / 8).checked_sub(GROUP_HEADER_BYTES);
            let expected = match in_frames {
                None => 0,
                Some(_) => 1,
            };
            assert_eq!(lost, expected, "bit {bit} of {header:?}");
            let [damage] = &opened.damage[..] else {
                panic!("damage is named once: {:?}", opened.damage);
            };
            assert_eq!(damage.extent, group.extent);
            assert!(damage.at >= group.at && damage.at <= group.at + bit / 8);
            let known = in_frames.is_some_and(|at| at % frame_bytes >= FRAME_HEADER_BYTES);
            assert_eq!(damage.header.is_some(), known, "whose it was is known");
        }
    }
}

/// A log over several extents that several openings wrote, with groups that were synced at once and others that were not.
fn log_of_many_openings() -> (MemDisk, Vec<Frame>) {
    let mut rng = Rng::new(5);
    let mut driver = Driver::new(UNCHECKPOINTED);
    let mut all = Vec::new();
    for _ in 0..6 {
        for _ in 0..rng.range(1..7) {
            let frames: Vec<Frame> = (0..rng.range(1..4))
                .map(|more| frame(all.len() as u64 + 1 + more, rng.below(2_500) as usize))
                .collect();
            all.extend(frames.iter().cloned());
            driver.run(WalEvent::Append {
                from: PARTICIPANTS[0],
                frames,
                relaxed: rng.below(2) == 0,
            });
        }
        driver = Driver::on(driver.disk, UNCHECKPOINTED).0;
    }
    (driver.disk, all)
}

#[test]
fn headers_of_any_groups_cost_no_frame() {
    let (mut disk, all) = log_of_many_openings();
    let groups = groups(&mut disk);
    let [rest @ .., _] = &groups[..] else {
        panic!("there are groups")
    };
    assert!(rest.last().unwrap().extent > 2);
    let opening = |group: &Group| group.header.unwrap().opening;
    assert!(opening(&rest[rest.len() - 1]) > opening(&rest[0]) + 3);
    // Where a link and the groups before it are hit, and another opening went on behind it, what it says of the end of its extent may
    // be something left behind: that is named as lost rather than taken.
    let is_certain = |hit: &[usize]| {
        hit.iter().all(|&index| {
            let whole = |index: &usize| !hit.contains(index);
            let before = (0..index).rev().find(whole).map(|it| opening(&groups[it]));
            let behind = (index..groups.len()).find(whole).unwrap();
            groups[index].extent == groups[behind].extent
                || before.unwrap_or(0) == opening(&groups[behind])
        })
    };
    let mut certain = 0;
    for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let mut bad = disk.clone();
        let share = rng.range(2..10);
        let mut hit = Vec::new();
        for (index, group) in rest.iter().enumerate() {
            if rng.below(share) > 0 {
                continue;
            }
            let bit = rng.below(GROUP_HEADER_BYTES * 8);
            bad.flip(FileId::Wal(group.extent), group.at * 8 + bit);
            hit.push(index);
        }
        let (lost, opened) = check_and_go_on(bad, &all);
        let found = &opened.damage;
        if is_certain(&hit) {
            certain += 1;
            assert_eq!(lost, 0, "seed {seed}: headers of groups {hit:?}: {found:?}");
        }
        assert_eq!(found.is_empty(), hit.is_empty(), "seed {seed}");
    }
    assert!(certain > 200, "{certain} of 400");
}

#[test]
fn an_extent_in_the_middle_is_gone_or_cut() {
    let (mut disk, all) = written_log(30, 6, 1_000);
    let groups = groups(&mut disk);
    let middle = FileId::Wal(groups[groups.len() / 2].extent);
    assert!(FileId::Wal(1) < middle && middle < FileId::Wal(groups.last().unwrap().extent));
    let of_middle = groups.iter().filter(|it| FileId::Wal(it.extent) == middle);
    let of_middle: Vec<&Group> = of_middle.collect();
    let frames = |groups: &[&Group]| groups.iter().map(|it| it.frames.len() as u64).sum::<u64>();

    let mut gone = disk.clone();
    gone.remove(middle);
    assert_eq!(check(&recover(gone), &all), frames(&of_middle));

    for kept in 0..of_middle.len() {
        // In the midst of a group: what stands before the cut is read.
        let cut = of_middle[kept].at + 4096;
        let mut short = disk.clone();
        let bytes = short.contents(middle).unwrap()[..cut as usize].to_vec();
        short.put_contents(middle, &bytes);
        let lost = check(&recover(short), &all);
        assert!(
            lost <= frames(&of_middle[kept..]),
            "{lost} are lost at {cut}"
        );
    }
}

#[test]
fn what_an_earlier_opening_left_behind_a_link_does_not_come_back() {
    // Groups that are not synced; a power loss takes the first block of them.
    let mut driver = Driver::new(UNCHECKPOINTED);
    let sizes = [100, 14_000, 14_000, 4_000];
    let mut all: Vec<Frame> = (1..)
        .zip(sizes)
        .map(|(number, bytes)| frame(number, bytes))
        .collect();
    for frame in &all {
        driver.append(PARTICIPANTS[0], vec![frame.clone()]);
    }
    for (number, bytes) in [(105, 9_000), (106, 100), (107, 100)] {
        driver.run(WalEvent::Append {
            from: PARTICIPANTS[0],
            frames: vec![frame(number, bytes)],
            relaxed: true,
        });
    }
    let [.., first, second, _] = &groups(&mut driver.disk)[..] else {
        panic!("there are groups")
    };
    let (torn, extent, left_from) = (first.at, first.extent, second.at);
    let file = FileId::Wal(extent);
    let mut bytes = driver.disk.contents(file).unwrap().to_vec();
    bytes[torn as usize..][..4096].fill(0);
    driver.disk.put_contents(file, &bytes);

    // The next opening writes small groups there, and then one for which there is no room: it goes on in another extent.
    let (mut driver, opened) = Driver::on(driver.disk, UNCHECKPOINTED);
    assert_eq!(opened.frames.len(), all.len());
    for bytes in [100, 100, 15_900, 100] {
        let next = frame(all.len() as u64 + 1, bytes);
        all.push(next.clone());
        driver.append(PARTICIPANTS[0], vec![next]);
    }
    let new = groups(&mut driver.disk).into_iter();
    let new = new.filter(|it| it.at >= torn && it.extent == extent);
    let new: Vec<(u64, GroupHeader)> = new.map(|it| (it.at, it.header.unwrap())).collect();
    let (link, header) = new.last().unwrap();
    assert!(header.next_extent.is_some() && *link < left_from);

    // All that it wrote there goes bad: the headers, or whole groups.
    for whole in [false, true] {
        let mut bytes = driver.disk.contents(file).unwrap().to_vec();
        for (at, header) in &new {
            let len = if whole {
                header.frame_bytes as usize
            } else {
                0
            };
            bytes[*at as usize..][..128 + len].fill(0xa5);
        }
        let mut bad = driver.disk.clone();
        bad.put_contents(file, &bytes);
        let lost = check(&recover(bad), &all);
        assert_eq!(lost, if whole { 2 } else { 0 });
    }
}

#[test]
fn frames_with_damaged_headers_in_a_row_cost_themselves() {
    let (mut disk, all) = written_log(4, 10, 300);
    let groups = groups(&mut disk);
    let (first, group) = (groups[0].frames.len(), &groups[1]);
    assert_eq!(group.frames.len(), 10);
    for (from, to) in [(0, 2), (3, 7), (1, 9), (8, 10)] {
        // Also with the header of the group itself.
        for with_group in [false, true] {
            let mut bad = disk.clone();
            let mut at = group.at + GROUP_HEADER_BYTES;
            for (index, (_, header, _)) in group.frames.iter().enumerate() {
                if (from..to).contains(&index) {
                    bad.flip(FileId::Wal(group.extent), at * 8 + 9);
                }
                at += FRAME_HEADER_BYTES + u64::from(header.body_bytes);
            }
            if with_group {
                bad.flip(FileId::Wal(group.extent), group.at * 8 + 9);
            }
            let (lost, opened) = check_and_go_on(bad, &all);
            assert_eq!(lost, (to - from) as u64, "{:?}", opened.damage);
            assert_eq!(opened.damage[0].first.0, (first + from + 1) as u64);
        }
    }
}

#[test]
fn overwritten_blocks_are_named_and_the_rest_is_read() {
    let (disk, all) = written_log(14, 6, 1_000);
    let mut rng = Rng::new(11);
    let mut lost_in_all = 0;
    for _ in 0..300 {
        let mut bad = disk.clone();
        let files = bad.wal_files();
        let file = files[rng.below(files.len() as u64) as usize];
        let mut bytes = bad.contents(file).unwrap().to_vec();
        // Whole blocks, as of a write that went to the wrong place; never the last two groups, which prove the rest.
        let last = groups(&mut disk.clone()).pop().unwrap();
        let end = match file {
            FileId::Wal(extent) if extent == last.extent => last.at - 12 * 1024,
            _ => bytes.len() as u64,
        };
        let start = rng.below(end / 4096) * 4096;
        let len = (rng.range(1..5) * 4096).min(end - start);
        rng.fill(&mut bytes[start as usize..(start + len) as usize]);
        bad.put_contents(file, &bytes);
        let lost = check_and_go_on(bad, &all).0;
        assert!(
            lost <= 4 * 6,
            "{lost} frames are lost at {file:?} {start}+{len}"
        );
        lost_in_all += lost;
    }
    assert!(lost_in_all > 0);
}

#[test]
fn the_last_group_is_the_one_window() {
    let (mut disk, all) = written_log(5, 2, 1_000);
    let groups = groups(&mut disk);
    let [.., last, mark] = &groups[..] else {
        panic!("there are groups")
    };
    assert!(mark.frames.is_empty());
    // With the mark behind it, damage is told from a torn tail; without, it is not.
    let bit = (last.at + 1_000) * 8;
    let mut marked = disk.clone();
    marked.flip(FileId::Wal(last.extent), bit);
    assert_eq!(check(&recover(marked.clone()), &all), 1);
    let mut unmarked = marked;
    let mut bytes = unmarked
        .contents(FileId::Wal(mark.extent))
        .unwrap()
        .to_vec();
    bytes[mark.at as usize..][..4096].fill(0);
    unmarked.put_contents(FileId::Wal(mark.extent), &bytes);
    let opened = recover(unmarked);
    assert!(opened.report.torn && opened.damage.is_empty());
    assert_eq!(opened.frames.len(), all.len() - 2);
    assert_eq!(check(&opened, &all[..all.len() - 2]), 0);
}

#[test]
fn a_damaged_mark_or_link_does_not_hide_the_last_group() {
    // A mark, a link, and after each of them a group that nothing marks.
    let mut driver = Driver::new(UNCHECKPOINTED);
    driver.append(PARTICIPANTS[0], vec![frame(1, 100)]);
    driver.run(WalEvent::Idle);
    let mut number = 1;
    for empty_and_last in [(2, 3), (4, 5)] {
        while groups(&mut driver.disk).len() < empty_and_last.1 {
            number += 1;
            driver.append(PARTICIPANTS[0], vec![frame(number, 3_000)]);
        }
        let found = groups(&mut driver.disk);
        let (empty, last) = (&found[empty_and_last.0 - 1], &found[empty_and_last.1 - 1]);
        assert_eq!((empty.frames.len(), last.frames.len()), (0, 1));
        let mut bad = driver.disk.clone();
        bad.flip(FileId::Wal(empty.extent), empty.at * 8 + 500);
        let recovered = recover(bad);
        assert_eq!(recovered.frames.len() as u64, number);
        assert_eq!(recovered.damage.len(), 1, "and it is told");
        assert_eq!(recovered.damage[0].frames, 0);
    }
}

#[test]
fn a_torn_tail_is_overwritten_and_never_comes_back() {
    // Two relaxed groups, of which the power loss takes the first and leaves the second whole.
    let mut driver = Driver::new(UNCHECKPOINTED);
    driver.append(PARTICIPANTS[0], vec![frame(1, 100)]);
    let before = driver.disk.clone();
    let tail = groups(&mut driver.disk).len() as u64 * 4096;
    for number in 2..4 {
        driver.run(WalEvent::Append {
            from: PARTICIPANTS[0],
            frames: vec![frame(number, 100)],
            relaxed: true,
        });
    }
    let mut bytes = driver.disk.contents(FileId::Wal(1)).unwrap().to_vec();
    let old = before.contents(FileId::Wal(1)).unwrap();
    bytes[tail as usize..][..4096].copy_from_slice(&old[tail as usize..][..4096]);
    let mut disk = driver.disk.clone();
    disk.put_contents(FileId::Wal(1), &bytes);

    let (mut driver, opened) = Driver::on(disk, UNCHECKPOINTED);
    assert_eq!(opened.frames.len(), 1);
    // The very same frame, relaxed again, in the place of the lost one: the group behind it must not join.
    driver.run(WalEvent::Append {
        from: PARTICIPANTS[0],
        frames: vec![frame(2, 100)],
        relaxed: true,
    });
    let again = driver.recover(UNCHECKPOINTED);
    assert_eq!(again.frames.len(), 2);
    assert!(again.damage.is_empty());
    assert_eq!(again.report.opening, opened.report.opening + 1);
}

#[test]
fn the_number_of_an_opening_that_wrote_a_torn_group_is_not_used_again() {
    let mut driver = Driver::new(UNCHECKPOINTED);
    driver.append(PARTICIPANTS[0], vec![frame(1, 9_000)]);
    driver.append(PARTICIPANTS[0], vec![frame(2, 9_000)]);
    let (mut driver, opened) = Driver::on(driver.disk, UNCHECKPOINTED);
    driver.append(PARTICIPANTS[0], vec![frame(3, 9_000)]);
    let torn = groups(&mut driver.disk).pop().unwrap();
    assert!(torn.at > 0);
    assert_eq!(torn.header.unwrap().opening, opened.report.opening);
    let file = FileId::Wal(torn.extent);
    let mut bytes = driver.disk.contents(file).unwrap().to_vec();
    bytes[torn.at as usize + 4096..][..4096].fill(0);
    driver.disk.put_contents(file, &bytes);
    let again = driver.recover(UNCHECKPOINTED);
    assert!(again.report.torn && again.frames.len() == 2);
    assert_eq!(again.report.opening, opened.report.opening + 1);
}

#[test]
fn lost_and_foreign_files_are_told() {
    let (disk, _) = written_log(14, 6, 1_000);
    let mut other = disk.clone();
    let stranger = Identity {
        directory: DirectoryId([9; 16]),
        ..identity()
    };
    assert_eq!(
        Scan::new(&mut other, &stranger, None).err(),
        Some(WalError::Foreign {
            file: FileId::Wal(1),
            directory: identity().directory
        })
    );

    let mut missing = disk.clone();
    missing.remove(FileId::Wal(1));
    assert_eq!(error(missing), Some(WalError::Missing(1)));

    let mut short = disk.clone();
    let last = groups(&mut short).pop().unwrap();
    let file = FileId::Wal(last.extent);
    let bytes = short.contents(file).unwrap()[..last.at as usize].to_vec();
    short.put_contents(file, &bytes);
    let short = error(short).unwrap();
    assert!(matches!(short, WalError::Short { .. }), "{short:?}");
    assert!(short.to_string().contains("put the whole file back"));

    // The last extent, with a group in it that no other follows.
    let mut driver = Driver::new(UNCHECKPOINTED);
    driver.append(PARTICIPANTS[0], vec![frame(1, 14_000)]);
    driver.append(PARTICIPANTS[0], vec![frame(2, 14_000)]);
    let last = groups(&mut driver.disk).pop().unwrap();
    let file = FileId::Wal(last.extent);
    assert!(last.extent > 1 && last.frames.len() == 1);
    let mut gone = driver.disk.clone();
    gone.remove(file);
    assert_eq!(error(gone), Some(WalError::Missing(last.extent)));
    for blocks in 1..4 {
        let mut cut = driver.disk.clone();
        let bytes = cut.contents(file).unwrap()[..last.at as usize + blocks * 4096].to_vec();
        cut.put_contents(file, &bytes);
        let cut = error(cut).unwrap();
        let end = last.at + 4 * 4096;
        assert!(
            matches!(cut, WalError::Short { end: it, .. } if it == end),
            "{cut:?}"
        );
    }

    let mut newer = disk.clone();
    let mut bytes = newer.contents(FileId::Wal(1)).unwrap().to_vec();
    bytes[4] = 2;
    let crc = wiber_model::batch::crc32c(&bytes[..124]).to_le_bytes();
    bytes[124..128].copy_from_slice(&crc);
    newer.put_contents(FileId::Wal(1), &bytes);
    assert_eq!(error(newer), Some(WalError::Version(2)));
}

#[test]
fn what_a_failed_sync_dropped_is_written_again_before_it_is_served() {
    let mut driver = Driver::new(UNCHECKPOINTED);
    driver.append(PARTICIPANTS[0], vec![frame(1, 100)]);
    driver.run(WalEvent::Append {
        from: PARTICIPANTS[0],
        frames: vec![frame(2, 100)],
        relaxed: true,
    });
    driver.seen.clear();
    // The write after the relaxed one, and the sync that fails.
    driver.disk.fail_at = Some((driver.disk.ops + 1, DiskError::Failed("EIO".to_owned())));
    driver.append(PARTICIPANTS[1], vec![frame(3, 100)]);
    let [.., WalEffect::Fatal(reason)] = &driver.seen[..] else {
        panic!("a failed sync is fatal: {:?}", driver.seen);
    };
    assert!(reason.contains("a sync failed: EIO"), "{reason}");
    driver.seen.clear();
    driver.append(PARTICIPANTS[1], vec![frame(4, 100)]);
    assert!(driver.seen.is_empty(), "nothing follows");

    driver.disk.fail_at = None;
    let (driver, recovered) = Driver::on(driver.disk, UNCHECKPOINTED);
    assert_eq!(recovered.frames.len(), 3, "the pages are still in memory");
    for seed in 0..50 {
        let mut disk = driver.disk.clone();
        disk.lose_power(&mut Rng::new(seed));
        assert_eq!(recover(disk).frames.len(), 3, "what was served is durable");
    }
}
