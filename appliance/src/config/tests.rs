#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;

const EXAMPLE: &str = include_str!("../../box.example.toml");

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("/etc/classroom/box.toml")).map_err(|error| error.to_string())
}

#[test]
fn the_example_says_the_defaults() {
    assert_eq!(parse(EXAMPLE).unwrap(), Config::default());
    assert_eq!(parse("").unwrap(), Config::default());
}

/// Lines like `#key = value` are keys that have no default.
#[test]
fn the_example_names_every_key_and_what_it_comments_out_is_valid() {
    let uncommented: String = EXAMPLE
        .lines()
        .map(|line| line.strip_prefix('#').filter(|l| l.starts_with(|c: char| c.is_ascii_lowercase())).unwrap_or(line))
        .fold(String::new(), |text, line| text + line + "\n");
    let table: toml::Table = uncommented.parse().unwrap();
    let config = parse(&uncommented).unwrap();
    assert!(config.https.certificate.is_some() && config.metrics.bearer_file.is_some());
    // `Debug` of a struct names each of its fields once.
    let fields = format!("{config:#?}")
        .lines()
        .filter(|line| line.starts_with("        ") && !line.starts_with("         ") && line.contains(": "))
        .count();
    let keys: usize = table.values().map(|section| section.as_table().unwrap().len()).sum();
    assert_eq!(keys, fields, "a key is missing in the example");
}

#[test]
fn mistakes_are_told_with_place_and_mend() {
    for (text, place, mend) in [
        ("[rom]\nname = 'x'", "line 1", "unknown field `rom`, expected one of `room`"),
        ("[room]\nnam = 'x'", "line 2", "unknown field `nam`, expected `name`"),
        ("[room]\nname = 7", "line 2", "invalid type"),
        ("[room\n", "line 1", ""),
        ("[http]\nlisten = ['0.0.0.0:80']", "[http] listen", "use 127.0.0.1 or [::1] here, and [https] for the room"),
        ("[http]\nlisten = ['8080']", "line 2", "write e.g. \"127.0.0.1:8080\""),
        ("[http]\nlisten = []", "[https] listen", "listens nowhere"),
        ("[https]\nlisten = ['[::]:443']", "[https] certificate", "name both files"),
        ("[home]\nlisten = ['0.0.0.0:8444']", "[home] listen", "only the gateway's tunnel may"),
        ("[home]\nlisten = ['127.0.0.1:8444']", "[home] listen", "name [https] certificate and key"),
        ("[https]\nlisten = ['systemd:']\n", "line 2", "name of the socket"),
        ("[room]\nname = ''", "[room] name", "1 to 40"),
        ("[media]\naddresses = ['0.0.0.0']", "[media] addresses", "leave the list empty"),
        ("[uplink]\nprobe = ['10.0.0.53']", "[uplink] probe", "write e.g. \"10.0.0.53:53\""),
        ("[limits]\nstudents = 0", "line 2", "nonzero"),
        ("[figures]\nminutes = 0", "[figures]", "month plain: minutes must be 1 to 1440"),
        ("[figures]\nstrict_week_days = 8", "[figures]", "1 to 7 in a week"),
        ("[limits]\nstudents = 100", "[limits] students", "at most 99"),
        ("[library]\nnight_from = '25:00'", "line 2", "write it as \"22:00\""),
        ("[library]\nmost_mb = 1", "[library] upload_mb", "at most most_mb"),
        ("[log]\nformat = 'xml'", "line 2", "expected `text` or `json`"),
        ("[upstream]\nlrs = 'http://lrs.example'\nhome_page = 'https://x'", "[upstream] lrs", "write https://"),
        ("[upstream]\nlrs = 'http://localhost.evil.example/'", "[upstream] lrs", "write https://"),
        ("[upstream]\nlrs = 'https://lrs.example'", "[upstream] home_page", "{semester}"),
        ("[upstream]\nlrs = 'https://l'\nhome_page = 'school'", "[upstream] home_page", "{semester}"),
        ("[upstream]\nnight_from = 24", "[upstream] night_from", "0 to 23"),
        ("[upstream]\nwhen = 'weekly'", "line 2", "expected one of `always`, `night`, `month`"),
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.starts_with("/etc/classroom/box.toml"), "{error}");
        assert!(error.contains(place) && error.contains(mend), "{text:?} gave: {error}");
    }
    let error = Config::load(Some(Path::new("/nowhere/box.toml"))).unwrap_err().to_string();
    assert!(error.contains("/nowhere/box.toml") && error.contains("--config"), "{error}");
}

#[test]
fn loopback_in_all_its_forms_is_plain_and_nothing_else() {
    for (address, plain) in [
        ("127.0.0.1:1", true),
        ("127.9.9.9:1", true),
        ("[::1]:1", true),
        ("[::ffff:127.0.0.1]:1", true),
        ("[::]:1", false),
        ("192.168.1.2:1", false),
        ("[::ffff:192.168.1.2]:1", false),
    ] {
        assert_eq!(plain_allowed(address.parse().unwrap()).is_ok(), plain, "{address}");
    }
}

#[test]
fn paths_begin_at_the_file() {
    let config = parse("[https]\nlisten=['systemd:https']\ncertificate='tls/a.pem'\nkey='/k.pem'").unwrap();
    assert_eq!(config.https.certificate.unwrap(), Path::new("/etc/classroom/tls/a.pem"));
    assert_eq!(config.https.key.unwrap(), Path::new("/k.pem"));
    assert_eq!(config.https.listen, [Listen::Systemd("https".into())]);
}

#[test]
fn the_demo_stays_on_this_machine() {
    let config = Config::demo(Path::new("/tmp/demo"));
    config.check().unwrap();
    assert!(config.demo.class && config.https.listen.is_empty());
    assert_eq!(config.store.path, Path::new("/tmp/demo"));
}
