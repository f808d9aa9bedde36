"""The law: the only way to change a record, and what is derived from one.

`law` applies events to volumes, `nodes` to nodes; `events` and `requests` name them; `state` derives what people see.
Nothing here decides what to do next: that is planning's.
"""
