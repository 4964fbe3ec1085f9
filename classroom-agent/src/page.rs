//! The page for the student on this device: what applies, by which rule, why and who can change it (R-POL-22), what is
//! recorded, and the button of R-POL-19. Without a script; only this device reaches it.

use std::{fmt::Write as _, net::SocketAddr, sync::Arc};

use appliance_core::{
    agent::{Contact, Missed, by_network, programs_now},
    calendar,
    policy::{Decision, Policy, Window, overview},
};
use axum::{
    Router,
    extract::{Request, State as Given},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::{Next, from_fn},
    response::{Html, IntoResponse as _, Redirect, Response},
    routing::{get, post},
};
use classroom_protocol::{
    Millis,
    catalogue::{self, Lang},
    policy::{Link, Names, PolicyKind},
};
use tokio::sync::Notify;

use crate::state::{Met, Shared, State};

const STYLE: &str = include_str!("page.css");
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

#[derive(Clone)]
struct Page {
    shared: Shared,
    hurry: Arc<Notify>,
}

/// The routes. Names of other hosts that point to this device, and forms of other sites, are refused.
pub(crate) fn router(shared: Shared, hurry: Arc<Notify>, at: SocketAddr) -> Router {
    let own = from_fn(move |request: Request, next: Next| async move {
        if !is_own(request.method(), request.headers(), at) {
            return StatusCode::FORBIDDEN.into_response();
        }
        let mut response = next.run(request).await;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    });
    Router::new()
        .route("/", get(show))
        .route("/report", post(report))
        .route("/page.css", get(async || ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)))
        .with_state(Page { shared, hurry })
        .layer(own)
}

fn is_own(method: &Method, headers: &HeaderMap, at: SocketAddr) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let names = [at.to_string(), format!("localhost:{}", at.port())];
    let host = text(header::HOST).is_some_and(|host| names.iter().any(|name| name == host));
    let origin = text(header::ORIGIN).is_none_or(|origin| names.iter().any(|name| origin == format!("http://{name}")));
    host && (origin || *method == Method::GET)
}

fn language(query: Option<&str>) -> Lang {
    if query.is_some_and(|query| query.split('&').any(|part| part == "lang=en")) { Lang::En } else { Lang::ZhHantTw }
}

async fn report(Given(page): Given<Page>, request: Request) -> Response {
    page.shared.lock().report_site();
    page.hurry.notify_one();
    let en = language(request.uri().query()) == Lang::En;
    Redirect::to(if en { "/?lang=en&reported" } else { "/?reported" }).into_response()
}

async fn show(Given(page): Given<Page>, request: Request) -> Html<String> {
    let query = request.uri().query();
    let reported = query.is_some_and(|query| query.split('&').any(|part| part == "reported"));
    Html(html(&page.shared.lock(), language(query), reported))
}

/// Text as HTML shows it.
fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// Date and time as people of the school read them.
fn time(at: Millis) -> String {
    calendar::local_time(at)
}

fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

struct Writer {
    lang: Lang,
    out: String,
}

impl Writer {
    fn t(&self, key: &str) -> &'static str {
        catalogue::text(self.lang, key)
    }

    /// A text of the catalogue with its places filled, made safe.
    fn filled(&self, key: &str, values: &[(&str, &str)]) -> String {
        safe(&catalogue::fill(self.lang, key, values))
    }

    fn add(&mut self, html: &str) {
        self.out.push_str(html);
    }

    fn heading(&mut self, key: &str) {
        let text = safe(self.t(key));
        let _ = write!(self.out, "<h2>{text}</h2>");
    }

    fn paragraph(&mut self, class: &str, text: &str) {
        let _ = write!(self.out, "<p class=\"{class}\">{text}</p>");
    }

    fn head(&mut self, keys: &[&str]) {
        self.add("<div class=\"scroll\"><table><thead><tr>");
        for key in keys {
            let text = safe(self.t(key));
            let _ = write!(self.out, "<th scope=\"col\">{text}</th>");
        }
        self.add("</tr></thead><tbody>");
    }

    fn row(&mut self, policy: &Policy, name: &str, decision: &Decision, note: &str) {
        let (class, sign, word) = if decision.allow { ("yes", "✓", "agent.yes") } else { ("no", "✕", "agent.no") };
        let (word, reason, changer) = (self.t(word), self.t(decision.reason.key()), self.t(decision.changer.key()));
        let until = decision.until.map(|at| self.filled("agent.until", &[("time", &time(at))]));
        let _ = write!(
            self.out,
            "<tr><th scope=\"row\">{}{}</th><td class=\"{class}\"><span aria-hidden=\"true\">{sign}</span> {} {}</td><td>{}<br><small>{}</small></td><td>{}</td><td>{}</td></tr>",
            safe(name),
            if note.is_empty() { String::new() } else { format!("<br><small>{}</small>", safe(note)) },
            safe(word),
            until.unwrap_or_default(),
            safe(policy.clause(&decision.rule)),
            decision.rule,
            safe(reason),
            safe(changer),
        );
    }

    fn end(&mut self) {
        self.add("</tbody></table></div>");
    }
}

fn html(state: &State, lang: Lang, reported: bool) -> String {
    let mut w = Writer { lang, out: String::with_capacity(16 * 1024) };
    let (code, other, query) = if lang == Lang::En { ("en", "/", "?lang=en") } else { ("zh-Hant-TW", "/?lang=en", "") };
    let (title, other_name) = (safe(w.t("agent.title")), safe(w.t("agent.other-language")));
    let _ = write!(
        w.out,
        "<!doctype html><html lang=\"{code}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><link rel=\"stylesheet\" href=\"/page.css\"></head><body><main><header><h1>{title}</h1>\
         <a href=\"{other}\">{other_name}</a></header>"
    );
    top(&mut w, state);
    if reported {
        let text = safe(w.t("agent.reported"));
        let _ = write!(w.out, "<p class=\"done\" role=\"status\">{text}</p>");
    }
    let (button, note) = (safe(w.t("agent.report")), safe(w.t("agent.report.note")));
    let _ =
        write!(w.out, "<form method=\"post\" action=\"/report{query}\"><button>{button}</button><p>{note}</p></form>");
    applies(&mut w, state);
    refused(&mut w, state);
    recorded(&mut w, state);
    w.add("</main></body></html>");
    w.out
}

/// Where the device is and whether the box was met.
fn top(w: &mut Writer, state: &State) {
    let school = state.situation.contact == Contact::Room;
    let place = safe(w.t(if school { "agent.place.school" } else { "agent.place.home" }));
    w.paragraph("place", &place);
    let revision = &state.orders.document.revision;
    let device = w.filled("agent.device", &[("device", &state.identity.device), ("revision", revision)]);
    w.paragraph("small", &device);
    let (key, class) = match state.met {
        Met::NotYet => ("agent.met.not-yet", "small"),
        Met::Well => ("agent.met.well", "small"),
        Met::Not(Missed::Nobody) => ("agent.met.nobody", "small"),
        Met::Not(Missed::Impostor) => ("agent.met.impostor", "warning"),
        Met::Not(Missed::Forgotten) => ("agent.met.forgotten", "warning"),
    };
    let met = w.filled(key, &[("time", &state.met_at.map(time).unwrap_or_default())]);
    w.paragraph(class, &met);
    if !state.signed() {
        let text = safe(w.t("agent.standard"));
        w.paragraph("warning", &text);
    }
    network(w, state);
}

/// What the rules say of the device's network here (R-POL-14), in one sentence.
fn network(w: &mut Writer, state: &State) {
    let context = state.situation.context(&state.orders);
    let Some(said) = by_network(&state.policy, &context, state.now()) else { return };
    let link = w.t(match state.situation.link {
        Some(Link::Wired) => "agent.link.wired",
        Some(Link::Mobile) => "agent.link.mobile",
        Some(Link::Wifi) | None => "agent.link.other",
    });
    let (key, class) = if said.allow { ("agent.network.allowed", "small") } else { ("agent.network", "warning") };
    let text = w.filled(key, &[("link", link), ("rule", &said.rule.to_string())]);
    w.paragraph(class, &text);
}

fn applies(w: &mut Writer, state: &State) {
    w.heading("agent.applies");
    let school = state.situation.contact == Contact::Room;
    if school {
        let text = safe(w.t("agent.at-school"));
        w.paragraph("small", &text);
    }
    let (context, now) = (state.situation.context(&state.orders), state.now());
    let lang = w.lang;
    let called = |names: &Names| if lang == Lang::En { names.en.clone() } else { names.zh.clone() };
    // At school the room's box decides which sites open: what this device would say of them does not apply.
    let all = if school { vec![] } else { overview(&state.policy, &context, now) };
    let sites = all.into_iter().filter(|row| row.kind != PolicyKind::Action);
    let web = w.t("agent.web");
    let mut rows: Vec<(String, Decision)> =
        sites.map(|row| (row.name.as_ref().map_or_else(|| web.to_owned(), called), row.decision)).collect();
    rows.push((w.t("agent.programs").to_owned(), programs_now(&state.policy, &context, now)));
    w.head(&["agent.what", "agent.may", "agent.rule", "agent.why", "agent.who"]);
    for (name, decision) in &rows {
        w.row(&state.policy, name, decision, "");
    }
    w.end();
    w.heading("agent.hours");
    if state.orders.guardian.is_empty() {
        let text = safe(w.t(if state.signed() { "agent.hours.none" } else { "agent.hours.unknown" }));
        w.paragraph("small", &text);
    } else {
        let hours: Vec<String> = state.orders.guardian.iter().map(|window| hours(w, window)).collect();
        w.paragraph("hours", &hours.join("<br>"));
    }
}

fn hours(w: &Writer, window: &Window) -> String {
    let names: Vec<char> = w.t("agent.days").chars().collect();
    let days = window.days.iter().filter_map(|day| names.get(usize::from(*day).checked_sub(1)?));
    let days: Vec<String> = days.map(char::to_string).collect();
    format!("{} {}–{}", safe(&days.join(" ")), clock(window.from), clock(window.to))
}

fn refused(w: &mut Writer, state: &State) {
    w.heading("agent.refused");
    if state.refusals.is_empty() {
        let text = safe(w.t("agent.refused.none"));
        w.paragraph("small", &text);
        return;
    }
    let text = safe(w.t("agent.refused.note"));
    w.paragraph("small", &text);
    w.head(&["agent.what", "agent.may", "agent.rule", "agent.why", "agent.who"]);
    for refusal in state.refusals.iter().rev() {
        let ended = if refusal.ended { w.t("agent.refused.ended") } else { "" };
        let note = format!("{} {ended}", time(refusal.at));
        w.row(&state.policy, &refusal.name, &refusal.decision, &note);
    }
    w.end();
}

fn recorded(w: &mut Writer, state: &State) {
    w.heading("agent.recorded");
    let text = safe(w.t("agent.recorded.note"));
    w.paragraph("", &text);
    let how = w.t(if state.idle.is_some() { "agent.signs.input" } else { "agent.signs.names" });
    let signs = w.filled("agent.recorded.signs", &[("how", how)]);
    w.paragraph("small", &signs);
    let sums = state.today.sums(state.now());
    if !sums.is_empty() {
        let text = safe(w.t("agent.today"));
        w.paragraph("small", &text);
        w.add("<ul>");
        for (platform, seconds) in sums {
            let system = state.orders.document.bundles.values().flat_map(|bundle| &bundle.systems);
            let named = system.filter(|system| Some(system.id.as_str()) == platform).map(|system| &system.name).next();
            let name = match (named, w.lang) {
                (Some(names), Lang::En) => names.en.clone(),
                (Some(names), Lang::ZhHantTw) => names.zh.clone(),
                (None, _) => platform.unwrap_or(w.t("agent.whole")).to_owned(),
            };
            let minutes = w.filled("agent.minutes", &[("minutes", &(seconds / 60).to_string())]);
            let _ = write!(w.out, "<li>{}: {minutes}</li>", safe(&name));
        }
        w.add("</ul>");
    }
    let waiting = w.filled("agent.waiting", &[("count", &state.spool.len().to_string())]);
    w.paragraph("small", &waiting);
    if !state.told.is_empty() {
        w.heading("agent.told");
        w.add("<ul>");
        for (at, what) in state.told.iter().rev() {
            let known = w.t(&format!("agent.told.{what}"));
            let _ = write!(w.out, "<li>{} {}</li>", time(*at), safe(known));
        }
        w.add("</ul>");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_this_devices_own_page_is_answered() {
        let at = SocketAddr::from(([127, 0, 0, 1], 8970));
        let with = |pairs: &[(&'static str, &str)], method: Method| {
            let headers = pairs
                .iter()
                .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
            is_own(&method, &headers.collect(), at)
        };
        assert!(with(&[("host", "127.0.0.1:8970")], Method::GET));
        assert!(with(&[("host", "localhost:8970"), ("origin", "http://localhost:8970")], Method::POST));
        assert!(!with(&[("host", "evil.example:8970")], Method::GET), "another name that points here");
        assert!(!with(&[("host", "127.0.0.1:8970"), ("origin", "https://evil.example")], Method::POST));
        assert_eq!(safe("<b>&\"x\""), "&lt;b&gt;&amp;&quot;x&quot;");
    }
}
