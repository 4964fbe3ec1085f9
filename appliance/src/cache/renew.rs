//! The renewal of an object that is whole: its origin is asked whether it has changed, by one renewal at a time
//! ([`super::object::Renewing`]). A new state is fetched beside the old one, which is served until the new one is whole.

use std::sync::atomic::Ordering;
use std::{fs, sync::Arc};

use appliance_core::library::origin::{Meaning, meaning};
use http::Method;

use super::{
    CacheError, clock_now,
    disk::{Files, Meta},
    fill::{blocking, seal},
    object::Object,
    origin::{self, Answered, Question},
    random_name,
    version::Version,
};

/// Asks. Gives whether there was a new state, which then is the present one.
pub(super) async fn run(object: &Arc<Object>) -> Result<bool, CacheError> {
    let Some(old) = object.desk().current.clone().filter(|version| version.complete()) else { return Ok(false) };
    let Some(url) = object.url.clone() else { return Ok(false) };
    let known = Object::known(&old);
    let question = Question {
        if_none_match: known.validators.etag.as_deref(),
        if_modified_since: known.validators.last_modified.as_deref(),
        ..Question::default()
    };
    let answered = object.shared.origins.ask(Method::GET, &url, &question).await?;
    let same = match meaning(&answered.answer, 0, Some(&known)) {
        Meaning::Same | Meaning::Body { .. } => true,
        Meaning::Changed { usable: true, .. } => false,
        _ => return Err(CacheError::Origin(answered.answer.status)),
    };
    if !same && !object.may_become(&answered.content_type) {
        return Err(CacheError::Page);
    }
    if same {
        let meta = {
            let mut state = old.lock();
            state.meta.checked_at = clock_now();
            state.meta.fresh_ms = answered.fresh_ms;
            state.meta.clone()
        };
        if present(object, &old) {
            let (folder, part) = (object.folder.clone(), object.part);
            blocking(move || meta.save(&folder, part)).await?;
        }
        return Ok(false);
    }
    let new = fetch(object, answered).await?;
    replace(object, &old, new).await
}

/// Whether this is the object's present state.
fn present(object: &Object, version: &Arc<Version>) -> bool {
    let desk = object.desk();
    !desk.removed && desk.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, version))
}

/// Brings the whole of a new state to the disk. It goes again with its last holder until it is the present one.
async fn fetch(object: &Arc<Object>, mut answered: Answered) -> Result<Arc<Version>, CacheError> {
    let size = answered.answer.length.ok_or(CacheError::Origin(200))?;
    if !answered.may_store {
        return Err(CacheError::Forbidden);
    }
    object.shared.room_for(&object.item, size)?;
    let meta = Meta {
        generation: random_name()?,
        size: Some(size),
        content_type: answered.content_type.clone(),
        validators: answered.answer.validators.clone(),
        fresh_ms: answered.fresh_ms,
        checked_at: clock_now(),
    };
    let (folder, part, generation) = (object.folder.clone(), object.part, meta.generation.clone());
    let (files, _open) = blocking(move || Files::create(&folder, part, &generation, Some(size))).await?;
    files.doom(true);
    let new = Arc::new(Version::new(files, meta));
    let mut at = 0;
    while let Some(bytes) =
        answered.body.chunk().await.map_err(|error| CacheError::Unreachable(origin::plain(&error)))?
    {
        let end = at + bytes.len() as u64;
        if end > size || object.desk().removed {
            return Err(CacheError::Changed);
        }
        object.fetched.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let (to, written) = (new.clone(), bytes.clone());
        blocking(move || to.files.write(at, &written)).await?;
        new.add(at, bytes);
        at = end;
    }
    if at < size {
        return Err(CacheError::Unreachable("the answer was cut short".into()));
    }
    let sealed = new.clone();
    blocking(move || {
        seal(&sealed);
        Ok(())
    })
    .await?;
    new.forget_tail();
    Ok(new)
}

/// Puts `new` in the place of `old`, whose files go with its last reader.
async fn replace(object: &Arc<Object>, old: &Arc<Version>, new: Arc<Version>) -> Result<bool, CacheError> {
    if !present(object, old) {
        return Err(CacheError::Changed);
    }
    let meta = new.lock().meta.clone();
    let (folder, part, saved) = (object.folder.clone(), object.part, meta.clone());
    blocking(move || saved.save(&folder, part)).await?;
    let stands = {
        let mut desk = object.desk();
        let stands = !desk.removed && desk.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, old));
        if stands {
            desk.current = Some(new.clone());
        }
        stands
    };
    if stands {
        new.files.doom(false);
        old.files.doom(true);
        object.shared.took(&object.item, object.part, meta.size.unwrap_or(0));
        return Ok(true);
    }
    // The old state was damaged or removed meanwhile, and what followed it counts.
    let now = object.desk().current.as_ref().map(|version| version.lock().meta.clone());
    let folder = object.folder.clone();
    blocking(move || {
        if Meta::load(&folder, part).is_none_or(|said| said.generation != meta.generation) {
            return Ok(());
        }
        now.map_or_else(|| fs::remove_file(folder.join(format!("{part}.json"))), |now| now.save(&folder, part))
    })
    .await?;
    Err(CacheError::Changed)
}
