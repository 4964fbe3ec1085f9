//! The doors of the box: which there are, under which names, with which certificate.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::{Router, http::Uri};
use axum_server::Handle;
use tokio::task::JoinSet;

use crate::{
    clock,
    config::{Config, Listen, home_allowed, plain_allowed},
    media, systemd,
    tls::{self, Certificate},
    web,
};

/// The certificate of the room's pages, if there are HTTPS listeners. One that is not good now or not for the name that
/// people type is used all the same (the clock may be wrong) and told.
pub(super) fn certificate(config: &Config) -> anyhow::Result<Option<Arc<Certificate>>> {
    let (Some(path), Some(key)) = (&config.https.certificate, &config.https.key) else { return Ok(None) };
    if config.https.listen.is_empty() && config.home.listen.is_empty() {
        return Ok(None);
    }
    let certificate = Certificate::load(path, key).context("the certificate")?;
    if let Err(error) = certificate.facts().check(path, config.https.name.as_deref(), clock::now()) {
        tracing::error!(%error, "browsers will not accept the certificate");
    }
    Ok(Some(certificate))
}

/// Whether a name is one at which the room's pages are: people's own, the certificate's, and that of homes, who may come
/// through the gateway to this door.
pub(super) fn own_names(config: &Config, certificate: Option<Arc<Certificate>>) -> web::serve::Own {
    let home = config.home.url.as_ref().and_then(|url| url.parse::<Uri>().ok()?.host().map(str::to_owned));
    let names: Vec<String> = config.https.name.iter().cloned().chain(home).collect();
    Arc::new(move |name| certificate.as_ref().is_none_or(|certificate| tls::is_own(name, certificate, &names)))
}

/// The address of the pages as people reach them, without a path.
pub(super) fn base_url(config: &Config, name: Option<&str>) -> String {
    if let Some(address) = config.https.listen.first() {
        let port = address.port().unwrap_or(443);
        let name = config.https.name.as_deref().or(name).unwrap_or("localhost");
        return if port == 443 { format!("https://{name}") } else { format!("https://{name}:{port}") };
    }
    match config.http.listen.first() {
        Some(Listen::Address(address)) => format!("http://{address}"),
        _ => "http://localhost".into(),
    }
}

/// The port that refused hosts lead to.
pub(super) fn portal_port(config: &Config) -> u16 {
    config.policy.portal.iter().map(|listen| listen.port().unwrap_or(80)).min().unwrap_or(80)
}

/// Where a media socket comes from.
pub(super) fn door<S>(
    listen: &Listen,
    take: impl FnOnce(&str) -> Result<S, systemd::SocketError>,
) -> Result<media::Door<S>, systemd::SocketError> {
    match listen {
        Listen::Address(address) => Ok((*address).into()),
        Listen::Systemd(name) => take(name).map(media::Door::Open),
    }
}

/// Starts all listeners and gives the port that tablets come to.
pub(super) fn listen(
    config: &Config,
    mut sockets: systemd::Sockets,
    (router, portal, at_home): (&Router, &Router, &Router),
    (certificate, own): (Option<Arc<rustls::ServerConfig>>, web::serve::Own),
    (handle, base, doors): (&Handle<SocketAddr>, &str, &web::doors::Doors),
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<u16> {
    // What refused hosts lead to must not take the pages' places.
    let hall = web::doors::Doors::default();
    let mut port = 0;
    for address in &config.http.listen {
        let listener = sockets.listen(address)?;
        let at = listener.local_addr()?;
        plain_allowed(at).map_err(|reason| anyhow::anyhow!("[http] listen: {reason}"))?;
        port = at.port();
        let served = web::serve::plain(listener, router.clone(), doors.clone(), handle.clone());
        tasks.spawn(async move { ended(served.await) });
    }
    for address in &config.policy.portal {
        let listener = sockets.listen(address).context("[policy] portal")?;
        let served = web::serve::portal(listener, portal.clone(), hall.clone(), handle.clone());
        tasks.spawn(async move { ended(served.await) });
    }
    for address in &config.https.listen {
        let certificate = certificate.clone().context("[https] listen needs a certificate")?;
        let listener = sockets.listen(address)?;
        port = listener.local_addr()?.port();
        let served =
            web::serve::tls(listener, (certificate, own.clone()), router.clone(), doors.clone(), handle.clone());
        tasks.spawn(async move { ended(served.await) });
    }
    for address in &config.home.listen {
        let certificate = certificate.clone().context("[home] listen needs a certificate")?;
        let listener = sockets.listen(address).context("[home] listen")?;
        home_allowed(listener.local_addr()?).map_err(|reason| anyhow::anyhow!("[home] listen: {reason}"))?;
        let served = web::homes::serve(listener, certificate, at_home.clone(), handle.clone());
        tasks.spawn(async move { ended(served.await) });
    }
    for address in &config.https.redirect {
        let sent_on = web::serve::redirect(sockets.listen(address)?, base.to_owned(), hall.clone(), handle.clone());
        tasks.spawn(async move { ended(sent_on.await) });
    }
    Ok(port)
}

pub(super) fn ended(result: std::io::Result<()>) {
    if let Err(error) = result {
        tracing::error!(%error, "a listener ended");
    }
}
