"""All that decides, and nothing that acts: no clock, no chance, no I/O, no asyncio.

`model` holds the nouns, `lifecycle` the law (the only way to change a record), `planning` the will (what to propose
next), `invariants` what must always hold. An import contract keeps this package pure.
"""
