//! A file in a form: `multipart/form-data` as browsers and `curl -F` send it.
//!
//! Always true: the parser is handed a bounded amount at a time and has to make something of it, so that no form can make it
//! keep more; there is one file, and what else is in the form is small and not looked at.
//!
//! Does not: know what a good name is.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use futures_core::Stream;
use hyper::body::Body as HttpBody;
use multer::{Field, Multipart};

use crate::error::{Answer, Problem};

/// What the parser is handed before it has to give something back: well above the longest boundary and all headers of a part.
const WINDOW: usize = 64 << 10;
/// Longest boundary, as RFC 2046 has it.
const BOUNDARY: usize = 70;
/// Most bytes of all that is no file.
const FIELDS: usize = 16 << 10;

/// A form that is being read.
pub(super) struct Form {
    parts: Multipart<'static>,
    allowance: Arc<AtomicUsize>,
    fields: usize,
}

/// The file in it.
pub(super) struct FormFile {
    field: Field<'static>,
    allowance: Arc<AtomicUsize>,
}

impl Form {
    /// # Errors
    /// 400 where the content type has no good boundary.
    pub(super) fn of(content_type: &str, body: Body) -> Answer<Self> {
        let boundary = multer::parse_boundary(content_type)
            .ok()
            .filter(|boundary| (1..=BOUNDARY).contains(&boundary.len()))
            .ok_or_else(|| {
                Problem::bad_request("the form has no boundary, or one that is too long")
            })?;
        let allowance = Arc::new(AtomicUsize::new(0));
        let fed = Fed {
            body,
            allowance: Arc::clone(&allowance),
            used_up: Told::No,
        };
        Ok(Self {
            parts: Multipart::new(fed, boundary),
            allowance,
            fields: 0,
        })
    }

    /// The next file, past fields that are none; `None` at the end.
    ///
    /// # Errors
    /// 400 for what is no form, or has too much in it that is no file.
    pub(super) async fn file(&mut self) -> Answer<Option<FormFile>> {
        loop {
            self.allowance.store(WINDOW, Ordering::Relaxed);
            let Some(field) = self.parts.next_field().await.map_err(broken)? else {
                return Ok(None);
            };
            let mut file = FormFile {
                field,
                allowance: Arc::clone(&self.allowance),
            };
            if file.name().is_some() {
                return Ok(Some(file));
            }
            self.fields += 1;
            while let Some(chunk) = file.chunk().await? {
                self.fields += chunk.len();
                if self.fields > FIELDS {
                    return Err(Problem::bad_request(
                        "the form has too much beside its file",
                    ));
                }
            }
        }
    }
}

impl FormFile {
    /// As the client says it.
    pub(super) fn name(&self) -> Option<&str> {
        self.field.file_name()
    }

    /// More of its content; `None` at its end.
    pub(super) async fn chunk(&mut self) -> Answer<Option<Bytes>> {
        self.allowance.store(WINDOW, Ordering::Relaxed);
        self.field.chunk().await.map_err(broken)
    }
}

/// What the parser says may repeat what the client sent.
fn broken(_: multer::Error) -> Problem {
    Problem::limit(
        StatusCode::BAD_REQUEST,
        "the form is broken or not complete",
    )
}

/// Whether the parser was told to make do with what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Yes,
    No,
}

/// The body for the parser, which takes all that is there before it looks at it.
struct Fed {
    body: Body,
    allowance: Arc<AtomicUsize>,
    used_up: Told,
}

impl Stream for Fed {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let left = self.allowance.load(Ordering::Relaxed);
        if left == 0 {
            if self.used_up == Told::Yes {
                // it could make nothing of it
                return Poll::Ready(Some(Err(axum::Error::new("too much at once"))));
            }
            self.used_up = Told::Yes;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.used_up = Told::No;
        loop {
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
                return Poll::Ready(None);
            };
            // trailers say nothing
            if let Ok(data) = frame?.into_data() {
                let left = left.saturating_sub(data.len());
                self.allowance.store(left, Ordering::Relaxed);
                return Poll::Ready(Some(Ok(data)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// A body that comes in these pieces.
    struct Pieces(VecDeque<Bytes>);

    impl Stream for Pieces {
        type Item = Result<Bytes, std::convert::Infallible>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(self.0.pop_front().map(Ok))
        }
    }

    /// All files of a form that comes in pieces of `size` bytes.
    fn files(form: &[u8], size: usize) -> Answer<Vec<(String, Vec<u8>)>> {
        let pieces = form.chunks(size).map(Bytes::copy_from_slice).collect();
        let body = Body::from_stream(Pieces(pieces));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut form = Form::of("multipart/form-data; boundary=XX", body)?;
            let mut all = Vec::new();
            while let Some(mut file) = form.file().await? {
                let (name, mut content) = (file.name().unwrap().to_owned(), Vec::new());
                while let Some(chunk) = file.chunk().await? {
                    content.extend(chunk);
                }
                all.push((name, content));
            }
            Ok(all)
        })
    }

    fn form(content: &[u8]) -> Vec<u8> {
        let head =
            b"--XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.csv\"\r\n\r\n";
        [head, content, b"\r\n--XX--\r\n"].concat()
    }

    /// Bytes, among them what looks like a boundary and is none.
    fn content() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            Just(b"\r\n--X".to_vec()),
            Just(b"\r\n\r\n--".to_vec()),
            Just(b"--XX".to_vec()),
            Just(vec![b'\r'; 100]),
        ];
        proptest::collection::vec(part, 0..20).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn a_file_comes_out_as_it_went_in_however_it_is_cut(content in content(), size in 1_usize..300) {
            prop_assume!(!content.windows(6).any(|six| six == b"\r\n--XX"));
            let found = files(&form(&content), size).unwrap();
            prop_assert_eq!(found, vec![("a.csv".to_owned(), content)]);
        }

        #[test]
        fn a_form_that_was_cut_off_is_broken(content in content(), kept in 0.0..1.0_f64, size in 1_usize..300) {
            let form = form(&content);
            let kept = ((form.len() - 4) as f64 * kept) as usize;
            let whole = form[..kept].windows(8).any(|eight| eight == b"\r\n--XX--");
            prop_assert!(whole || files(&form[..kept], size).is_err());
        }

        #[test]
        fn any_bytes_end_in_an_answer(noise in content(), size in 1_usize..300) {
            let _ = files(&noise, size);
            let _ = files(&[b"--XX\r\n", noise.as_slice()].concat(), size);
        }
    }

    #[test]
    fn a_large_file_goes_through_the_window() {
        let content: Vec<u8> = (0..2_000_000_u32).map(|n| (n * 31 % 251) as u8).collect();
        for size in [1000, WINDOW - 1, WINDOW, WINDOW + 1, 1 << 20] {
            let found = files(&form(&content), size).unwrap();
            assert!(found.len() == 1 && found[0].1 == content, "{size}");
        }
    }
}
