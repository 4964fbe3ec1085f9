//! While everyone is to look at the teacher no screen is forwarded, whatever happens meanwhile (R-POL-7).

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Result, ensure};
use classroom_protocol::{StudentCommand, TeacherCommand};
use harness::{
    clip::Clip,
    hub::Hub,
    load::{Publisher, Viewer},
    people::Caller,
    wait::wait_for,
};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PATIENCE: Duration = Duration::from_secs(20);

async fn more_than(least: u64, what: &str, count: impl Fn() -> u64) -> Result<()> {
    wait_for(what, PATIENCE, async || {
        let now = count();
        ensure!(now > least, "{now} of {least}");
        Ok(())
    })
    .await
}

/// Publishes and watches a source in attention, then ends the attention: the viewer gets nothing, then everything.
async fn waits_for_the_end(teacher: &Caller, sender: &Caller, source: &str, clip: &Arc<Clip>) -> Result<()> {
    let publisher = Publisher::start(sender, &format!("/whip/{source}"), Arc::clone(clip), HERE).await?;
    let viewer = Viewer::start(teacher, &format!("/whep/{source}"), HERE).await?;
    let sent = publisher.frames();
    more_than(sent + 45, "a second and a half of pictures to be sent", || publisher.frames()).await?;
    ensure!(viewer.packets() == 0, "{source}: {} packets were forwarded in attention", viewer.packets());
    teacher.command(&TeacherCommand::Attention { on: false }).await?;
    more_than(100, "the picture after the attention", || viewer.packets()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn attention_outlasts_a_crash() -> Result<()> {
    let mut hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let code = teacher.start_lesson(3).await?;
    let student = hub.anyone()?.join(&code, 1).await?;
    teacher.command(&TeacherCommand::Approve { seat: student.seat }).await?;
    student.caller.ask(StudentCommand::Ask).await?;
    let clip = Clip::encode(320, 180, 300)?;
    let publisher = Publisher::start(&student.caller, "/whip/seat-01", Arc::clone(&clip), HERE).await?;
    teacher.command(&TeacherCommand::Attention { on: true }).await?;
    // The state is written within a tenth of a second.
    let sent = publisher.frames();
    more_than(sent + 30, "a second to pass", || publisher.frames()).await?;
    drop(publisher);
    hub.crash().await?;
    waits_for_the_end(&teacher, &student.caller, "seat-01", &clip).await
}

#[tokio::test(flavor = "multi_thread")]
async fn attention_outlasts_a_take_over() -> Result<()> {
    let hub = Hub::start().await?;
    let teacher = hub.teacher().await?;
    let other = hub.another_teacher(&teacher).await?;
    teacher.start_lesson(3).await?;
    teacher.command(&TeacherCommand::Attention { on: true }).await?;
    other.command(&TeacherCommand::TakeOver).await?;
    let clip = Clip::encode(320, 180, 300)?;
    waits_for_the_end(&other, &other, "teacher", &clip).await
}
