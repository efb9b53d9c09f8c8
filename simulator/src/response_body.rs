//! The body of a response, which can be cut off before its end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

/// Time between writing the last bytes of a cut-off body and dropping the connection, so that the bytes are sent.
const FLUSH_TIME: Duration = Duration::from_millis(30);

/// A body of known length that can be cut off before its end.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    data: Bytes,
    /// Number of bytes in `Content-Length` that have not been sent yet.
    announced: u64,
    is_cut: bool,
    flush: Option<Pin<Box<Sleep>>>,
}

impl ResponseBody {
    /// - `announced`: value of `Content-Length`.
    /// - `is_cut`: whether the connection is dropped after `data`.
    pub(crate) fn new(data: Bytes, announced: u64, is_cut: bool) -> ResponseBody {
        ResponseBody { data, announced, is_cut, flush: None }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if !self.data.is_empty() {
            let data = std::mem::take(&mut self.data);
            if !self.is_cut {
                self.announced = 0;
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if !self.is_cut {
            return Poll::Ready(None);
        }
        // An immediate error would discard the bytes that have not been written yet.
        let flush = self.flush.get_or_insert_with(|| Box::pin(tokio::time::sleep(FLUSH_TIME)));
        ready!(flush.as_mut().poll(cx));
        Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty() && !self.is_cut
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.announced)
    }
}
