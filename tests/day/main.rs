//! A school day, from the morning's boot to the evening's backup, with the real programs on a network of its own: box,
//! resolver, studio, panel, browsers, a home behind the gateway, a take-home device, the county's store.
//!
//! Needs root. `make day` runs it alone.
#![allow(clippy::print_stdout)]

mod classroom;
mod evening;
mod lesson;
mod outage;
mod timetable;
mod world;

use anyhow::Result;

use classroom::Classroom;
use timetable::Timetable;

#[test]
fn a_school_day() -> Result<()> {
    let day = Timetable::begin();
    let mut class =
        day.at("07:50", "the box starts; the office's lists are in, the video is fetched", Classroom::opens)?;
    day.at("08:00", "the lesson begins, 40 students join", || class.lesson_begins())?;
    day.at("08:05", "a tablet is on the panel", || class.a_tablet_is_cast())?;
    day.at("08:08", "another takes its place", || class.another_takes_its_place())?;
    day.at("08:10", "a student at home joins, raises a hand and speaks", || class.the_student_at_home_speaks())?;
    day.at("08:15", "a game is refused, and the page says why", || class.a_game_is_refused())?;
    day.at("08:18", "mail is allowed for this lesson", || class.mail_is_allowed())?;
    day.at("08:20", "the class opens the pinned video", || class.the_class_opens_the_video())?;
    day.at("08:30", "the line outside is cut: casting, library, rules and records go on", || class.the_line_is_cut())?;
    day.at("08:40", "it is back, and so is the student at home", || class.the_line_is_back())?;
    day.at("08:45", "the lesson ends, and what was opened ends with it", || class.the_lesson_ends())?;
    day.at("20:00", "a device is at home: the rules hold, minutes are counted", || class.the_device_is_at_home())?;
    day.at("07:55", "it is back at school and tells them once", || class.the_device_is_back())?;
    day.at("22:00", "at night the records are upstream, each once, and name nobody", || class.records_go_upstream())?;
    day.at("22:10", "the month's page is right", || class.the_month_is_right())?;
    day.at("22:20", "a backup is taken, restored into an empty folder and counted", || class.a_backup_is_counted())?;
    class.well = true;
    day.end();
    Ok(())
}
