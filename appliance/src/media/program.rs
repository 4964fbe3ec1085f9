//! The program feed: one WHEP session whose picture and sound the hub chooses (R-LIVE-1).
//!
//! A follower's picture is a place in the viewers of whatever source is the program's picture now; its two sound tracks are
//! places in the listeners of the room's source and of the speaker's. A change moves the places; the leg's numbers go on
//! (`core::forward::Rewriter`), so nothing is negotiated anew. Sound is forwarded, not mixed.

use std::time::Instant;

use appliance_core::home::Program;
use classroom_protocol::SourceId;

use super::{
    Answer, MediaError, sdp,
    sessions::{Follower, Role, Session},
    switchboard::Switchboard,
    viewer::Ear,
};

impl Switchboard {
    /// What a session is for, as the rest of the box knows it: a follower views the program, whatever that is now.
    pub(super) fn name_of(&self, session: &Session) -> SourceId {
        match session.follower {
            Some(_) => SourceId::program(),
            None => self.sources[session.source].id.clone(),
        }
    }

    /// Answers a viewer of the program. `own` is what the same client may publish: it is not played back to it.
    pub(super) fn view_program(
        &mut self,
        now: Instant,
        offer: String,
        own: Option<SourceId>,
    ) -> Result<Answer, MediaError> {
        let codecs = sdp::offered(&offer)?;
        let place = self.source(now, &SourceId::program()).ok_or(MediaError::Full)?;
        let (answer, index) = self.answer_viewer(now, place, offer, &codecs, Some(Follower { own }))?;
        self.place_follower(now, index);
        Ok(answer)
    }

    /// From now on this is the program.
    pub(super) fn set_program(&mut self, now: Instant, program: Program) {
        if self.program == program {
            return;
        }
        tracing::info!(picture = ?program.picture, sound = ?program.sound, speaker = ?program.speaker, "the program");
        self.program = program;
        for index in self.followers() {
            self.place_follower(now, index);
        }
    }

    /// Ends the program sessions of the client that may publish `own`; of all clients without a name.
    pub(super) fn close_followers(&mut self, own: Option<&SourceId>) {
        for index in self.followers() {
            let follower = self.sessions[index].as_ref().and_then(|session| session.follower.as_ref());
            if follower.is_some_and(|follower| own.is_none() || follower.own.as_ref() == own) {
                self.remove(index);
            }
        }
    }

    fn followers(&self) -> Vec<usize> {
        let follows = |(index, session): (usize, &Option<Session>)| {
            session.as_ref().is_some_and(|session| session.follower.is_some()).then_some(index)
        };
        self.sessions.iter().enumerate().filter_map(follows).collect()
    }

    /// Gives a follower its places. What it is in already it stays in, without a break.
    fn place_follower(&mut self, now: Instant, index: usize) {
        let program = self.program.clone();
        let picture = program.picture.unwrap_or_else(SourceId::program);
        // A source that can't be named any more has no picture either; the follower waits where it is.
        if let Some(to) = self.source(now, &picture) {
            self.move_viewer(now, index, to);
        }
        for source in &mut self.sources {
            source.listeners.retain(|(listener, _)| *listener != index);
        }
        let own = self.sessions[index].as_ref().and_then(|session| session.follower.as_ref()?.own.clone());
        let ears = [(program.sound, Ear::Room), (program.speaker, Ear::Speaker)];
        for (heard, ear) in ears.into_iter().filter_map(|(heard, ear)| Some((heard?, ear))) {
            if own.as_ref() == Some(&heard) {
                continue;
            }
            if let Some(at) = self.source(now, &heard) {
                self.sources[at].listeners.push((index, ear));
            }
        }
    }

    /// Lets a viewer see another source from its next keyframe on, which is asked for.
    pub(super) fn move_viewer(&mut self, now: Instant, index: usize, to: usize) {
        let Some(Session { role: Role::Viewer(viewer), source, .. }) = self.sessions[index].as_mut() else { return };
        let from = std::mem::replace(source, to);
        if from == to {
            return;
        }
        viewer.detach();
        self.sources[from].viewers.retain(|&viewer| viewer != index);
        self.sources[to].viewers.push(index);
        self.want_keyframe(now, to, None);
    }

    /// Sender reports for followers: their tracks have several publishers with clocks of their own, so the box's clock is
    /// the one that all of them are told in.
    pub(super) fn report_followers(&mut self, now: Instant) {
        for index in self.followers() {
            if let Some(Session { role: Role::Viewer(viewer), connected: true, .. }) = self.sessions[index].as_mut() {
                viewer.report(now, &[], &mut self.net);
            }
        }
    }
}
