//! Linux: `/proc` for programs and the route, `/sys` for the kind of card; for idle time X11's MIT-SCREEN-SAVER where the
//! agent has a `DISPLAY`, else logind.
//!
//! Where neither knows how long the input has been idle (a desktop that does not tell logind), [`Platform::idle`] is `None`
//! and questions for names of platforms are the sign of use.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use appliance_core::agent::Program;
use classroom_protocol::{Millis, policy::Link};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use x11rb::{connection::Connection as _, protocol::screensaver::ConnectionExt as _, rust_connection::RustConnection};

use super::{Platform, session::Session};

/// This machine.
#[derive(Default)]
pub(crate) struct Linux {
    screen: Option<(RustConnection, u32)>,
    session: Session,
}

impl Platform for Linux {
    fn programs(&self) -> Vec<Program> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| program(entry.file_name().to_str()?.parse().ok()?)).collect()
    }

    fn idle(&mut self) -> Option<Millis> {
        self.untouched().or_else(|| self.session.idle())
    }

    fn link(&self) -> Option<Link> {
        let routes = fs::read_to_string("/proc/net/route").ok()?;
        Some(kind(&card(&routes)?, Path::new("/sys/class/net")))
    }

    fn end(&self, program: &Program) -> bool {
        // The number may be another program's by now.
        let same = self::program(program.pid).is_some_and(|now| now.began == program.began);
        same && kill(Pid::from_raw(program.pid.cast_signed()), Signal::SIGTERM).is_ok()
    }
}

impl Linux {
    /// How long the X server has seen no input.
    fn untouched(&mut self) -> Option<Millis> {
        if self.screen.is_none() {
            std::env::var_os("DISPLAY")?;
            let (connection, screen) = RustConnection::connect(None).ok()?;
            let root = connection.setup().roots.get(screen)?.root;
            self.screen = Some((connection, root));
        }
        let (connection, root) = self.screen.as_ref()?;
        let asked = connection.screensaver_query_info(*root).ok().and_then(|cookie| cookie.reply().ok());
        if asked.is_none() {
            // The session has ended; the next one is asked anew.
            self.screen = None;
        }
        Some(asked?.ms_since_user_input.into())
    }
}

fn program(pid: u32) -> Option<Program> {
    let folder = Path::new("/proc").join(pid.to_string());
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    // The name stands in brackets and may hold blanks and brackets itself.
    let (before, after) = stat.rsplit_once(')')?;
    let name = before.split_once('(')?.1.to_owned();
    let began = after.split_whitespace().nth(19)?.parse().ok()?;
    let path = fs::read_link(folder.join("exe")).ok().map(|path| path.display().to_string());
    Some(Program { pid, began, name, path, user: fs::metadata(&folder).ok()?.uid() })
}

/// The card of the default route with the lowest metric (`/proc/net/route`).
fn card(routes: &str) -> Option<String> {
    let default = routes.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (card, to, metric) = (*fields.first()?, *fields.get(1)?, fields.get(6)?.parse::<u32>().ok()?);
        (to == "00000000").then_some((metric, card))
    });
    default.min().map(|(_, card)| card.to_owned())
}

fn kind(card: &str, cards: &Path) -> Link {
    let folder = cards.join(card);
    let event = fs::read_to_string(folder.join("uevent")).unwrap_or_default();
    if folder.join("wireless").exists() || event.contains("DEVTYPE=wlan") {
        Link::Wifi
    } else if event.contains("DEVTYPE=wwan") || card.starts_with("wwan") || card.starts_with("ppp") {
        Link::Mobile
    } else {
        Link::Wired
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn this_very_program_is_found_by_its_file() {
        let all = Linux::default().programs();
        let own = all.iter().find(|one| one.pid == std::process::id()).unwrap();
        assert!(own.path.as_deref().unwrap().contains("classroom_agent") && own.began > 0, "{own:?}");
        let other = Program { began: own.began + 1, ..own.clone() };
        assert!(!Linux::default().end(&other), "a number that is used again is not ended");
    }

    #[test]
    fn the_card_of_the_best_default_route_and_its_kind() {
        let routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
            wlan0\t00000000\t0100A8C0\t3\t0\t0\t600\t0\neth0\t00000000\t01\t3\t0\t0\t100\t0\n\
            eth0\t0000A8C0\t0\t1\t0\t0\t100\tFF\n";
        assert_eq!(card(routes).as_deref(), Some("eth0"));
        assert_eq!(card("Iface\n"), None);
        let cards = tempfile::tempdir().unwrap();
        for (name, event) in [("w", "DEVTYPE=wlan\n"), ("m", "DEVTYPE=wwan\n"), ("e", "")] {
            fs::create_dir(cards.path().join(name)).unwrap();
            fs::write(cards.path().join(name).join("uevent"), event).unwrap();
        }
        assert_eq!(["w", "m", "e"].map(|card| kind(card, cards.path())), [Link::Wifi, Link::Mobile, Link::Wired]);
    }
}
