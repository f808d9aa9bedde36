"""The nouns: records, sightings, orders, and the view that planning decides over. No rules; those are `lifecycle`'s.

The words are those of docs/design.md section 1. `volume` and `node` are recorded, `sighting` is seen, `world` holds
both side by side, `order` is what nodes are told; `ids`, `units` and `record` are the small change.
"""
