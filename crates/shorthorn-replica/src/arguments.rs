//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Shown with a wrong command line.
pub const USAGE: &str = "usage: shorthorn-replica --disk DIR --disk-uid UID --cluster UID --boot-id ID --agent SOCKET \
                         [--listen 127.0.0.1:0] | --version";

/// What the program is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Arguments {
    /// Print the version and end.
    Version,
    /// Serve a disk.
    Run(Settings),
}

/// One program's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The disk's folder.
    pub disk: PathBuf,
    /// Uid of the disk.
    pub disk_uid: String,
    /// Uid of the cluster.
    pub cluster: String,
    /// Boot id of the machine: given, so that a loss of power can be tested.
    pub boot: String,
    /// Unix socket of the agent.
    pub agent: PathBuf,
    /// Where to listen for engines; port 0: any free one.
    pub listen: SocketAddr,
}

/// Understands the command line, without the program's name.
///
/// # Errors
/// What is wrong, for people.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, String> {
    const NAMES: [&str; 6] = [
        "--disk",
        "--disk-uid",
        "--cluster",
        "--boot-id",
        "--agent",
        "--listen",
    ];
    let mut values: [Option<OsString>; 6] = Default::default();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let name = argument.to_str().unwrap_or_default();
        if name == "--version" {
            return Ok(Arguments::Version);
        }
        let Some(at) = NAMES.iter().position(|known| *known == name) else {
            return Err(format!("unknown argument {}", argument.to_string_lossy()));
        };
        let value = arguments
            .next()
            .ok_or_else(|| format!("{name} needs a value"))?;
        if values[at].replace(value).is_some() {
            return Err(format!("{name} is given twice"));
        }
    }
    let [disk, disk_uid, cluster, boot, agent, listen] = values;
    let needed =
        |value: Option<OsString>, name: &str| value.ok_or_else(|| format!("{name} is missing"));
    let text = |value: OsString, name: &str| {
        value
            .into_string()
            .map_err(|_| format!("{name} is not text"))
    };
    let listen = match listen {
        Some(listen) => text(listen, "--listen")?,
        None => "127.0.0.1:0".to_owned(),
    };
    Ok(Arguments::Run(Settings {
        disk: needed(disk, "--disk")?.into(),
        disk_uid: text(needed(disk_uid, "--disk-uid")?, "--disk-uid")?,
        cluster: text(needed(cluster, "--cluster")?, "--cluster")?,
        boot: text(needed(boot, "--boot-id")?, "--boot-id")?,
        agent: needed(agent, "--agent")?.into(),
        listen: listen
            .parse()
            .map_err(|_| format!("--listen {listen} is not ADDRESS:PORT"))?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<Arguments, String> {
        parse(words.split_whitespace().map(OsString::from))
    }

    const FULL: &str = "--disk d --disk-uid u --cluster c --boot-id b --agent a";

    #[test]
    fn takes_all_settings() {
        let settings = Settings {
            disk: "d".into(),
            disk_uid: "u".into(),
            cluster: "c".into(),
            boot: "b".into(),
            agent: "a".into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        assert_eq!(parsed(FULL), Ok(Arguments::Run(settings.clone())));
        let listen = SocketAddr::from(([10, 0, 0, 1], 7));
        let full = format!("--listen 10.0.0.1:7 {FULL}");
        assert_eq!(
            parsed(&full),
            Ok(Arguments::Run(Settings { listen, ..settings }))
        );
        assert_eq!(parsed("--version"), Ok(Arguments::Version));
    }

    #[test]
    fn says_what_is_wrong() {
        for (words, why) in [
            (String::new(), "--disk is missing"),
            ("--disk".to_owned(), "--disk needs a value"),
            ("--disk a --disk b".to_owned(), "--disk is given twice"),
            ("--dance".to_owned(), "unknown argument --dance"),
            (
                format!("{FULL} --listen here"),
                "--listen here is not ADDRESS:PORT",
            ),
        ] {
            assert_eq!(parsed(&words), Err(why.to_owned()));
        }
    }
}
