#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use classroom_protocol::view::{LessonView, Stage as StageView, Tile};

use super::*;

fn at(ms: u64) -> At {
    At::from_millis(ms)
}

fn source(seat: u8) -> SourceId {
    classroom_protocol::Seat::try_from(seat).unwrap().source()
}

fn view(layout: u8, seats: &[u8]) -> PanelView {
    let mut tiles: Vec<Option<Tile>> = seats
        .iter()
        .map(|seat| Some(Tile { source: source(*seat), label: format!("{seat}"), frozen: false, live: true }))
        .collect();
    tiles.resize(usize::from(layout), None);
    PanelView {
        room: "三年二班".into(),
        join_url: "http://192.0.2.2:8080/join".into(),
        lesson: Some(LessonView {
            id: "1".into(),
            class_name: "302".into(),
            started_at: 0,
            attention: false,
            locked: false,
            open_until: None,
        }),
        code: Some("482913".into()),
        stage: StageView { layout, tiles },
        voice: None,
        marks: Marks::default(),
        notice: None,
    }
}

fn picture(plan: &Plan, tile: usize) -> Picture {
    let Scene::Tiles { tiles, .. } = &plan.scene else { panic!("no tiles: {:?}", plan.scene) };
    tiles[tile].as_ref().unwrap().picture
}

#[test]
fn an_unpaired_panel_shows_its_code_and_plays_nothing() {
    let mut stage = Stage::new();
    assert_eq!(stage.plan(at(0), |_| None).scene, Scene::Searching { room: None });
    stage.view(view(1, &[7]), at(0));
    stage.unpaired(Some("111222".into()));
    let plan = stage.plan(at(1), |_| Some(at(1)));
    assert_eq!(plan.scene, Scene::Pairing { code: Some("111222".into()) });
    assert!(plan.play.is_empty());
}

#[test]
fn an_empty_stage_is_idle_and_a_named_tile_is_played_at_once() {
    let mut stage = Stage::new();
    stage.view(view(1, &[]), at(0));
    assert!(matches!(stage.plan(at(0), |_| None).scene, Scene::Idle(_)));
    stage.view(view(1, &[7]), at(10));
    let plan = stage.plan(at(10), |_| None);
    assert_eq!(picture(&plan, 0), Picture::Waiting);
    assert_eq!(plan.play, [Play { source: source(7), layer: Layer::High, expected: true, live: true }]);
    assert!(plan.lost.is_empty());
}

#[test]
fn a_picture_is_lost_within_two_seconds_and_comes_back_by_itself() {
    let mut stage = Stage::new();
    stage.view(view(1, &[7]), at(0));
    assert_eq!(picture(&stage.plan(at(1_900), |_| Some(at(1_000))), 0), Picture::Moving);
    let lost = stage.plan(at(2_900), |_| Some(at(1_000)));
    assert_eq!(picture(&lost, 0), Picture::Lost);
    assert_eq!(lost.lost, [source(7)]);
    let back = stage.plan(at(3_000), |_| Some(at(2_990)));
    assert_eq!(picture(&back, 0), Picture::Moving);
    assert!(back.lost.is_empty());
}

#[test]
fn a_live_source_that_never_had_a_picture_is_lost_too_but_an_invited_one_is_awaited() {
    let mut stage = Stage::new();
    let mut now = view(2, &[1, 2]);
    now.stage.tiles[1].as_mut().unwrap().live = false;
    stage.view(now, at(0));
    let plan = stage.plan(at(60_000), |_| None);
    assert_eq!((picture(&plan, 0), picture(&plan, 1)), (Picture::Lost, Picture::Waiting));
    assert_eq!(plan.lost, [source(1)]);
    assert_eq!(plan.play.iter().map(|play| play.expected).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn frozen_tiles_are_never_lost_and_have_time_when_they_move_again() {
    let mut stage = Stage::new();
    let mut frozen = view(1, &[7]);
    frozen.stage.tiles[0].as_mut().unwrap().frozen = true;
    stage.view(frozen, at(0));
    let plan = stage.plan(at(60_000), |_| Some(at(100)));
    assert_eq!(picture(&plan, 0), Picture::Frozen);
    assert!(plan.lost.is_empty() && !plan.play[0].expected);
    stage.view(view(1, &[7]), at(60_000));
    assert_eq!(picture(&stage.plan(at(61_000), |_| Some(at(100))), 0), Picture::Moving);
    assert_eq!(picture(&stage.plan(at(62_000), |_| Some(at(100))), 0), Picture::Lost);
}

#[test]
fn attention_hides_casts_keeps_them_connected_and_reports_nothing() {
    let mut stage = Stage::new();
    let mut paused = view(1, &[7]);
    paused.lesson.as_mut().unwrap().attention = true;
    stage.view(paused, at(0));
    let plan = stage.plan(at(60_000), |_| Some(at(0)));
    assert!(matches!(plan.scene, Scene::Attention(_)));
    assert_eq!(plan.play.len(), 1);
    assert!(plan.lost.is_empty() && !plan.play[0].expected);
    stage.view(view(1, &[7]), at(60_000));
    assert_eq!(picture(&stage.plan(at(60_500), |_| Some(at(0))), 0), Picture::Moving);
}

#[test]
fn removed_casts_stay_warm_for_a_while_and_only_a_few_of_them() {
    let mut stage = Stage::new();
    stage.view(view(9, &[1, 2, 3, 4, 5, 6, 7, 8, 9]), at(0));
    stage.view(view(9, &[5, 6, 7, 8, 9]), at(100));
    stage.view(view(9, &[6, 7, 8, 9]), at(200));
    let plan = stage.plan(at(300), |_| None);
    assert_eq!(plan.play.len(), 4 + WARM_MAX);
    assert!(plan.play.iter().any(|play| play.source == source(5)), "the last to leave stays");
    let plan = stage.plan(at(200) + WARM_FOR, |_| None);
    assert_eq!(plan.play.len(), 4);
    let mut over = view(9, &[]);
    over.lesson = None;
    stage.view(view(9, &[]), at(30_000));
    stage.view(over, at(30_000));
    assert!(stage.plan(at(30_000), |_| None).play.is_empty(), "nothing outlives the lesson");
}

#[test]
fn a_missing_hub_is_overlooked_then_mentioned_then_the_stage_is_cleared() {
    let mut stage = Stage::new();
    stage.view(view(1, &[7]), at(0));
    stage.hub_gone(at(0));
    let gone = |plan: &Plan| match &plan.scene {
        Scene::Tiles { bar, .. } => Some(bar.hub_gone),
        _ => None,
    };
    assert_eq!(gone(&stage.plan(at(1_000), |_| Some(at(1_000)))), Some(false));
    assert_eq!(gone(&stage.plan(at(4_000), |_| Some(at(4_000)))), Some(true));
    let plan = stage.plan(STALE_AFTER, |_| Some(at(0)));
    assert_eq!(plan.scene, Scene::Searching { room: Some("三年二班".into()) });
    assert!(plan.play.is_empty());
}

#[test]
fn a_strange_layout_is_drawn_all_the_same() {
    assert_eq!([places(0, 0), places(3, 1), places(1, 4), places(200, 200)], [1, 4, 4, 9]);
}
