//! Log lines on standard error: `level message key=value`, one line an event, never one a request.
//!
//! Values come from peers too: whatever could break a line or pass for another key is quoted.

use std::fmt::{Display, Write as _};
use std::io::Write as _;

/// How much a line matters.
#[derive(Clone, Copy, Debug)]
pub enum Level {
    /// Part of a session's life.
    Info,
    /// Somebody did something unexpected, and it is handled.
    Warn,
    /// The session or the program ends for it.
    Error,
}

/// One key with its value.
pub type Field<'a> = (&'static str, &'a dyn Display);

/// Writes a line. A log that can't be written stops nothing.
pub fn line(level: Level, message: &str, fields: &[Field<'_>]) {
    let mut line = format(level, message, fields);
    line.push('\n');
    let _unwritten = std::io::stderr().write_all(line.as_bytes());
}

/// [`Level::Info`].
pub fn info(message: &str, fields: &[Field<'_>]) {
    line(Level::Info, message, fields);
}

/// [`Level::Warn`].
pub fn warn(message: &str, fields: &[Field<'_>]) {
    line(Level::Warn, message, fields);
}

/// [`Level::Error`].
pub fn error(message: &str, fields: &[Field<'_>]) {
    line(Level::Error, message, fields);
}

fn format(level: Level, message: &str, fields: &[Field<'_>]) -> String {
    let level = match level {
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    let mut line = format!("{level} {message}");
    for (key, value) in fields {
        let text = value.to_string();
        let plain = |c: char| c.is_alphanumeric() || "_-./:+@%".contains(c);
        // Writing to memory can't fail.
        let _always = if !text.is_empty() && text.chars().all(plain) {
            write!(line, " {key}={text}")
        } else {
            write!(line, " {key}={text:?}")
        };
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_can_not_break_a_line_or_forge_a_key() {
        let line = format(
            Level::Warn,
            "replica refused",
            &[("replica", &"r1"), ("why", &"a\nb=\"c\""), ("none", &"")],
        );
        assert_eq!(
            line,
            "warn replica refused replica=r1 why=\"a\\nb=\\\"c\\\"\" none=\"\""
        );
    }
}
