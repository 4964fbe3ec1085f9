//! 08:00 to 08:20: the lesson.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use classroom_protocol::{
    Seat, StudentCommand, StudentView, TeacherCommand, catalogue::Lang, policy::Permission, view::Sharing,
};
use futures_util::future::try_join_all;
use harness::{
    browser::SHARING_BAR,
    clip::Clip,
    load::Publisher,
    netns::Lan,
    pages::Page,
    panel::{Panel, shot},
    talk::Talk,
    wait::wait_for,
};
use serde_json::Value;

use crate::{
    classroom::{CLASS, Classroom, PATIENCE, SEAT_AT_HOME, SEAT_OF_CLIP, SEAT_OF_TABLET, SEATS, now, student},
    timetable::note,
    world,
};

/// The tablet's screen, and the shape of its picture: Chromium's bar that says it is shared takes some of it.
const TABLET: (u32, u32) = (800, 500);
const TABLET_SHAPE: (u32, u32) = (TABLET.0, TABLET.1 - SHARING_BAR);
const CLIP_SHAPE: (u32, u32) = (640, 360);
/// A tap of the teacher counts within this time.
pub(crate) const TAP: Duration = Duration::from_secs(2);
pub(crate) const GAME: &str = "krunker.io";
pub(crate) const MAIL: &str = "mail.google.com";
/// A video plays.
pub(crate) const PLAYING: &str =
    "(v => v && v.videoWidth > 0 && v.currentTime > 0.7 && !v.paused)(document.querySelector('dialog video'))";

impl Classroom {
    /// 08:00. Forty take part: 38 load clients, a tablet with a real browser, and the student at home.
    pub(crate) fn lesson_begins(&mut self) -> Result<()> {
        let class = self.class;
        let teacher = &self.teacher;
        self.code = self.hub_ns.block_on(|| async {
            teacher.command(&TeacherCommand::StartLesson { class }).await?;
            teacher.room_code().await
        })??;
        let (far, code) = (self.hub.anyone_far()?, self.code.clone());
        let seats = (1..=SEATS).filter(|seat| ![SEAT_OF_TABLET, SEAT_AT_HOME].contains(seat));
        self.students = self.tasks.run(async move {
            try_join_all(seats.map(|seat| far.join(&code, seat)))
                .await?
                .into_iter()
                .map(|student| {
                    let caller = student.caller.clone();
                    // The page is open until the end of the lesson.
                    drop(tokio::spawn(async move {
                        let mut page = caller.feed(None).await?;
                        while page.next::<StudentView>().await.is_ok() {}
                        anyhow::Ok(())
                    }));
                    Ok(student)
                })
                .collect::<Result<Vec<_>>>()
        })?;
        let (far, name, code) = (self.tablet_ns.name().to_owned(), student(SEAT_OF_TABLET).1, self.code.clone());
        self.tablet = Some(self.runtime.block_on(async {
            let page = Page::far_tablet(&self.hub, &far, Lang::ZhHantTw, TABLET).await?;
            page.take_seat(&code, &name).await?;
            anyhow::Ok(page)
        })?);
        let there = usize::from(SEATS) - 1;
        let view =
            self.desk("the class", |view| view.seats.iter().filter(|seat| seat.taken && seat.online).count() == there)?;
        let long = view.seats.iter().find(|seat| u8::from(seat.seat) == 9).context("seat 9")?;
        ensure!(long.name == student(9).1, "a name as it is: {}", long.name);
        self.began = Instant::now();
        self.desk("the room's camera", |view| view.room_live)?;
        note(&format!("{there} in the room, one is at home; camera and microphone are on"));
        Ok(())
    }

    pub(crate) fn tablet(&self) -> Result<&Page> {
        self.tablet.as_ref().context("the tablet is there")
    }

    /// 08:05. The student asks, the teacher taps the name, and the panel shows what is on the tablet now.
    pub(crate) fn a_tablet_is_cast(&mut self) -> Result<()> {
        let tablet = self.tablet()?;
        self.runtime.block_on(async {
            tablet.stamp().await?;
            tablet.tap("join.share").await?;
            tablet.sees("join.asking").await
        })?;
        let began = Instant::now();
        self.show(SEAT_OF_TABLET)?;
        let area = Panel::area(1, 0, TABLET_SHAPE);
        let fresh = |reading: &harness::stamp::Reading| reading.age < Duration::from_millis(1500);
        let seen = self.panel.reader().wait_for(area, PATIENCE, fresh).with_context(|| self.panel.log())?;
        note(&format!("on the panel {:.1?} after the tap, {:?} old", began.elapsed(), seen.age));
        self.panel.screenshot("day-panel-tablet")
    }

    /// 08:08.
    pub(crate) fn another_takes_its_place(&mut self) -> Result<()> {
        let seat = Seat::try_from(SEAT_OF_CLIP)?;
        let other = self.students.iter().find(|one| one.seat == seat).context("the student")?.clone();
        self.tell(TeacherCommand::Approve { seat })?;
        let (caller, path) = (other.caller.clone(), format!("/whip/{}", other.source));
        let address = IpAddr::V4(Lan::address(CLASS));
        let clip = Clip::encode(CLIP_SHAPE.0 as usize, CLIP_SHAPE.1 as usize, 800)?;
        let cast = self.tasks.run(async move {
            caller.ask(StudentCommand::Ask).await?;
            Publisher::start(&caller, &path, clip, address).await
        })?;
        self.casts.push(cast);
        self.desk("the second cast", |view| {
            view.seats.iter().any(|one| one.seat == seat && one.sharing == Sharing::Live)
        })?;
        let began = Instant::now();
        self.show(SEAT_OF_CLIP)?;
        self.panel_moves()?;
        note(&format!("on the panel {:.1?} after the tap", began.elapsed()));
        Ok(())
    }

    /// Two different pictures of the load client's cast on the panel.
    pub(crate) fn panel_moves(&self) -> Result<()> {
        let area = Panel::area(1, 0, CLIP_SHAPE);
        let first = self.panel.wait_for_stamp(area, PATIENCE, |_| true).with_context(|| self.panel.log())?;
        self.panel.wait_for_stamp(area, PATIENCE, |stamp| stamp != first).context("the picture stands still")?;
        Ok(())
    }

    /// 08:10. By the personal link, through the gateway.
    pub(crate) fn the_student_at_home_speaks(&mut self) -> Result<()> {
        let link = self.link()?;
        let began = Instant::now();
        let student = self.runtime.block_on(async {
            let student = self.outside.student(&self.hub, &link, (1280, 800)).await?;
            student.enter().await?;
            // The panel's picture, as it is on the stage; then the room, when the stage is free.
            student.page.sees_words(&crate::classroom::student(SEAT_OF_CLIP).1).await?;
            anyhow::Ok(student)
        })?;
        let tap = now();
        self.tell(TeacherCommand::Remove { source: Seat::try_from(SEAT_OF_CLIP)?.source() })?;
        let shown = self.runtime.block_on(student.sees_the_room_again(tap, PATIENCE))?;
        note(&format!(
            "in the lesson {:.1?} after the link; a tap switches the picture in {} ms",
            began.elapsed(),
            shown - tap
        ));
        let talk = Talk {
            student: &student,
            runtime: &self.runtime,
            seat: Seat::try_from(SEAT_AT_HOME)?,
            teacher: &self.teacher,
            hub_ns: &self.hub_ns,
            heard: &self.heard,
            patience: PATIENCE,
        };
        talk.opens()?;
        note(&format!("the panel plays the voice {:.1?} after the student's tap", talk.is_heard()?));
        self.runtime.block_on(student.page.browser.screenshot(shot("day-home")?))?;
        talk.closes()?;
        self.show(SEAT_OF_CLIP)?;
        self.panel_moves()?;
        self.at_home = Some(student);
        Ok(())
    }

    /// 08:15. On the tablet of a student, who leaves the sharing page for it.
    pub(crate) fn a_game_is_refused(&mut self) -> Result<()> {
        let to_box = Self::box_at();
        self.name_is(TAP, GAME, &["R-POL-3", &to_box])?;
        let tablet = self.tablet()?;
        self.runtime.block_on(async {
            // The browser may try HTTPS first, which nobody serves here, and says so instead of the page.
            let open = async || tablet.browser.client.goto(&format!("http://{GAME}/")).await;
            wait_for("the refused page", PATIENCE, open).await?;
            tablet.sees("policy.why-closed").await?;
            tablet.sees("policy.reason.games").await?;
            tablet.sees("policy.changer.teacher").await?;
            tablet.browser.screenshot(shot("day-refused")?).await
        })
    }

    /// 08:18.
    pub(crate) fn mail_is_allowed(&mut self) -> Result<()> {
        self.name_is(TAP, MAIL, &["R-POL-9", &Self::box_at()])?;
        self.tell(TeacherCommand::Permit { what: Permission::Category("mail".into()), minutes: None })?;
        let took = self.name_is(TAP, MAIL, &[&world::AT.to_string()])?;
        self.name_is(TAP, GAME, &["R-POL-3", &Self::box_at()])?;
        note(&format!("mail is open {took:.1?} after the tap; the game is not"));
        Ok(())
    }

    /// 08:20. One tablet plays it in its browser, everyone reads every byte; the publisher has sent it once.
    pub(crate) fn the_class_opens_the_video(&mut self) -> Result<()> {
        let body = self.world.video_bytes()?;
        let (students, open, expected) = (self.students.clone(), self.video.clone(), body.clone());
        self.tasks.run(async move {
            let read = students.iter().map(async |student| {
                let reply = student.caller.get(&open).await?;
                ensure!(reply.body == expected, "{}: {} bytes", student.seat, reply.body.len());
                let opened = format!("/api/library/{}/opened", open.split('/').nth(2).unwrap_or_default());
                student.caller.post(&opened, &()).await?.done()
            });
            try_join_all(read).await
        })?;
        self.video_plays()?;
        let share = self.world.origin.sent() as f64 / body.len() as f64;
        ensure!(share <= 1.01, "the publisher sent it {share} times");
        note(&format!("38 tablets read all of it, one plays it; the publisher has sent it ×{share:.2}"));
        Ok(())
    }

    /// The tablet opens the library and plays the video.
    pub(crate) fn video_plays(&self) -> Result<()> {
        let tablet = self.tablet()?;
        let library = format!("{}/library", self.hub.https_base()?);
        self.runtime.block_on(async {
            wait_for("the library", PATIENCE, async || tablet.browser.client.goto(&library).await).await?;
            tablet.tap_words(world::VIDEO.0).await?;
            tablet.browser.wait_for(PLAYING, PATIENCE).await?;
            tablet.browser.screenshot(shot("day-library")?).await
        })
    }

    /// How the delivery of records is.
    pub(crate) fn upstream(&self) -> Result<Value> {
        let operator = &self.operator;
        self.hub_ns.block_on(|| async { operator.get("/api/usage/upstream").await?.json() })?
    }

    /// What waits to go upstream.
    pub(crate) fn waiting(&self) -> Result<u64> {
        self.upstream()?["waiting"].as_u64().context("waiting")
    }
}
