use std::task::{Context, Poll};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::mpsc;

use super::*;
use crate::proxy::tests::{gateway, unauthenticated_client};

/// A stream that reports a read of a single byte, which only a parked connection makes.
struct TestRequest {
    stream: DuplexStream,
    for_one_byte: mpsc::UnboundedSender<()>,
}

impl AsyncRead for TestRequest {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        if buf.remaining() == 1 {
            let _ = self.for_one_byte.send(());
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for TestRequest {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A client and its connection, which reports when it is parked.
struct TestClient {
    stream: DuplexStream,
    rests: mpsc::UnboundedReceiver<()>,
    served: tokio::task::JoinHandle<()>,
    phase: watch::Sender<Phase>,
}

impl TestClient {
    fn connect(gateway: Gateway) -> Self {
        let (stream, near) = tokio::io::duplex(64 * 1024);
        let (for_one_byte, rests) = mpsc::unbounded_channel();
        let (phase, phases) = watch::channel(Phase::Running);
        let (near, gateway) = (TestRequest { stream: near, for_one_byte }, Arc::new(gateway));
        let served = tokio::spawn(async move { http1(near, unauthenticated_client(), &gateway, phases).await });
        Self { stream, rests, served, phase }
    }

    async fn rests(&mut self) {
        self.rests.recv().await.unwrap();
    }

    async fn says(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The status of the next response, after its body is read.
    async fn answered(&mut self) -> String {
        let mut reply = Vec::new();
        while !reply.ends_with(b"}") {
            reply.push(self.stream.read_u8().await.unwrap());
        }
        String::from_utf8(reply).unwrap().split(' ').nth(1).unwrap().to_owned()
    }

    /// Expects that no more bytes arrive.
    async fn ended(mut self) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"");
        drop(self.stream);
        self.served.await.unwrap();
    }
}

fn run<F: Future>(test: impl FnOnce(Gateway) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let gateway = gateway(&runtime);
    runtime.block_on(test(gateway));
}

const GET: &[u8] = b"GET /nowhere HTTP/1.1\r\nHost: a.example\r\n\r\n";

#[test]
fn a_parked_connection_resumes_where_it_was() {
    run(|gateway| async {
        let mut client = TestClient::connect(gateway);
        for _ in 0..3 {
            client.rests().await;
            client.says(GET).await;
            assert_eq!(client.answered().await, "404");
        }
        client.rests().await;
        client.says(b"G").await;
        // A connection with incomplete headers is not parked, and its bytes are still validated from the first one.
        client.says(b"ET /nowhere HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n").await;
        assert_eq!(client.answered().await, "400");
        client.ended().await;
    });
}

#[test]
fn a_connection_with_half_a_request_is_not_parked() {
    run(|gateway| async {
        let mut client = TestClient::connect(gateway);
        let (first, last) = GET.split_at(7);
        // The beginning of the next request arrives together with this one.
        client.says(&[GET, first].concat()).await;
        assert_eq!(client.answered().await, "404");
        tokio::time::timeout(PARK_AFTER * 5, client.rests()).await.unwrap_err();
        client.says(last).await;
        assert_eq!(client.answered().await, "404");
        client.rests().await;
    });
}

/// hyper itself rejects the second request.
#[test]
fn a_closing_connection_is_not_parked() {
    for last in ["GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET /< HTTP/1.1\r\nHost: a\r\n\r\n"]
    {
        run(|gateway| async {
            let mut client = TestClient::connect(gateway);
            client.says(last.as_bytes()).await;
            let mut reply = Vec::new();
            client.stream.read_to_end(&mut reply).await.unwrap();
            assert!(reply.starts_with(b"HTTP/1.1 40"), "{}", reply.escape_ascii());
            // The gateway's side is closed but still read: these bytes are no request, and the connection is not
            // parked.
            client.says(GET).await;
            assert!(tokio::time::timeout(PARK_AFTER * 5, client.rests()).await.is_err(), "{last}");
        });
    }
}

/// An upstream may respond early and read on: hyper then holds the bytes that are not read yet.
#[test]
fn a_connection_with_an_unread_body_is_not_parked() {
    run(|gateway| async {
        let mut client = TestClient::connect(gateway);
        client.says(b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf").await;
        assert_eq!(client.answered().await, "404");
        assert!(tokio::time::timeout(PARK_AFTER * 5, client.rests()).await.is_err());
        client.says(&[&[b'x'; 96], GET].concat()).await;
        assert_eq!(client.answered().await, "404");
        client.rests().await;
    });
}

#[test]
fn a_parked_connection_ends_with_its_client_or_the_drain() {
    run(|gateway| async {
        let mut client = TestClient::connect(gateway);
        client.says(GET).await;
        client.answered().await;
        client.rests().await;
        client.stream.shutdown().await.unwrap();
        client.ended().await;
    });
    run(|gateway| async {
        let mut client = TestClient::connect(gateway);
        client.says(GET).await;
        client.answered().await;
        client.rests().await;
        client.phase.send(Phase::Closing).unwrap();
        client.ended().await;
    });
}

/// Ctrl-C: the client of an idle connection need not close its side, and a request in flight is answered first. Without it,
/// a closed connection is read for [`LINGER`](super::super::guarded_stream).
#[test]
fn an_interrupt_closes_connections_without_a_request_in_flight() {
    for sent in [&b""[..], GET] {
        run(|gateway| async {
            let mut client = TestClient::connect(gateway);
            client.says(sent).await;
            if !sent.is_empty() {
                client.answered().await;
            }
            client.phase.send(Phase::ClosingAtOnce).unwrap();
            // The client's stream stays open.
            client.served.await.unwrap();
        });
    }
    run(|gateway| async {
        let mut client = TestClient::connect(gateway);
        let (first, last) = GET.split_at(7);
        client.says(&[GET, first].concat()).await;
        assert_eq!(client.answered().await, "404");
        client.phase.send(Phase::ClosingAtOnce).unwrap();
        client.says(last).await;
        client.served.await.unwrap();
    });
}
