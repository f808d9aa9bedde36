//! The engine program: NBD, core, connections to replicas

fn main() {}
