//! The NBD server side as bytes in, requests out; no I/O
