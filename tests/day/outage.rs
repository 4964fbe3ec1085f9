//! 08:30 to 08:45: the line outside is cut and comes back.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use classroom_protocol::{Seat, TeacherCommand};
use harness::{panel::shot, wait::wait_for};

use crate::{
    classroom::{Classroom, PATIENCE, SEAT_OF_CLIP},
    lesson::{GAME, MAIL, TAP},
    timetable::note,
    world,
};

impl Classroom {
    /// 08:30. What is in the room goes on, and every page says what is not there.
    pub(crate) fn the_line_is_cut(&mut self) -> Result<()> {
        // Asked before, so the box may tell it as stale.
        self.name_is(TAP, "zh.wikipedia.org", &[&world::AT.to_string()])?;
        let began = Instant::now();
        self.outside.cut(true)?;
        self.desk("the mark", |view| view.marks.offline)?;
        note(&format!("the pages say so after {:.1?}", began.elapsed()));

        // Casting: the picture moves, and another tap counts.
        self.panel_moves()?;
        let source = Seat::try_from(SEAT_OF_CLIP)?.source();
        self.tell(TeacherCommand::Remove { source: source.clone() })?;
        self.tell(TeacherCommand::Show { source, tile: None })?;
        self.panel_moves()?;
        self.panel.screenshot("day-panel-offline")?;

        // The library, the rules, the records.
        let before = self.waiting()?;
        self.video_plays()?;
        self.name_is(TAP, GAME, &["R-POL-3", &Self::box_at()])?;
        self.name_is(PATIENCE, "zh.wikipedia.org", &[&world::AT.to_string(), "Stale Answer"])?;
        self.name_is(PATIENCE, MAIL, &[&world::AT.to_string()])?;
        let student = self.students.first().context("a student")?.clone();
        let opened = format!("/api/library/{}/opened", self.video.split('/').nth(2).unwrap_or_default());
        self.tasks.run(async move { student.caller.post(&opened, &serde_json::json!({})).await?.done() })?;
        let after = self.waiting()?;
        ensure!(after > before && before > 0, "records: {before}, then {after}");
        note(&format!("the panel moves, the video plays, rules hold, {after} records wait"));

        // A student's own page.
        let (tablet, page) = (self.tablet()?, format!("{}/join", self.hub.https_base()?));
        self.runtime.block_on(async {
            wait_for("the student's page", PATIENCE, async || tablet.browser.client.goto(&page).await).await?;
            tablet.sees("common.offline").await?;
            tablet.browser.screenshot(shot("day-offline")?).await
        })
    }

    /// 08:40. Nobody touches anything.
    pub(crate) fn the_line_is_back(&mut self) -> Result<()> {
        let began = Instant::now();
        self.outside.cut(false)?;
        self.desk("no mark", |view| !view.marks.offline)?;
        let mark = began.elapsed();
        let student = self.at_home.as_ref().context("the student at home")?;
        // The stage is free for a moment: what moves at home is the room, and it is of now.
        self.tell(TeacherCommand::Remove { source: Seat::try_from(SEAT_OF_CLIP)?.source() })?;
        self.runtime.block_on(student.sees_the_room(PATIENCE))?;
        let back = began.elapsed();
        self.desk("the mark of people at home", |view| view.marks.live)?;
        self.show(SEAT_OF_CLIP)?;
        self.panel_moves()?;
        note(&format!("the mark went after {mark:.1?}; the student at home sees the room again after {back:.1?}"));
        Ok(())
    }
}
