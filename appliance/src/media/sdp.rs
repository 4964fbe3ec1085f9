//! What is answered to an offer, and the fragments of trickle ICE (RFC 8840).

use std::fmt::Write;

use appliance_core::forward::VideoCodec;
use str0m::{
    Candidate, Rtc, RtcConfig,
    change::SdpOffer,
    format::Codec,
    media::{MediaKind, Mid},
    rtp::{Extension, ExtensionMap},
};

use super::MediaError;

/// Offers larger than this are not read. Chromium's are below 8 KiB.
const MAX_OFFER: usize = 64 * 1024;
/// Candidates taken from one fragment; beyond that a client is not honest.
const MAX_CANDIDATES: usize = 32;

/// All codecs that the room speaks, the preferred first.
pub(super) const PREFERENCE: [VideoCodec; 3] = [VideoCodec::H264, VideoCodec::Vp8, VideoCodec::Vp9];

/// Payload types of ours (they become the client's in the answer): constrained baseline first, as every decoder has it.
/// webrtcbin offers `packetization-mode=0` unless it is told otherwise; what it means is the same to a forwarder.
const H264: [(u8, u8, bool, u32); 6] = [
    (102, 103, true, 0x42e01f),
    (104, 105, true, 0x42001f),
    (106, 107, false, 0x42e01f),
    (108, 109, false, 0x42001f),
    (112, 113, true, 0x4d001f),
    (114, 115, true, 0x64001f),
];

/// Which side of the forwarder an offer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// WHIP: the client sends.
    Publisher,
    /// WHEP: the client receives.
    Viewer,
}

/// The video codecs named in the offer, preferred first. Errors when the offer has no video or is no SDP at all.
pub(super) fn offered(offer: &str) -> Result<Vec<VideoCodec>, MediaError> {
    let (sections, found) = scan(offer)?;
    if !sections.video {
        return Err(MediaError::BadSdp("the offer has no video".into()));
    }
    Ok(PREFERENCE.into_iter().zip(found).filter_map(|(codec, found)| found.then_some(codec)).collect())
}

/// Checks the offer of one who only speaks: sound, and no picture at all.
pub(super) fn only_sound(offer: &str) -> Result<(), MediaError> {
    match scan(offer)?.0 {
        Sections { video: true, .. } => Err(MediaError::BadSdp("this source takes sound only, no picture".into())),
        Sections { audio: false, .. } => Err(MediaError::BadSdp("the offer has no sound".into())),
        Sections { .. } => Ok(()),
    }
}

/// Which kinds of media an offer has.
#[derive(Default)]
struct Sections {
    video: bool,
    audio: bool,
}

fn scan(offer: &str) -> Result<(Sections, [bool; 3]), MediaError> {
    if offer.len() > MAX_OFFER || !offer.starts_with("v=0") {
        return Err(MediaError::BadSdp("the body is not an SDP offer".into()));
    }
    let mut video = false;
    let mut sections = Sections::default();
    let mut found = [false; 3];
    for line in offer.lines() {
        if let Some(media) = line.strip_prefix("m=") {
            let port = media.split(' ').nth(1).and_then(|port| port.split('/').next());
            if port.is_none_or(|port| port.parse::<u16>().is_err()) {
                return Err(MediaError::BadSdp(format!("no port in m={media:.40}")));
            }
            video = media.starts_with("video");
            sections.video |= video;
            sections.audio |= media.starts_with("audio");
        }
        let Some(map) = line.strip_prefix("a=rtpmap:").filter(|_| video) else { continue };
        let codec = map.split_once(' ').map_or("", |(_, codec)| codec);
        for (found, known) in found.iter_mut().zip(PREFERENCE) {
            *found |= codec.split('/').next().is_some_and(|name| name.eq_ignore_ascii_case(known.name()));
        }
    }
    Ok((sections, found))
}

/// The codecs and header extensions of a session that speaks `video`, the first one preferred, and Opus.
pub(super) fn configure(mut config: RtcConfig, side: Side, video: &[VideoCodec]) -> RtcConfig {
    config = config.clear_codecs().enable_opus(true, false);
    let codecs = config.codec_config();
    for codec in video {
        match codec {
            VideoCodec::H264 => {
                for (pt, rtx, mode, profile) in H264 {
                    codecs.add_h264(pt.into(), Some(rtx.into()), mode, profile);
                }
            }
            VideoCodec::Vp8 => codecs.enable_vp8(true),
            VideoCodec::Vp9 => codecs.enable_vp9(true),
        }
    }
    match side {
        Side::Publisher => config,
        Side::Viewer => {
            // What is negotiated must be sent; the viewer finds its streams by the SSRCs of the answer.
            let mut extensions = ExtensionMap::empty();
            extensions.set(3, Extension::TransportSequenceNumber);
            config.set_extension_map(extensions)
        }
    }
}

/// Takes the offer. Whatever the client offers, a publisher only sends and a viewer only receives.
pub(super) fn accept(rtc: &mut Rtc, side: Side, offer: &str) -> Result<String, MediaError> {
    let one_way = match side {
        Side::Publisher => "a=sendonly",
        Side::Viewer => "a=recvonly",
    };
    let bad = |error: &dyn std::fmt::Display| MediaError::BadSdp(error.to_string());
    let offer = offer.replace("a=sendrecv", one_way);
    let offer = SdpOffer::from_sdp_string(&offer).map_err(|error| bad(&error))?;
    let answer = rtc.sdp_api().accept_offer(offer).map_err(|error| bad(&error))?;
    Ok(answer.to_sdp_string())
}

/// The payload types of a codec on this leg: media and, where negotiated, retransmission.
#[derive(Debug, Clone, Copy)]
pub(super) struct PayloadTypes {
    pub(super) media: u8,
    pub(super) rtx: Option<u8>,
}

/// The payload types negotiated for `codec` in `mid`, the best match first: a codec is found by what it carries, not by its number.
pub(super) fn payload_types(rtc: &Rtc, mid: Mid, codec: Codec) -> Option<PayloadTypes> {
    let negotiated = rtc.media(mid)?.remote_pts();
    let params = rtc.codec_config().params().iter();
    let found = params.filter(|p| negotiated.contains(&p.pt())).find(|p| p.spec().codec == codec)?;
    Some(PayloadTypes { media: *found.pt(), rtx: found.resend().map(|pt| *pt) })
}

/// str0m's name of a video codec.
pub(super) fn codec_of(video: VideoCodec) -> Codec {
    match video {
        VideoCodec::H264 => Codec::H264,
        VideoCodec::Vp8 => Codec::Vp8,
        VideoCodec::Vp9 => Codec::Vp9,
    }
}

/// The video codec of a payload type, if it is one.
pub(super) fn video_codec(rtc: &Rtc, pt: u8) -> Option<VideoCodec> {
    let params = rtc.codec_config().params().iter().find(|p| *p.pt() == pt)?;
    PREFERENCE.into_iter().find(|&codec| codec_of(codec) == params.spec().codec)
}

/// The m-lines of a kind in a session, in their order.
pub(super) fn mids(sdp: &str, rtc: &Rtc, kind: MediaKind) -> Vec<Mid> {
    sdp.lines()
        .filter_map(|line| line.strip_prefix("a=mid:"))
        .map(|mid| Mid::from(mid.trim()))
        .filter(|&mid| rtc.media(mid).is_some_and(|media| media.kind() == kind && !media.disabled()))
        .collect()
}

/// The first m-line of a kind in a session.
pub(super) fn first_mid(sdp: &str, rtc: &Rtc, kind: MediaKind) -> Option<Mid> {
    mids(sdp, rtc, kind).first().copied()
}

/// What a trickle fragment says.
#[derive(Debug, Default)]
pub(super) struct Fragment {
    pub(super) credentials: Option<(String, String)>,
    pub(super) candidates: Vec<Candidate>,
}

/// Reads an `application/trickle-ice-sdpfrag`. Candidates that can't be used here (mDNS names, unknown transports) are skipped.
pub(super) fn parse_fragment(text: &str) -> Result<Fragment, MediaError> {
    if text.len() > MAX_OFFER {
        return Err(MediaError::BadSdp("the fragment is too large".into()));
    }
    let mut fragment = Fragment::default();
    let (mut ufrag, mut password) = (None, None);
    let mut attributes = 0;
    for line in text.lines().map(str::trim) {
        let Some(attribute) = line.strip_prefix("a=") else { continue };
        attributes += 1;
        if let Some(value) = attribute.strip_prefix("ice-ufrag:") {
            ufrag = Some(value.to_owned());
        } else if let Some(value) = attribute.strip_prefix("ice-pwd:") {
            password = Some(value.to_owned());
        } else if attribute.starts_with("candidate:") && fragment.candidates.len() < MAX_CANDIDATES {
            fragment.candidates.extend(Candidate::from_sdp_string(attribute));
        }
    }
    if attributes == 0 {
        return Err(MediaError::BadSdp("the fragment has no attribute".into()));
    }
    // RFC 8839 §5.4: 4 to 256 and 22 to 256 of these characters.
    let token = |text: &str, min| {
        (min..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
    };
    fragment.credentials = ufrag.zip(password);
    if fragment.credentials.as_ref().is_some_and(|(ufrag, password)| !token(ufrag, 4) || !token(password, 22)) {
        return Err(MediaError::BadSdp("ice-ufrag or ice-pwd is malformed".into()));
    }
    Ok(fragment)
}

/// The offer with other ICE credentials: what the client would offer for a restart (RFC 9725 §4.3.2).
pub(super) fn with_credentials(offer: &str, ufrag: &str, password: &str) -> String {
    let mut changed = String::with_capacity(offer.len());
    for line in offer.lines() {
        if line.starts_with("a=ice-ufrag:") {
            let _ = write!(changed, "a=ice-ufrag:{ufrag}\r\n");
        } else if line.starts_with("a=ice-pwd:") {
            let _ = write!(changed, "a=ice-pwd:{password}\r\n");
        } else if !line.starts_with("a=candidate:") {
            let _ = write!(changed, "{line}\r\n");
        }
    }
    changed
}

/// The box's own fragment, taken from an answer: credentials and candidates.
pub(super) fn fragment_of(answer: &str) -> String {
    let mut fragment = String::new();
    let mut media = None;
    let mut rest = String::new();
    for line in answer.lines() {
        if line.starts_with("m=") {
            if media.is_some() {
                break;
            }
            media = Some(line);
        }
        let credential = line.starts_with("a=ice-ufrag:") || line.starts_with("a=ice-pwd:");
        if credential {
            let _ = write!(fragment, "{line}\r\n");
        } else if line.starts_with("a=mid:") || line.starts_with("a=candidate:") {
            let _ = write!(rest, "{line}\r\n");
        }
    }
    let _ = write!(fragment, "{}\r\n{rest}a=end-of-candidates\r\n", media.unwrap_or("m=audio 9 UDP/TLS/RTP/SAVPF 0"));
    fragment
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn codecs_are_found_in_the_video_section_only() {
        let offer = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\nm=video 9 UDP/TLS/RTP/SAVPF 97 98\r\n\
                     a=rtpmap:97 vp9/90000\r\na=rtpmap:98 H264/90000\r\n";
        assert_eq!(offered(offer).unwrap(), [VideoCodec::H264, VideoCodec::Vp9]);
        assert!(matches!(offered("v=0\r\nm=audio 9 x 1\r\n"), Err(MediaError::BadSdp(_))));
        assert!(matches!(offered("{}"), Err(MediaError::BadSdp(_))));
        assert_eq!(only_sound("v=0\r\nm=audio 9 x 1\r\n"), Ok(()));
        assert!(matches!(only_sound(offer), Err(MediaError::BadSdp(why)) if why.contains("no picture")));
        assert!(matches!(only_sound("v=0\r\n"), Err(MediaError::BadSdp(_))));
        assert!(matches!(offered(&format!("v=0\r\n{}", "a".repeat(70_000))), Err(MediaError::BadSdp(_))));
    }

    #[test]
    fn fragments() {
        let text = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n\
                    a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n\
                    a=candidate:1 1 udp 2122260223 8b2e.local 61765 typ host\r\na=candidate:nonsense\r\na=end-of-candidates\r\n";
        let fragment = parse_fragment(text).unwrap();
        assert_eq!(fragment.credentials.unwrap().0, "EsAw");
        assert_eq!(fragment.candidates.len(), 1);
        assert!(parse_fragment("hello").is_err());
        assert!(parse_fragment("a=ice-ufrag:x\r\na=ice-pwd:y\r\n").is_err());
    }

    #[test]
    fn fragment_of_an_answer_has_credentials_and_candidates_once() {
        let answer = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\na=ice-ufrag:abcd\r\n\
                      a=ice-pwd:efgh\r\na=mid:0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=ice-ufrag:abcd\r\na=ice-pwd:efgh\r\na=mid:1\r\n";
        let fragment = fragment_of(answer);
        assert_eq!(fragment.matches("a=ice-ufrag:abcd").count(), 1);
        assert!(
            fragment
                .contains("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\na=mid:0")
        );
    }
}
