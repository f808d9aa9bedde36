//! Log lines on standard error: `level time message key=value`, one line an event, never one a request that was done.
//!
//! Values come from peers too: whatever could break a line or pass for another key is quoted.

use std::fmt::{Display, Write as _};
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// How much a line matters.
#[derive(Clone, Copy, Debug)]
pub enum Level {
    /// Part of a replica's life.
    Info,
    /// Somebody did something unexpected, and it is handled.
    Warn,
    /// A replica or the program suffers for it.
    Error,
}

/// One key with its value.
pub type Field<'a> = (&'static str, &'a dyn Display);

/// Writes a line. A log that can't be written stops nothing.
pub fn line(level: Level, message: &str, fields: &[Field<'_>]) {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let mut line = format(
        level,
        &utc(since.as_secs(), since.subsec_millis()),
        message,
        fields,
    );
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

/// RFC 3339 with milliseconds, for people; nothing decides by it.
fn utc(seconds: u64, millis: u32) -> String {
    let (mut days, mut year) = (seconds / 86_400, 1970);
    let leap = |year: u64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (day, hour, minute, second) = (
        days + 1,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
    );
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

fn format(level: Level, time: &str, message: &str, fields: &[Field<'_>]) -> String {
    let level = match level {
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    let mut line = format!("{level} {time} {message}");
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
            "now",
            "replica refused",
            &[("replica", &"r1"), ("why", &"a\nb=\"c\""), ("none", &"")],
        );
        assert_eq!(
            line,
            "warn now replica refused replica=r1 why=\"a\\nb=\\\"c\\\"\" none=\"\""
        );
    }

    #[test]
    fn times_are_right() {
        assert_eq!(utc(0, 7), "1970-01-01T00:00:00.007Z");
        assert_eq!(utc(951_782_400, 0), "2000-02-29T00:00:00.000Z");
        assert_eq!(utc(1_767_225_599, 999), "2025-12-31T23:59:59.999Z");
    }
}
