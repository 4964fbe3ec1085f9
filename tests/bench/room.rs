//! The real way: a hub with a lesson, a teacher, and one student whose tablet shares its screen from the page `/join`.

use std::time::Duration;

use anyhow::{Context, Result};
use classroom_protocol::{SourceId, TeacherCommand, TeacherView, view::Sharing};
use harness::{
    browser::Browser,
    hub::Hub,
    people::{Caller, Feed, Proof, Student},
};
use serde_json::json;

use crate::panel::{cover, tablet};

const PAGE: Duration = Duration::from_secs(15);

/// A lesson with one student on a real tablet.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) hub: Hub,
    teacher: Caller,
    feed: Feed,
    student: Student,
    tablet: Browser,
}

impl Room {
    /// Starts it; the student is in the lesson and shares nothing yet.
    pub(crate) async fn start() -> Result<Self> {
        let hub = Hub::start().await?;
        let teacher = hub.teacher().await?;
        let code = teacher.start_lesson(1).await?;
        let student = hub.anyone()?.join(&code, 1).await?;
        let feed = teacher.feed(None).await?;
        let tablet = tablet().await?;
        tablet.client.goto(&format!("{}/join", hub.base())).await?;
        let Proof::Bearer(token) = &student.caller.proof else { anyhow::bail!("a student has a token") };
        let pass = json!({ "token": token, "seat": student.seat, "name": "學生1", "source": student.source });
        tablet
            .run(&format!("sessionStorage.setItem('classroom.pass', JSON.stringify({pass})); location.reload()"))
            .await?;
        tablet.wait_for("document.querySelector('button.share.main:enabled')", PAGE).await?;
        cover(&tablet).await?;
        Ok(Self { hub, teacher, feed, student, tablet })
    }

    /// A token for a panel of this room.
    pub(crate) async fn panel_token(&self) -> Result<String> {
        match self.hub.anyone()?.pair("bench", &self.teacher).await?.proof {
            Proof::Bearer(token) => Ok(token),
            other => anyhow::bail!("a panel has a token, not {other:?}"),
        }
    }

    /// The student chooses the screen and asks to share it; returns when the teacher sees the wish.
    pub(crate) async fn ask(&mut self) -> Result<()> {
        self.tablet.click("button.share.main:enabled", PAGE).await?;
        self.wait_sharing(&[Sharing::Asking, Sharing::Approved, Sharing::Live]).await
    }

    /// The student stops sharing.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        self.tablet.click(".row button.danger-line", PAGE).await?;
        self.wait_sharing(&[Sharing::Off]).await?;
        self.tablet.wait_for("document.querySelector('button.share.main:enabled')", PAGE).await
    }

    /// The teacher's tap: the student's screen goes to the stage.
    pub(crate) async fn show(&self) -> Result<()> {
        self.teacher.command(&TeacherCommand::Show { source: self.source(), tile: None }).await
    }

    /// Takes it off the stage.
    pub(crate) async fn remove(&self) -> Result<()> {
        self.teacher.command(&TeacherCommand::Remove { source: self.source() }).await
    }

    /// Returns when the hub has the student's media session.
    pub(crate) async fn live(&mut self) -> Result<()> {
        self.wait_sharing(&[Sharing::Live]).await
    }

    fn source(&self) -> SourceId {
        self.student.source.clone()
    }

    async fn wait_sharing(&mut self, wanted: &[Sharing]) -> Result<()> {
        let is = |view: &TeacherView| view.seats.first().is_some_and(|seat| wanted.contains(&seat.sharing));
        // A new reader begins with the room as it is now.
        self.feed = self.teacher.feed(None).await?;
        let what = format!("the student's sharing to be one of {wanted:?}");
        self.feed.view::<TeacherView>(&what, is).await.map(drop).with_context(|| what.clone())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // As with the panel's: for whoever asks why a figure is as it is.
        let _ = std::fs::write("target/bench-hub.log", self.hub.log());
    }
}
