"""Publishes a moving test picture with webrtcbin: gst_whip.py ADDRESS TOKEN [h264|vp8]"""

import sys

from gst_session import Gst, Session

ENCODERS = {
    # No packetization-mode in these caps: webrtcbin then offers H.264 without one, as other people's programs do.
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast bitrate=1000 key-int-max=60 "
    "! video/x-h264,profile=constrained-baseline ! rtph264pay config-interval=-1 aggregate-mode=zero-latency "
    "! application/x-rtp,media=video,encoding-name=H264,payload=96",
    "vp8": "vp8enc deadline=1 target-bitrate=1000000 keyframe-max-dist=60 ! rtpvp8pay "
    "! application/x-rtp,media=video,encoding-name=VP8,payload=97",
}

Gst.init(None)
address, token, codec = (sys.argv + ["h264"])[1:4]
pipeline = Gst.parse_launch(
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=30/1 ! videoconvert "
    f"! {ENCODERS[codec]} ! webrtcbin name=peer bundle-policy=max-bundle"
)
Session(pipeline, address, token).run()
