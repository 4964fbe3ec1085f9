//! DASH (ISO/IEC 23009-1): one representation of each picture and sound, its segments by template, list or single file.

use appliance_core::library::kind;
use dash_mpd_core::{
    AdaptationSet, BaseURL, MPD, Representation, SegmentTemplate, is_audio_adaptation, is_video_adaptation, parse,
};
use reqwest::Url;

use super::{super::Planned, Parts, QUALITY, Unfit, ending};

/// Sounds and texts beside the picture that are kept in a period.
const RENDITIONS: usize = 6;
/// Most bits a second of a sound.
const SOUND: u64 = 256_000;

/// The stream that a manifest found at `base` describes, with the manifest anew.
///
/// # Errors
/// [`Unfit`].
pub fn rewrite(text: &[u8], base: &Url) -> Result<Planned, Unfit> {
    let text = std::str::from_utf8(text).map_err(|_| Unfit::Malformed)?;
    let mut mpd = parse(text.trim_start_matches('\u{feff}')).map_err(|_| Unfit::Malformed)?;
    if mpd.mpdtype.as_deref() == Some("dynamic") {
        return Err(Unfit::Live);
    }
    let mut parts = Parts::default();
    let index = parts.own("index.mpd");
    let base = joined(base, &mut mpd.base_url)?;
    clear(&mut mpd);
    let whole = mpd.mediaPresentationDuration;
    let only = mpd.periods.len() == 1;
    let mut number = 0;
    for period in &mut mpd.periods {
        if period.href.is_some() {
            return Err(Unfit::Unknown);
        }
        if !period.ContentProtection.is_empty() {
            return Err(Unfit::Protected);
        }
        let seconds = period.duration.or(whole.filter(|_| only)).map(|length| length.as_secs_f64());
        let base = joined(&base, &mut period.BaseURL)?;
        period.event_streams.clear();
        period.service_description.clear();
        keep_few(&mut period.adaptations);
        let template = period.SegmentTemplate.take();
        let (list, single) = (period.SegmentList.take(), period.SegmentBase.take());
        for set in &mut period.adaptations {
            if set.href.is_some() {
                return Err(Unfit::Unknown);
            }
            if !set.ContentProtection.is_empty() {
                return Err(Unfit::Protected);
            }
            let base = joined(&base, &mut set.BaseURL)?;
            let template = merged(set.SegmentTemplate.take(), template.clone());
            let list = set.SegmentList.take().or_else(|| list.clone());
            let single = set.SegmentBase.take().or_else(|| single.clone());
            one_quality(set)?;
            for representation in &mut set.representations {
                if !representation.ContentProtection.is_empty() {
                    return Err(Unfit::Protected);
                }
                let base = joined(&base, &mut representation.BaseURL)?;
                let own = representation.SegmentTemplate.take();
                representation.SegmentTemplate = merged(own, template.clone());
                representation.SegmentList = representation.SegmentList.take().or_else(|| list.clone());
                representation.SegmentBase = representation.SegmentBase.take().or_else(|| single.clone());
                representation.InbandEventStream.clear();
                address(representation, &base, number, seconds, &mut parts)?;
                number += 1;
            }
        }
    }
    if number == 0 {
        return Err(Unfit::Malformed);
    }
    let text = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n{mpd}");
    Ok(Planned { parts: parts.list, written: vec![(index, text.into())] })
}

/// What leads elsewhere or is of no use in the room.
fn clear(mpd: &mut MPD) {
    mpd.locations.clear();
    mpd.PatchLocation.clear();
    mpd.ServiceDescription.clear();
    mpd.UTCTiming.clear();
    mpd.Metrics.clear();
    mpd.ProgramInformation.clear();
}

fn joined(base: &Url, more: &mut Vec<BaseURL>) -> Result<Url, Unfit> {
    let first = std::mem::take(more).into_iter().next();
    first.map_or(Ok(base.clone()), |more| base.join(more.base.trim()).map_err(|_| Unfit::Malformed))
}

/// The first picture that every browser can show, a few sounds and texts; nothing for special players (thumbnails, trick
/// play).
fn keep_few(sets: &mut Vec<AdaptationSet>) {
    sets.retain(|set| set.essential_property.is_empty() && !set.representations.is_empty());
    let codecs = |set: &AdaptationSet| {
        let first = set.representations.first().and_then(|representation| representation.codecs.clone());
        set.codecs.clone().or(first).unwrap_or_default()
    };
    let pictures: Vec<usize> = (0..sets.len()).filter(|at| is_video_adaptation(&&sets[*at])).collect();
    let picture =
        pictures.iter().copied().find(|at| codecs(&sets[*at]).starts_with("avc1")).or(pictures.first().copied());
    let mut at = 0;
    sets.retain(|set| {
        let keep = if is_video_adaptation(&set) { Some(at) == picture } else { true };
        at += 1;
        keep
    });
    sets.truncate(1 + RENDITIONS);
}

fn one_quality(set: &mut AdaptationSet) -> Result<(), Unfit> {
    let bandwidths: Vec<u64> =
        set.representations.iter().map(|representation| representation.bandwidth.unwrap_or(0)).collect();
    let most = if is_audio_adaptation(&&*set) { SOUND } else { QUALITY };
    let chosen = kind::quality(&bandwidths, most).ok_or(Unfit::Malformed)?;
    let kept = set.representations.swap_remove(chosen);
    set.representations = vec![kept];
    Ok(())
}

/// What a template leaves out it has from the level above.
fn merged(own: Option<SegmentTemplate>, above: Option<SegmentTemplate>) -> Option<SegmentTemplate> {
    let (own, above) = match (own, above) {
        (Some(own), Some(above)) => (own, above),
        (own, above) => return own.or(above),
    };
    Some(SegmentTemplate {
        media: own.media.or(above.media),
        initialization: own.initialization.or(above.initialization),
        startNumber: own.startNumber.or(above.startNumber),
        endNumber: own.endNumber.or(above.endNumber),
        duration: own.duration.or(above.duration),
        timescale: own.timescale.or(above.timescale),
        presentationTimeOffset: own.presentationTimeOffset.or(above.presentationTimeOffset),
        SegmentTimeline: own.SegmentTimeline.or(above.SegmentTimeline),
        Initialization: own.Initialization.or(above.Initialization),
        ..own
    })
}

/// Gives the parts of a representation their names and writes those into it.
fn address(
    representation: &mut Representation,
    base: &Url,
    number: usize,
    seconds: Option<f64>,
    parts: &mut Parts,
) -> Result<(), Unfit> {
    if representation.SegmentTemplate.is_some() {
        return by_template(representation, base, number, seconds, parts);
    }
    let single = |parts: &mut Parts| {
        let end = ending(base, "mp4");
        parts.at(base.clone(), |_| format!("r{number}.{end}"))
    };
    if let Some(list) = &mut representation.SegmentList {
        if list.href.is_some() {
            return Err(Unfit::Unknown);
        }
        let named = |uri: &str, parts: &mut Parts| {
            let url = base.join(uri).map_err(|_| Unfit::Malformed)?;
            let end = ending(&url, "m4s");
            parts.at(url, |at| format!("r{number}-{at}.{end}"))
        };
        if let Some(source) = list.Initialization.as_mut().and_then(|init| init.sourceURL.as_mut()) {
            *source = named(source, parts)?;
        }
        for segment in &mut list.segment_urls {
            segment.index = None;
            if let Some(media) = &mut segment.media {
                *media = named(media, parts)?;
            }
        }
        // Ranges of one file need the file.
        let ranges = list.segment_urls.iter().any(|segment| segment.media.is_none());
        let init = list.Initialization.as_ref().is_some_and(|init| init.sourceURL.is_none());
        if ranges || init {
            representation.BaseURL = vec![BaseURL { base: single(parts)?, ..BaseURL::default() }];
        }
        return Ok(());
    }
    if let Some(source) =
        representation.SegmentBase.as_ref().and_then(|of| of.Initialization.as_ref()?.sourceURL.as_ref())
        && base.join(source).ok().as_ref() != Some(base)
    {
        return Err(Unfit::Unknown);
    }
    representation.BaseURL = vec![BaseURL { base: single(parts)?, ..BaseURL::default() }];
    Ok(())
}

fn by_template(
    representation: &mut Representation,
    base: &Url,
    number: usize,
    seconds: Option<f64>,
    parts: &mut Parts,
) -> Result<(), Unfit> {
    let id = representation.id.clone().unwrap_or_default();
    let bandwidth = representation.bandwidth.unwrap_or(0);
    let Some(template) = &mut representation.SegmentTemplate else { return Err(Unfit::Unknown) };
    let media = template.media.clone().ok_or(Unfit::Unknown)?;
    let part = |pattern: &str, which: (u64, u64), name: &dyn Fn(&str) -> String, parts: &mut Parts| {
        let uri = filled(pattern, &id, bandwidth, which)?;
        let url = base.join(&uri).map_err(|_| Unfit::Malformed)?;
        let name = name(&ending(&url, "m4s"));
        // A template that leaves the number out names the same part again and again.
        let given = parts.at(url, |_| name.clone())?;
        if given == name { Ok(name) } else { Err(Unfit::Unknown) }
    };
    if let Some(pattern) = template.initialization.take() {
        let name = part(&pattern, (0, 0), &|end| format!("r{number}-init.{end}"), parts)?;
        template.initialization = Some(name);
    } else if template.Initialization.is_some() {
        return Err(Unfit::Unknown);
    }
    let by_time = media.contains("$Time");
    let mut end = String::new();
    for (n, time) in which(template, seconds)? {
        let label = if by_time { time } else { n };
        let name = part(&media, (n, time), &|end| format!("r{number}-{label}.{end}"), parts)?;
        end = name.rsplit_once('.').map(|(_, end)| end.to_owned()).unwrap_or_default();
    }
    let place = if by_time { "$Time$" } else { "$Number$" };
    template.media = Some(format!("r{number}-{place}.{end}"));
    template.index = None;
    template.bitstreamSwitching = None;
    template.BitstreamSwitching = None;
    template.representation_index = None;
    Ok(())
}

/// Number and time of each segment.
fn which(template: &SegmentTemplate, seconds: Option<f64>) -> Result<Vec<(u64, u64)>, Unfit> {
    let first = template.startNumber.unwrap_or(1);
    let timescale = template.timescale.unwrap_or(1).max(1);
    let offset = template.presentationTimeOffset.unwrap_or(0);
    let end = seconds.map(|seconds| offset.saturating_add((seconds * timescale as f64) as u64));
    let mut all = Vec::new();
    let mut add = |time: u64| {
        let number = first.checked_add(all.len() as u64).ok_or(Unfit::Malformed)?;
        all.push((number, time));
        if all.len() > super::PARTS { Err(Unfit::TooMany) } else { Ok(()) }
    };
    if let Some(timeline) = &template.SegmentTimeline {
        let mut time = 0u64;
        for (at, s) in timeline.segments.iter().enumerate() {
            time = s.t.unwrap_or(time);
            if s.d == 0 {
                return Err(Unfit::Malformed);
            }
            let next = timeline.segments.get(at + 1).and_then(|next| next.t).or(end);
            let more = match s.r.unwrap_or(0) {
                // Until the next one begins.
                negative if negative < 0 => {
                    let until = next.ok_or(Unfit::Malformed)?;
                    until.saturating_sub(time).div_ceil(s.d).saturating_sub(1)
                }
                more => more.unsigned_abs(),
            };
            for _ in 0..=more {
                add(time)?;
                time = time.checked_add(s.d).ok_or(Unfit::Malformed)?;
            }
        }
        return Ok(all);
    }
    let duration = template.duration.filter(|duration| *duration >= 1.0).ok_or(Unfit::Unknown)?;
    let count = match template.endNumber {
        Some(last) => last.checked_sub(first).ok_or(Unfit::Malformed)?.saturating_add(1),
        None => (seconds.ok_or(Unfit::Malformed)? * timescale as f64 / duration).ceil() as u64,
    };
    for n in 0..count {
        add((n as f64 * duration) as u64)?;
    }
    Ok(all)
}

/// Fills the places of a template: `$RepresentationID$`, `$Bandwidth$`, `$Number$`, `$Time$`, each perhaps with a width
/// (`%05d`), and `$$`.
fn filled(pattern: &str, id: &str, bandwidth: u64, (number, time): (u64, u64)) -> Result<String, Unfit> {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (place, after) = after.split_once('$').ok_or(Unfit::Malformed)?;
        let (name, width) = place.split_once('%').unwrap_or((place, ""));
        let width = width.trim_end_matches('d').trim_start_matches('0');
        let width: usize = if width.is_empty() { 0 } else { width.parse().map_err(|_| Unfit::Malformed)? };
        let width = width.min(20);
        match name {
            "" => out.push('$'),
            "RepresentationID" => out.push_str(id),
            "Bandwidth" => out.push_str(&format!("{bandwidth:0width$}")),
            "Number" => out.push_str(&format!("{number:0width$}")),
            "Time" => out.push_str(&format!("{time:0width$}")),
            _ => return Err(Unfit::Unknown),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn plan(inside: &str) -> Result<Planned, Unfit> {
        let text = format!(
            "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" \
             mediaPresentationDuration=\"PT10S\" minBufferTime=\"PT2S\" profiles=\"x\">{inside}</MPD>"
        );
        rewrite(text.as_bytes(), &Url::parse("https://video.example/a/b.mpd").unwrap())
    }

    fn urls(plan: &Planned) -> Vec<(&str, &str)> {
        plan.parts.iter().filter_map(|part| Some((part.name.as_str(), part.url.as_deref()?))).collect()
    }

    #[test]
    fn a_template_names_every_segment() {
        let plan = plan(
            "<BaseURL>media/</BaseURL><Period><AdaptationSet mimeType=\"video/mp4\" contentType=\"video\">\
             <SegmentTemplate timescale=\"10\" duration=\"40\" startNumber=\"3\" media=\"$RepresentationID$/$Number%03d$.m4s\" \
             initialization=\"$RepresentationID$/i.mp4\"/><Representation id=\"hi\" bandwidth=\"9000000\" codecs=\"avc1.4\"/>\
             <Representation id=\"mid\" bandwidth=\"3000000\" codecs=\"avc1.4\"/></AdaptationSet></Period>",
        )
        .unwrap();
        assert_eq!(
            urls(&plan),
            [
                ("r0-init.mp4", "https://video.example/a/media/mid/i.mp4"),
                ("r0-3.m4s", "https://video.example/a/media/mid/003.m4s"),
                ("r0-4.m4s", "https://video.example/a/media/mid/004.m4s"),
                ("r0-5.m4s", "https://video.example/a/media/mid/005.m4s"),
            ]
        );
        let text = String::from_utf8(plan.written[0].1.to_vec()).unwrap();
        assert!(
            text.contains("media=\"r0-$Number$.m4s\"") && !text.contains("BaseURL") && !text.contains("\"hi\""),
            "{text}"
        );
        // What was written describes the same parts again.
        let again = rewrite(text.as_bytes(), &Url::parse("http://box/i/index.mpd").unwrap()).unwrap();
        let names = |plan: &Planned| plan.parts.iter().map(|part| part.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&plan), names(&again));
    }

    #[test]
    fn timelines_lists_and_single_files() {
        let timeline = plan(
            "<Period><AdaptationSet mimeType=\"audio/mp4\"><SegmentTemplate timescale=\"1\" media=\"t$Time$.m4s\">\
             <SegmentTimeline><S t=\"5\" d=\"2\" r=\"1\"/><S d=\"1\" r=\"-1\"/></SegmentTimeline></SegmentTemplate>\
             <Representation id=\"a\" bandwidth=\"1\"/></AdaptationSet></Period>",
        )
        .unwrap();
        let times: Vec<&str> = urls(&timeline).iter().map(|(_, url)| url.rsplit('/').next().unwrap()).collect();
        assert_eq!(times, ["t5.m4s", "t7.m4s", "t9.m4s"]);
        let single = plan(
            "<Period><AdaptationSet mimeType=\"video/mp4\"><Representation id=\"a\" bandwidth=\"1\">\
             <BaseURL>https://cdn.example/v.mp4</BaseURL><SegmentBase indexRange=\"100-200\"><Initialization range=\"0-99\"/>\
             </SegmentBase></Representation></AdaptationSet></Period>",
        )
        .unwrap();
        assert_eq!(urls(&single), [("r0.mp4", "https://cdn.example/v.mp4")]);
        let list = plan(
            "<Period><AdaptationSet mimeType=\"video/mp4\"><Representation id=\"a\" bandwidth=\"1\"><SegmentList \
             duration=\"5\"><Initialization sourceURL=\"i.mp4\"/><SegmentURL media=\"1.m4s\"/><SegmentURL media=\"2.m4s\"/>\
             </SegmentList></Representation></AdaptationSet></Period>",
        )
        .unwrap();
        assert_eq!(urls(&list).len(), 3);
    }

    #[test]
    fn what_can_not_be_kept_is_told() {
        let live = "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"dynamic\"><Period/></MPD>";
        let base = Url::parse("https://video.example/").unwrap();
        assert_eq!(rewrite(live.as_bytes(), &base).unwrap_err(), Unfit::Live);
        assert_eq!(rewrite(b"<html/>", &base).map(drop).unwrap_err(), Unfit::Malformed);
        let protected = "<Period><AdaptationSet mimeType=\"video/mp4\"><ContentProtection schemeIdUri=\"urn:x\"/>\
             <Representation id=\"a\" bandwidth=\"1\"/></AdaptationSet></Period>";
        assert_eq!(plan(protected).unwrap_err(), Unfit::Protected);
        let endless = "<Period><AdaptationSet mimeType=\"video/mp4\"><SegmentTemplate media=\"$Number$\" duration=\"1\" \
             timescale=\"1000000\"/><Representation id=\"a\" bandwidth=\"1\"/></AdaptationSet></Period>";
        assert_eq!(plan(endless).unwrap_err(), Unfit::TooMany);
    }
}
