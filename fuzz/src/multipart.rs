//! A form with a file in it.
//!
//! Always true: what comes out does not depend on how the bytes were cut on their way; nothing comes out that did not go in; a
//! name that is taken leads nowhere.
//!
//! Does not: write files.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use futures_core::Stream;

use crate::form::Form;
use crate::id::DataId;

struct Pieces(VecDeque<Bytes>);

impl Stream for Pieces {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

/// All files, each with its name, of a form that comes in pieces of `size` bytes; `None`: it is broken.
fn files(form: &[u8], size: usize) -> Option<Vec<(String, Vec<u8>)>> {
    let pieces = form.chunks(size).map(Bytes::copy_from_slice).collect();
    let body = Body::from_stream(Pieces(pieces));
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(async {
        let mut form = Form::of("multipart/form-data; boundary=XX", body).ok()?;
        let mut all = Vec::new();
        while let Some(mut file) = form.file().await.ok()? {
            let (name, mut content) = (file.name()?.to_owned(), Vec::new());
            while let Some(chunk) = file.chunk().await.ok()? {
                content.extend(chunk);
            }
            all.push((name, content));
        }
        Some(all)
    })
}

/// # Panics
/// When a form is read otherwise in other pieces, gives more than it has, or a name is taken that leads out of a directory.
pub fn check(bytes: &[u8]) {
    let Some((size, form)) = bytes.split_first() else {
        return;
    };
    let found = files(form, usize::from(*size).max(1));
    assert_eq!(found, files(form, form.len().max(1)));
    let found = found.unwrap_or_default();
    let out: usize = found
        .iter()
        .map(|(name, content)| name.len() + content.len())
        .sum();
    assert!(out <= form.len());
    for (name, _) in found {
        if let Ok(id) = name.parse::<DataId>() {
            let id = id.to_string();
            assert!(!id.starts_with('.') && !id.contains(['/', '\\', '\0']) && id.len() <= 128);
        }
    }
}
