//! Lines for the record of network access on their way to the disk (R-POL-6, R-POL-20): what the disk refuses waits.

use std::{collections::VecDeque, time::Duration};

use classroom_protocol::policy::AccessLine;
use tokio::time::Instant;

use crate::{keeping::Keeping, store::StoreError};

/// Lines are written together at most so many at a time.
pub(super) const TOGETHER: usize = 256;
/// Lines that wait while the disk refuses them: days of a class, in some 15 MB. When it is full the newest are lost,
/// counted and told.
const WAITING: usize = 50_000;
/// How long until what the disk has refused is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// Lines on their way to the disk, in their order.
pub(super) struct Lines {
    waiting: VecDeque<AccessLine>,
    /// The disk has refused some, and some still wait since.
    refused: bool,
    /// When they are tried next.
    due: Instant,
    keeping: Keeping,
}

impl Lines {
    pub(super) fn new(keeping: Keeping) -> Self {
        Self { waiting: VecDeque::new(), refused: false, due: Instant::now(), keeping }
    }

    pub(super) fn take_in(&mut self, line: AccessLine) {
        if self.waiting.len() < WAITING {
            self.waiting.push_back(line);
            return;
        }
        tracing::error!("the disk has refused the record of network access for too long: a line is lost");
        self.keeping.accesses(self.waiting.len(), 1);
    }

    /// When there is something to write; none when nothing waits.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then_some(self.due)
    }

    /// Has the first lines written with `keep`, if it is time; until then they wait.
    pub(super) async fn write<F>(&mut self, keep: impl FnOnce(Vec<AccessLine>) -> F)
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        if self.due().is_some_and(|due| due <= Instant::now()) {
            let first: Vec<AccessLine> = self.waiting.iter().take(TOGETHER).cloned().collect();
            let count = first.len();
            match keep(first).await {
                Ok(()) => drop(self.waiting.drain(..count)),
                Err(error) if error.may_pass() => {
                    if !self.refused {
                        tracing::error!(%error, "the disk takes no record of network access: it waits until it does");
                    }
                    self.refused = true;
                    self.due = Instant::now() + AGAIN;
                }
                Err(error) => {
                    tracing::error!(%error, lost = count, "the record of network access could not be kept");
                    self.waiting.drain(..count);
                }
            }
            if self.refused && self.waiting.is_empty() {
                tracing::info!("the record of network access is kept again; no line waits any more");
                self.refused = false;
            }
        }
        self.keeping.accesses(if self.refused { self.waiting.len() } else { 0 }, 0);
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.waiting.is_empty() {
            tracing::error!(lost = self.waiting.len(), "the box stops before the disk has taken its network access");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn line(at: usize) -> AccessLine {
        AccessLine {
            at: at.try_into().unwrap(),
            device: None,
            address: "10.0.0.1".into(),
            lesson: None,
            name: "a.tw".into(),
            allow: false,
            rule: "R-POL-3".into(),
        }
    }

    fn lines() -> (Lines, Keeping) {
        let keeping = Keeping::new("/nowhere".into(), "/nowhere".into());
        (Lines::new(keeping.clone()), keeping)
    }

    #[tokio::test]
    async fn what_the_disk_refuses_waits_is_told_and_is_kept_in_its_order() {
        let (mut lines, keeping) = lines();
        (0..300).for_each(|at| lines.take_in(line(at)));
        lines.write(async |_| Err(StoreError::DiskFull)).await;
        assert_eq!(keeping.now().waiting(), 300);
        assert!(lines.due().is_some_and(|due| due > Instant::now()));
        assert!(keeping.view().records_wait);
        lines.write(async |_| panic!("not before it is time")).await;
        let mut kept = Vec::new();
        lines.due = Instant::now();
        lines.take_in(line(300));
        lines
            .write(async |first| {
                kept.extend(first);
                Ok(())
            })
            .await;
        assert_eq!((kept.len(), keeping.now().waiting()), (TOGETHER, 45));
        lines
            .write(async |first| {
                kept.extend(first);
                Ok(())
            })
            .await;
        assert_eq!((lines.due(), keeping.now().waiting()), (None, 0));
        assert_eq!(kept, (0..=300).map(line).collect::<Vec<_>>());
        lines.write(async |_| panic!("there is nothing to keep")).await;
    }

    #[tokio::test]
    async fn so_many_wait_and_what_is_lost_is_counted() {
        let (mut lines, keeping) = lines();
        (0..WAITING + 2).for_each(|at| lines.take_in(line(at)));
        lines.write(async |_| Err(StoreError::DiskFull)).await;
        assert_eq!((keeping.now().waiting(), keeping.now().lost), (WAITING, 2));
        // Of two kinds that wait both are told.
        keeping.records(3, 0);
        assert_eq!(keeping.now().waiting(), WAITING + 3);
        lines.due = Instant::now();
        lines.write(async |_| Err(StoreError::Closed)).await;
        assert_eq!(
            keeping.now().waiting(),
            WAITING + 3 - TOGETHER,
            "what can't be kept at any time makes no others wait"
        );
        keeping.records(0, 0);
        assert_eq!(keeping.now().waiting(), WAITING - TOGETHER);
    }
}
