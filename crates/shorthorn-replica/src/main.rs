//! The replica program: serves the replicas of one disk

fn main() {}
