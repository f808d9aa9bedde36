//! Messages between engine, replicas and agents: bytes, versions, limits; no I/O
