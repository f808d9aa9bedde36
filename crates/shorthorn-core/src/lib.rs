//! Engine and replica as state machines without I/O
