//! Whether the box reaches the world outside, judged from tries; when it does not, the pages say so and the room goes on
//! (R-DATA-3).

/// Failures in a row before the line counts as cut: one lost packet is no cut.
const FAILURES: u8 = 2;

/// What the tries have shown so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Uplink {
    failures: u8,
    down: bool,
}

impl Uplink {
    /// One try reached something outside, or did not. `Some(down)` when that changes what is known.
    pub fn tried(&mut self, reached: bool) -> Option<bool> {
        self.failures = if reached { 0 } else { self.failures.saturating_add(1) };
        let down = self.failures >= FAILURES;
        (std::mem::replace(&mut self.down, down) != down).then_some(down)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_is_no_cut_and_one_success_is_enough() {
        let mut uplink = Uplink::default();
        let told: Vec<_> = [true, false, true, false, false, false, true, true]
            .into_iter()
            .map(|reached| uplink.tried(reached))
            .collect();
        assert_eq!(told, [None, None, None, None, Some(true), None, Some(false), None]);
    }
}
