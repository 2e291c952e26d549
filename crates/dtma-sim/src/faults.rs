//! The misbehaviours that are in force at one toolbox.

use std::time::Duration;

use jiff::SignedDuration;

use crate::agent::RouteKey;
use crate::config::offset_hours;
use crate::misbehaviour::{Misbehaviour, Order, Scope};

/// What is in force. Each kind of thing that can go wrong has a slot; an order fills its own and leaves the others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    slow: Option<Armed>,
    answer: Option<Armed>,
    docker_down: bool,
    no_token: bool,
    clock_offset: Option<f64>,
    silent: bool,
}

#[derive(Clone, Debug)]
struct Armed {
    order: Order,
    seen: u64,
}

impl Armed {
    fn takes(&self, route: RouteKey) -> bool {
        match self.order.scope {
            Scope::All => true,
            Scope::Reads => !route.is_command(),
            Scope::Commands => route.is_command(),
        }
    }
}

/// What one request meets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Meets {
    /// A wait, and whether the state is read before it.
    pub(crate) wait: Option<(Duration, bool)>,
    /// A misbehaviour in place of the plain answer.
    pub(crate) answer: Option<Misbehaviour>,
}

impl Faults {
    pub(crate) fn set(&mut self, order: Order) {
        match order.what {
            Misbehaviour::DockerUnavailable => self.docker_down = true,
            Misbehaviour::NoToken => self.no_token = true,
            Misbehaviour::ClockOffset { hours } => self.clock_offset = Some(hours),
            Misbehaviour::Silent => self.silent = true,
            Misbehaviour::Slow { .. } => self.slow = Some(Armed { order, seen: 0 }),
            _ => self.answer = Some(Armed { order, seen: 0 }),
        }
    }

    /// Ends the misbehaviour of this kind, if it is in force.
    pub(crate) fn clear_kind(&mut self, kind: &str) {
        match kind {
            "docker_unavailable" => self.docker_down = false,
            "no_token" => self.no_token = false,
            "clock_offset" => self.clock_offset = None,
            "silent" => self.silent = false,
            "slow" => self.slow = None,
            _ => self.answer = self.answer.take().filter(|armed| armed.order.what.kind() != kind),
        }
    }

    /// Counts a request in and says what it meets.
    pub(crate) fn meet(&mut self, route: RouteKey) -> Meets {
        let wait = match draw(&mut self.slow, route) {
            Some((Misbehaviour::Slow { delay, stale }, _)) => Some((delay, stale)),
            _ => None,
        };
        let answer = match draw(&mut self.answer, route) {
            Some((Misbehaviour::Flapping { bad }, turn)) => turn.is_multiple_of(2).then_some(*bad),
            other => other.map(|(what, _)| what),
        };
        Meets { wait, answer }
    }

    pub(crate) fn docker_down(&self) -> bool {
        self.docker_down
    }

    pub(crate) fn no_token(&self) -> bool {
        self.no_token
    }

    pub(crate) fn silent(&self) -> bool {
        self.silent
    }

    /// The clock offset that overrides the fleet's.
    pub(crate) fn clock_offset(&self) -> Option<SignedDuration> {
        self.clock_offset.and_then(offset_hours)
    }

    /// Everything that is in force, as orders.
    pub(crate) fn orders(&self) -> Vec<Order> {
        let plain = [
            self.docker_down.then_some(Misbehaviour::DockerUnavailable),
            self.no_token.then_some(Misbehaviour::NoToken),
            self.clock_offset.map(|hours| Misbehaviour::ClockOffset { hours }),
            self.silent.then_some(Misbehaviour::Silent),
        ];
        let armed = [&self.slow, &self.answer];
        let armed = armed.into_iter().flatten().map(|armed| armed.order.clone());
        armed
            .chain(plain.into_iter().flatten().map(Order::from))
            .collect()
    }
}

/// The misbehaviour in `slot` if it touches this request, with how many it touched before; ends it after its last.
fn draw(slot: &mut Option<Armed>, route: RouteKey) -> Option<(Misbehaviour, u64)> {
    let armed = slot.as_mut().filter(|armed| armed.takes(route))?;
    let drawn = (armed.order.what.clone(), armed.seen);
    armed.seen += 1;
    if let Some(left) = &mut armed.order.times {
        *left = left.saturating_sub(1);
        if *left == 0 {
            *slot = None;
        }
    }
    Some(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(faults: &mut Faults, route: RouteKey, count: usize) -> Vec<Option<&'static str>> {
        (0..count)
            .map(|_| faults.meet(route).answer.map(|what| what.kind()))
            .collect()
    }

    #[test]
    fn flapping_alternates_beginning_badly() {
        let mut faults = Faults::default();
        faults.set(
            Misbehaviour::Flapping {
                bad: Box::new(Misbehaviour::Html),
            }
            .into(),
        );
        let seen = answers(&mut faults, RouteKey::Status, 4);
        assert_eq!(seen, [Some("html"), None, Some("html"), None]);
    }

    #[test]
    fn times_and_scope_limit_it() {
        let mut faults = Faults::default();
        faults.set(Order::from(Misbehaviour::Hang).on(Scope::Reads).times(2));
        assert_eq!(answers(&mut faults, RouteKey::Start, 1), [None]);
        assert_eq!(
            answers(&mut faults, RouteKey::Status, 3),
            [Some("hang"), Some("hang"), None]
        );
        assert!(faults.orders().is_empty());
    }

    #[test]
    fn slots_add_up_and_clear_one_by_one() {
        let mut faults = Faults::default();
        faults.set(
            Misbehaviour::Slow {
                delay: Duration::from_millis(5),
                stale: false,
            }
            .into(),
        );
        faults.set(Misbehaviour::Html.into());
        faults.set(Misbehaviour::Refuse.into());
        faults.set(Misbehaviour::Silent.into());
        faults.set(Misbehaviour::ClockOffset { hours: 2.0 }.into());
        let kinds: Vec<_> = faults.orders().iter().map(|order| order.what.kind()).collect();
        assert_eq!(kinds, ["slow", "refuse", "clock_offset", "silent"]);
        let meets = faults.meet(RouteKey::Status);
        assert_eq!(meets.wait, Some((Duration::from_millis(5), false)));
        assert_eq!(meets.answer, Some(Misbehaviour::Refuse));
        faults.clear_kind("html");
        faults.clear_kind("silent");
        assert!(faults.meet(RouteKey::Status).answer.is_some() && !faults.silent());
        faults.clear_kind("refuse");
        assert_eq!(faults.meet(RouteKey::Status).answer, None);
        assert_eq!(faults.clock_offset(), Some(SignedDuration::from_hours(2)));
    }
}
