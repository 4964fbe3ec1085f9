//! One WebRTC peer on str0m in RTP mode, with a socket of its own, as every tablet has one.

use std::{
    io::IoSliceMut,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    errno::Errno,
    sys::{
        socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt, sockopt},
        time::TimeSpec,
    },
};
use str0m::{
    Candidate, Event, Input, Output, Rtc, RtcConfig,
    change::{SdpAnswer, SdpOffer, SdpPendingOffer},
    config::CryptoProvider,
    media::{Direction, MediaKind, Mid},
    net::{Protocol, Receive},
};

/// Payload type that our offers give H.264. What the peer answers is used.
const H264: u8 = 108;

/// A peer and its socket.
#[derive(Debug)]
pub(crate) struct Peer {
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    /// When str0m wants to be called even if nothing arrives.
    pub(crate) due: Instant,
}

impl Peer {
    /// A peer on a free port of `address`.
    pub(crate) fn new(address: Ipv4Addr) -> Result<Self> {
        let socket = UdpSocket::bind((address, 0))?;
        socket.set_nonblocking(true)?;
        // Arrival is stamped by the kernel: how late this process wakes up is not the server's doing.
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        setsockopt(&socket, sockopt::RcvBuf, &(1 << 20))?;
        let local = socket.local_addr()?;
        let mut config = RtcConfig::new().set_rtp_mode(true).clear_codecs().set_crypto_provider(crypto().into());
        config.codec_config().add_h264(H264.into(), Some((H264 + 1).into()), true, 0x42_e0_1f);
        let mut rtc = config.build(Instant::now());
        rtc.add_local_candidate(Candidate::host(local, "udp")?);
        Ok(Self { rtc, socket, local, due: Instant::now() })
    }

    /// Offers one video in this direction; gives the offer, its memory for [`Peer::answered`] and the video's name.
    pub(crate) fn offer(&mut self, direction: Direction) -> Result<(String, SdpPendingOffer, Mid)> {
        let mut api = self.rtc.sdp_api();
        let mid = api.add_media(MediaKind::Video, direction, Some("bench".into()), Some("video".into()), None);
        let (offer, pending) = api.apply().context("no offer")?;
        Ok((offer.to_sdp_string(), pending, mid))
    }

    /// Takes the answer to an offer.
    pub(crate) fn answered(&mut self, pending: SdpPendingOffer, sdp: &str) -> Result<()> {
        let answer = SdpAnswer::from_sdp_string(sdp).context("answer")?;
        Ok(self.rtc.sdp_api().accept_answer(pending, answer)?)
    }

    /// Answers an offer.
    pub(crate) fn accept(&mut self, sdp: &str) -> Result<String> {
        let offer = SdpOffer::from_sdp_string(sdp).context("offer")?;
        Ok(self.rtc.sdp_api().accept_offer(offer)?.to_sdp_string())
    }

    /// str0m itself.
    pub(crate) fn rtc(&mut self) -> &mut Rtc {
        &mut self.rtc
    }

    /// The socket, for waiting.
    pub(crate) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// The payload type negotiated for H.264.
    pub(crate) fn payload_type(&mut self, mid: Mid) -> Option<str0m::media::Pt> {
        let accepted = self.rtc.media(mid)?.remote_pts().to_vec();
        let known = self.rtc.codec_config().params().iter().find(|params| accepted.contains(&params.pt()))?;
        Some(known.pt())
    }

    /// Sends what str0m has to send and gives its events. `sent` sees each datagram just before it goes.
    pub(crate) fn drain(&mut self, mut sent: impl FnMut(&[u8]), mut event: impl FnMut(Event)) -> Result<()> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(due) => {
                    self.due = due;
                    return Ok(());
                }
                Output::Transmit(out) => {
                    sent(&out.contents);
                    // A full buffer or a peer that is gone: as good as lost on the way.
                    let _ = self.socket.send_to(&out.contents, out.destination);
                }
                Output::Event(happened) => event(happened),
            }
        }
    }

    /// Lets time pass for str0m.
    pub(crate) fn tick(&mut self, now: Instant) -> Result<()> {
        Ok(self.rtc.handle_input(Input::Timeout(now))?)
    }

    /// Takes one datagram if there is one, and says when the kernel got it (nanoseconds since 1970). `drain` must follow.
    pub(crate) fn receive(&mut self) -> Result<Option<u64>> {
        let mut buffer = [0_u8; 2048];
        let mut control = nix::cmsg_space!(TimeSpec);
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<SockaddrIn>(self.socket.as_raw_fd(), &mut slices, Some(&mut control), flags);
        let (length, source, stamp) = match message {
            Ok(message) => {
                let stamp = message.cmsgs()?.find_map(|c| match c {
                    ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
                    _ => None,
                });
                (message.bytes, message.address.context("no source address")?, stamp)
            }
            Err(Errno::EAGAIN | Errno::ECONNREFUSED) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let source = SocketAddr::from((source.ip(), source.port()));
        let Ok(contents) = buffer[..length].try_into() else { bail!("a datagram that is not WebRTC") };
        let input = Receive { proto: Protocol::Udp, source, destination: self.local, contents };
        self.rtc.handle_input(Input::Receive(Instant::now(), input))?;
        let stamp = stamp.context("the kernel did not stamp a datagram")?;
        Ok(Some(u64::try_from(stamp.as_nanos())?))
    }
}

/// OpenSSL's DTLS, because Janus has an RSA certificate, which the other one refuses; aws-lc for the packets.
fn crypto() -> CryptoProvider {
    let fast = str0m_aws_lc_rs::default_provider();
    CryptoProvider {
        srtp_provider: fast.srtp_provider,
        sha1_hmac_provider: fast.sha1_hmac_provider,
        ..str0m_openssl::default_provider()
    }
}
