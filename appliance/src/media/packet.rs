//! A media packet on its way from a publisher to the viewers.

use std::sync::Arc;

use appliance_core::forward::{PictureFields, VideoCodec};

/// Which of the publisher's encodings a packet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// A video encoding: its lane is 0 to 2, the simulcast layer's index; a single encoding has lane 2.
    Video { lane: usize, codec: VideoCodec },
    /// Opus.
    Audio,
}

/// One received RTP packet, its payload shared by all viewers.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    /// Names the encoding of this very publisher; never used again.
    pub(super) stream: u64,
    pub(super) media: Media,
    /// Extended sequence number.
    pub(super) sequence: u64,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    /// A decoder can start here.
    pub(super) keyframe: bool,
    pub(super) pictures: PictureFields,
    pub(super) payload: Arc<[u8]>,
}

/// What a publisher's sender report says: which moment an RTP timestamp stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct SenderClock {
    pub(super) stream: u64,
    /// 64-bit NTP time of the publisher's clock.
    pub(super) ntp: u64,
    pub(super) timestamp: u32,
}
