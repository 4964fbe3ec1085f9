//! Which program holds a port, as far as `/proc` tells (proc(5)).

use std::fs;

/// The transport of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) name: String,
    pub(super) pid: u32,
}

impl Program {
    /// Whether it is a hub like us.
    pub(super) fn is_hub(&self) -> bool {
        self.name == "appliance"
    }
}

/// The program that holds the port. `None` when it can't be told (a program of another user, when not root).
pub(super) fn of(transport: Transport, port: u16) -> Option<Program> {
    let (tables, state) = match transport {
        // 0A: listening.
        Transport::Tcp => (["/proc/net/tcp", "/proc/net/tcp6"], Some("0A")),
        Transport::Udp => (["/proc/net/udp", "/proc/net/udp6"], None),
    };
    let inodes: Vec<u64> = tables
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|t| inodes(&t, port, state))
        .collect();
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let mut links = fs::read_dir(process.path().join("fd")).ok()?.flatten().map(|fd| fs::read_link(fd.path()));
        links.find(|link| link.as_ref().is_ok_and(|to| wanted.iter().any(|w| to.as_os_str() == w.as_str())))?.ok()?;
        let name = fs::read_to_string(process.path().join("comm")).ok()?.trim().to_owned();
        Some(Program { name, pid })
    })
}

/// The sockets of a table of `/proc/net` on this port and, if given, in this state.
fn inodes(table: &str, port: u16, state: Option<&str>) -> Vec<u64> {
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, at) = fields.get(1)?.rsplit_once(':')?;
        let here = u16::from_str_radix(at, 16).ok()? == port && state.is_none_or(|s| fields.get(3) == Some(&s));
        if here { fields.get(9)?.parse().ok() } else { None }
    };
    table.lines().skip(1).filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn our_own_sockets_are_ours() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("[::1]:0").unwrap();
        let tcp = of(Transport::Tcp, tcp.local_addr().unwrap().port()).unwrap();
        assert_eq!(tcp.pid, std::process::id());
        assert!(tcp.name.starts_with("appliance-"), "{}", tcp.name);
        assert!(!tcp.is_hub(), "a test program is no hub");
        assert_eq!(of(Transport::Udp, udp.local_addr().unwrap().port()).unwrap().pid, std::process::id());
    }

    #[test]
    fn a_table_that_is_none_gives_nothing() {
        for text in ["", "head\n", "head\n 0: x\n", "head\n 0: 00:1F90 z 0A\n"] {
            assert_eq!(inodes(text, 8080, Some("0A")), Vec::<u64>::new());
        }
        let table = "head\n   0: 0100007F:1F90 00000000:0000 0A 0:0 00:0 0 0 0 4711 1\n";
        assert_eq!(inodes(table, 8080, Some("0A")), [4711]);
        assert_eq!(inodes(table, 8081, None), Vec::<u64>::new());
    }
}
