//! A student at home speaks to the class (R-LIVE-1): the hand, the teacher's tap, the student's own, and the tone at the panel.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use classroom_protocol::{
    Seat, TeacherCommand, TeacherView,
    view::{HomeSeat, Microphone},
};
use tokio::runtime::Runtime;

use crate::{
    home::{Student, TONE, tone_in},
    netns::Ns,
    people::Caller,
    wait::{wait_for, wait_for_blocking},
};

/// Who speaks, who lets them, and where it is heard.
#[derive(Debug)]
pub struct Talk<'a> {
    /// The student's page.
    pub student: &'a Student,
    /// What drives the page's browser.
    pub runtime: &'a Runtime,
    /// The seat.
    pub seat: Seat,
    /// The teacher, and the machine they ask from.
    pub teacher: &'a Caller,
    /// The box's machine.
    pub hub_ns: &'a Ns,
    /// What the panel plays, as [`crate::panel::Panel::start_heard`] writes it.
    pub heard: &'a Path,
    /// Longest wait for each step.
    pub patience: Duration,
}

impl Talk<'_> {
    /// The student raises the hand, and the teacher opens the microphone.
    pub fn opens(&self) -> Result<()> {
        self.runtime.block_on(self.student.page.tap("home.hand-raise"))?;
        self.teacher_sees("the hand", |home| home.hand_at.is_some())?;
        self.microphone(true)?;
        self.runtime.block_on(self.student.page.sees("home.microphone-open"))
    }

    /// The student taps, and the panel plays the tone. Gives how long that took.
    pub fn is_heard(&self) -> Result<Duration> {
        let began = Instant::now();
        self.runtime.block_on(self.student.page.tap("home.microphone-start"))?;
        self.teacher_sees("the voice", |home| home.microphone == Microphone::Live)?;
        wait_for_blocking("the tone at the panel", self.patience, || {
            let raw = fs::read(self.heard).unwrap_or_default();
            let (share, loudness) = tone_in(&raw, TONE);
            ensure!(share > 0.5 && loudness > 0.01, "{} bytes, share {share:.2}, loudness {loudness:.3}", raw.len());
            anyhow::Ok(())
        })?;
        let heard = began.elapsed();
        self.runtime.block_on(self.student.page.sees("home.microphone-live"))?;
        Ok(heard)
    }

    /// The teacher closes the microphone.
    pub fn closes(&self) -> Result<()> {
        self.microphone(false)?;
        self.teacher_sees("silence", |home| home.microphone == Microphone::Closed)
    }

    fn microphone(&self, on: bool) -> Result<()> {
        let command = TeacherCommand::Microphone { seat: self.seat, on };
        let teacher = self.teacher;
        self.hub_ns.block_on(|| teacher.command(&command))?
    }

    fn teacher_sees(&self, what: &str, fits: impl Fn(&HomeSeat) -> bool + Send + Sync) -> Result<()> {
        let (teacher, seat, patience) = (self.teacher, self.seat, self.patience);
        let fits = |view: &TeacherView| {
            let seat = view.seats.iter().find(|one| one.seat == seat);
            seat.and_then(|seat| seat.home.as_ref()).is_some_and(&fits)
        };
        self.hub_ns
            .block_on(|| wait_for(what, patience, async || teacher.feed(None).await?.view(what, fits).await))?
            .map(drop)
    }
}
