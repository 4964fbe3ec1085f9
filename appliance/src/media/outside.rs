//! The address that the box's media port has on the far side of the school's router, as the gateway's STUN server sees it.
//!
//! A relay lets in only packets from addresses that its client was told of (RFC 8656 §9), so a student at home must know the
//! school's outer address. It is asked of the gateway that the configuration names, never of a public server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use str0m::net::Protocol;

use super::{stun, switchboard::Switchboard, viewer::Path};

/// What is known of the outer address.
#[derive(Debug, Default)]
pub(super) struct Outside {
    server: Option<SocketAddr>,
    transaction: [u8; 12],
    /// The outer address, and the card's own by which the server is reached.
    known: Option<(SocketAddr, IpAddr)>,
    base: Option<IpAddr>,
}

impl Outside {
    /// The outer address and the card's own address behind it.
    pub(super) fn address(&self) -> Option<(SocketAddr, IpAddr)> {
        self.known
    }

    /// Takes a packet that is the server's answer. False for every other packet.
    pub(super) fn answered(&mut self, from: SocketAddr, packet: &[u8]) -> bool {
        let answer = (self.server == Some(from)).then(|| stun::answer(packet, &self.transaction)).flatten();
        let ours = answer.is_some();
        if let (Some(Some(mapped)), Some(base)) = (answer, self.base)
            && self.known != Some((mapped, base))
        {
            tracing::info!(%mapped, "the school's outer address");
            self.known = Some((mapped, base));
        }
        ours
    }
}

impl Switchboard {
    /// Sends the question. The answer comes as any other packet; a lost one is made up for by the next question.
    pub(super) fn ask_outside(&mut self, server: SocketAddr) {
        let Ok(transaction) = super::commands::random::<12>() else { return };
        // Connecting sends nothing; it makes the kernel choose the card that leads to the server.
        let card = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
            .and_then(|socket| socket.connect(server).and_then(|()| socket.local_addr()));
        let Ok(card) = card else {
            tracing::debug!(%server, "there is no way to the gateway now");
            return;
        };
        self.outside.server = Some(server);
        self.outside.transaction = transaction;
        self.outside.base = Some(card.ip());
        let path = Path { protocol: Protocol::Udp, local: card.ip(), remote: server };
        self.net.send(path, &stun::question(&transaction));
    }
}
