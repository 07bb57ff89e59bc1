//! A journal cut and flipped: what comes back is what was written, or a refusal, never something else.

use std::fs;

use super::*;

/// A journal of three groups, closed; its one segment, and where the last group stands.
fn written(folder: &Path) -> (JournalConfig, std::path::PathBuf, usize, usize) {
    let config =
        JournalConfig { segment_bytes: 16 << 10, group_bytes_max: 8 << 10, ..config(folder) };
    let journal = Driven::open(&config);
    journal.keep("a", None);
    journal.keep("b", None);
    journal.keep("c", None);
    let end = usize::try_from(journal.journal.segments.lock()[&1].end).unwrap();
    journal.close();
    (config, segment::path_of(folder, 1), end - 512, end)
}

fn waiting(config: &JournalConfig) -> Result<(Vec<(u64, String)>, Opened), OpenError> {
    let (store, opened) = Store::open(config.path.as_deref().unwrap(), 10)?;
    let mut reader = Reader::new(store.journal, store.index, store.segments);
    let records = reader.next(0, usize::MAX)?;
    let keys = records.iter().map(|it| (it.sequence, it.payload.key_text.to_string())).collect();
    Ok((keys, opened))
}

#[test]
fn last_group_cut_at_any_byte_is_gone_whole_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (config, path, last, end) = written(folder.path());
    let whole = fs::read(&path).unwrap();
    let used = last + whole[last..end].iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for cut in last..used {
        let mut bytes = whole.clone();
        bytes[cut..].fill(0);
        fs::write(&path, &bytes).unwrap();
        let (keys, opened) = waiting(&config).unwrap();
        let is_cut_clean = whole[last..cut].iter().all(|byte| *byte == 0);
        // The last bytes of the group may have been zeros anyway.
        if bytes == whole {
            assert_eq!(keys, numbered(&["a", "b", "c"]));
        } else {
            assert_eq!(keys, numbered(&["a", "b"]), "cut at {cut}");
            assert_eq!(opened.torn.is_some(), !is_cut_clean, "cut at {cut}");
        }
        fs::write(&path, &whole[..cut]).unwrap();
        assert_eq!(waiting(&config).unwrap().0, numbered(&["a", "b"]), "file ends at {cut}");
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(waiting(&config).unwrap().0, numbered(&["a", "b", "c"]));
}

#[test]
fn last_group_with_any_bit_flipped_is_gone_whole_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (config, path, last, end) = written(folder.path());
    let whole = fs::read(&path).unwrap();
    let used = whole[last..end].iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for bit in 0..used * 8 {
        let mut bytes = whole.clone();
        bytes[last + bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        let (keys, opened) = waiting(&config).unwrap();
        assert_eq!(keys, numbered(&["a", "b"]), "bit {bit}");
        assert_eq!(opened.torn, Some((path.clone(), last as u64)), "bit {bit}");
    }
}

#[test]
fn any_bit_flipped_before_a_good_group_refuses_the_start_and_is_cut_only_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let (config, path, last, _) = written(folder.path());
    let whole = fs::read(&path).unwrap();
    let middle = last - 512;
    let used = whole[middle..last].iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for bit in 0..used * 8 {
        let mut bytes = whole.clone();
        bytes[middle + bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        match waiting(&config) {
            Err(OpenError::Damaged { offset, .. }) => assert_eq!(offset, middle as u64),
            other => panic!("bit {bit}: {other:?}"),
        }
    }
    let found = Damage::repair(folder.path(), false).unwrap().places;
    assert_eq!((found.len(), found[0].offset, found[0].lost), (1, middle as u64, (2, 3)));
    assert!(waiting(&config).is_err());
    assert_eq!(Damage::repair(folder.path(), true).unwrap().places, found);
    let left = vec![(1, "a".to_owned()), (3, "c".to_owned())];
    assert_eq!(waiting(&config).unwrap().0, left);
    assert_eq!(Damage::repair(folder.path(), true).unwrap(), Damage::default());
    let journal = Driven::open(&config);
    assert_eq!(journal.waiting(), left);
    assert_eq!(journal.keep("d", None), 4);
    journal.close();
}

#[test]
fn torn_tail_is_cut_once_and_what_follows_begins_a_segment_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (config, path, last, _) = written(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes[last + 100] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let journal = Driven::open(&config);
    assert!(journal.opened.torn.is_some());
    assert_eq!(journal.keep("d", None), 3);
    journal.close();
    let (keys, opened) = waiting(&config).unwrap();
    assert_eq!((keys, opened.torn), (numbered(&["a", "b", "d"]), None));
}

#[test]
fn unknown_versions_and_missing_segments_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (config, path, ..) = written(folder.path());
    let whole = fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    bytes[8] = 2;
    let checksum = crc32c::crc32c(&bytes[..36]);
    bytes[36..40].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(waiting(&config), Err(OpenError::Version { found: 2, .. })));
    fs::write(&path, &whole).unwrap();
    let journal = Driven::open(&config);
    journal.keep("d", None);
    journal.close();
    fs::remove_file(&path).unwrap();
    assert!(matches!(waiting(&config), Err(OpenError::Damaged { .. })));
}

#[test]
fn dead_letters_cut_at_any_byte_of_the_last_are_the_others_and_its_record_waits_again() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let journal = Driven::open(&config);
    for key in ["a", "b"] {
        journal.keep(key, None);
    }
    block_on(journal.journal.dead(&journal.record(1), Cause::now(2103, "x"))).unwrap();
    let position = fs::read(folder.path().join("position")).unwrap();
    let path = folder.path().join("dead");
    let first = fs::read(&path).unwrap().len();
    block_on(journal.journal.dead(&journal.record(2), Cause::now(2103, "x"))).unwrap();
    let whole = fs::read(&path).unwrap();
    journal.close();
    // As a crash would have left it: the position is written later than the letter.
    fs::write(folder.path().join("position"), &position).unwrap();
    for cut in first + 1..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let (keys, opened) = waiting(&config).unwrap();
        assert_eq!((keys, opened.dead_cut_bytes), (vec![(2, "b".into())], (cut - first) as u64));
    }
    let mut bytes = whole.clone();
    bytes[20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(waiting(&config), Err(OpenError::Damaged { .. })));
}

/// Opening is refused with a word of the repair; the repair finds this file, and makes it again when told.
#[track_caller]
fn check_remade(config: &JournalConfig, file: &Path, expected: &[(u64, String)]) {
    let folder = config.path.as_deref().unwrap();
    let refused = waiting(config).unwrap_err().to_string();
    assert!(refused.contains("see `gateway journal repair`"), "{refused}");
    let found = Damage::repair(folder, false).unwrap();
    assert_eq!((found.places.len(), found.files.len(), &*found.files[0].path), (0, 1, file));
    assert!(waiting(config).is_err(), "nothing is changed unless told");
    assert_eq!(Damage::repair(folder, true).unwrap(), found);
    assert_eq!(waiting(config).unwrap().0, expected);
    assert_eq!(Damage::repair(folder, true).unwrap(), Damage::default());
}

#[test]
fn damaged_files_around_the_records_are_made_again_from_what_the_others_tell() {
    let folder = tempfile::tempdir().unwrap();
    let (config, first, ..) = written(folder.path());
    let journal = Driven::open(&config);
    let id = journal.journal.id();
    journal.keep("d", None);
    journal.journal.applied(&[1]);
    journal.close();
    let keys = |from: usize| numbered(&["a", "b", "c", "d"])[from..].to_vec();
    assert_eq!(waiting(&config).unwrap().0, keys(1));
    let second = segment::path_of(folder.path(), 4);
    for path in [&first, &second, &folder.path().join("journal")] {
        let whole = fs::read(path).unwrap();
        let mut bytes = whole.clone();
        bytes[14] ^= 1;
        fs::write(path, &bytes).unwrap();
        check_remade(&config, path, &keys(1));
        assert_eq!(fs::read(path).unwrap(), whole, "{}", path.display());
    }
    // Without the position all are applied again, and their keys' rows tell that they were.
    let position = folder.path().join("position");
    fs::write(&position, [255; 1024]).unwrap();
    check_remade(&config, &position, &keys(0));
    fs::remove_file(&position).unwrap();
    check_remade(&config, &position, &keys(0));
    let journal = Driven::open(&config);
    assert_eq!(journal.journal.id(), id);
    journal.close();
}

#[test]
fn damaged_dead_letter_is_taken_out_and_the_others_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let journal = Driven::open(&config);
    for (sequence, key) in (1..).zip(["a", "b"]) {
        journal.keep(key, None);
        block_on(journal.journal.dead(&journal.record(sequence), Cause::now(2103, "x"))).unwrap();
    }
    journal.keep("c", None);
    journal.close();
    let path = folder.path().join("dead");
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    check_remade(&config, &path, &[(3, "c".into())]);
    assert_eq!(fs::read(folder.path().join("dead.damaged")).unwrap(), bytes);
    let journal = Driven::open(&config);
    assert_eq!(journal.dead(), [2]);
    journal.close();
}

#[test]
fn journal_of_which_nothing_tells_the_id_says_so_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    Driven::open(&config).close();
    for file in ["journal", "position"] {
        let path = folder.path().join(file);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, vec![255; 1024]).unwrap();
        let told = Damage::repair(folder.path(), true).unwrap_err().to_string();
        assert!(told.contains(file) && told.contains("name a new one in `journal.path`"), "{told}");
        assert!(waiting(&config).is_err());
        fs::write(&path, whole).unwrap();
    }
    assert_eq!(waiting(&config).unwrap().0, []);
}
