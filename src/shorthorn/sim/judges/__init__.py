"""Who judges a run: what clients and consumers were told, what is recorded, and whether all came right in the end.

Judges know neither planning nor the law: they look at truth that the simulator knows and at words that were said. Pure.
"""
