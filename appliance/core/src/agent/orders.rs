//! The rules as the box gives them to one device, and which of them the device takes.

use std::fmt;

use classroom_protocol::{
    Millis,
    policy::{Consent, DeviceState, Document, Permit},
};
use serde::{Deserialize, Serialize};

use crate::policy::{Policy, Window};

/// What applies to one device. Signed by the box, kept by the device, decided with offline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Orders {
    /// Form of the orders; this program knows 1.
    pub schema: u32,
    /// Grows with every change; older ones are refused, so that nobody goes back to a time with more freedom.
    pub version: u64,
    /// When they were signed, on the box's clock.
    pub issued_at: Millis,
    /// The device's opaque code (R-POL-1): orders of another device are refused.
    pub device: String,
    /// What the register says of the device.
    pub state: DeviceState,
    /// Student and guardian have signed; none when the school does not keep this here.
    #[serde(default)]
    pub consent: Option<Consent>,
    /// The hours that the guardian allows at home (R-POL-12). They only tighten.
    #[serde(default)]
    pub guardian: Vec<Window>,
    /// What the school has agreed to for this device (R-POL-11).
    #[serde(default)]
    pub exceptions: Vec<Permit>,
    /// Programs that are not approved are ended. Otherwise the student is only told (R-POL-3).
    #[serde(default)]
    pub end_programs: bool,
    /// Where the box is reached from the internet (`name:port`), if at all.
    #[serde(default)]
    pub home_addresses: Vec<String>,
    /// The box's own names: they open at any hour (R-POL-1). A box without any leaves the field out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own_names: Vec<String>,
    /// The school's rules.
    pub document: Document,
}

impl Orders {
    /// The form that this program knows.
    pub const SCHEMA: u32 = 1;
}

/// Why orders are not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// They are in no form that this program knows.
    Form(String),
    /// They are another device's.
    OtherDevice,
    /// They are older than what the device has had: version, and the newest so far.
    Older(u64, u64),
    /// The rules contradict themselves.
    Contradiction(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(reason) => write!(f, "orders that can't be read: {reason}"),
            Self::OtherDevice => f.write_str("orders of another device"),
            Self::Older(version, newest) => {
                write!(f, "orders {version} are older than {newest}, which this device had")
            }
            Self::Contradiction(found) => write!(f, "rules that contradict themselves: {found}"),
        }
    }
}

impl std::error::Error for Refused {}

/// Takes orders whose signature was found good, for the device `device` that has had orders up to `newest`.
///
/// # Errors
/// [`Refused`]; the device goes on with what it has.
pub fn accept(text: &str, device: &str, newest: u64) -> Result<(Orders, Policy), Refused> {
    let orders: Orders = serde_json::from_str(text).map_err(|error| Refused::Form(error.to_string()))?;
    if orders.schema != Orders::SCHEMA {
        return Err(Refused::Form(format!("form {} is not known here", orders.schema)));
    }
    if orders.device != device {
        return Err(Refused::OtherDevice);
    }
    if orders.version < newest {
        return Err(Refused::Older(orders.version, newest));
    }
    ready(orders)
}

/// What applies while no orders can be read: the document that comes with the program, for a device of which nothing is
/// known. Whatever a guardian or the school has tightened is forgotten with the orders, so nothing opens until the box
/// brings them again (R-POL-2, -12); the page and the report of R-POL-19 go on.
///
/// # Errors
/// When the document that comes with the program can't be used.
pub fn unreadable(device: &str) -> Result<(Orders, Policy), Refused> {
    let document = Document::standard().map_err(|error| Refused::Form(error.to_string()))?;
    let orders = Orders {
        schema: Orders::SCHEMA,
        version: 0,
        issued_at: 0,
        device: device.to_owned(),
        state: DeviceState::Unknown,
        consent: None,
        guardian: vec![],
        exceptions: vec![],
        end_programs: false,
        home_addresses: vec![],
        own_names: vec![],
        document,
    };
    ready(orders)
}

/// Orders with their rules made ready for deciding.
fn ready(orders: Orders) -> Result<(Orders, Policy), Refused> {
    match Policy::new(orders.document.clone()) {
        Ok(policy) => {
            let policy = policy.with_own(orders.own_names.iter().map(String::as_str));
            Ok((orders, policy))
        }
        Err(found) => Err(Refused::Contradiction(found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn orders(version: u64) -> Orders {
        Orders {
            schema: Orders::SCHEMA,
            version,
            issued_at: 5,
            device: "K7Q".into(),
            state: DeviceState::Lent,
            consent: Some(Consent::Given),
            guardian: vec![],
            exceptions: vec![],
            end_programs: false,
            home_addresses: vec![],
            own_names: vec![],
            document: Document::standard().unwrap(),
        }
    }

    #[test]
    fn what_is_older_anothers_or_contradictory_is_refused() {
        let text = |orders: &Orders| serde_json::to_string(orders).unwrap();
        let (taken, _) = accept(&text(&orders(7)), "K7Q", 7).unwrap();
        assert_eq!(taken, orders(7));
        assert_eq!(accept(&text(&orders(6)), "K7Q", 7).unwrap_err(), Refused::Older(6, 7));
        assert_eq!(accept(&text(&orders(7)), "K7R", 0).unwrap_err(), Refused::OtherDevice);
        let other = Orders { schema: 2, ..orders(7) };
        assert!(matches!(accept(&text(&other), "K7Q", 0), Err(Refused::Form(_))));
        assert!(matches!(accept("{}", "K7Q", 0), Err(Refused::Form(_))));
        let more = text(&orders(7)).replacen("\"schema\"", "\"extra\":1,\"schema\"", 1);
        assert!(matches!(accept(&more, "K7Q", 0), Err(Refused::Form(_))), "an unknown key");
        let mut twice = orders(7);
        twice.document.rules.push(twice.document.rules[0].clone());
        assert!(matches!(accept(&text(&twice), "K7Q", 0), Err(Refused::Contradiction(_))), "two rules of one id");
    }

    #[test]
    fn the_box_opens_at_home_at_any_hour_and_nothing_else_with_it() {
        // Monday 2026-11-23, 22:00 in Taipei.
        const LATE: Millis = 1_795_442_400_000;
        let given = Orders {
            guardian: vec![Window { days: (1..=7).collect(), from: 19 * 60, to: 21 * 60 }],
            own_names: vec!["Room501.School.example.".into()],
            ..orders(7)
        };
        let text = serde_json::to_string(&given).unwrap();
        let (taken, policy) = accept(&text, "K7Q", 0).unwrap();
        let here = super::super::Situation::unknown();
        let rule = |name: &str| {
            let decision = here.host(&policy, &taken, name, LATE).unwrap();
            (decision.allow, decision.rule.to_string())
        };
        assert_eq!(rule("room501.school.example"), (true, "R-POL-1".into()));
        assert_eq!(rule("x.room501.school.example"), (false, "R-POL-12".into()), "the name itself only");
        assert_eq!(rule("adl.edu.tw"), (false, "R-POL-12".into()));
    }

    #[test]
    fn a_box_without_names_writes_what_earlier_programs_read() {
        let text = serde_json::to_string(&orders(7)).unwrap();
        assert!(!text.contains("own_names"), "an unknown key is refused");
        assert!(accept(&text, "K7Q", 7).unwrap().0.own_names.is_empty());
    }

    #[test]
    fn without_orders_nothing_opens_whatever_applied_before() {
        let (orders, policy) = unreadable("K7Q").unwrap();
        let here = super::super::Situation::unknown();
        for name in ["adl.edu.tw", "www.roblox.com", "example.com"] {
            let decision = here.host(&policy, &orders, name, 1_790_000_000_000).unwrap();
            assert!(!decision.allow && decision.rule.to_string() == "R-POL-2", "{name}: {decision:?}");
        }
    }
}
