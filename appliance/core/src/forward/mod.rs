//! Forwarding decisions: which packets a viewer gets, under which numbers, and when a keyframe is asked for.
//!
//! Everything here is told the time and the packets; it owns no clock and no socket.

mod estimate;
mod freeze;
mod keyframe;
mod layer;
mod rewrite;
mod throttle;

pub use estimate::Estimator;
pub use freeze::Freezes;
pub use keyframe::{PictureFields, PictureNumbers, VideoCodec};
pub use layer::{Layer, LayerChooser, LayerInput};
pub use rewrite::{Rewriter, Rewritten};
pub use throttle::KeyframeThrottle;
