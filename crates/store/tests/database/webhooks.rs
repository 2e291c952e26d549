//! Webhooks: entered, changed, and their secrets shown to nobody but who signs.

use domain::AccountId;
use secrecy::ExposeSecret as _;
use sqlx::PgPool;
use store::webhooks::{self, Wishes};

use crate::support::{at, id};

fn wishes(url: &str) -> Wishes {
    Wishes {
        url: url.to_owned(),
        enabled: true,
        servers: vec![id(1)],
        toolboxes: Vec::new(),
        kinds: vec!["error".to_owned(), "recovery".to_owned()],
        template: "slack".to_owned(),
        after_seconds: 30,
        not_during_own_commands: true,
        at_most_every_seconds: 60,
        summary_from: 5,
        summary_window: 10,
    }
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn they_come_change_rotate_and_go(pool: PgPool) {
    let (mine, theirs) = (AccountId(id(0xa1)), AccountId(id(0xa2)));
    for (n, account) in [(1, mine), (2, theirs), (3, mine)] {
        let secret = format!("whsec_{n}").into();
        webhooks::add(
            &pool,
            id(n),
            account,
            &wishes("https://a.example"),
            &secret,
            at(1),
        )
        .await
        .unwrap();
    }
    let again = webhooks::add(
        &pool,
        id(1),
        theirs,
        &wishes("https://b.example"),
        &"x".into(),
        at(2),
    )
    .await;
    assert!(again.unwrap_err().is_taken());
    assert_eq!(webhooks::count(&pool, mine).await.unwrap(), 2);

    let found = webhooks::get(&pool, id(1)).await.unwrap().unwrap();
    assert_eq!((found.account, found.created_at), (mine, at(1)));
    assert_eq!(found.wishes, wishes("https://a.example"));
    assert_eq!(found.previous_until, None);
    let page = webhooks::list(&pool, Some(mine), Some(id(1)), 10).await.unwrap();
    assert_eq!(page.iter().map(|hook| hook.id).collect::<Vec<_>>(), [id(3)]);
    assert_eq!(webhooks::list(&pool, None, None, 2).await.unwrap().len(), 2);

    let changed = Wishes {
        enabled: false,
        kinds: Vec::new(),
        ..wishes("https://c.example")
    };
    assert!(webhooks::change(&pool, id(1), &changed).await.unwrap());
    assert!(
        webhooks::rotate(&pool, id(1), &"whsec_new".into(), at(100))
            .await
            .unwrap()
    );
    let signing = webhooks::all(&pool).await.unwrap();
    let one = signing.iter().find(|one| one.webhook.id == id(1)).unwrap();
    assert_eq!(one.webhook.wishes, changed);
    assert_eq!(one.secret.expose_secret(), "whsec_new");
    assert_eq!(one.previous.as_ref().unwrap().expose_secret(), "whsec_1");
    assert_eq!(one.webhook.previous_until, Some(at(100)));
    assert!(!format!("{one:?}").contains("whsec"));

    assert!(webhooks::remove(&pool, id(1)).await.unwrap());
    assert!(!webhooks::remove(&pool, id(1)).await.unwrap());
    assert!(!webhooks::change(&pool, id(1), &changed).await.unwrap());
    assert!(!webhooks::rotate(&pool, id(1), &"x".into(), at(1)).await.unwrap());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_nobody_understands_is_refused(pool: PgPool) {
    for broken in [
        Wishes {
            kinds: vec!["everything".to_owned()],
            ..wishes("https://a.example")
        },
        Wishes {
            template: "xml".to_owned(),
            ..wishes("https://a.example")
        },
    ] {
        let added = webhooks::add(&pool, id(1), AccountId(id(2)), &broken, &"x".into(), at(1)).await;
        assert_eq!(added.unwrap_err().kind(), store::ErrorKind::Data);
    }
}
