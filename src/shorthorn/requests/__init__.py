"""What people and consumers ask of the control plane, whatever face they come by.

A layer of its own above `control`, because attaching is a consumer's alone: whoever maintains (planning, the control loop,
agents) lies below and can't reach it (.importlinter, docs/design.md, S1 and S10).
"""

from shorthorn.requests.requests import Requests

__all__ = ["Requests"]
