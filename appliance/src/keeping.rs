//! What is wrong with what the box keeps, told to those who look after it: a database that was set aside, records that the
//! disk does not take. The effects' writer and the store say it, pages, panel, `/healthz` and `/metrics` read it.

use std::{path::PathBuf, sync::Arc};

use appliance_core::{calendar, room::Input};
use classroom_protocol::{
    catalogue::{Lang, fill},
    keeping,
};
use tokio::sync::watch;

use crate::{
    console,
    room::RoomHandle,
    store::{
        StoreError,
        aside::{self, SetAside},
    },
};

/// Cheap to clone.
#[derive(Clone)]
pub struct Keeping(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    backups: PathBuf,
    state: watch::Sender<State>,
}

/// What is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The database that was set aside, until someone has said that they know.
    pub set_aside: Option<SetAside>,
    /// Records of lessons and use that wait for room on the disk.
    pub records: usize,
    /// Lines of the record of network access that do.
    pub accesses: usize,
    /// Records that are lost, as even the memory for them was full.
    pub lost: u64,
}

impl State {
    /// All that waits for room on the disk.
    pub fn waiting(&self) -> usize {
        self.records + self.accesses
    }
}

impl Keeping {
    /// Of the store in `folder`, with its backups' folder. Reads what was set aside; blocks on the disk.
    pub fn new(folder: PathBuf, backups: PathBuf) -> Self {
        let state = State { set_aside: aside::told(&folder), ..State::default() };
        Self(Arc::new(Inner { folder, backups, state: watch::Sender::new(state) }))
    }

    /// As it is now.
    pub fn now(&self) -> State {
        self.0.state.borrow().clone()
    }

    /// So many records of lessons and use wait, and so many more are lost.
    pub fn records(&self, waiting: usize, lost: u64) {
        self.tell(lost, |state| state.records = waiting);
    }

    /// So many lines of the record of network access wait, and so many more are lost.
    pub fn accesses(&self, waiting: usize, lost: u64) {
        self.tell(lost, |state| state.accesses = waiting);
    }

    fn tell(&self, lost: u64, change: impl FnOnce(&mut State)) {
        self.0.state.send_if_modified(|state| {
            let before = (state.records, state.accesses);
            change(state);
            state.lost += lost;
            lost > 0 || before != (state.records, state.accesses)
        });
    }

    /// A person knows that the database was set aside. Says whether there was anything to know.
    ///
    /// # Errors
    /// What files and disks can refuse.
    pub async fn known(&self) -> Result<bool, StoreError> {
        let folder = self.0.folder.clone();
        let done = tokio::task::spawn_blocking(move || aside::known(&folder)).await;
        done.map_err(|error| StoreError::File(error.to_string()))??;
        Ok(self.0.state.send_if_modified(|state| state.set_aside.take().is_some()))
    }

    /// What teachers and the office are told.
    pub fn view(&self) -> keeping::Keeping {
        let now = self.now();
        let records_wait = now.waiting() > 0;
        let backups = self.0.backups.display().to_string();
        let set_aside = now.set_aside.map(|SetAside { at, files }| keeping::SetAside { at, files, backups });
        keeping::Keeping { set_aside, records_wait }
    }

    /// What the console says of a database that was set aside, with the mend.
    pub fn sentence(&self, lang: Lang) -> Option<String> {
        let told = self.now().set_aside?;
        Some(fill(lang, "common.set-aside", &[]) + "\n" + &mend(lang, &told, &self.0.backups))
    }
}

/// How a database that was set aside is mended.
pub fn mend(lang: Lang, told: &SetAside, backups: &std::path::Path) -> String {
    let (backups, files) = (backups.display().to_string(), told.files.join(", "));
    let values = [("day", calendar::local_time(told.at)), ("backups", backups), ("files", files)];
    let values: Vec<_> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
    fill(lang, "common.set-aside-mend", &values)
}

/// Tells the room what is wrong, whenever that changes. Runs until it is aborted.
pub async fn follow(keeping: Keeping, room: RoomHandle) {
    let mut changes = keeping.0.state.subscribe();
    let mut told = keeping::Keeping::default();
    loop {
        changes.borrow_and_update();
        let view = keeping.view();
        if view != told {
            let notice = view.set_aside.as_ref().map(|_| fill(console::language(), "common.set-aside", &[]));
            told = view.clone();
            if room.apply(Input::Keeping { keeping: view, notice }).await.is_err() {
                return;
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}
