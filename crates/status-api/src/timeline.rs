//! From changes to what is drawn of them: bands, uptime, counts at points. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use store::timeline::{FleetRow, Labels};
use wire::api::{Band, HealthLabel, StateLabel};

/// Most bands of a timeline: more than a screen has columns to draw them in.
pub(crate) const BANDS: usize = 1_000;

/// What a server was told to be from some time on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) at: Timestamp,
    /// `None`: nothing any more.
    pub(crate) after: Option<Shown>,
    /// What it was before, where the change tells.
    pub(crate) before: Option<Shown>,
}

/// What is shown of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) state: StateLabel,
    pub(crate) health: HealthLabel,
    pub(crate) code: Option<String>,
}

impl Shown {
    /// Of the labels of a row. One that a later version wrote says as much as `unknown` to this one.
    pub(crate) fn read(labels: Labels) -> Self {
        Self {
            state: labels.state.parse().unwrap_or(StateLabel::Unknown),
            health: labels.health.parse().unwrap_or(HealthLabel::Unknown),
            code: labels.code,
        }
    }
}

/// What a server was, from `from` to `to`.
#[derive(Debug, PartialEq)]
pub(crate) struct Course {
    pub(crate) bands: Vec<Band>,
    pub(crate) seconds: BTreeMap<String, u64>,
    pub(crate) uptime: Option<f64>,
}

/// Draws the course of a server through `moments`, oldest first; those before `from` tell how it began.
pub(crate) fn course(moments: Vec<Moment>, from: Timestamp, to: Timestamp) -> Course {
    let bands = bands(moments, from, to);
    let mut spent: BTreeMap<StateLabel, SignedDuration> = BTreeMap::new();
    let (mut up, mut down) = (SignedDuration::ZERO, SignedDuration::ZERO);
    for band in &bands {
        let Some(state) = band.state else { continue };
        let length = length(band);
        *spent.entry(state).or_default() += length;
        match state {
            StateLabel::Running => up += length,
            StateLabel::Error => down += length,
            StateLabel::Stopped if band.code.is_some() => down += length,
            _ => {}
        }
    }
    let counts = up + down;
    Course {
        uptime: (counts > SignedDuration::ZERO).then(|| up.as_secs_f64() / counts.as_secs_f64()),
        seconds: spent
            .into_iter()
            .map(|(state, spent)| (state.to_string(), u64::try_from(spent.as_secs()).unwrap_or(0)))
            .collect(),
        bands: if bands.len() > BANDS {
            coarse(&bands, from, to)
        } else {
            bands
        },
    }
}

fn length(band: &Band) -> SignedDuration {
    band.to.duration_since(band.from)
}

/// All bands: without a gap, none of them empty, no two neighbours alike.
fn bands(moments: Vec<Moment>, from: Timestamp, to: Timestamp) -> Vec<Band> {
    let mut bands = Vec::new();
    let mut began = from;
    let mut shown = moments.first().and_then(|first| first.before.clone());
    for moment in moments {
        // Clocks of replicas differ a little: nothing is later than now, or earlier than what came before it.
        let at = moment.at.clamp(began, to);
        push(&mut bands, began, at, shown);
        (began, shown) = (at, moment.after);
    }
    push(&mut bands, began, to, shown);
    bands
}

fn push(bands: &mut Vec<Band>, from: Timestamp, to: Timestamp, shown: Option<Shown>) {
    if from >= to {
        return;
    }
    let (state, health, code) = match shown {
        Some(shown) => (Some(shown.state), Some(shown.health), shown.code),
        None => (None, None, None),
    };
    match bands.last_mut() {
        Some(last) if (last.state, last.health) == (state, health) && last.code == code => last.to = to,
        _ => bands.push(Band {
            from,
            to,
            state,
            health,
            code,
        }),
    }
}

/// The same in [`BANDS`] equal parts, each as grave as the gravest in it.
fn coarse(bands: &[Band], from: Timestamp, to: Timestamp) -> Vec<Band> {
    let whole = to.duration_since(from).as_nanos();
    let parts = BANDS as i128;
    let edge = |part: i128| {
        let since = SignedDuration::from_nanos_i128(whole * part / parts);
        from.checked_add(since).unwrap_or(to)
    };
    let mut drawn = Vec::new();
    let mut next = 0;
    for part in 0..parts {
        let (begins, ends) = (edge(part), edge(part + 1));
        let rest = &bands[next..];
        let within = rest.iter().take_while(|band| band.from < ends);
        let Some(gravest) = within.clone().max_by_key(|band| gravity(band)) else {
            break;
        };
        let shown = gravest.state.zip(gravest.health).map(|(state, health)| Shown {
            state,
            health,
            code: gravest.code.clone(),
        });
        push(&mut drawn, begins, ends, shown);
        next += within.filter(|band| band.to <= ends).count();
    }
    drawn
}

/// How much it matters that somebody sees a band.
fn gravity(band: &Band) -> u8 {
    match (band.state, band.health) {
        (Some(StateLabel::Error), _) => 8,
        (_, Some(HealthLabel::Unhealthy)) => 7,
        (Some(StateLabel::Stopped), _) if band.code.is_some() => 6,
        (Some(StateLabel::Unknown), _) => 5,
        (_, Some(HealthLabel::Degraded)) => 4,
        (Some(StateLabel::Starting | StateLabel::Stopping), _) => 3,
        (Some(StateLabel::Stopped), _) => 2,
        (Some(StateLabel::Running), _) => 1,
        (None, _) => 0,
    }
}

/// How many servers were in each state at the end of each of `points` steps, oldest first: walked back from how many are
/// now.
pub(crate) fn counts(rows: &[FleetRow], points: usize) -> BTreeMap<String, Vec<u64>> {
    let mut states: BTreeMap<String, Vec<i64>> = domain::McpState::ALL
        .iter()
        .map(|state| (state.as_str().to_owned(), vec![0; points]))
        .collect();
    let mut now: BTreeMap<&str, i64> = BTreeMap::new();
    for row in rows {
        match row.step {
            None => *now.entry(&row.state).or_default() += row.servers,
            // How many more there were after a step than before it.
            Some(step) => {
                let steps = states.entry(row.state.clone()).or_insert_with(|| vec![0; points]);
                if let Some(more) = steps.get_mut(step as usize) {
                    *more += row.servers;
                }
            }
        }
    }
    let walk = |(state, steps): (String, Vec<i64>)| {
        let mut servers = now.get(state.as_str()).copied().unwrap_or(0);
        let mut walked: Vec<u64> = steps
            .iter()
            .rev()
            .map(|more| {
                let at_end = servers;
                servers -= more;
                // History that retention has cut short does not add up.
                u64::try_from(at_end).unwrap_or(0)
            })
            .collect();
        walked.reverse();
        (state, walked)
    };
    states.into_iter().map(walk).collect()
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
