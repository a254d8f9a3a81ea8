//! A WebSocket server that records what reaches it. It echoes bytes, not frames: the gateway reads none.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// The server's behaviour after a request.
#[derive(Clone)]
pub enum Behaviour {
    /// Answers the handshake, and echoes.
    Echo,
    /// The same, once there is a permit.
    Held(Arc<Semaphore>),
    /// Answers the handshake, and writes without end.
    Flood,
    /// Writes these bytes, and records what follows.
    Head(&'static str),
    /// Writes these bytes for the first request, and echoes for the others.
    Once(&'static str),
}

#[derive(Default)]
struct Seen {
    heads: Mutex<Vec<String>>,
    bytes: Mutex<Vec<u8>>,
    opened: AtomicUsize,
    closed: AtomicUsize,
    sent: AtomicUsize,
}

pub struct EchoServer {
    pub address: SocketAddr,
    behaviour: Behaviour,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl EchoServer {
    pub async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::<Seen>::default());
        let (record, then) = (Arc::clone(&seen), behaviour.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, then) = (Arc::clone(&record), then.clone());
                tokio::spawn(async move {
                    let number = seen.opened.fetch_add(1, Ordering::SeqCst);
                    serve(stream, &seen, then, number == 0).await;
                    seen.closed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, behaviour, seen, task }
    }

    pub fn behaviour(&self) -> Behaviour {
        self.behaviour.clone()
    }

    /// The requests, as they came.
    pub fn heads(&self) -> Vec<String> {
        self.seen.heads.lock().unwrap().clone()
    }

    /// The bytes after the requests.
    pub fn bytes(&self) -> Vec<u8> {
        self.seen.bytes.lock().unwrap().clone()
    }

    pub fn opened(&self) -> usize {
        self.seen.opened.load(Ordering::SeqCst)
    }

    pub fn closed(&self) -> usize {
        self.seen.closed.load(Ordering::SeqCst)
    }

    /// Bytes that a flood has written.
    pub fn sent(&self) -> usize {
        self.seen.sent.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, seen: &Seen, behaviour: Behaviour, is_first: bool) {
    let Some(head) = head(&mut stream).await else { return };
    seen.heads.lock().unwrap().push(head.clone());
    let answer = switching(&head);
    match behaviour {
        Behaviour::Head(bytes) => record(&mut stream, seen, bytes).await,
        Behaviour::Once(bytes) if is_first => record(&mut stream, seen, bytes).await,
        Behaviour::Echo | Behaviour::Once(_) => echo(&mut stream, seen, &answer).await,
        Behaviour::Held(gate) => {
            gate.acquire_owned().await.unwrap().forget();
            echo(&mut stream, seen, &answer).await;
        }
        Behaviour::Flood => {
            let _ = stream.write_all(answer.as_bytes()).await;
            while let Ok(count) = stream.write(&[7; 64 * 1024]).await {
                seen.sent.fetch_add(count, Ordering::SeqCst);
            }
        }
    }
}

async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(stream.read_u8().await.ok()?));
    }
    Some(head)
}

fn switching(head: &str) -> String {
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim().to_owned())
    });
    let text = key.unwrap_or_default() + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    let accept = STANDARD.encode(hash.as_ref());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

async fn record(stream: &mut TcpStream, seen: &Seen, answer: &str) {
    let _ = stream.write_all(answer.as_bytes()).await;
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    seen.bytes.lock().unwrap().extend(bytes);
}

async fn echo(stream: &mut TcpStream, seen: &Seen, answer: &str) {
    let _ = stream.write_all(answer.as_bytes()).await;
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        seen.bytes.lock().unwrap().extend(&buffer[..count]);
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
