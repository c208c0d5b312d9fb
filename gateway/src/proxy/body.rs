use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// How many pieces may wait between the client's connection and the service's.
const PIECES: usize = 2;

/// The body of a request on its way to a service: the end of a channel, or nothing.
///
/// It ends well only where the sender says so; where the sender just goes away, so did the client, and the
/// service must not take what it has for the whole.
#[derive(Debug)]
pub struct RequestBody(Option<Pieces>);

#[derive(Debug)]
struct Pieces {
    incoming: mpsc::Receiver<Piece>,
    /// How many bytes are still to come, where the client said so.
    left: Option<u64>,
}

#[derive(Debug)]
enum Piece {
    Data(Bytes),
    End,
}

/// Where a request's body is put in, piece by piece.
#[derive(Debug)]
pub struct BodySender(mpsc::Sender<Piece>);

impl RequestBody {
    /// No body.
    pub fn empty() -> Self {
        Self(None)
    }

    /// A body of `length` bytes, or of as many as come.
    pub fn channel(length: Option<u64>) -> (BodySender, Self) {
        let (sender, incoming) = mpsc::channel(PIECES);
        (BodySender(sender), Self(Some(Pieces { incoming, left: length })))
    }
}

impl BodySender {
    /// Waits until there is room for another piece.
    ///
    /// # Errors
    /// When nobody reads the body any more.
    pub async fn send(&self, data: Bytes) -> Result<(), Gone> {
        self.0.send(Piece::Data(data)).await.map_err(|_| Gone)
    }

    /// Says that the body is complete.
    ///
    /// # Errors
    /// When nobody reads the body any more.
    pub async fn finish(self) -> Result<(), Gone> {
        self.0.send(Piece::End).await.map_err(|_| Gone)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyCut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyCut>>> {
        let Some(pieces) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let piece = ready!(pieces.incoming.poll_recv(context));
        Poll::Ready(match (piece, pieces.left) {
            (Some(Piece::Data(data)), Some(left)) => match left.checked_sub(data.len() as u64) {
                Some(less) => {
                    pieces.left = Some(less);
                    Some(Ok(Frame::data(data)))
                }
                None => Some(Err(BodyCut)),
            },
            (Some(Piece::Data(data)), None) => Some(Ok(Frame::data(data))),
            (Some(Piece::End), None | Some(0)) => {
                self.0 = None;
                None
            }
            (Some(Piece::End), Some(_)) | (None, _) => Some(Err(BodyCut)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|pieces| pieces.left == Some(0))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            None => SizeHint::with_exact(0),
            Some(Pieces { left: Some(left), .. }) => SizeHint::with_exact(*left),
            Some(Pieces { left: None, .. }) => SizeHint::default(),
        }
    }
}

/// Nobody reads the body any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads the body any more")
    }
}

impl std::error::Error for Gone {}

/// The client did not send the whole body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyCut;

impl fmt::Display for BodyCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client did not send the whole body")
    }
}

impl std::error::Error for BodyCut {}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn next(body: &mut RequestBody) -> Option<Result<Bytes, BodyCut>> {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
        Some(frame.map(|frame| frame.into_data().expect("only data is sent")))
    }

    #[actix::test]
    async fn a_body_ends_well_only_where_the_sender_says_so() {
        let (sender, mut whole) = RequestBody::channel(None);
        sender.send(Bytes::from_static(b"ab")).await.expect("the body is there");
        sender.finish().await.expect("the body is there");
        let (sender, mut cut) = RequestBody::channel(None);
        drop(sender);

        assert_eq!(next(&mut whole).await, Some(Ok(Bytes::from_static(b"ab"))));
        assert_eq!(next(&mut whole).await, None);
        assert_eq!(next(&mut cut).await, Some(Err(BodyCut)));
    }

    #[actix::test]
    async fn a_body_of_known_length_is_neither_longer_nor_shorter() {
        let (sender, mut short) = RequestBody::channel(Some(3));
        sender.send(Bytes::from_static(b"ab")).await.expect("the body is there");
        sender.finish().await.expect("the body is there");
        let (sender, mut long) = RequestBody::channel(Some(1));
        sender.send(Bytes::from_static(b"ab")).await.expect("the body is there");

        assert_eq!(short.size_hint().exact(), Some(3));
        assert_eq!(next(&mut short).await, Some(Ok(Bytes::from_static(b"ab"))));
        assert_eq!(next(&mut short).await, Some(Err(BodyCut)));
        assert_eq!(next(&mut long).await, Some(Err(BodyCut)));
    }
}
