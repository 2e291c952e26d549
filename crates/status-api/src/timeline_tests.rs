use super::*;

const FROM: Timestamp = Timestamp::UNIX_EPOCH;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn shown(state: &str, health: &str, code: &str) -> Option<Shown> {
    Some(Shown {
        state: state.parse().unwrap(),
        health: health.parse().unwrap(),
        code: (!code.is_empty()).then(|| code.to_owned()),
    })
}

fn running() -> Option<Shown> {
    shown("running", "healthy", "")
}

fn moment(seconds: i64, after: Option<Shown>) -> Moment {
    Moment {
        at: at(seconds),
        after,
        before: None,
    }
}

/// Bands as `from-to state/health/code`.
fn told(course: &Course) -> Vec<String> {
    let told = |band: &Band| {
        let state = band.state.map_or("-", StateLabel::as_str);
        let code = band.code.as_deref().unwrap_or("");
        format!("{}-{} {state} {code}", band.from.as_second(), band.to.as_second())
            .trim_end()
            .to_owned()
    };
    course.bands.iter().map(told).collect()
}

fn gapless(course: &Course, from: Timestamp, to: Timestamp) {
    assert_eq!(course.bands.first().unwrap().from, from);
    assert_eq!(course.bands.last().unwrap().to, to);
    for pair in course.bands.windows(2) {
        assert_eq!(pair[0].to, pair[1].from);
        let what = |band: &Band| (band.state, band.health, band.code.clone());
        assert_ne!(what(&pair[0]), what(&pair[1]), "neighbours are not alike");
    }
}

#[test]
fn the_change_before_the_beginning_counts_and_what_is_not_known_has_no_state() {
    let to = at(100);
    let after = course(
        vec![
            moment(-50, running()),
            moment(60, shown("stopped", "unknown", "")),
        ],
        FROM,
        to,
    );
    assert_eq!(told(&after), ["0-60 running", "60-100 stopped"]);
    let from_nothing = course(vec![moment(40, running())], FROM, to);
    assert_eq!(told(&from_nothing), ["0-40 -", "40-100 running"]);
    assert_eq!(from_nothing.seconds, BTreeMap::from([("running".to_owned(), 60)]));
    assert_eq!(
        from_nothing.uptime,
        Some(1.0),
        "what is unobserved counts neither way"
    );
    let nothing = course(Vec::new(), FROM, to);
    assert_eq!(
        (told(&nothing), nothing.uptime),
        (vec!["0-100 -".to_owned()], None)
    );
    // The history begins with this one, and it tells what was before.
    let cut = Moment {
        before: running(),
        ..moment(40, shown("error", "unhealthy", "exit_code"))
    };
    assert_eq!(
        told(&course(vec![cut], FROM, to)),
        ["0-40 running", "40-100 error exit_code"]
    );
}

#[test]
fn deletion_is_a_gap_and_equal_neighbours_are_one() {
    let moments = vec![
        moment(10, running()),
        moment(20, running()),
        moment(30, None),
        moment(50, shown("starting", "unknown", "")),
    ];
    assert_eq!(
        told(&course(moments, FROM, at(100))),
        ["0-10 -", "10-30 running", "30-50 -", "50-100 starting"]
    );
}

#[test]
fn clocks_that_differ_make_no_band_backwards_or_beyond_now() {
    let moments = vec![
        moment(10, running()),
        moment(60, shown("error", "unhealthy", "exit_code")),
        moment(55, running()),
        moment(130, shown("stopped", "unknown", "")),
    ];
    let course = course(moments, FROM, at(100));
    assert_eq!(told(&course), ["0-10 -", "10-100 running"]);
    gapless(&course, FROM, at(100));
}

#[test]
fn uptime_counts_what_should_have_run() {
    let to = at(1_000);
    let uptime = |moments: &[(i64, Option<Shown>)]| {
        let moments = moments
            .iter()
            .map(|(at, after)| moment(*at, after.clone()))
            .collect();
        course(moments, FROM, to).uptime
    };
    let error = || shown("error", "unhealthy", "exit_code");
    assert_eq!(uptime(&[(0, running()), (750, error())]), Some(0.75));
    assert_eq!(
        uptime(&[(0, running()), (750, shown("stopped", "unknown", "oom_killed"))]),
        Some(0.75)
    );
    for neither in [
        shown("stopped", "unknown", ""),
        shown("unknown", "unknown", "agent_unreachable"),
        shown("starting", "unknown", ""),
        shown("stopping", "unknown", ""),
        None,
    ] {
        assert_eq!(
            uptime(&[(0, running()), (250, neither.clone()), (500, error())]),
            Some(1.0 / 3.0),
            "{neither:?}"
        );
        assert_eq!(uptime(&[(0, neither)]), None);
    }
    assert_eq!(
        uptime(&[(0, shown("running", "unhealthy", "health_check_failing"))]),
        Some(1.0)
    );
}

#[test]
fn of_too_many_bands_the_gravest_are_seen_and_the_sums_stay_exact() {
    // Running, with an error of a second in every ten, and once out of memory.
    let day = 86_400;
    let mut moments = Vec::new();
    for second in (0..day).step_by(10) {
        moments.push(moment(second, running()));
        let code = if second == 43_200 {
            "oom_killed"
        } else {
            "exit_code"
        };
        moments.push(moment(second + 9, shown("error", "unhealthy", code)));
    }
    let course = course(moments, FROM, at(day));
    gapless(&course, FROM, at(day));
    assert!(course.bands.len() <= BANDS, "{}", course.bands.len());
    assert!(
        course
            .bands
            .iter()
            .all(|band| band.state == Some(StateLabel::Error))
    );
    assert_eq!(course.seconds["running"], 77_760);
    assert_eq!(course.seconds["error"], 8_640);
    assert_eq!(course.uptime, Some(0.9));
}

#[test]
fn one_short_error_among_many_harmless_changes_is_seen() {
    let day = 86_400;
    let mut moments: Vec<_> = (0..day)
        .step_by(20)
        .map(|second| {
            let state = if second % 40 == 0 { "stopping" } else { "stopped" };
            moment(second, shown(state, "unknown", ""))
        })
        .collect();
    moments.push(moment(day - 15, shown("error", "unhealthy", "exit_code")));
    moments.push(moment(day - 14, shown("stopped", "unknown", "")));
    let course = course(moments, FROM, at(day));
    gapless(&course, FROM, at(day));
    assert!(course.bands.len() <= BANDS);
    let last = course.bands.last().unwrap();
    assert_eq!(
        (last.state, last.code.as_deref()),
        (Some(StateLabel::Error), Some("exit_code"))
    );
    assert_eq!(course.bands.len(), 2, "{:?}", told(&course));
}

#[test]
fn counts_are_walked_back_from_now() {
    let row = |step, state: &str, servers| FleetRow {
        step,
        state: state.to_owned(),
        servers,
    };
    let rows = [
        row(None, "running", 7),
        row(None, "error", 1),
        // One came, one went from running to error, one that was stopped is gone.
        row(Some(0), "running", 1),
        row(Some(2), "running", -1),
        row(Some(2), "error", 1),
        row(Some(3), "stopped", -1),
    ];
    let states = counts(&rows, 4);
    assert_eq!(states["running"], [8, 8, 7, 7]);
    assert_eq!(states["error"], [0, 0, 1, 1]);
    assert_eq!(states["stopped"], [1, 1, 1, 0]);
    assert_eq!(states["unknown"], [0, 0, 0, 0]);
    assert_eq!(states.len(), 6);
    // History that was cut short does not add up, and shows no less than nothing.
    assert_eq!(counts(&[row(Some(1), "error", 5)], 2)["error"], [0, 0]);
}
