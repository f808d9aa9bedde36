//! The on-disk format of a replica; all I/O through one trait
