//! How old what is known is.

use std::time::Duration;

use domain::{LastError, Reason, ReasonCode, Thresholds};
use sqlx::PgPool;
use store::batch::Writes;
use store::census::{Knowledge, knowledge, servers};

use crate::support::{add_server, add_toolbox, at, order, read, take_reports, whole_report, write};

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_age_of_what_is_known_is_told_by_who_is_to_blame_for_it(pool: PgPool) {
    let thresholds = Thresholds::default();
    let count = async |now| {
        knowledge(&pool, now, &thresholds, Duration::from_secs(15))
            .await
            .unwrap()
    };
    assert_eq!(count(at(0)).await, Knowledge::default());
    assert!(servers(&pool).await.unwrap().is_empty());

    // Observed at −300 s (expected again within 30 s, by the report), −200 s (its agent fails), −5 s.
    for (n, seconds) in [(1, -300), (2, -200), (3, -5)] {
        let toolbox = add_toolbox(&pool, n).await;
        let server = add_server(&pool, &toolbox, n * 100).await;
        let report = whole_report(toolbox.id, order(seconds, 1), &[&server], "running");
        take_reports(&pool, &[report], at(seconds)).await;
        if n == 2 {
            let (mut failing, _) = read(&pool, toolbox.id).await;
            let reason = Reason::new(ReasonCode::AgentUnreachable, "no connection");
            failing.problem = Some(LastError { reason, at: at(-100) });
            let writes = Writes {
                toolboxes: vec![failing],
                ..Writes::default()
            };
            write(&pool, &writes).await.unwrap();
        }
    }
    let unseen = add_toolbox(&pool, 4).await;
    add_server(&pool, &unseen, 400).await;
    let unwatched = add_server(&pool, &unseen, 401).await;
    store::intent::set_monitored(&pool, unwatched.id, false)
        .await
        .unwrap();

    assert_eq!(
        count(at(0)).await,
        Knowledge {
            median: Some(200.0),
            p99: Some(300.0),
            oldest: Some(300.0),
            fresh: 1,
            overdue: 1,
            agent_failing: 1,
            unseen: 1,
        }
    );
    // Not due before 30 s and the grace have passed, whatever its age.
    let patient = Thresholds {
        healthy_for: Duration::from_secs(10),
        ..thresholds
    };
    let of = async |now| {
        let known = knowledge(&pool, now, &patient, Duration::from_secs(15))
            .await
            .unwrap();
        (known.fresh, known.overdue)
    };
    assert_eq!(of(at(39)).await, (1, 1));
    assert_eq!(of(at(41)).await, (0, 2));

    let mut seen = servers(&pool).await.unwrap();
    seen.sort();
    let of = |state: &str, health: &str, count| (state.to_owned(), health.to_owned(), count);
    assert_eq!(seen, [of("running", "healthy", 3), of("unknown", "unknown", 1)]);
}
