//! The store as a whole: what it keeps, what it survives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use appliance_core::{
    access::Roles,
    throttle::{Rule, Throttle},
};
use classroom_protocol::{Seat, SourceId, policy::AccessLine};
use tempfile::TempDir;

use super::*;

const NOW: Millis = 1_760_000_000_000;
const HOUR: Millis = 3_600_000;

fn fresh() -> (TempDir, Opened) {
    let folder = TempDir::new().unwrap();
    let opened = open(folder.path(), NOW).unwrap();
    (folder, opened)
}

/// `Keeper::close` blocks, which a runtime's thread must not.
async fn close(keeper: Keeper) {
    tokio::task::spawn_blocking(|| keeper.close()).await.unwrap();
}

fn seat(number: u8) -> Seat {
    Seat::try_from(number).unwrap()
}

fn teacher(account: &str) -> NewStaff {
    NewStaff {
        account: account.into(), name: "林老師".into(), password: "$argon2id$…".into(), roles: Roles::TEACHER
    }
}

async fn class(store: &Store) -> ClassId {
    store.classes().create(demo::CLASS_NAME.into(), demo::students()).await.unwrap()
}

async fn lesson(store: &Store, id: &str, class: ClassId, started_at: Millis) {
    let class_name = demo::CLASS_NAME.into();
    let new = NewLesson { id: id.into(), class, class_name, started_at, started_by: "lin".into() };
    store.lessons().begin(new).await.unwrap();
}

fn showing(number: u8, from: Millis) -> Showing {
    Showing {
        source: seat(number).source(), label: format!("學生{number}"), seat: Some(seat(number)), from, to: None
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let (folder, opened) = fresh();
    let saved = SavedRoom { seq: 7, snapshot: "{\"a\":1}".into(), saved_at: NOW };
    assert_eq!(opened.store.rooms().load().await.unwrap(), None);
    opened.store.rooms().save(SavedRoom { seq: 6, ..saved.clone() }).await.unwrap();
    opened.store.rooms().save(saved.clone()).await.unwrap();
    close(opened.keeper).await;

    let again = open(folder.path(), NOW).unwrap();
    assert_eq!(again.set_aside, None);
    assert_eq!(again.store.rooms().load().await.unwrap(), Some(saved));
    let mode = |name| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("box.db"), mode("box.db-wal")), (0o600, 0o600));
    close(again.keeper).await;
}

#[tokio::test]
async fn a_second_hub_is_refused_and_a_closed_store_says_so() {
    let (folder, opened) = fresh();
    assert!(matches!(open(folder.path(), NOW), Err(StoreError::InUse(_))));
    assert!(check(folder.path()).unwrap().is_some(), "the doctor may look beside the hub");
    close(opened.keeper).await;
    assert_eq!(opened.store.rooms().load().await, Err(StoreError::Closed));
    assert_eq!(opened.store.classes().create("x".into(), vec![]).await, Err(StoreError::Closed));
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_the_box_starts() {
    for damage in
        [(|bytes: &mut Vec<u8>| bytes[..100].fill(0x5a)) as fn(&mut Vec<u8>), |bytes| bytes[4096 + 100..].fill(0x5a)]
    {
        let (folder, opened) = fresh();
        class(&opened.store).await;
        close(opened.keeper).await;
        let path = folder.path().join("box.db");
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(check(folder.path()), Err(StoreError::Damaged(_))));

        let again = open(folder.path(), NOW + 5).unwrap();
        let aside = again.set_aside.expect("set aside");
        assert_eq!(aside, folder.path().join(format!("box.db.damaged-{}", NOW + 5)));
        assert_eq!(fs::read(aside).unwrap(), bytes, "kept as it was found");
        assert_eq!(again.store.classes().list().await.unwrap(), vec![]);
        class(&again.store).await;
        close(again.keeper).await;
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_the_box_goes_on() {
    let (_folder, opened) = fresh();
    let store = opened.store;
    // SQLite's own limit gives the very error that a full disk gives.
    let pages = |limit: u32| {
        store.db.write(move |db| {
            let now: u32 = db.pragma_query_value(None, "page_count", |row| row.get(0))?;
            Ok(db.query_row(&format!("PRAGMA max_page_count = {}", now + limit), [], |_| Ok(()))?)
        })
    };
    pages(2).await.unwrap();
    let big = SavedRoom { seq: 1, snapshot: "x".repeat(100_000), saved_at: NOW };
    assert_eq!(store.rooms().save(big.clone()).await, Err(StoreError::DiskFull));
    assert_eq!(store.rooms().load().await.unwrap(), None);
    store.rooms().save(SavedRoom { snapshot: "small".into(), ..big.clone() }).await.unwrap();
    pages(1000).await.unwrap();
    store.rooms().save(big.clone()).await.unwrap();
    assert_eq!(store.rooms().load().await.unwrap(), Some(big));
    close(opened.keeper).await;
}

#[tokio::test]
async fn one_failure_in_a_group_does_not_touch_the_others() {
    let (_folder, opened) = fresh();
    let accounts = opened.store.accounts();
    let all = (0..200).map(|i| {
        let accounts = accounts.clone();
        tokio::spawn(async move { accounts.create(teacher(&format!("t{}", i % 150)), NOW).await })
    });
    let mut made = 0;
    for task in all.collect::<Vec<_>>() {
        match task.await.unwrap() {
            Ok(_) => made += 1,
            Err(error) => assert_eq!(error, StoreError::Taken),
        }
    }
    assert_eq!(made, 150);
    assert_eq!(accounts.count().await.unwrap(), 150);
    close(opened.keeper).await;
}

#[tokio::test]
async fn classes_are_made_read_and_replaced() {
    let (_folder, opened) = fresh();
    let classes = opened.store.classes();
    let id = class(&opened.store).await;
    let mut kept = classes.get(id).await.unwrap().unwrap();
    assert_eq!((kept.students.len(), kept.students[6].name.as_str()), (30, "吳承恩"));
    kept.name = "六年三班".into();
    kept.students.truncate(2);
    classes.replace(kept.clone()).await.unwrap();
    assert_eq!(classes.list().await.unwrap(), vec![kept.clone()]);
    assert_eq!(classes.replace(Class { id: 99, ..kept.clone() }).await, Err(StoreError::Missing));
    let twice = vec![kept.students[0].clone(), kept.students[0].clone()];
    assert_eq!(classes.replace(Class { students: twice, ..kept.clone() }).await, Err(StoreError::Taken));
    assert_eq!(classes.get(id).await.unwrap(), Some(kept), "a refused change leaves nothing behind");
    assert_eq!(classes.get(99).await.unwrap(), None);
    close(opened.keeper).await;
}

#[tokio::test]
async fn evidence_says_who_was_on_the_panel_when() {
    let (_folder, opened) = fresh();
    let (store, lessons) = (opened.store.clone(), opened.store.lessons());
    let (ours, other) = (class(&store).await, class(&store).await);
    lesson(&store, "a", ours, NOW).await;
    lessons.show("a".into(), showing(7, NOW + 10)).await.unwrap();
    lessons.show("a".into(), showing(7, NOW + 20)).await.unwrap();
    lessons.hide("a".into(), seat(7).source(), NOW + 30).await.unwrap();
    lessons.hide("a".into(), SourceId::teacher(), NOW + 30).await.unwrap();
    lessons.show("a".into(), showing(8, NOW + 40)).await.unwrap();
    lessons.end("a".into(), NOW + 50).await.unwrap();
    lesson(&store, "b", ours, NOW + HOUR).await;
    lesson(&store, "c", other, NOW).await;

    let lines = lessons.evidence(ours, NOW, NOW + 2 * HOUR).await.unwrap();
    let short: Vec<_> = lines
        .iter()
        .map(|line| {
            (line.lesson.as_str(), line.ended_at, line.showing.as_ref().map(|s| (s.source.as_str(), s.from, s.to)))
        })
        .collect();
    assert_eq!(
        short,
        [
            ("a", Some(NOW + 50), Some(("seat-07", NOW + 10, Some(NOW + 30)))),
            ("a", Some(NOW + 50), Some(("seat-08", NOW + 40, Some(NOW + 50)))),
            ("b", None, None),
        ]
    );
    assert_eq!(lessons.evidence(ours, NOW + 1, NOW + HOUR).await.unwrap(), vec![], "to is exclusive");

    assert_eq!(lessons.end_all_but(Some("c".into()), NOW + 3 * HOUR).await.unwrap(), 1);
    assert_eq!(lessons.end_all_but(None, NOW + 3 * HOUR).await.unwrap(), 1);
    assert_eq!(lessons.end("nix".into(), NOW).await, Err(StoreError::Missing));
    assert_eq!(lessons.show("nix".into(), showing(1, NOW)).await, Err(StoreError::Missing));
    close(opened.keeper).await;
}

#[tokio::test]
async fn sessions_end_when_idle_when_closed_and_with_a_new_password() {
    let (_folder, opened) = fresh();
    let accounts = opened.store.accounts();
    let staff = accounts.create(teacher("Lin"), NOW).await.unwrap();
    assert_eq!(accounts.by_account("lIN".into()).await.unwrap().unwrap().account, "Lin");
    assert_eq!(accounts.by_account("wu".into()).await.unwrap(), None);

    accounts.open_session([1; 32], staff, NOW, HOUR).await.unwrap();
    let mut now = NOW;
    for _ in 0..5 {
        now += HOUR;
        assert_eq!(accounts.session([1; 32], now, HOUR).await.unwrap().unwrap().staff, staff, "use keeps it alive");
    }
    assert_eq!(accounts.session([1; 32], now + HOUR + 1, HOUR).await.unwrap(), None);
    assert_eq!(accounts.session([1; 32], now, HOUR).await.unwrap(), None, "an ended session stays ended");

    for token in [[2; 32], [3; 32]] {
        accounts.open_session(token, staff, now, HOUR).await.unwrap();
    }
    accounts.close_session([2; 32]).await.unwrap();
    assert_eq!(accounts.session([2; 32], now, HOUR).await.unwrap(), None);
    accounts.set_password(staff, "new".into()).await.unwrap();
    assert_eq!(accounts.session([3; 32], now, HOUR).await.unwrap(), None);
    assert_eq!(accounts.set_password(99, "new".into()).await, Err(StoreError::Missing));
    assert_eq!(accounts.open_session([4; 32], 99, now, HOUR).await, Err(StoreError::Missing));
    close(opened.keeper).await;
}

#[tokio::test]
async fn a_code_works_once_for_its_purpose_and_in_its_time() {
    let (_folder, opened) = fresh();
    let (accounts, codes) = (opened.store.accounts(), opened.store.codes());
    codes.issue([1; 32], Purpose::FirstSignIn, NOW, NOW + 100).await.unwrap();
    codes.issue([2; 32], Purpose::Invite, NOW, NOW + 100).await.unwrap();
    let first = Purpose::FirstSignIn;
    let with = |code, account: &str, now| accounts.create_with_code([code; 32], first, teacher(account), now);
    assert_eq!(with(9, "a", NOW).await.unwrap(), Err(CodeRefused::Unknown));
    assert_eq!(with(2, "a", NOW).await.unwrap(), Err(CodeRefused::Unknown), "of another purpose");
    assert_eq!(with(1, "a", NOW + 100).await.unwrap(), Err(CodeRefused::Expired));
    accounts.create(teacher("taken"), NOW).await.unwrap();
    assert_eq!(with(1, "TAKEN", NOW).await, Err(StoreError::Taken));
    assert!(with(1, "a", NOW).await.unwrap().is_ok(), "the name that was taken did not cost the code");
    assert_eq!(with(1, "b", NOW).await.unwrap(), Err(CodeRefused::Used));
    codes.revoke(Purpose::Invite).await.unwrap();
    let invited = accounts.create_with_code([2; 32], Purpose::Invite, teacher("b"), NOW).await.unwrap();
    assert_eq!(invited, Err(CodeRefused::Unknown));
    close(opened.keeper).await;
}

#[tokio::test]
async fn failed_sign_ins_outlive_a_restart() {
    let (folder, opened) = fresh();
    let mut throttle = Throttle::new(Rule::SIGN_IN, None, 100);
    for _ in 0..5 {
        let _ = throttle.attempt(&"lin".to_owned(), NOW);
    }
    let slate = throttle.tally(&"lin".to_owned()).unwrap();
    opened.store.failures().save("lin".into(), slate, NOW).await.unwrap();
    opened.store.failures().save("wu".into(), slate, NOW).await.unwrap();
    opened.store.failures().clear("wu".into()).await.unwrap();
    close(opened.keeper).await;
    let again = open(folder.path(), NOW).unwrap();
    assert_eq!(again.store.failures().load().await.unwrap(), vec![("lin".to_owned(), slate)]);
    close(again.keeper).await;
}

#[tokio::test]
async fn panels_and_sources_are_found_by_their_key_until_removed() {
    let (_folder, opened) = fresh();
    let (panels, sources) = (opened.store.panels(), opened.store.sources());
    let panel = panels.add("65 吋".into(), [1; 32], NOW).await.unwrap();
    assert_eq!(panels.by_token([1; 32]).await.unwrap().unwrap().id, panel);
    assert_eq!(panels.by_token([2; 32]).await.unwrap(), None);
    assert_eq!(panels.list().await.unwrap().len(), 1);
    assert!(panels.remove(panel).await.unwrap() && !panels.remove(panel).await.unwrap());
    assert_ne!(panels.add("65 吋".into(), [1; 32], NOW).await.unwrap(), panel, "numbers are not used again");

    let source = sources.add("OBS".into(), [1; 32], NOW).await.unwrap();
    assert_eq!(source.as_str(), "ext-1");
    assert_eq!(sources.by_key([1; 32]).await.unwrap().unwrap().source, source);
    assert_eq!(sources.list().await.unwrap()[0].label, "OBS");
    assert!(!sources.remove(SourceId::teacher()).await.unwrap());
    assert!(sources.remove(source).await.unwrap());
    assert_eq!(sources.by_key([1; 32]).await.unwrap(), None);
    close(opened.keeper).await;
}

#[tokio::test]
async fn the_audit_notices_a_changed_and_a_missing_row() {
    let (_folder, opened) = fresh();
    let audit = opened.store.audit();
    for i in 0..5 {
        let entry = AuditEntry {
            at: NOW + i,
            who: "lin".into(),
            place: "192.0.2.7".into(),
            action: "show".into(),
            detail: serde_json::json!({ "source": "seat-07", "tile": i }),
        };
        assert_eq!(audit.append(entry).await.unwrap().0, i64::try_from(i).unwrap() + 1);
    }
    let latest = audit.page(Wanted::default(), 2).await.unwrap();
    assert_eq!(latest.iter().map(|row| row.id).collect::<Vec<_>>(), [5, 4]);
    assert_eq!(latest[0].entry.detail["tile"], 4);
    assert_eq!(audit.verify().await.unwrap(), Ok(5));

    let run = |sql: &'static str| opened.store.db.write(move |db| Ok(db.execute_batch(sql)?));
    run("UPDATE audit SET who = 'wu' WHERE id = 3").await.unwrap();
    assert_eq!(audit.verify().await.unwrap(), Err(BrokenChain { id: 3 }));
    run("UPDATE audit SET who = 'lin' WHERE id = 3; DELETE FROM audit WHERE id = 2").await.unwrap();
    assert_eq!(audit.verify().await.unwrap(), Err(BrokenChain { id: 3 }));
    close(opened.keeper).await;
}

#[tokio::test]
async fn an_event_of_a_seat_notes_whose_it_was() {
    use appliance_core::usage::{Event, Fact, Place, Subject};
    let (_folder, opened) = fresh();
    let class = class(&opened.store).await;
    let run = |sql: &'static str| opened.store.db.write(move |db| Ok(db.execute_batch(sql)?));
    run("UPDATE student SET number = '1100207' WHERE seat = 7").await.unwrap();
    let event = |number, at| {
        let who = Subject::seat(class, seat(number));
        KeptEvent {
            id: format!("id-{at}"),
            event: Event { at, who, place: Place::School, lesson: None, fact: Fact::Joined {}, origin: None },
        }
    };
    let log = opened.store.usage();
    log.append(vec![event(7, 1), event(8, 2)], NOW).await.unwrap();
    run("UPDATE student SET number = '1200301' WHERE seat = 7").await.unwrap();
    log.append(vec![event(7, 3), event(7, 1)], NOW).await.unwrap();
    let waiting = opened.store.outbox().waiting(0, 10).await.unwrap();
    let numbers: Vec<_> = waiting.into_iter().map(|one| one.event.unwrap().who.student).collect();
    assert_eq!(numbers, [Some("1100207".into()), None, Some("1200301".into())]);
    close(opened.keeper).await;
}

#[tokio::test]
async fn the_record_of_network_access_is_read_by_day_device_and_page() {
    use appliance_core::calendar::Day;
    let (_folder, opened) = fresh();
    let record = opened.store.access();
    let line = |n: u64| AccessLine {
        at: NOW + n * HOUR,
        device: n.is_multiple_of(2).then(|| "ABCDEFGH".to_owned()),
        address: "10.1.2.3".into(),
        lesson: None,
        name: format!("site-{n}.example"),
        allow: false,
        rule: "R-POL-3".into(),
    };
    record.keep((0..72).map(line).collect()).await.unwrap();
    let read = async |wanted: Wanted, most| -> Vec<i64> {
        record.page(wanted, most).await.unwrap().into_iter().map(|(seq, _)| seq).collect()
    };
    assert_eq!(read(Wanted::default(), 3).await, [72, 71, 70]);
    assert_eq!(read(Wanted { before: Some(70), ..Wanted::default() }, 2).await, [69, 68]);
    let day = Day::of(NOW + 24 * HOUR);
    let of_day = read(Wanted { day: Some(day), ..Wanted::default() }, 100).await;
    assert_eq!(of_day.len(), 24, "a day of the school's clock");
    let of_device = Wanted { day: Some(day), device: Some("ABCDEFGH".into()), before: Some(of_day[0]) };
    let lines = record.page(of_device, 100).await.unwrap();
    assert!((11..=12).contains(&lines.len()));
    for (seq, line) in lines {
        assert!(seq < of_day[0] && line.device.is_some() && Day::of(line.at) == day);
    }
    close(opened.keeper).await;
}
