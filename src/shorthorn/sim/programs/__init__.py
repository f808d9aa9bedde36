"""The two programs of the data path on simulated machines: what crates/shorthorn-engine and -replica do around their cores.

The cores, the copier, the disk code and the frames are those that ship, through `shorthorn.native`; this package carries
their effects out. Start at `engine.run` and `replica.run`, the mains; `surroundings.Surroundings` is what they share.

How true it is:

| part | as in Rust | simplified here |
| --- | --- | --- |
| engine: start | lock, order file, endpoint checks, exit codes, last words in the log | no check of the user who connects |
| engine: rounds | every event at the clock read when it comes; one timer | one event a round instead of all that are ready |
| engine: agent | dialled after 0.1 to 1 s; hello first; asks and status repeated by the core on a new link | a line is a message |
| engine: replicas | dial limit, hang up, what comes of an older dial is dropped | no names; no limits of memory; keepalive asks the world whether the other kernel would answer |
| engine: clients | door before Serve, one queue while the core can't take, ends | no NBD bytes, no block status, no limits of memory |
| replica: start | lock, folder, sweep, identity checks, damaged folders reported | |
| replica: slot | one thing at a time; busy: requests wait, nothing else; work done whole under the lock, syncs beside | kill -9 may fall into any step of the work, by `Drive` |
| replica: connections | hello within 10 s, unknown replica refused, ends after what was sent | replies wait for nobody; keepalive as above |
| replica: orders | one at a time, late answers on their own link only, lists and tasks thinned out | |
| fences, tasks | whole | |
| frames | in a quarter of the runs, by seed: encoded and decoded | else passed as they are |
| disks | seeded times, hitches, stalls, full, failing, rotting, torn and lost writes | one disk does any number of things at once |
"""
