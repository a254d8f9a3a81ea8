//! The upstream behind the gateways: it writes the ledger, takes a moment for each request, and fails on demand.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::ledger::Ledger;

/// The processing time of each request, so that two at the same time are noticed.
const WORK: Duration = Duration::from_millis(2);

/// The way in which the upstream treats a request.
#[derive(Clone, Copy, Debug)]
pub enum Mood {
    /// Responds with 200.
    Does,
    /// Responds with another status.
    Says(u16),
    /// Does not respond.
    Silent,
    /// Responds with 200 and half of the body.
    Breaks,
}

pub struct App {
    pub address: SocketAddr,
    pub ledger: Arc<Ledger>,
    task: JoinHandle<()>,
}

impl Drop for App {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl App {
    /// Processes every request.
    pub async fn start() -> Self {
        Self::moody(|| Mood::Does).await
    }

    /// Treats each request in the way that `mood` returns.
    pub async fn moody(mood: impl Fn() -> Mood + Send + Sync + 'static) -> Self {
        let (ledger, mood) = (Arc::new(Ledger::default()), Arc::new(mood));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let book = Arc::clone(&ledger);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (book, mood) = (Arc::clone(&book), Arc::clone(&mood));
                let service = service_fn(move |request| answer(request, Arc::clone(&book), mood()));
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, ledger, task }
    }
}

async fn answer(
    request: Request<Incoming>,
    ledger: Arc<Ledger>,
    mood: Mood,
) -> Result<Response<ResponseBody>, hyper::Error> {
    let (head, body) = request.into_parts();
    let id = head.headers["x-id"].to_str().unwrap().to_owned();
    // An incomplete request is not counted.
    body.collect().await?;
    let number = ledger.begins(&id);
    // The work continues after the gateway has closed the connection.
    let work = tokio::spawn(async move {
        tokio::time::sleep(WORK).await;
        match mood {
            Mood::Does => ledger.does(&id, number),
            Mood::Says(_) | Mood::Silent | Mood::Breaks => ledger.fails(&id, number, mood),
        }
    });
    work.await.unwrap();
    match mood {
        Mood::Silent => std::future::pending().await,
        Mood::Does => Ok(Response::new(ResponseBody::Whole("done".into()))),
        Mood::Says(status) => Ok(Response::builder().status(status).body(ResponseBody::Whole("no".into())).unwrap()),
        Mood::Breaks => Ok(Response::builder().header("content-length", 100).body(ResponseBody::Half(0)).unwrap()),
    }
}

enum ResponseBody {
    Whole(Bytes),
    /// The number of polls so far.
    Half(u8),
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Half(polled) => {
                *polled += 1;
                match polled {
                    1 => Poll::Ready(Some(Ok(Frame::data("half".into())))),
                    // The first half is sent first.
                    2 => {
                        context.waker().wake_by_ref();
                        Poll::Pending
                    }
                    _ => Poll::Ready(Some(Err(io::Error::other("broken")))),
                }
            }
        }
    }
}
