//! The window: finds a GStreamer sink that works here, and opens it in full screen or as a window.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use gstreamer::{self as gst, prelude::*};
use gstreamer_app as app;

/// At boot the display may come up after us, and an X server without clients starts itself anew: so long is tried.
const PATIENCE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(250);

/// The sinks that open a window of the X server; GL prefers Wayland where there is both.
const X_SINKS: [&str; 3] = ["glimagesink", "xvimagesink", "ximagesink"];

/// The running window.
#[derive(Debug)]
pub(crate) struct Window {
    pipeline: gst::Pipeline,
    /// Takes the painted pictures.
    pub(crate) out: app::AppSrc,
    /// It is a window of the X server, which leaves its size to us.
    pub(crate) on_x11: bool,
}

/// Sinks to try, best first. With a GPU the picture is converted and scaled there; GL in software is slower than plain X.
fn candidates(wayland: bool, x11: bool, gpu: bool) -> Vec<&'static str> {
    let mut names = Vec::new();
    if wayland {
        names.push("waylandsink");
    }
    if gpu && (wayland || x11) {
        names.push("glimagesink");
    }
    if x11 {
        names.extend(["xvimagesink", "ximagesink"]);
    }
    names
}

impl Window {
    /// Opens the window, for the full screen or not. `wanted` names a sink instead of the best one.
    pub(crate) async fn open(wanted: Option<&str>, full: bool) -> Result<Self> {
        let set = |key: &str| std::env::var_os(key).is_some_and(|value| !value.is_empty());
        let (wayland, x11) = (set("WAYLAND_DISPLAY"), set("DISPLAY"));
        let gpu = std::path::Path::new("/dev/dri/renderD128").exists();
        let names = match wanted {
            Some(name) => vec![name],
            None => candidates(wayland, x11, gpu),
        };
        if names.is_empty() {
            bail!("there is no display here: neither DISPLAY nor WAYLAND_DISPLAY is set");
        }
        let begun = Instant::now();
        loop {
            let mut why = Vec::new();
            for name in &names {
                match Self::open_with(name, full) {
                    Ok(mut window) => {
                        window.on_x11 = x11 && X_SINKS.contains(name) && !(wayland && *name == "glimagesink");
                        tracing::info!("showing the picture by {name}");
                        return Ok(window);
                    }
                    Err(error) => why.push(format!("{name}: {error:#}")),
                }
            }
            if begun.elapsed() > PATIENCE {
                bail!("no window can be opened ({})", why.join("; "));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn open_with(name: &str, full: bool) -> Result<Self> {
        let make = |factory: &str| gst::ElementFactory::make(factory).build().with_context(|| format!("no {factory}"));
        let sink = make(name)?;
        let fullscreen = if full { "true" } else { "false" };
        for (property, value) in [("sync", "false"), ("fullscreen", fullscreen), ("enable-last-sample", "false")] {
            if sink.has_property(property) {
                sink.set_property_from_str(property, value);
            }
        }
        // Opens the display: what can't work here fails now.
        if sink.set_state(gst::State::Ready).is_err() {
            // A sink that could not even start has nothing to close.
            let _ = sink.set_state(gst::State::Null);
            bail!("does not work on this display");
        }
        let out = app::AppSrc::builder().format(gst::Format::Time).is_live(true).do_timestamp(true).build();
        // One picture may wait for the window; a newer one replaces it.
        out.set_max_buffers(1);
        out.set_max_bytes(0);
        out.set_property_from_str("leaky-type", "downstream");
        let convert = make("videoconvert")?;
        let pipeline = gst::Pipeline::new();
        pipeline.add_many([out.upcast_ref(), &convert, &sink])?;
        gst::Element::link_many([out.upcast_ref(), &convert, &sink])?;
        pipeline.set_state(gst::State::Playing).context("does not start")?;
        Ok(Self { pipeline, out, on_x11: false })
    }

    /// What ends the window: the reason, when its bus tells one.
    pub(crate) async fn ended(&self) -> String {
        use futures_util::StreamExt as _;
        let Some(bus) = self.pipeline.bus() else { return std::future::pending().await };
        let mut messages = bus.stream_filtered(&[gst::MessageType::Error, gst::MessageType::Eos]);
        match messages.next().await {
            Some(message) => match message.view() {
                gst::MessageView::Error(error) => error.error().to_string(),
                _ => "the window was closed".into(),
            },
            None => std::future::pending().await,
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if self.pipeline.set_state(gst::State::Null).is_err() {
            tracing::warn!("the window did not close cleanly");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_gl_is_never_chosen_and_plain_x_is_the_last_resort() {
        assert_eq!(candidates(false, true, false), ["xvimagesink", "ximagesink"]);
        assert_eq!(candidates(false, true, true).first(), Some(&"glimagesink"));
        assert_eq!(candidates(true, false, false), ["waylandsink"]);
        assert!(candidates(false, false, true).is_empty());
    }
}
