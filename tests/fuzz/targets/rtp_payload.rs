//! RTP payloads of H.264, VP8 and VP9: where keyframes begin, and picture numbers rewritten.
#![no_main]

use appliance_core::forward::{PictureFields, PictureNumbers, VideoCodec};

libfuzzer_sys::fuzz_target!(|payloads: Vec<Vec<u8>>| {
    for codec in [VideoCodec::H264, VideoCodec::Vp8, VideoCodec::Vp9] {
        let mut numbers = PictureNumbers::default();
        for (at, payload) in payloads.iter().enumerate() {
            codec.begins_keyframe(payload);
            let mut copy = payload.clone();
            numbers.rewrite(PictureFields::parse(codec, payload), at % 3 == 0, &mut copy);
            assert_eq!(copy.len(), payload.len());
        }
    }
});
