//! A network in front of a registry, which can fail in the middle of an answer.
//!
//! Always true: loopback only; bytes go through unchanged until it is told to fail; it ends with its handle.
//!
//! Does not: know what the bytes mean.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// How many bytes of answers still go through; `None`: all.
type Budget = Arc<Mutex<Option<usize>>>;

/// A listener that passes everything on.
#[derive(Debug)]
pub(super) struct Front {
    address: SocketAddr,
    budget: Budget,
    ended: Arc<std::sync::atomic::AtomicBool>,
}

impl Front {
    /// In front of this address.
    pub(super) fn before(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let budget = Budget::default();
        let ended = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let front = Self {
            address,
            budget: Arc::clone(&budget),
            ended: Arc::clone(&ended),
        };
        thread::spawn(move || {
            for client in listener.incoming() {
                if ended.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                let gone = *budget.lock().unwrap() == Some(0);
                if let (Ok(client), false) = (client, gone) {
                    pass_on(client, upstream, &budget);
                }
            }
        });
        front
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn cut_after(&self, bytes: Option<usize>) {
        *self.budget.lock().unwrap() = bytes;
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.ended.store(true, std::sync::atomic::Ordering::Relaxed);
        // the listener wakes up, and goes
        let _ = TcpStream::connect(self.address);
    }
}

fn pass_on(client: TcpStream, upstream: SocketAddr, budget: &Budget) {
    let Ok(server) = TcpStream::connect(upstream) else {
        return;
    };
    let (mut asks, mut told) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut asks, &mut told);
        let _ = told.shutdown(Shutdown::Write);
    });
    let budget = Arc::clone(budget);
    thread::spawn(move || answers(server, client, &budget));
}

fn answers(mut server: TcpStream, mut client: TcpStream, budget: &Budget) {
    let mut piece = vec![0; 16 << 10];
    loop {
        let read = server.read(&mut piece).unwrap_or_default();
        let passes = {
            let mut left = budget.lock().unwrap();
            let passes = left.map_or(read, |left| left.min(read));
            *left = left.map(|left| left - passes);
            passes
        };
        let sent = client.write_all(&piece[..passes]);
        if read == 0 || passes < read || sent.is_err() {
            break;
        }
    }
    for end in [client, server] {
        let _ = end.shutdown(Shutdown::Both);
    }
}
