"""The agent of a node: makes reality match its orders, reports what it sees, decides nothing about volumes.

Read `run` first, then `reconcile` (what to do) and `sighting` (what is told); the rest does what they say. All that is
outside of it is given to it (`outside`); `shorthorn.node` puts it together with what is real.
Source: docs/design.md section 7; docs/protocol.md, B2, B15, A16.
"""

from shorthorn.agent.options import AgentOptions, DiskOption, Programs
from shorthorn.agent.outside import Outside
from shorthorn.agent.run import Agent
from shorthorn.agent.stopping import stop_programs

__all__ = ["Agent", "AgentOptions", "DiskOption", "Outside", "Programs", "stop_programs"]
