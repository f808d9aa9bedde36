"""The explorer: every state of small worlds, with the real core and abstract agents, engines and replicas.

`worlds` names what is searched, `search` does it, `moves` holds the steps, `judge`, `monitor` and `goals` say what is wrong,
`story` tells the shortest way to it. Pure: it reads no clock but the one passed in, and knows no randomness.

What is real: the law with its grounds, commits as `control.commit` makes them, planning, orders, invariants, what people are
told. What stands for the rest: one block, one volume, one disk a node; a server that plans and commits at once, and others
with old plans; agents without a memory of their own but the epochs they started; programs and messages by docs/protocol.md.

Left out, so not proven here: several blocks, regions and stamps (A4, A6), checksums (A14), snapshots, a store that goes back
(A15, so versions of documents are normalised), disks that go back (A17), several volumes and their budgets, spec changes,
read-only attachments, full disks of nodes, the pauses between tries, cuts between nodes other than a replica that is too
slow, and the agent's own reconcile. How the clocks of T drift is taken from the protocol, which waits 1.1 T.

Steps that are one here although they are several in truth: a clean close; the seals of a copy one after the other; telling all
members a new membership; a sighting with its arrival, unless it is held back; a plan with its first commit, unless it waits.
Each is a step that nobody else can see half of, or whose half is what a fault or a late message in another step shows.
"""
