//! What the agent must know of the machine it runs on.

mod linux;
mod session;

use appliance_core::agent::Program;
use classroom_protocol::{Millis, policy::Link};

pub(crate) use linux::Linux;

/// A machine.
pub(crate) trait Platform: Send {
    /// The programs that run now.
    fn programs(&self) -> Vec<Program>;

    /// How long nobody has touched the device, in milliseconds; `None` when the machine can't say. Then
    /// questions for names of platforms are the only sign of use.
    fn idle(&mut self) -> Option<Millis>;

    /// How the device reaches the network.
    fn link(&self) -> Option<Link>;

    /// Asks a program to end. False when it is gone already or may not be ended.
    fn end(&self, program: &Program) -> bool;
}
