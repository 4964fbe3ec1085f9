//! The card: `classroom.toml` on the box's FAT partition, written on any computer by whoever sets the room up. It may say
//! what `box.toml` may say and is laid over it. Use rules and lists may stand beside it ([`rules`]). What is wrong with it is
//! told, and the box goes on without that.

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use classroom_protocol::catalogue::{Lang, fill};
use toml::{Table, Value};

use crate::{config::Config, tls::Certificate};

mod parts;
pub mod rules;

/// Name of the file on the card.
pub const FILE: &str = "classroom.toml";
/// What a card with a certificate opens when nothing else is said: the socket of `systemd/classroom-hub.socket`. Port 80
/// belongs to `[policy] portal`, which sends on who typed the name without https://.
const OPENS: &str = "systemd:https";

/// What came of a card.
#[derive(Debug)]
pub struct Settled {
    /// The configuration of the box.
    pub table: Table,
    /// What a person has to mend, in one sentence.
    pub notice: Option<String>,
}

/// Lays the card in `folder` over the configuration at `base` and writes what comes of it to `into/box.toml`, with the
/// certificate's files and the rules beside it. Only who may read `into` can read them.
///
/// # Errors
/// When `base` can't be read or `into` can't be written; what is wrong with the card is no error but the notice.
pub fn settle(base: &Path, folder: &Path, into: &Path, lang: Lang) -> anyhow::Result<Settled> {
    let text = match fs::read_to_string(base) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    Config::parse(&text, base)?;
    let base: Table = text.parse()?;
    let mut settled = lay_over(&base, folder, into, lang);
    let (rules, wrong) = rules::bring(folder, into, lang)?;
    if let Some(rules) = rules {
        let policy = settled.table.entry("policy").or_insert_with(|| Table::new().into());
        if let Value::Table(policy) = policy {
            policy.insert("from".into(), rules.to_string_lossy().into_owned().into());
        }
    }
    if !wrong.is_empty() {
        let said = fill(lang, "console.card-rules", &[("reason", wrong.join("; ").as_str())]);
        settled.notice = Some(match settled.notice.take() {
            Some(notice) => format!("{notice} {said}"),
            None => said,
        });
    }
    if let Some(notice) = &settled.notice {
        let room = settled.table.entry("room").or_insert_with(|| Table::new().into());
        if let Value::Table(room) = room {
            room.insert("notice".into(), notice.as_str().into());
        }
    }
    write(&into.join("box.toml"), toml::to_string(&settled.table)?.as_bytes())?;
    Ok(settled)
}

/// What a card says: every key is one of the configuration's and of the right kind.
///
/// # Errors
/// What is wrong, with its line, for people.
pub fn read(text: &str) -> Result<Table, String> {
    Config::read(text, Path::new(FILE)).map_err(|error| error.to_string())?;
    text.parse().map_err(|error: toml::de::Error| error.message().to_owned())
}

fn lay_over(base: &Table, folder: &Path, into: &Path, lang: Lang) -> Settled {
    let say = |key: &str, reason: &str| Some(fill(lang, key, &[("file", FILE), ("reason", reason)]));
    let without = |notice| Settled { table: base.clone(), notice };
    let text = match fs::read_to_string(folder.join(FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return without(say("console.card-encoding", "")),
        Err(error) => return without(say("console.card-missing", &error.to_string())),
    };
    // Read on its own first, so that the lines are those of the card.
    let mut card = match read(&text) {
        Ok(card) => card,
        Err(reason) => return without(say("console.card-wrong", &reason)),
    };
    let mut wrong = parts::without_own(&mut card, base, lang);
    let mut table = merged(base.clone(), card.clone());
    wrong.extend(parts::files(&mut table, &card, base, folder, into));
    let pages = match https(&mut table, &card, folder, into, &mut wrong) {
        Ok(true) => None,
        Ok(false) => {
            close_homes(&mut table);
            say("console.card-no-certificate", "")
        }
        Err(reason) => {
            // The room keeps its name; what can't be served is not opened.
            let own = base.get("https").cloned();
            table.remove("https");
            table.extend(own.map(|own| ("https".to_owned(), own)));
            close_homes(&mut table);
            say("console.card-certificate", &reason)
        }
    };
    match parts::usable(&mut table, base, &card, into, lang) {
        Ok(more) => wrong.extend(more),
        Err(reason) => return without(say("console.card-wrong", &reason)),
    }
    let parts = if wrong.is_empty() { None } else { say("console.card-parts", &wrong.join("; ")) };
    let notice = pages.into_iter().chain(parts).reduce(|pages, parts| format!("{pages} {parts}"));
    Settled { table, notice }
}

/// Tables are laid over each other key by key, everything else is replaced.
fn merged(mut base: Table, over: Table) -> Table {
    for (key, value) in over {
        let value = match (base.remove(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merged(base, over).into(),
            (_, value) => value,
        };
        base.insert(key, value);
    }
    base
}

/// Brings the card's certificate to where the hub reads it. Says whether the box has one at all.
fn https(table: &mut Table, card: &Table, folder: &Path, into: &Path, wrong: &mut Vec<String>) -> Result<bool, String> {
    let named = |key: &str| Some(folder.join(card.get("https")?.get(key)?.as_str()?));
    let (certificate, key) = match (named("certificate"), named("key")) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => return Ok(table.get("https").is_some_and(|own| own.get("certificate").is_some())),
        (Some(_), None) => return Err("[https] key".into()),
        (None, Some(_)) => return Err("[https] certificate".into()),
    };
    let loaded = Certificate::load(&certificate, &key).map_err(|error| error.to_string())?;
    let name = table.get("https").and_then(|own| own.get("name")?.as_str());
    // Its dates are not asked for: the box's clock may be wrong until the network tells it the time.
    let named = loaded.facts().check_name(&certificate, name);
    let bring = |from: PathBuf, name: &str| {
        let to = into.join(name);
        fs::read(&from).and_then(|bytes| write(&to, &bytes)).map_err(|error| format!("{}: {error}", from.display()))?;
        Ok::<_, String>(Value::from(to.to_string_lossy().into_owned()))
    };
    let (certificate, key) = (bring(certificate, "certificate.pem")?, bring(key, "key.pem")?);
    let Some(Value::Table(https)) = table.get_mut("https") else { return Ok(false) };
    https.insert("certificate".into(), certificate);
    https.insert("key".into(), key);
    https.entry("listen").or_insert_with(|| Value::from(vec![OPENS]));
    if let Err(error) = named {
        // The certificate's own name leads here.
        https.remove("name");
        wrong.push(format!("[https] name: {error}"));
    }
    Ok(true)
}

/// Homes come by TLS: without the certificate there is no door for them.
fn close_homes(table: &mut Table) {
    if let Some(Value::Table(home)) = table.get_mut("home") {
        home.remove("listen");
    }
}

/// In one step and for no strangers: a power cut leaves the old file or the new one.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use io::Write as _;
    let new = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const BASE: &str = "[room]\nname = \"教室\"\n[media]\nudp = \"systemd:media\"\ntcp = \"systemd:media\"\n";

    struct Card(tempfile::TempDir);

    impl Card {
        fn new(text: Option<&str>) -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("base.toml"), BASE).unwrap();
            for name in ["card", "into"] {
                fs::create_dir(folder.path().join(name)).unwrap();
            }
            if let Some(text) = text {
                fs::write(folder.path().join("card").join(FILE), text).unwrap();
            }
            Self(folder)
        }

        fn with_certificate(self) -> Self {
            let made = rcgen::generate_simple_self_signed(vec!["room501.school.example".into()]).unwrap();
            let card = self.0.path().join("card");
            fs::write(card.join("room.pem"), made.cert.pem()).unwrap();
            fs::write(card.join("room.key"), made.signing_key.serialize_pem()).unwrap();
            self
        }

        fn settle(&self) -> (Config, String) {
            let at = |name: &str| self.0.path().join(name);
            let settled = settle(&at("base.toml"), &at("card"), &at("into"), Lang::En).unwrap();
            let config = Config::load(Some(&at("into/box.toml"))).unwrap();
            assert_eq!(config.room.notice, settled.notice);
            (config, settled.notice.unwrap_or_default())
        }
    }

    #[test]
    fn the_card_names_the_room_and_opens_it() {
        let card = "[room]\nname = \"五年三班\"\n[https]\ncertificate = \"room.pem\"\nkey = \"room.key\"\n";
        let card = Card::new(Some(card)).with_certificate();
        let (config, notice) = card.settle();
        assert_eq!((config.room.name.as_str(), notice.as_str()), ("五年三班", ""));
        assert_eq!(config.https.listen, ["systemd:https".parse().unwrap()]);
        assert!(config.https.redirect.is_empty(), "port 80 is the portal's");
        assert_eq!(config.https.certificate.unwrap(), card.0.path().join("into/certificate.pem"));
        assert_eq!(config.media.udp.to_string(), "systemd:media");
        // Once more, as at the next start.
        assert_eq!(card.settle().1, "");
    }

    #[test]
    fn rules_on_the_card_are_brought_and_what_is_wrong_with_them_is_told() {
        let card =
            Card::new(Some("[room]\nname = \"五年三班\"\n[https]\ncertificate = \"room.pem\"\nkey = \"room.key\"\n"));
        let card = card.with_certificate();
        let at = |name: &str| card.0.path().join(name);
        fs::create_dir_all(at("card/policy/lists")).unwrap();
        fs::write(at("card/policy/lists/games.hosts"), "0.0.0.0 krunker.io\n").unwrap();
        let (config, notice) = card.settle();
        assert_eq!((config.policy.from, notice.as_str()), (Some(at("into/policy")), ""));
        assert!(at("into/policy/lists/games.hosts").exists());
        fs::write(at("card/policy/document.json"), "{}").unwrap();
        let (config, notice) = card.settle();
        assert!(notice.contains("document.json") && config.policy.from.is_some(), "{notice}");
        assert!(!at("into/policy/document.json").exists() && config.room.name == "五年三班");
        fs::remove_dir_all(at("card/policy")).unwrap();
        let (config, notice) = card.settle();
        assert_eq!((config.policy.from, notice.as_str()), (None, ""));
        assert!(!at("into/policy").exists());
    }

    #[test]
    fn without_a_certificate_the_door_for_homes_stays_shut_and_the_room_keeps_its_name() {
        for wrong in ["", "[https]\ncertificate = \"room.pem\"\nkey = \"room.key\"\n"] {
            let text = format!("[room]\nname = \"五年三班\"\n[home]\nlisten = [\"127.0.0.1:8444\"]\n{wrong}");
            let (config, notice) = Card::new(Some(&text)).settle();
            assert!(config.home.listen.is_empty() && notice.contains("ertificate"), "{notice}");
            assert_eq!(config.room.name, "五年三班");
            if !wrong.is_empty() {
                let (config, notice) = Card::new(Some(&text)).with_certificate().settle();
                assert_eq!((config.home.listen.len(), notice.as_str()), (1, ""));
            }
        }
    }

    const PAGES: &str = "[room]\nname = \"五年三班\"\n[https]\ncertificate = \"room.pem\"\nkey = \"room.key\"\n";

    #[test]
    fn the_files_that_a_card_names_are_brought_to_where_the_hub_may_read_them() {
        let text = format!(
            "{PAGES}[home]\nlisten = [\"127.0.0.1:8444\"]\nrelays = [\"turn:gw.school.example:3478\"]\n\
             secret_file = \"turn.secret\"\n[metrics]\nbearer_file = \"metrics.token\"\n[upstream]\n\
             lrs = \"https://lrs.school.example/xapi\"\nhome_page = \"https://www.school.example/{{semester}}\"\n\
             credentials_file = \"lrs.secret\"\nca_file = \"room.pem\"\nvocabulary_file = \"xapi.json\"\n"
        );
        let card = Card::new(Some(&text)).with_certificate();
        let put = |name: &str, text: &str| fs::write(card.0.path().join("card").join(name), text).unwrap();
        put("turn.secret", "0123456789abcdef\n");
        put("metrics.token", "fedcba9876543210\n");
        put("lrs.secret", "box501:a secret\n");
        put("xapi.json", appliance_core::usage::xapi::DEFAULT);
        let (config, notice) = card.settle();
        assert_eq!(notice, "");
        let into = |name: &str| Some(card.0.path().join("into").join(name));
        assert_eq!((&config.home.secret_file, config.home.listen.len()), (&into("home.secret_file"), 1));
        assert_eq!(config.metrics.bearer_file, into("metrics.bearer_file"));
        let of = &config.upstream;
        assert_eq!(
            (&of.credentials_file, &of.ca_file),
            (&into("upstream.credentials_file"), &into("upstream.ca_file"))
        );
        assert_eq!(of.vocabulary_file, into("upstream.vocabulary_file"));
        for (file, damage, says) in [
            ("turn.secret", Some("short\n"), "[home] secret_file: turn.secret"),
            ("metrics.token", None, "[metrics] bearer_file: metrics.token"),
            ("lrs.secret", Some("no colon\n"), "[upstream] credentials_file"),
            ("room.pem", None, "[upstream] ca_file: room.pem"),
            ("xapi.json", Some("{}"), "[upstream] vocabulary_file"),
        ] {
            let path = card.0.path().join("card").join(file);
            let good = fs::read(&path).unwrap();
            damage.map_or_else(|| fs::remove_file(&path), |text| fs::write(&path, text)).unwrap();
            let (config, notice) = card.settle();
            assert!(notice.contains(says), "{file}: {notice:?}");
            assert_eq!(config.room.name, "五年三班");
            let gone = [
                config.home.secret_file.is_none(),
                config.metrics.bearer_file.is_none(),
                config.upstream.lrs.is_none(),
            ];
            let of = ["[home]", "[metrics]", "[upstream]"];
            // Without the certificate there is no door for homes either, but what is not wrong with [home] stays.
            assert_eq!(gone, of.map(|section| says.starts_with(section)), "{file}: its section and no other");
            fs::write(&path, good).unwrap();
        }
        assert_eq!(card.settle().1, "");
    }

    #[test]
    fn what_is_the_boxs_own_is_told_and_the_rest_of_the_card_counts() {
        for (more, says) in [
            ("[store]\npath = \"/boot/card\"\n", "[store] path: the box sees to that itself"),
            ("[media]\nudp = \"0.0.0.0:1\"\n", "[media] udp"),
            ("[resolver]\nlisten = [\"0.0.0.0:53\"]\n", "[resolver] listen"),
            ("[agents]\nlisten = [\"[::]:444\"]\n", "[agents] listen: write a port from 1024 on"),
            ("[agents]\nlisten = [\"systemd:agents\"]\n", "[agents] listen: write 0.0.0.0"),
            ("[agents]\nlisten = [\"192.0.2.77:8442\"]\n", "[agents] listen: write 0.0.0.0"),
            ("[agents]\nlisten = [\"[::]:8801\"]\n", "[agents] listen: this port is in use"),
            ("[home]\nlisten = [\"127.0.0.1:8080\"]\n", "[home] listen: this port is in use"),
            ("[log]\nfilter = \"appliance=loud\"\n", "[log] filter"),
            ("[home]\nurl = \"room501\"\n", "[home] url: \"room501\" is no address for a link"),
            ("[limits]\nstudents = 200\n", "[limits] students"),
        ] {
            let (config, notice) = Card::new(Some(&format!("{PAGES}{more}"))).with_certificate().settle();
            assert!(notice.contains(says), "{more:?} gave {notice:?}");
            assert_eq!((config.room.name.as_str(), config.https.listen.len()), ("五年三班", 1), "{more:?}");
            assert_eq!((config.store, config.media.udp.to_string()), (Default::default(), "systemd:media".into()));
            assert!(config.agents.listen.is_empty() && config.home.listen.is_empty() && config.home.url.is_none());
            assert_eq!(config.log, Default::default());
        }
        for (name, says) in
            [("room502.school.example", "[https] name"), ("https://room501.school.example/", "[https] name")]
        {
            let card = PAGES.replace("[https]\n", &format!("[https]\nname = \"{name}\"\n"));
            let (config, notice) = Card::new(Some(&card)).with_certificate().settle();
            assert!(notice.contains(says) && config.https.name.is_none(), "{notice}");
            assert_eq!(config.https.listen.len(), 1, "the certificate's own name leads to the pages");
        }
        for listen in ["[::]:443", "systemd:https"] {
            let card = PAGES.replace("[https]\n", &format!("[https]\nlisten = [\"{listen}\"]\n"));
            let (config, notice) = Card::new(Some(&card)).with_certificate().settle();
            assert_eq!(notice.is_empty(), listen.starts_with("systemd"), "{notice}");
            assert_eq!(config.https.listen, ["systemd:https".parse().unwrap()], "the pages are open all the same");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_the_box_goes_on() {
        for (text, says) in [
            ("[room]\n\nnam = \"五年三班\"\n", "classroom.toml, line 3: unknown field `nam`"),
            ("[room\n", "classroom.toml, line 1"),
            ("[room]\nname = \"\"\n", "[room] name: give the room a name"),
            ("[limits]\nstudents = 200\n", "write at most 99"),
        ] {
            let (config, notice) = Card::new(Some(text)).settle();
            assert!(notice.contains(says), "{text:?} gave {notice:?}");
            assert_eq!(config.room.name, "教室");
            assert_eq!(config.media.udp.to_string(), "systemd:media");
        }
        let card = Card::new(None);
        fs::write(card.0.path().join("card").join(FILE), b"[room]\nname = \"\xa4\xad\"\n").unwrap();
        let (config, notice) = card.settle();
        assert!(notice.contains("UTF-8") && config.room.name == "教室", "{notice}");
        let (config, notice) = Card::new(None).settle();
        assert!(notice.contains(FILE) && config.room.name == "教室", "{notice}");
    }

    #[test]
    fn a_certificate_that_is_not_there_or_not_one_closes_the_pages_and_keeps_the_name() {
        let named = "[room]\nname = \"五年三班\"\n";
        let (config, notice) = Card::new(Some(named)).settle();
        assert!(notice.contains("certificate") && config.https.listen.is_empty());
        assert_eq!(config.room.name, "五年三班");
        let named = format!("{named}[https]\ncertificate = \"room.pem\"\n");
        for (text, says) in [
            (named.clone(), "[https] key"),
            (format!("{named}key = \"room.key\"\n"), "room.pem"),
            (format!("{named}key = \"room.pem\"\n"), "room.pem"),
        ] {
            let mut card = Card::new(Some(&text));
            if text.contains("key = \"room.pem\"") {
                card = card.with_certificate();
            }
            let (config, notice) = card.settle();
            assert!(notice.contains(says), "{text:?} gave {notice:?}");
            assert_eq!(config.room.name, "五年三班");
            assert!(config.https.listen.is_empty());
        }
    }
}
