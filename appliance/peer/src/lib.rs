//! WebRTC's offer and answer on a `webrtcbin`, as WHIP and WHEP need them: one offer with all candidates in it, one answer.

use std::{net::IpAddr, sync::mpsc, time::Duration};

use anyhow::{Context, Result, bail};
use gstreamer::{self as gst, prelude::*};
use gstreamer_sdp as sdp;
use gstreamer_webrtc as webrtc;

/// webrtcbin answers within this time or not at all.
const ANSWER: Duration = Duration::from_secs(3);
/// Host candidates are there within milliseconds; later ones are not waited for.
const GATHER: Duration = Duration::from_millis(500);

/// Offers these addresses instead of those that libnice finds by itself (it never finds the loopback).
pub fn offer_addresses(webrtc: &gst::Element, addresses: &[IpAddr]) {
    let ice = webrtc.property::<gst::glib::Object>("ice-agent");
    for address in addresses {
        ice.emit_by_name::<bool>("add-local-ip-address", &[&address.to_string()]);
    }
}

/// Keeps libnice from calling out for routers that would open ports (UPnP): nobody is spoken to who is not named in the
/// configuration.
fn ask_no_routers(bin: &gst::Element) {
    let ice = bin.property::<gst::glib::Object>("ice-agent");
    if ice.has_property("agent") {
        let agent = ice.property::<gst::glib::Object>("agent");
        if agent.has_property("upnp") {
            agent.set_property("upnp", false);
        }
    }
}

/// Makes the offer of what the element holds, with the addresses found in time.
///
/// # Errors
/// When webrtcbin makes none.
pub fn offer(bin: &gst::Element) -> Result<String> {
    ask_no_routers(bin);
    let reply = ask(bin, "create-offer", &[&None::<gst::Structure>])?.context("webrtcbin makes no offer")?;
    let offer = reply.get::<webrtc::WebRTCSessionDescription>("offer").context("no offer in the reply")?;
    let (done, gathered) = mpsc::sync_channel(1);
    let watch = bin.connect_notify(Some("ice-gathering-state"), move |bin, _| {
        if bin.property::<webrtc::WebRTCICEGatheringState>("ice-gathering-state")
            == webrtc::WebRTCICEGatheringState::Complete
        {
            // A second "complete" has nobody to tell.
            let _ = done.try_send(());
        }
    });
    ask(bin, "set-local-description", &[&offer])?;
    if gathered.recv_timeout(GATHER).is_err() {
        tracing::debug!("offering the addresses found so far");
    }
    bin.disconnect(watch);
    let local = bin.property::<Option<webrtc::WebRTCSessionDescription>>("local-description");
    Ok(local.context("no local description")?.sdp().as_text()?)
}

/// Gives the hub's answer: the session connects by itself from here on.
///
/// # Errors
/// When the answer is no SDP or webrtcbin refuses it.
pub fn accept(bin: &gst::Element, answer: &str) -> Result<()> {
    let answer = sdp::SDPMessage::parse_buffer(answer.as_bytes()).context("the hub's answer is no SDP")?;
    let answer = webrtc::WebRTCSessionDescription::new(webrtc::WebRTCSDPType::Answer, answer);
    ask(bin, "set-remote-description", &[&answer]).map(drop)
}

/// Emits an action signal that takes a promise last, and waits for the promise.
fn ask(bin: &gst::Element, signal: &str, values: &[&dyn ToValue]) -> Result<Option<gst::Structure>> {
    let (tell, told) = mpsc::sync_channel(1);
    let promise = gst::Promise::with_change_func(move |reply| {
        let reply = reply.map(|reply| reply.map(ToOwned::to_owned)).map_err(|error| format!("{error:?}"));
        // Whoever asked has given up when nobody listens.
        drop(tell.try_send(reply));
    });
    let mut values: Vec<gst::glib::Value> = values.iter().map(|value| value.to_value()).collect();
    values.push(promise.to_value());
    bin.emit_by_name_with_values(signal, &values);
    match told.recv_timeout(ANSWER) {
        Ok(Ok(reply)) => {
            if let Some(error) = reply.as_ref().and_then(|reply| reply.get::<gst::glib::Error>("error").ok()) {
                bail!("{signal}: {error}");
            }
            Ok(reply)
        }
        Ok(Err(error)) => bail!("{signal}: {error}"),
        Err(_) => bail!("{signal}: webrtcbin does not answer"),
    }
}
