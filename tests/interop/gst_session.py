"""One webrtcbin session by WHIP or WHEP (RFC 9725): offer with all candidates, POST, answer, DELETE at the end.

GStreamer's own stack (libnice, OpenSSL with an RSA certificate) against the hub. Speaks to the test by lines of JSON on
standard output and ends when standard input closes.
"""

import json
import sys
import threading
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402


def say(**news):
    print(json.dumps(news), flush=True)


class Session:
    def __init__(self, pipeline, address, token):
        self.pipeline, self.address, self.token = pipeline, address, token
        self.peer = pipeline.get_by_name("peer")
        self.loop = GLib.MainLoop()
        self.place = None
        self.offered = False

    def run(self):
        self.peer.connect("on-negotiation-needed", self.make_offer)
        self.peer.connect("notify::ice-gathering-state", self.gathered)
        self.peer.connect("notify::connection-state", self.changed)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self.failed)
        threading.Thread(target=self.wait_for_end, daemon=True).start()
        self.pipeline.set_state(Gst.State.PLAYING)
        self.loop.run()
        if self.place:
            self.call("DELETE", self.place)
        self.pipeline.set_state(Gst.State.NULL)
        say(ended=True)

    def wait_for_end(self):
        sys.stdin.read()
        GLib.idle_add(self.loop.quit)

    def failed(self, _bus, message):
        say(error=message.parse_error()[0].message)
        self.loop.quit()

    def changed(self, peer, _):
        say(state=peer.get_property("connection-state").value_nick)

    def make_offer(self, peer):
        self.asked = Gst.Promise.new_with_change_func(self.made_offer)
        peer.emit("create-offer", None, self.asked)

    def made_offer(self, promise):
        # Each is kept: the bindings free the offer with the reply it came in.
        self.reply = promise.get_reply()
        self.offer = self.reply.get_value("offer")
        self.done = Gst.Promise.new()
        self.peer.emit("set-local-description", self.offer, self.done)

    def gathered(self, peer, _):
        complete = peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE
        if complete and not self.offered:
            self.offered = True
            GLib.idle_add(self.post)

    def post(self):
        offer = self.peer.get_property("local-description").sdp.as_text()
        try:
            answer, headers = self.call("POST", self.address, offer)
        except urllib.error.HTTPError as error:
            say(refused=error.code, body=error.read().decode())
            self.loop.quit()
            return
        self.place = urllib.parse.urljoin(self.address, headers["Location"])
        _, sdp = GstSdp.SDPMessage.new_from_text(answer)
        description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
        self.peer.emit("set-remote-description", description, Gst.Promise.new())

    def call(self, method, address, body=None):
        headers = {"Authorization": f"Bearer {self.token}"}
        if body is not None:
            headers["Content-Type"] = "application/sdp"
        request = urllib.request.Request(address, method=method, headers=headers, data=body and body.encode())
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.read().decode(), response.headers
