//! What the resolver tells the hub, without the resolver: lines for the record of network access.

use std::os::unix::net::UnixDatagram;

use anyhow::Result;
use classroom_protocol::{
    Millis,
    policy::{Changer, Decision, Notice, Reason, RuleId},
};

use crate::hub::Hub;

/// Tells the hub that hosts were refused, each with its moment. It keeps them soon.
pub fn refuse(hub: &Hub, asked: impl IntoIterator<Item = (Millis, String)>) -> Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(hub.home().join("data/policy/notices.sock"))?;
    for (at, name) in asked {
        let decision = Decision {
            allow: false,
            rule: RuleId::new(3),
            reason: Reason::Games,
            changer: Changer::Teacher,
            until: None,
            record: true,
            alert: None,
        };
        let notice = Notice { at, address: [10, 1, 2, 3].into(), name, decision, lost: 0, noted: None };
        socket.send(&serde_json::to_vec(&notice)?)?;
    }
    Ok(())
}
