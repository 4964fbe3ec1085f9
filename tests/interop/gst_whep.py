"""Plays a source with webrtcbin and counts decoded pictures: gst_whep.py ADDRESS TOKEN"""

import sys

from gst_session import GLib, Gst, GstWebRTC, Session, say

Gst.init(None)
address, token = sys.argv[1:3]
# Not `parse_launch`: of one element alone it makes no pipeline.
pipeline = Gst.Pipeline.new(None)
peer = Gst.ElementFactory.make("webrtcbin", "peer")
peer.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
peer.set_property("latency", 40)
pipeline.add(peer)
caps = Gst.Caps.from_string(
    "application/x-rtp,media=video,encoding-name=H264,clock-rate=90000,payload=96,packetization-mode=(string)1,"
    "profile-level-id=(string)42e01f,level-asymmetry-allowed=(string)1"
)
peer.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, caps)
decoded = 0


def count(_pad, _info):
    global decoded
    decoded += 1
    return Gst.PadProbeReturn.OK


def play(_peer, pad):
    if pad.direction != Gst.PadDirection.SRC:
        return
    sink = Gst.parse_bin_from_description(
        "rtph264depay request-keyframe=true wait-for-keyframe=true ! h264parse ! avdec_h264 ! fakesink name=out", True
    )
    sink.get_by_name("out").get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, count)
    pipeline.add(sink)
    sink.sync_state_with_parent()
    pad.link(sink.get_static_pad("sink"))


def tell():
    say(decoded=decoded)
    return True


peer.connect("pad-added", play)
GLib.timeout_add(200, tell)
Session(pipeline, address, token).run()
