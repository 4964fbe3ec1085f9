//! Which simulcast layer a viewer gets.

use std::time::{Duration, Instant};

/// A simulcast encoding, by its rid (`l`, `m`, `h`). The order is by quality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// `l`
    Low,
    /// `m`
    Middle,
    /// `h`
    High,
}

impl Layer {
    /// All layers, the lowest first.
    pub const ALL: [Self; 3] = [Self::Low, Self::Middle, Self::High];

    /// The layer's rid in SDP and in RTP.
    pub fn rid(self) -> &'static str {
        match self {
            Self::Low => "l",
            Self::Middle => "m",
            Self::High => "h",
        }
    }

    /// The layer of a rid.
    pub fn from_rid(rid: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layer| layer.rid() == rid)
    }

    /// 0 for the lowest.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// What is known when a layer is chosen.
#[derive(Debug, Clone, Copy)]
pub struct LayerInput {
    /// Bits per second of each layer, lowest first; `None` when it does not arrive at present.
    pub bitrates: [Option<u64>; 3],
    /// Bits per second that the viewer's path can carry, by estimate.
    pub estimate: u64,
    /// The viewer's path is congested right now.
    pub congested: bool,
    /// The highest layer the viewer wants.
    pub max: Layer,
}

/// Chooses the layer of one viewer: down at once, up with patience.
///
/// A higher layer is tried when the estimate has exceeded its bitrate by a quarter for [`LayerChooser::PATIENCE`]. When the
/// path is congested within [`LayerChooser::PROOF`] after going up, the patience doubles up to
/// [`LayerChooser::MAX_PATIENCE`]; a layer that held resets it.
#[derive(Debug)]
pub struct LayerChooser {
    chosen: Option<Layer>,
    fits_since: Option<Instant>,
    went_up: Option<Instant>,
    patience: Duration,
}

impl Default for LayerChooser {
    fn default() -> Self {
        Self { chosen: None, fits_since: None, went_up: None, patience: Self::PATIENCE }
    }
}

impl LayerChooser {
    /// How long the estimate must suffice before going up.
    pub const PATIENCE: Duration = Duration::from_secs(2);
    /// The longest patience after failed tries.
    pub const MAX_PATIENCE: Duration = Duration::from_secs(60);
    /// Congestion this soon after going up is blamed on going up.
    pub const PROOF: Duration = Duration::from_secs(8);

    /// The layer that the viewer should get from its next keyframe on; `None` while no layer arrives.
    pub fn choose(&mut self, now: Instant, input: LayerInput) -> Option<Layer> {
        let alive = |layer: Layer| input.bitrates[layer.index()].is_some();
        let bitrate = |layer: Layer| input.bitrates[layer.index()].unwrap_or(0);
        let best_within = |estimate: u64, top: Layer| {
            let candidates = || Layer::ALL.into_iter().filter(|&layer| layer <= top && alive(layer));
            candidates().filter(|&layer| bitrate(layer) <= estimate).max().or_else(|| candidates().min())
        };
        // Nothing at or below the viewer's wish: the lowest of what there is.
        let top = if Layer::ALL.into_iter().any(|layer| layer <= input.max && alive(layer)) {
            input.max
        } else {
            Layer::High
        };

        let current = match self.chosen {
            Some(layer) if alive(layer) && layer <= top => layer,
            // At the start, or when the layer is gone: what fits now, without patience.
            _ => {
                self.chosen = best_within(input.estimate, top);
                self.fits_since = None;
                return self.chosen;
            }
        };

        if input.congested || bitrate(current) > input.estimate {
            self.fits_since = None;
            let lower = best_within(input.estimate, current)?;
            if lower < current {
                let blamed = self.went_up.is_some_and(|at| now.saturating_duration_since(at) < Self::PROOF);
                self.patience = if blamed { (self.patience * 2).min(Self::MAX_PATIENCE) } else { Self::PATIENCE };
                self.went_up = None;
                self.chosen = Some(lower);
            }
            return self.chosen;
        }
        if self.went_up.is_some_and(|at| now.saturating_duration_since(at) >= Self::PROOF) {
            self.went_up = None;
            self.patience = Self::PATIENCE;
        }

        let next = Layer::ALL.into_iter().find(|&layer| layer > current && layer <= top && alive(layer));
        let Some(next) = next.filter(|&next| bitrate(next) + bitrate(next) / 4 <= input.estimate) else {
            self.fits_since = None;
            return self.chosen;
        };
        let since = *self.fits_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= self.patience {
            self.chosen = Some(next);
            self.went_up = Some(now);
            self.fits_since = None;
        }
        self.chosen
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn input(estimate: u64, congested: bool, max: Layer) -> LayerInput {
        LayerInput { bitrates: [Some(150_000), Some(500_000), Some(2_000_000)], estimate, congested, max }
    }

    #[test]
    fn starts_with_what_fits() {
        let now = Instant::now();
        assert_eq!(LayerChooser::default().choose(now, input(3_000_000, false, Layer::High)), Some(Layer::High));
        assert_eq!(LayerChooser::default().choose(now, input(600_000, false, Layer::High)), Some(Layer::Middle));
        assert_eq!(LayerChooser::default().choose(now, input(10_000, false, Layer::High)), Some(Layer::Low));
        assert_eq!(LayerChooser::default().choose(now, input(9_000_000, false, Layer::Low)), Some(Layer::Low));
    }

    #[test]
    fn goes_down_at_once_and_up_with_patience() {
        let start = Instant::now();
        let mut chooser = LayerChooser::default();
        assert_eq!(chooser.choose(start, input(3_000_000, false, Layer::High)), Some(Layer::High));
        assert_eq!(chooser.choose(start, input(700_000, true, Layer::High)), Some(Layer::Middle));
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(chooser.choose(at(1), input(3_000_000, false, Layer::High)), Some(Layer::Middle));
        assert_eq!(chooser.choose(at(2), input(3_000_000, false, Layer::High)), Some(Layer::Middle));
        assert_eq!(chooser.choose(at(3), input(3_000_000, false, Layer::High)), Some(Layer::High));
    }

    #[test]
    fn a_failed_try_makes_it_wait_longer() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut chooser = LayerChooser::default();
        chooser.choose(start, input(600_000, false, Layer::High));
        chooser.choose(at(1), input(3_000_000, false, Layer::High));
        assert_eq!(chooser.choose(at(3), input(3_000_000, false, Layer::High)), Some(Layer::High));
        assert_eq!(chooser.choose(at(4), input(700_000, true, Layer::High)), Some(Layer::Middle));
        chooser.choose(at(5), input(3_000_000, false, Layer::High));
        assert_eq!(chooser.choose(at(8), input(3_000_000, false, Layer::High)), Some(Layer::Middle));
        assert_eq!(chooser.choose(at(9), input(3_000_000, false, Layer::High)), Some(Layer::High));
    }

    #[test]
    fn a_layer_that_dies_is_left_at_once() {
        let now = Instant::now();
        let mut chooser = LayerChooser::default();
        chooser.choose(now, input(3_000_000, false, Layer::High));
        let dead =
            LayerInput { bitrates: [Some(150_000), Some(500_000), None], ..input(3_000_000, false, Layer::High) };
        assert_eq!(chooser.choose(now, dead), Some(Layer::Middle));
    }

    proptest! {
        #[test]
        fn only_living_layers_within_the_wish(
            steps in prop::collection::vec((any::<[Option<u32>; 3]>(), any::<u32>(), any::<bool>(), 0..3usize, 0..5000u64), 1..60)
        ) {
            let mut now = Instant::now();
            let mut chooser = LayerChooser::default();
            for (bitrates, estimate, congested, max, wait) in steps {
                now += Duration::from_millis(wait);
                let bitrates = bitrates.map(|b| b.map(u64::from));
                let max = Layer::ALL[max];
                let chosen = chooser.choose(now, LayerInput { bitrates, estimate: estimate.into(), congested, max });
                match chosen {
                    None => prop_assert!(bitrates.iter().all(Option::is_none)),
                    Some(layer) => {
                        prop_assert!(bitrates[layer.index()].is_some());
                        let wish_possible = Layer::ALL.into_iter().any(|l| l <= max && bitrates[l.index()].is_some());
                        prop_assert!(!wish_possible || layer <= max);
                    }
                }
            }
        }
    }
}
