//! Lists of names as the world writes them: each line is understood or counted, nothing else.
#![no_main]

use std::sync::LazyLock;

use appliance::dns::{
    lists::{Format, Line, line, read},
    names::{Key, Names},
};
use appliance_core::policy::host_name;

static KEY: LazyLock<Key> = LazyLock::new(|| Key::random().expect("random bytes"));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    for format in [Format::Hosts, Format::Domains, Format::Adblock] {
        for one in text.lines() {
            if let Line::Names(names) = line(format, one) {
                assert!(names.iter().all(|name| host_name(name).as_ref() == Ok(name)));
            }
        }
        let (mut listed, mut open) = (vec![], vec![]);
        let told = read(format, *KEY, bytes, &mut listed, &mut open).expect("memory can be read");
        assert_eq!(told.names, listed.len());
        // A table of names is big however few they are.
        if !listed.is_empty() {
            let names = Names::new(listed.clone());
            assert!(listed.iter().all(|hash| names.contains(*hash)));
        }
    }
});
