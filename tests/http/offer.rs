//! Offers as a client would make them, without a client behind: enough for all that happens before media flows.

/// Sends one H.264 picture, one Opus sound.
pub(crate) fn sending() -> String {
    sdp("sendonly")
}

/// Wants to see and hear.
pub(crate) fn receiving() -> String {
    sdp("recvonly")
}

fn sdp(direction: &str) -> String {
    let fingerprint = ["AB"; 32].join(":");
    let common = format!(
        "c=IN IP4 0.0.0.0\na=ice-ufrag:test\na=ice-pwd:0123456789abcdef01234567\na=ice-options:trickle\n\
         a=fingerprint:sha-256 {fingerprint}\na=setup:actpass\na={direction}\na=rtcp-mux\na=rtcp-rsize\n"
    );
    format!(
        "v=0\no=- 4611731400430051336 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE 0 1\na=msid-semantic: WMS\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111\n{common}a=mid:0\na=rtpmap:111 opus/48000/2\na=fmtp:111 minptime=10;useinbandfec=1\n\
         m=video 9 UDP/TLS/RTP/SAVPF 96 97\n{common}a=mid:1\na=rtpmap:96 H264/90000\na=rtcp-fb:96 nack\n\
         a=rtcp-fb:96 nack pli\na=rtcp-fb:96 ccm fir\na=rtcp-fb:96 transport-cc\n\
         a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\n\
         a=rtpmap:97 rtx/90000\na=fmtp:97 apt=96\n"
    )
    .replace('\n', "\r\n")
}
