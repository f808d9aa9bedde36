"""What the law needs beside the volume's own document, named by the commit as unchanged: nodes, and the time T.

Who applies an event without grounds is refused where the answer would rest on them: nothing is taken for granted. But the
start of a session is judged by the volume alone where its node's record is not given; the committer always gives it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.node import Node

_NONE: Mapping[NodeName, Node | None] = MappingProxyType({})


class Grounds(NamedTuple):
    """`nodes`: the records looked at, None for one that does not exist. `grant_s`: T of the cluster, None while unknown."""

    nodes: Mapping[NodeName, Node | None] = _NONE
    grant_s: float | None = None

    def is_dead(self, name: NodeName) -> bool:
        """Whether the node's record was looked at and says that it was declared dead."""
        node = self.nodes.get(name)
        return node is not None and node.dead is not None


NO_GROUNDS = Grounds()
