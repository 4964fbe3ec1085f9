//! Where a keyframe begins, read from RTP payloads. Never panics, whatever the payload holds.

/// A video codec that the room speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// H.264 (RFC 6184)
    H264,
    /// VP8 (RFC 7741)
    Vp8,
    /// VP9 (RFC 9628)
    Vp9,
}

impl VideoCodec {
    /// The codec's name in SDP.
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
        }
    }

    /// Whether a decoder can start with this packet: the first of a keyframe, with what H.264 needs before it
    /// (the sequence parameter set, where it is sent in band).
    pub fn begins_keyframe(self, payload: &[u8]) -> bool {
        match self {
            Self::H264 => h264_begins_keyframe(payload),
            Self::Vp8 => vp8_begins_keyframe(payload),
            Self::Vp9 => vp9_begins_keyframe(payload),
        }
    }
}

const NAL_IDR: u8 = 5;
const NAL_SPS: u8 = 7;
const NAL_STAP_A: u8 = 24;
const NAL_FU_A: u8 = 28;

fn h264_begins_keyframe(payload: &[u8]) -> bool {
    let starts = |nal: u8| matches!(nal & 0x1f, NAL_IDR | NAL_SPS);
    match payload {
        [first, rest @ ..] if first & 0x1f == NAL_STAP_A => {
            let mut rest = rest;
            while let [high, low, nal, ..] = rest {
                let size = usize::from(u16::from_be_bytes([*high, *low]));
                if starts(*nal) && size > 0 {
                    return true;
                }
                rest = rest.get(2 + size..).unwrap_or_default();
            }
            false
        }
        [first, header, ..] if first & 0x1f == NAL_FU_A => header & 0x80 != 0 && starts(*header),
        [first, ..] => starts(*first),
        [] => false,
    }
}

/// Picture numbers in the payload descriptor of a VP8 or VP9 packet; a change of the source must not make them jump.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PictureFields {
    /// Place of the picture id in the payload, whether it has 15 bits instead of 7, and its value.
    pub picture_id: Option<(usize, bool, u16)>,
    /// Place of the TL0PICIDX and its value.
    pub tl0: Option<(usize, u8)>,
}

struct Vp8Descriptor {
    fields: PictureFields,
    begins_partition: bool,
    len: usize,
}

fn picture_id_at(payload: &[u8], at: usize) -> Option<(usize, bool, u16)> {
    let first = *payload.get(at)?;
    if first & 0x80 == 0 {
        return Some((at, false, u16::from(first)));
    }
    let second = *payload.get(at + 1)?;
    Some((at, true, u16::from_be_bytes([first & 0x7f, second])))
}

fn vp8_descriptor(payload: &[u8]) -> Option<Vp8Descriptor> {
    let first = *payload.first()?;
    let begins_partition = first & 0x10 != 0 && first & 0x07 == 0;
    let mut fields = PictureFields::default();
    let mut at = 1;
    if first & 0x80 != 0 {
        let extension = *payload.get(1)?;
        at = 2;
        if extension & 0x80 != 0 {
            let id = picture_id_at(payload, at)?;
            fields.picture_id = Some(id);
            at += if id.1 { 2 } else { 1 };
        }
        if extension & 0x40 != 0 {
            fields.tl0 = Some((at, *payload.get(at)?));
            at += 1;
        }
        if extension & 0x30 != 0 {
            at += 1;
        }
    }
    Some(Vp8Descriptor { fields, begins_partition, len: at })
}

fn vp8_begins_keyframe(payload: &[u8]) -> bool {
    vp8_descriptor(payload)
        .is_some_and(|d| d.begins_partition && payload.get(d.len).is_some_and(|frame_tag| frame_tag & 0x01 == 0))
}

fn vp9_begins_keyframe(payload: &[u8]) -> bool {
    let Some(&first) = payload.first() else { return false };
    let (predicted, layers, begins) = (first & 0x40 != 0, first & 0x20 != 0, first & 0x08 != 0);
    if predicted || !begins {
        return false;
    }
    if !layers {
        return true;
    }
    let at = match (first & 0x80 != 0, picture_id_at(payload, 1)) {
        (false, _) => 1,
        (true, Some((_, wide, _))) => {
            if wide {
                3
            } else {
                2
            }
        }
        (true, None) => return false,
    };
    payload.get(at).is_some_and(|layer| layer & 0x0e == 0)
}

impl PictureFields {
    /// Reads the picture numbers; none for H.264 and for broken descriptors.
    pub fn parse(codec: VideoCodec, payload: &[u8]) -> Self {
        match codec {
            VideoCodec::H264 => Self::default(),
            VideoCodec::Vp8 => vp8_descriptor(payload).map(|d| d.fields).unwrap_or_default(),
            VideoCodec::Vp9 => {
                let Some(&first) = payload.first() else { return Self::default() };
                if first & 0x80 == 0 {
                    return Self::default();
                }
                let Some(id) = picture_id_at(payload, 1) else { return Self::default() };
                let layer_at = if id.1 { 3 } else { 2 };
                // TL0PICIDX is there with layer indices in non-flexible mode only.
                let tl0 = (first & 0x30 == 0x20).then(|| payload.get(layer_at + 1)).flatten();
                Self { picture_id: Some(id), tl0: tl0.map(|&value| (layer_at + 1, value)) }
            }
        }
    }
}

/// Keeps picture numbers going up by one across changes of the source.
#[derive(Debug, Default)]
pub struct PictureNumbers {
    id_offset: u16,
    tl0_offset: u8,
    last_id: Option<u16>,
    last_tl0: Option<u8>,
}

impl PictureNumbers {
    /// Writes the numbers for the viewer into a copy of the payload. `switched` marks the first packet of a new source.
    pub fn rewrite(&mut self, fields: PictureFields, switched: bool, payload: &mut [u8]) {
        if let Some((at, wide, id)) = fields.picture_id {
            let mask = if wide { 0x7fff } else { 0x7f };
            if switched && let Some(last) = self.last_id {
                self.id_offset = last.wrapping_add(1).wrapping_sub(id);
            }
            let id = id.wrapping_add(self.id_offset) & mask;
            self.last_id = Some(id);
            let [high, low] = id.to_be_bytes();
            match (wide, payload.get_mut(at..)) {
                (true, Some([first, second, ..])) => (*first, *second) = (0x80 | high, low),
                (false, Some([first, ..])) => *first = low & 0x7f,
                _ => {}
            }
        }
        if let Some((at, tl0)) = fields.tl0 {
            if switched && let Some(last) = self.last_tl0 {
                self.tl0_offset = last.wrapping_add(1).wrapping_sub(tl0);
            }
            let tl0 = tl0.wrapping_add(self.tl0_offset);
            self.last_tl0 = Some(tl0);
            if let Some(byte) = payload.get_mut(at) {
                *byte = tl0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn h264_single_units() {
        assert!(VideoCodec::H264.begins_keyframe(&[0x67, 0x42, 0xe0, 0x1f])); // SPS
        assert!(VideoCodec::H264.begins_keyframe(&[0x65, 0xb8, 0x00])); // IDR slice
        assert!(!VideoCodec::H264.begins_keyframe(&[0x68, 0xce, 0x3c, 0x80])); // PPS alone
        assert!(!VideoCodec::H264.begins_keyframe(&[0x41, 0x9a, 0x24])); // P slice
        assert!(!VideoCodec::H264.begins_keyframe(&[0x09, 0x10])); // access unit delimiter
    }

    #[test]
    fn h264_stap_a_with_parameter_sets() {
        let with_sps = [0x78, 0x00, 0x04, 0x67, 0x42, 0xe0, 0x1f, 0x00, 0x02, 0x68, 0xce];
        assert!(VideoCodec::H264.begins_keyframe(&with_sps));
        let sps_second = [0x78, 0x00, 0x02, 0x09, 0x10, 0x00, 0x02, 0x67, 0x42];
        assert!(VideoCodec::H264.begins_keyframe(&sps_second));
        let slices = [0x78, 0x00, 0x02, 0x41, 0x9a, 0x00, 0x02, 0x41, 0x9b];
        assert!(!VideoCodec::H264.begins_keyframe(&slices));
        assert!(!VideoCodec::H264.begins_keyframe(&[0x78, 0xff, 0xff, 0x41])); // size beyond the packet
        assert!(!VideoCodec::H264.begins_keyframe(&[0x78, 0x00, 0x00, 0x67])); // empty unit
    }

    #[test]
    fn h264_fu_a_only_with_the_start_bit() {
        assert!(VideoCodec::H264.begins_keyframe(&[0x7c, 0x85, 0xb8])); // start of an IDR
        assert!(!VideoCodec::H264.begins_keyframe(&[0x7c, 0x05, 0xb8])); // middle
        assert!(!VideoCodec::H264.begins_keyframe(&[0x7c, 0x45, 0xb8])); // end
        assert!(!VideoCodec::H264.begins_keyframe(&[0x5c, 0x81, 0x9a])); // start of a P slice
    }

    #[test]
    fn vp8_frames() {
        // As Chromium sends it: X, S; I and L and T/K; 15-bit picture id, TL0PICIDX, TID/KEYIDX, then the frame tag.
        let key = [0x90, 0xe0, 0x92, 0x34, 0x07, 0x00, 0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a];
        assert!(VideoCodec::Vp8.begins_keyframe(&key));
        let delta = [0x90, 0xe0, 0x92, 0x35, 0x08, 0x00, 0x11, 0x02];
        assert!(!VideoCodec::Vp8.begins_keyframe(&delta));
        let middle = [0x80, 0xe0, 0x92, 0x34, 0x07, 0x00, 0x10];
        assert!(!VideoCodec::Vp8.begins_keyframe(&middle));
        assert!(VideoCodec::Vp8.begins_keyframe(&[0x10, 0x50, 0x01, 0x00]));
        let fields = PictureFields::parse(VideoCodec::Vp8, &key);
        assert_eq!(fields, PictureFields { picture_id: Some((2, true, 0x1234)), tl0: Some((4, 7)) });
    }

    #[test]
    fn vp9_frames() {
        // Non-flexible: I, L, B (E); 15-bit picture id; layer byte; TL0PICIDX.
        let key = [0xac, 0x80, 0x05, 0x00, 0x09, 0x82];
        assert!(VideoCodec::Vp9.begins_keyframe(&key));
        let inter = [0xec, 0x80, 0x06, 0x00, 0x0a, 0x82];
        assert!(!VideoCodec::Vp9.begins_keyframe(&inter));
        let upper_spatial_layer = [0xac, 0x80, 0x05, 0x02, 0x09, 0x82];
        assert!(!VideoCodec::Vp9.begins_keyframe(&upper_spatial_layer));
        assert!(VideoCodec::Vp9.begins_keyframe(&[0x88, 0x05, 0x82]));
        assert_eq!(PictureFields::parse(VideoCodec::Vp9, &key).tl0, Some((4, 9)));
    }

    #[test]
    fn picture_numbers_do_not_jump_when_the_source_changes() {
        let packet = |id: u16, tl0| [0x90, 0xe0, 0x80 | (id >> 8) as u8, id as u8, tl0, 0x00, 0x10];
        let mut numbers = PictureNumbers::default();
        let mut sent = |mut payload: [u8; 7], switched| {
            numbers.rewrite(PictureFields::parse(VideoCodec::Vp8, &payload), switched, &mut payload);
            let fields = PictureFields::parse(VideoCodec::Vp8, &payload);
            (fields.picture_id.map_or(0, |f| f.2), fields.tl0.map_or(0, |f| f.1))
        };
        assert_eq!(sent(packet(0x7ffe, 255), true), (0x7ffe, 255));
        assert_eq!(sent(packet(0x7fff, 0), false), (0x7fff, 0));
        assert_eq!(sent(packet(300, 9), true), (0, 1));
        assert_eq!(sent(packet(301, 10), false), (1, 2));
    }

    proptest! {
        #[test]
        fn never_panics(payload in prop::collection::vec(any::<u8>(), 0..64), switched: bool) {
            for codec in [VideoCodec::H264, VideoCodec::Vp8, VideoCodec::Vp9] {
                let _ = codec.begins_keyframe(&payload);
                let fields = PictureFields::parse(codec, &payload);
                let mut copy = payload.clone();
                PictureNumbers::default().rewrite(fields, switched, &mut copy);
                prop_assert_eq!(copy.len(), payload.len());
            }
        }
    }
}
