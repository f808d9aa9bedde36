"""The core decides the same under every hash seed: nothing iterates a set where order can reach the output."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

STORY = """
from shorthorn.core.lifecycle.events import Cordoned, DeclaredDead, EvictRequested
from tests.core.cluster import GIB, Cluster

cluster = Cluster()
for i in range(1, 7):
    cluster.add_node(f"n{i}", zone="abc"[i % 3])
for i in range(5):
    cluster.create(f"v{i}", 3, size=GIB)
cluster.rest()
cluster.attach("v1", "n1")
cluster.attach("v2", "n2")
cluster.rest()
cluster.detach("v1")
for node in ("n1", "n2", "n3", "n4"):
    cluster.node_event(node, Cordoned())
    cluster.node_event(node, EvictRequested())
cluster.rest()
cluster.attach("v3", "n6")
cluster.rest()
cluster.cut("n6")
cluster.detach("v3")
cluster.node_event("n5", DeclaredDead(who="operator", why="burnt"))
cluster.passes(600)
cluster.rest()
cluster.join("n6")
cluster.rest()
print("\\n".join(cluster.journal))
print("\\n".join(cluster.waits()))
for node in sorted(cluster.machines):
    print(cluster.orders(node))
"""


def told(hash_seed: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", STORY],
        env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_one_story_is_told_the_same_under_every_hash_seed() -> None:
    first = told("1")
    assert "in-sync" in first
    assert len(first.splitlines()) > 50
    assert all(told(seed) == first for seed in ("2", "77"))
