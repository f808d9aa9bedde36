"""A machine's small files in memory, with what a power loss takes, and locks that live as long as their process.

`ProcessFiles(process)` is the view of one process: the port of the agent's files, with locks held by that process.
"""
