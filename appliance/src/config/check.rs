//! Whether the values fit each other, and where relative paths begin.

use std::path::Path;

use appliance_core::usage::xapi;

use super::{Config, Listen, Upstream, home_allowed, plain_allowed};

impl Config {
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let length = self.room.name.trim().chars().count();
        if !(1..=40).contains(&length) || self.room.name.chars().any(char::is_control) {
            return Err(("[room] name", "give the room a name of 1 to 40 characters".into()));
        }
        for listen in &self.http.listen {
            if let Listen::Address(address) = listen {
                plain_allowed(*address).map_err(|reason| ("[http] listen", reason))?;
            }
        }
        if self.http.listen.is_empty() && self.https.listen.is_empty() {
            return Err(("[https] listen", "the box listens nowhere; name an address here or under [http]".into()));
        }
        if let Some(name) = &self.https.name
            && (name.is_empty() || name.contains(['/', '@']) || name.chars().any(char::is_whitespace))
        {
            let reason = format!("\"{name}\" is no name of a host; write it alone, e.g. \"room501.school.example\"");
            return Err(("[https] name", reason));
        }
        let mend = "HTTPS needs a certificate and its key; name both files, or leave [https] listen empty";
        if !self.https.listen.is_empty() {
            self.https.certificate.as_ref().ok_or(("[https] certificate", mend.to_owned()))?;
            self.https.key.as_ref().ok_or(("[https] key", mend.to_owned()))?;
        }
        for listen in &self.home.listen {
            if let Listen::Address(address) = listen {
                home_allowed(*address).map_err(|reason| ("[home] listen", reason))?;
            }
            if self.https.certificate.is_none() || self.https.key.is_none() {
                let mend = "homes come by TLS; name [https] certificate and key, or leave [home] listen empty";
                return Err(("[home] listen", mend.into()));
            }
        }
        if let Some(bad) = self.media.addresses.iter().find(|ip| ip.is_unspecified() || ip.is_multicast()) {
            let reason =
                format!("{bad} is no address that a client can reach; leave the list empty to have it learned");
            return Err(("[media] addresses", reason));
        }
        if let Some(url) = &self.home.url
            && (!url.starts_with("https://") || url.ends_with('/') || url.chars().any(char::is_whitespace))
        {
            let reason =
                format!("\"{url}\" is no address for a link; write e.g. \"https://room501.live.school.example\"");
            return Err(("[home] url", reason));
        }
        let relay = |text: &String| {
            let rest = ["turns:", "turn:", "stun:"].iter().find_map(|scheme| text.strip_prefix(scheme));
            rest.is_some_and(|rest| {
                !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() && !b"<>,;\"".contains(&b))
            })
        };
        if let Some(bad) = self.home.relays.iter().find(|text| !relay(text)) {
            let reason = format!("\"{bad}\" is no relay; write e.g. \"turn:gw.school.example:3478?transport=udp\"");
            return Err(("[home] relays", reason));
        }
        if self.home.secret_file.is_none() && self.home.relays.iter().any(|text| text.starts_with("turn")) {
            return Err(("[home] secret_file", "a relay takes nobody without its secret; name the file".into()));
        }
        if self.home.stun.as_ref().is_some_and(|stun| {
            stun.rsplit_once(':').is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err())
        }) {
            return Err(("[home] stun", "write host and port, e.g. \"gw.school.example:3478\"".into()));
        }
        self.figures.parameters().check().map_err(|(field, reason)| ("[figures]", format!("{field}: {reason}")))?;
        if self.library.upload_mb > self.library.most_mb {
            return Err(("[library] upload_mb", "an upload must fit into the library; write at most most_mb".into()));
        }
        if self.resolver.listen.is_empty() {
            return Err((
                "[resolver] listen",
                "the resolver listens nowhere; name an address, e.g. \"0.0.0.0:53\"".into(),
            ));
        }
        if let Some(bad) =
            self.resolver.upstream.iter().find(|server| server.ip().is_unspecified() || server.port() == 0)
        {
            return Err(("[resolver] upstream", format!("{bad} is no name server; write e.g. \"10.1.0.1:53\"")));
        }
        if let Some(bad) = self.uplink.probe.iter().find(|text| {
            text.rsplit_once(':').is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err())
        }) {
            return Err(("[uplink] probe", format!("\"{bad}\" is no host with its port; write e.g. \"10.0.0.53:53\"")));
        }
        let at_home = |address: &&String| {
            let port = address.rsplit_once(':').and_then(|(name, port)| Some((name, port.parse::<u16>().ok()?)));
            port.is_none_or(|(name, port)| name.is_empty() || port == 0 || name.contains(['/', ' ']))
        };
        if let Some(bad) = self.agents.home_addresses.iter().find(at_home) {
            let reason = format!("\"{bad}\" is no name with a port; write e.g. \"room501.school.example:8442\"");
            return Err(("[agents] home_addresses", reason));
        }
        if self.limits.students.get() > 99 {
            return Err(("[limits] students", "a class has seats 1 to 99; write at most 99".into()));
        }
        self.check_upstream()
    }

    fn check_upstream(&self) -> Result<(), (&'static str, String)> {
        let Upstream { lrs, home_page, night_from, night_to, .. } = &self.upstream;
        if *night_from > 23 || *night_to > 23 || night_from == night_to {
            return Err(("[upstream] night_from", "write two different hours, 0 to 23".into()));
        }
        if let Some(address) = lrs {
            let safe = address.starts_with("https://")
                || ["http://127.0.0.1", "http://[::1]", "http://localhost"].iter().any(|here| {
                    // A port or a path may follow, but not more of a name.
                    address.strip_prefix(here).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
                });
            if !safe || address.contains(['?', '#', '@', ' ']) {
                let mend = "write https:// and the host, without a password; plain http:// is for this machine only";
                return Err(("[upstream] lrs", mend.into()));
            }
            let mend = "statements name the school by an IRI, e.g. \"https://www.school.example/{semester}\"";
            let home = home_page.as_deref().ok_or(("[upstream] home_page", mend.to_owned()))?;
            if !xapi::is_iri(&home.replace("{semester}", "115-1")) {
                return Err(("[upstream] home_page", mend.into()));
            }
        }
        Ok(())
    }

    pub(super) fn resolve(&mut self, folder: &Path) {
        let https = [&mut self.https.certificate, &mut self.https.key];
        let Upstream { credentials_file, ca_file, vocabulary_file, .. } = &mut self.upstream;
        let others =
            [&mut self.metrics.bearer_file, &mut self.home.secret_file, credentials_file, ca_file, vocabulary_file];
        for path in https.into_iter().chain(others).flatten() {
            *path = folder.join(&*path);
        }
        if let Some(path) = &mut self.policy.from {
            *path = folder.join(&*path);
        }
        self.store.path = folder.join(&self.store.path);
        if let Some(path) = &mut self.library.path {
            *path = folder.join(&*path);
        }
    }
}
