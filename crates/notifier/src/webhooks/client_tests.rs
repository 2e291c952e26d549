//! Against listeners on this machine, which stand for the networks that must not be reached.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// Answers every connection with the same, and counts them.
async fn listener(answer: String) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    tokio::spawn({
        let count = Arc::clone(&count);
        async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    let _ = stream.read(&mut request).await;
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        }
    });
    (port, count)
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Gives the next of its answers each time, and the last one for ever.
#[derive(Debug)]
struct Fixed {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Fixed {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |list: &&[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        Arc::new(Self {
            answers: answers.iter().map(parse).collect(),
            asked: AtomicUsize::new(0),
        })
    }
}

impl Lookup for Fixed {
    fn lookup(&self, _: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers[asked.min(self.answers.len() - 1)].clone();
        Box::pin(std::future::ready(Ok(answer)))
    }
}

fn client(allow: &[&str], lookup: Arc<dyn Lookup>) -> Client {
    let guard = Guard::new(allow.iter().map(|text| text.parse().unwrap()).collect());
    let limits = Limits {
        connect: Duration::from_millis(500),
        time: Duration::from_secs(2),
        http: true,
    };
    Client::new(guard, lookup, limits).unwrap()
}

async fn post(client: &Client, url: &str) -> Answer {
    let url = url.parse().unwrap();
    client
        .post(&url, HeaderMap::new(), "{}".to_owned(), Timestamp::UNIX_EPOCH)
        .await
}

#[tokio::test]
async fn addresses_in_any_disguise_are_refused_and_never_connected_to() {
    let (port, count) = listener(http("200 OK", "", "")).await;
    let client = client(&[], Arc::new(System));
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "0.0.0.0",
        "[::]",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "10.0.0.1",
    ] {
        let answer = post(&client, &format!("http://{host}:{port}/")).await;
        assert!(answer.refused, "{host}: {answer:?}");
        assert!(answer.error.unwrap().contains("private or reserved"), "{host}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_with_one_address_that_may_not_be_is_refused() {
    let (port, count) = listener(http("200 OK", "", "")).await;
    for addresses in [
        &["127.0.0.1"][..],
        &["93.184.216.34", "127.0.0.1"],
        &["127.0.0.1", "93.184.216.34"],
        &["2606:2800:220:1::1", "fd00::1"],
        &["::ffff:169.254.169.254"],
    ] {
        let client = client(&[], Fixed::new(&[addresses]));
        let answer = post(&client, &format!("http://hooks.example:{port}/")).await;
        assert!(answer.refused, "{addresses:?}: {answer:?}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_was_checked_is_what_is_connected_to() {
    // The name is one thing when it is checked and another when it is asked for again: nobody asks again.
    let (port, count) = listener(http("204 No Content", "", "")).await;
    let lookup = Fixed::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let client = client(&["127.0.0.1/32"], Arc::clone(&lookup) as Arc<dyn Lookup>);
    let url = format!("http://hooks.example:{port}/");
    assert!(post(&client, &url).await.is_success());
    assert_eq!(
        (lookup.asked.load(Ordering::SeqCst), count.load(Ordering::SeqCst)),
        (1, 1)
    );
    // And when a later request asks, what it is told then is checked as well.
    let answer = post(&client, &url).await;
    assert!(answer.refused, "{answer:?}");
    assert_eq!(
        (lookup.asked.load(Ordering::SeqCst), count.load(Ordering::SeqCst)),
        (2, 1)
    );
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (inner, reached) = listener(http("200 OK", "", "")).await;
    let location = format!("location: http://127.0.0.1:{inner}/\r\n");
    let (port, _) = listener(http("307 Temporary Redirect", &location, "")).await;
    let client = client(&["127.0.0.0/8"], Arc::new(System));
    let answer = post(&client, &format!("http://127.0.0.1:{port}/")).await;
    assert_eq!(answer.status, Some(307));
    assert!(answer.error.unwrap().contains("redirects are not followed"));
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_answer_is_cut_cleaned_and_only_kept_of_a_failure() {
    let long = format!("<b>no</b> token=s3cret \u{7}{}", "x ".repeat(1 << 20));
    let (port, _) = listener(http("500 Internal Server Error", "retry-after: 7\r\n", &long)).await;
    let client = client(&["127.0.0.0/8"], Arc::new(System));
    let answer = post(
        &client,
        &format!("http://127.0.0.1:{port}/s3cret-path?token=s3cret"),
    )
    .await;
    assert_eq!(answer.status, Some(500));
    assert_eq!(answer.retry_after, Some(Duration::from_secs(7)));
    let text = answer.response.clone().unwrap();
    assert!(text.chars().count() <= 500, "{}", text.len());
    assert!(!format!("{answer:?}").contains("s3cret") && !text.contains('\u{7}'));

    let (port, _) = listener(http("200 OK", "", "thank you")).await;
    let answer = post(&client, &format!("http://127.0.0.1:{port}/")).await;
    assert!(answer.is_success());
    assert_eq!(answer.response, None);
}

#[tokio::test]
async fn who_does_not_answer_is_not_waited_for_and_errors_do_not_name_the_url() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let client = client(&["127.0.0.0/8"], Arc::new(System));
    let answer = post(&client, &format!("http://127.0.0.1:{port}/s3cret")).await;
    assert_eq!(answer.error.as_deref(), Some("no answer within 2s"));
    drop(silent);
    let answer = post(&client, &format!("http://127.0.0.1:{port}/s3cret")).await;
    let error = answer.error.unwrap();
    assert!(
        error.starts_with("no connection to the endpoint") && !error.contains("s3cret"),
        "{error}"
    );
}

#[tokio::test]
async fn only_https_unless_allowed_and_nobody_s_user() {
    let mut client = client(&["127.0.0.0/8"], Arc::new(System));
    let error = post(&client, "http://u:p@127.0.0.1/").await.error.unwrap();
    assert!(error.contains("user"), "{error}");
    assert!(
        post(&client, "ftp://127.0.0.1/")
            .await
            .error
            .unwrap()
            .contains("https")
    );
    client.limits.http = false;
    let error = post(&client, "http://127.0.0.1/").await.error.unwrap();
    assert!(error.contains("--webhook-allow-http"), "{error}");
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now = Timestamp::from_second(1_445_412_460).unwrap();
    for (text, expected) in [
        ("120", Some(120)),
        ("Wed, 21 Oct 2015 07:28:00 GMT", Some(20)),
        ("Wed, 21 Oct 2015 07:00:00 GMT", None),
        ("soon", None),
        ("-1", None),
    ] {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
        assert_eq!(
            retry_after(&headers, now),
            expected.map(Duration::from_secs),
            "{text}"
        );
    }
}
