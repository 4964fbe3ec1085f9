//! The doctor on machines with something wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{net::TcpListener, net::UdpSocket, path::Path};

use appliance_core::servers::Servers;
use tempfile::TempDir;

use super::*;
use crate::{config::Listen, store};

const NOW: Millis = 1_760_000_000_000;
const DAY: Millis = 86_400_000;

/// A configuration whose ports are free, and its folder.
fn healthy() -> (TempDir, Config) {
    let folder = TempDir::new().unwrap();
    let mut config = Config::demo(folder.path());
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    config.http.listen = vec![free.to_string().parse().unwrap()];
    config.media.udp = Listen::Address(UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    config.media.tcp = Listen::Address(TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    (folder, config)
}

fn keys(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.key).collect()
}

#[test]
fn a_healthy_machine_is_told_so_in_both_languages() {
    let (_folder, config) = healthy();
    let findings = examine(&config, crate::clock::now());
    for lang in [Lang::ZhHantTw, Lang::En] {
        for finding in &findings {
            let sentence = finding.sentence(lang);
            assert!(!sentence.is_empty() && !sentence.contains('{'), "{}: {sentence}", finding.key);
        }
    }
    let found = keys(&findings);
    assert_eq!(&found[..3], ["console.doctor-port-free"; 3]);
    assert!(found.contains(&"console.doctor-store-new") && found.contains(&"console.doctor-folder"));
    assert!(!config.store.path.join("box.db").exists(), "looking changes nothing");
}

#[test]
fn a_port_that_another_program_holds_is_told_with_its_name() {
    let (_folder, mut config) = healthy();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap();
    config.http.listen = vec![address.to_string().parse().unwrap()];
    config.media.udp = "192.0.2.1:8801".parse().unwrap();
    let findings = checks::ports(&config);
    assert_eq!(
        keys(&findings),
        ["console.doctor-port-held", "console.doctor-port-not-here", "console.doctor-port-free"]
    );
    let sentence = findings[0].sentence(Lang::En);
    assert!(
        sentence.contains(&address.to_string()) && sentence.contains(&std::process::id().to_string()),
        "{sentence}"
    );
    assert!(!report(&findings, Lang::En, false).1);
}

#[test]
fn a_resolver_that_would_ask_itself_is_told() {
    let (_folder, mut config) = healthy();
    let mut found = |listen: &str, upstream: &[&str]| {
        config.resolver.listen = vec![listen.parse().unwrap()];
        config.resolver.upstream = upstream.iter().map(|server| server.parse().unwrap()).collect();
        checks::name_servers(&config)
    };
    for listen in ["0.0.0.0:53", "systemd:dns"] {
        assert_eq!(found(listen, &["192.0.2.1:53"]).key, "console.doctor-names");
        assert_eq!(found(listen, &["127.0.0.1:53", "192.0.2.1:53"]).key, "console.doctor-names-some");
        let itself = found(listen, &["127.0.0.1:53"]);
        assert_eq!((itself.key, itself.grade), ("console.doctor-names-itself", Grade::Bad));
        for lang in [Lang::ZhHantTw, Lang::En] {
            let sentence = itself.sentence(lang);
            assert!(sentence.contains("127.0.0.1:53") && sentence.contains("[resolver] upstream"), "{sentence}");
        }
    }
    // Of the machine's own: its loopback is its own affair, an address that DHCP handed out is not.
    let of_the_machine = |itself: &[&str]| {
        let itself = itself.iter().map(|server| server.parse().unwrap()).collect();
        let finding = checks::name_servers_of(&Servers { above: vec![], itself }, false);
        (finding.key, finding.grade)
    };
    assert_eq!(of_the_machine(&["10.1.2.3:53"]), ("console.doctor-names-itself", Grade::Bad));
    assert_eq!(of_the_machine(&["127.0.0.53:53"]), ("console.doctor-names-itself", Grade::Warning));
    assert_eq!(of_the_machine(&[]), ("console.doctor-names-none", Grade::Warning));
}

#[test]
fn a_clock_that_is_behind_and_one_that_nobody_keeps() {
    let folder = TempDir::new().unwrap();
    let clock = |now, built, path: &Path| checks::clock_at(now, built, path).key;
    assert_eq!(clock(NOW, NOW + 40 * DAY, folder.path()), "console.doctor-clock-behind");
    assert_eq!(clock(NOW, NOW, folder.path()), "console.doctor-clock-unsynced");
    assert_eq!(clock(NOW, NOW, Path::new("/nowhere")), "console.doctor-clock-unknown");
    std::fs::write(folder.path().join("synchronized"), "").unwrap();
    assert_eq!(clock(NOW, NOW, folder.path()), "console.doctor-clock");
}

#[test]
fn a_disk_that_fills_up_is_told_early() {
    let grade = |free| checks::room(("folder", "x".into()), free).grade;
    assert_eq!([99, 100, 1023, 1024].map(grade), [Grade::Bad, Grade::Warning, Grade::Warning, Grade::Good]);
    let mut config = healthy().1;
    config.store.path = "/dev/null/classroom".into();
    assert_eq!(checks::disk(&config)[0].key, "console.doctor-folder-failed");
}

#[test]
fn a_damaged_and_a_newer_database_are_told() {
    let (folder, config) = healthy();
    store::open(folder.path(), NOW).unwrap().keeper.close();
    assert_eq!(checks::store(&config).key, "console.doctor-store");
    let path = folder.path().join("box.db");
    std::fs::remove_file(&path).unwrap();
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 999).unwrap();
    assert_eq!(checks::store(&config).key, "console.doctor-store-newer");
    std::fs::write(&path, "x".repeat(5000)).unwrap();
    assert_eq!(checks::store(&config).key, "console.doctor-store-damaged");
}

#[test]
fn a_certificate_is_looked_at_when_there_is_one() {
    let (folder, mut config) = healthy();
    assert_eq!(checks::certificate(&config, NOW), None);
    let made = rcgen::generate_simple_self_signed(["room501.school.example".to_owned()]).unwrap();
    std::fs::write(folder.path().join("c.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.path().join("k.pem"), made.signing_key.serialize_pem()).unwrap();
    config.https.certificate = Some(folder.path().join("c.pem"));
    config.https.key = Some(folder.path().join("k.pem"));
    let key = |config: &Config| checks::certificate(config, NOW).unwrap().key;
    assert_eq!(key(&config), "console.doctor-certificate");
    config.https.name = Some("room502.school.example".into());
    assert_eq!(key(&config), "console.doctor-certificate-name");
    config.https.key = Some(folder.path().join("c.pem"));
    assert_eq!(key(&config), "console.doctor-certificate-no-key");
}

#[test]
fn backups_that_are_dated_ahead_are_told_and_are_not_the_newest() {
    let (_folder, config) = healthy();
    store::open(&config.store.path, 1).unwrap().keeper.close();
    let backups = config.backup_folder();
    store::backup::make(&config.store.path, &backups, NOW + 365 * DAY).unwrap();
    let told = checks::backup(&config, NOW);
    assert_eq!(keys(&told), ["console.doctor-backup-none-now", "console.doctor-backup-ahead"]);
    assert!(told[1].sentence(Lang::En).contains(": 1."), "{}", told[1].sentence(Lang::En));
    store::backup::make(&config.store.path, &backups, NOW).unwrap();
    let told = checks::backup(&config, NOW + 7 * DAY);
    assert_eq!(keys(&told), ["console.doctor-backup-old", "console.doctor-backup-ahead"]);
}

#[test]
fn json_is_for_programs() {
    let findings = [Finding::new(
        "disk",
        Grade::Warning,
        "console.doctor-disk-short",
        [("folder", "/x".into()), ("free", "500".into())],
    )];
    let (text, well) = report(&findings, Lang::En, true);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(well && json[0]["grade"] == "warning" && json[0]["values"]["free"] == "500");
    let (text, _) = report(&findings, Lang::En, false);
    assert!(text.starts_with("! ") && text.lines().count() == 2);
}
