//! The sender against real sockets on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::net::SocketAddr;
use std::time::Duration;

use baton_hooks::{HookUrl, Policy, SendError, Sender};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

fn anywhere() -> Policy {
    Policy { anywhere: true, allowed: vec![] }
}

fn sender(policy: Policy) -> Sender {
    Sender::new(policy, &[], Duration::from_millis(400)).unwrap()
}

/// Answers every connection with these bytes, and passes on what was sent.
async fn endpoint(answer: &'static [u8], pause: Duration) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel(10);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = vec![0; 65_536];
            let read = socket.read(&mut request).await.unwrap_or(0);
            tell.send(String::from_utf8_lossy(&request[..read]).into_owned()).await.unwrap();
            tokio::time::sleep(pause).await;
            let _ = socket.write_all(answer).await;
        }
    });
    (address, told)
}

fn url(address: SocketAddr) -> HookUrl {
    HookUrl::parse(&format!("http://{address}/hooks?a=b"), &anywhere()).unwrap()
}

#[tokio::test]
async fn a_body_is_posted_with_its_headers_and_the_answer_kept() {
    let answer = b"HTTP/1.1 202 Accepted\r\nx-a: b\r\ncontent-length: 5\r\n\r\nfine!";
    let (address, mut told) = endpoint(answer, Duration::ZERO).await;
    let headers = [("webhook-id".to_owned(), "evt_1".to_owned())];
    let reply = sender(anywhere()).post(&url(address), &headers, "{}".into()).await.unwrap();
    assert_eq!((reply.status, reply.body.as_str()), (202, "fine!"));
    assert!(reply.headers.contains(&("x-a".to_owned(), "b".to_owned())));
    let request = told.recv().await.unwrap();
    assert!(request.starts_with("POST /hooks?a=b HTTP/1.1\r\n"), "{request}");
    for line in ["webhook-id: evt_1", &format!("host: {address}"), "content-length: 2"] {
        assert!(request.contains(&format!("{line}\r\n")), "{line}: {request}");
    }
    assert!(request.ends_with("\r\n\r\n{}"), "{request}");
}

#[tokio::test]
async fn redirects_are_answers_and_not_followed() {
    let elsewhere = endpoint(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Duration::ZERO).await;
    let location: &'static [u8] = Box::leak(
        format!("HTTP/1.1 307 x\r\nlocation: http://{}/\r\ncontent-length: 0\r\n\r\n", elsewhere.0)
            .into_bytes()
            .into_boxed_slice(),
    );
    let (address, _told) = endpoint(location, Duration::ZERO).await;
    let reply = sender(anywhere()).post(&url(address), &[], "{}".into()).await.unwrap();
    assert_eq!(reply.status, 307);
    let mut told = elsewhere.1;
    assert!(told.try_recv().is_err(), "nobody went there");
}

#[tokio::test]
async fn an_address_is_checked_after_its_name_was_resolved() {
    let (address, mut told) =
        endpoint(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Duration::ZERO).await;
    // As it is when a public name is bound to a private address after it was set.
    let text = format!("http://localhost:{}/", address.port());
    let named = HookUrl::parse(&text, &anywhere()).unwrap();
    let refused = sender(Policy::default()).post(&named, &[], "{}".into()).await.unwrap_err();
    let want = SendError::Address("webhooks are not sent to loopback addresses".to_owned());
    assert_eq!(refused, want);
    assert_eq!(sender(Policy::default()).post(&url(address), &[], "{}".into()).await, Err(want));
    assert!(told.try_recv().is_err(), "no connection was made");
    let allowed = Policy { anywhere: false, allowed: vec!["127.0.0.0/8".parse().unwrap()] };
    assert_eq!(sender(allowed).post(&url(address), &[], "{}".into()).await.unwrap().status, 200);
}

#[tokio::test]
async fn silence_ends_with_the_timeout() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let (address, _told) = endpoint(answer, Duration::from_secs(60)).await;
    let posted = sender(anywhere()).post(&url(address), &[], "{}".into()).await;
    assert_eq!(posted, Err(SendError::TimedOut));
    // A head that comes and a body that does not end.
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nab";
    let (address, _told) = endpoint(answer, Duration::ZERO).await;
    let reply = sender(anywhere()).post(&url(address), &[], "{}".into()).await.unwrap();
    assert_eq!((reply.status, reply.body.as_str()), (200, "ab"));
}

#[tokio::test]
async fn what_is_no_http_and_nobody_there_are_told_apart() {
    let (address, _told) = endpoint(b"hello\r\n\r\n", Duration::ZERO).await;
    let posted = sender(anywhere()).post(&url(address), &[], "{}".into()).await;
    assert!(matches!(posted, Err(SendError::Broken(_))), "{posted:?}");
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let posted = sender(anywhere()).post(&url(nobody), &[], "{}".into()).await;
    assert!(matches!(posted, Err(SendError::Connect(_))), "{posted:?}");
    let named = HookUrl::parse("http://no-such-host.invalid/", &anywhere()).unwrap();
    let posted = sender(anywhere()).post(&named, &[], "{}".into()).await;
    assert!(matches!(posted, Err(SendError::Address(_) | SendError::TimedOut)), "{posted:?}");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let (address, _told) = endpoint(b"HTTP/1.1 200 OK\r\n\r\n", Duration::ZERO).await;
    let secure = HookUrl::parse(&format!("https://{address}/"), &anywhere()).unwrap();
    let posted = sender(anywhere()).post(&secure, &[], "{}".into()).await;
    assert!(matches!(posted, Err(SendError::Tls(_))), "{posted:?}");
}

#[tokio::test]
async fn a_long_answer_is_cut() {
    let long: &'static [u8] = Box::leak(
        [b"HTTP/1.1 500 x\r\ncontent-length: 100000\r\n\r\n".as_slice(), &[b'a'; 100_000]]
            .concat()
            .into_boxed_slice(),
    );
    let (address, _told) = endpoint(long, Duration::ZERO).await;
    let reply = sender(anywhere()).post(&url(address), &[], "{}".into()).await.unwrap();
    assert_eq!((reply.status, reply.body.len()), (500, 4_096));
}
