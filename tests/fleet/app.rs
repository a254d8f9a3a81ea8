//! The app behind the gateways: it writes the ledger, takes a moment for each request, and fails as it is told.

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

/// What it takes for each request, so that two at the same time would be seen.
const WORK: Duration = Duration::from_millis(2);

/// How it treats a request.
#[derive(Clone, Copy, Debug)]
pub enum Mood {
    /// 200.
    Does,
    /// Another status.
    Says(u16),
    /// Nothing at all.
    Silent,
    /// 200 and half of a reply.
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
    /// Does whatever it is sent.
    pub async fn start() -> Self {
        Self::moody(|| Mood::Does).await
    }

    /// Treats each request as `mood` says.
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

async fn answer(request: Request<Incoming>, ledger: Arc<Ledger>, mood: Mood) -> Result<Response<Reply>, hyper::Error> {
    let (head, body) = request.into_parts();
    let id = head.headers["x-id"].to_str().unwrap().to_owned();
    // Half of a request is none.
    body.collect().await?;
    let number = ledger.begins(&id);
    // Work goes on when nobody waits for it any more.
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
        Mood::Does => Ok(Response::new(Reply::Whole("done".into()))),
        Mood::Says(status) => Ok(Response::builder().status(status).body(Reply::Whole("no".into())).unwrap()),
        Mood::Breaks => Ok(Response::builder().header("content-length", 100).body(Reply::Half(0)).unwrap()),
    }
}

enum Reply {
    Whole(Bytes),
    /// Polled so often.
    Half(u8),
}

impl Body for Reply {
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
                    // Lets what there is be sent first.
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
