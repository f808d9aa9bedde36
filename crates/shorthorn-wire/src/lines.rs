//! The bytes of [`crate::agent`]: one JSON object a line, each line of bounded length.
//!
//! Never does I/O. After an error the link must end and be dialled again; nothing of the line was obeyed.
//! Source: docs/formats/wire.md.

use bytes::{Buf, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::LINE_BYTES_MAX;

/// Why a line can't be sent or obeyed.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Longer than [`LINE_BYTES_MAX`].
    #[error("a line is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// Not one JSON object of the expected type: damaged, or from another version.
    #[error("not a message: {0}")]
    Json(#[from] serde_json::Error),
}

/// The line of a message, with its end.
///
/// # Errors
/// [`LineError::TooLong`].
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, LineError> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    if line.len() > LINE_BYTES_MAX {
        Err(LineError::TooLong)
    } else {
        Ok(line)
    }
}

/// The message of one line, with or without its end.
///
/// # Errors
/// [`LineError`].
pub fn decode<T: DeserializeOwned>(line: &[u8]) -> Result<T, LineError> {
    if line.len() > LINE_BYTES_MAX {
        return Err(LineError::TooLong);
    }
    Ok(serde_json::from_slice(line)?)
}

/// Cuts what a link delivers into lines.
#[derive(Debug, Default)]
pub struct Lines {
    buffer: BytesMut,
    /// So many bytes at the front were looked at and hold no end of line.
    searched: usize,
}

impl Lines {
    /// Nothing received yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what was read from the link.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The message of the next whole line; none while there is none. Empty lines are skipped.
    ///
    /// # Errors
    /// [`LineError`]; the link must end.
    pub fn take<T: DeserializeOwned>(&mut self) -> Result<Option<T>, LineError> {
        while let Some(end) = self.buffer[self.searched..]
            .iter()
            .position(|byte| *byte == b'\n')
        {
            let line = self.buffer.split_to(self.searched + end);
            self.buffer.advance(1);
            self.searched = 0;
            if !line.is_empty() {
                return decode(&line).map(Some);
            }
        }
        self.searched = self.buffer.len();
        if self.searched > LINE_BYTES_MAX {
            return Err(LineError::TooLong);
        }
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::agent::{Answer, Ask, Hello, ToAgent, ToProgram};

    fn orders() -> Vec<ToProgram> {
        vec![
            ToProgram::Close,
            ToProgram::Answer {
                id: u64::MAX,
                answer: Answer::Refused {
                    why: "two\nlines \u{1f42e}".into(),
                },
            },
            ToProgram::Delete {
                id: 1,
                replica: "r1".into(),
                era: 2,
                version: u64::MAX,
            },
            ToProgram::Stop,
        ]
    }

    proptest! {
        #[test]
        fn lines_come_back_however_they_are_cut(steps in proptest::collection::vec(1..40usize, 1..20)) {
            let sent = orders();
            let bytes: Vec<u8> = sent.iter().flat_map(|order| encode(order).expect("short")).collect();
            let (mut lines, mut got, mut rest) = (Lines::new(), Vec::new(), &bytes[..]);
            for step in steps.iter().cycle() {
                let (now, later) = rest.split_at((*step).min(rest.len()));
                lines.extend(now);
                while let Some(order) = lines.take::<ToProgram>().expect("legal") {
                    got.push(order);
                }
                rest = later;
                if rest.is_empty() { break }
            }
            prop_assert_eq!(got, sent);
        }

        #[test]
        fn no_line_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut lines = Lines::new();
            lines.extend(&bytes);
            while let Ok(Some(_)) = lines.take::<ToProgram>() {}
        }
    }

    #[test]
    fn a_line_without_end_is_refused_at_the_limit() {
        let mut lines = Lines::new();
        let chunk = vec![b'x'; 1 << 20];
        for _mebibyte in 0..4 {
            lines.extend(&chunk);
            assert!(lines.take::<ToProgram>().expect("waits").is_none());
        }
        lines.extend(&chunk);
        assert!(matches!(lines.take::<ToProgram>(), Err(LineError::TooLong)));
    }

    #[test]
    fn unknown_and_damaged_lines_are_errors() {
        for line in [
            &b"{}"[..],
            b"[]",
            b"{\"type\":\"dance\"}",
            b"{\"type\":\"list\"}",
            b"\xff",
            b"{\"type\":\"close\"",
        ] {
            assert!(
                decode::<ToProgram>(line).is_err(),
                "{}",
                String::from_utf8_lossy(line)
            );
        }
    }

    #[test]
    fn the_words_are_as_documented() {
        // docs/formats/wire.md, "The agent's link".
        let hello = Hello::Engine {
            wire: 1,
            volume: "v".into(),
            epoch: 3,
            engine: "e".into(),
            pid: 4,
        };
        let text = String::from_utf8(encode(&hello).expect("short")).expect("text");
        assert_eq!(
            text,
            "{\"program\":\"engine\",\"wire\":1,\"volume\":\"v\",\"epoch\":3,\"engine\":\"e\",\"pid\":4}\n"
        );
        let ask = Ask::SessionClosed {
            epoch: 3,
            clean: true,
            why: "w".into(),
        };
        let text =
            String::from_utf8(encode(&ToAgent::Ask { id: 9, ask }).expect("short")).expect("text");
        let closed = "{\"event\":\"session_closed\",\"epoch\":3,\"clean\":true,\"why\":\"w\"}";
        assert_eq!(
            text,
            format!("{{\"type\":\"ask\",\"id\":9,\"ask\":{closed}}}\n")
        );
    }
}
