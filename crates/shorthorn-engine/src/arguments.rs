//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

/// Shown with a wrong command line.
pub const USAGE: &str = "usage: shorthorn-engine --order FILE --lock FILE | --version";

/// What the program is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Arguments {
    /// Print the version and end.
    Version,
    /// Run one session.
    Run {
        /// File with the order (JSON).
        order: PathBuf,
        /// File that is locked while this program lives.
        lock: PathBuf,
    },
}

/// Understands the command line, without the program's name.
///
/// # Errors
/// What is wrong, for people.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, String> {
    let mut arguments = arguments.into_iter();
    let (mut order, mut lock) = (None, None);
    while let Some(argument) = arguments.next() {
        let place = match argument.to_str() {
            Some("--version") => return Ok(Arguments::Version),
            Some("--order") => &mut order,
            Some("--lock") => &mut lock,
            _ => return Err(format!("unknown argument {}", argument.to_string_lossy())),
        };
        let value = arguments
            .next()
            .ok_or_else(|| format!("{} needs a file", argument.to_string_lossy()))?;
        if place.replace(PathBuf::from(value)).is_some() {
            return Err(format!("{} is given twice", argument.to_string_lossy()));
        }
    }
    match (order, lock) {
        (Some(order), Some(lock)) => Ok(Arguments::Run { order, lock }),
        (None, _) => Err("--order is missing".to_owned()),
        (_, None) => Err("--lock is missing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Arguments, String> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn takes_both_files_in_any_order() {
        let run = Arguments::Run {
            order: "o".into(),
            lock: "l".into(),
        };
        assert_eq!(parsed(&["--lock", "l", "--order", "o"]), Ok(run));
        assert_eq!(parsed(&["--version"]), Ok(Arguments::Version));
    }

    #[test]
    fn says_what_is_wrong() {
        for (words, why) in [
            (&[][..], "--order is missing"),
            (&["--order", "o"], "--lock is missing"),
            (&["--order"], "--order needs a file"),
            (&["--order", "a", "--order", "b"], "--order is given twice"),
            (&["--dance"], "unknown argument --dance"),
        ] {
            assert_eq!(parsed(words), Err(why.to_owned()));
        }
    }
}
