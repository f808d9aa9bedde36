"""Scenarios: stories about a cluster as an operator would tell them, and the answer that they must give.

`language` is the table of commands, `script` the file, `runner` carries one out; a `Stage` is the cluster it happens on.
"""
