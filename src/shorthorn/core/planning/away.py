"""Patience with replicas that are away: why nothing is placed for them yet, and for how long. Proposes nothing."""

from collections.abc import Sequence

from shorthorn.core.model.volume import Replica, Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning.looking import away_s, wait, why_replaced
from shorthorn.core.planning.plan import Plan


def plan_patience(world: World, volume: Volume, replicas: Sequence[Replica]) -> Plan:
    """Waits: each of `replicas` that is away, until another one is placed; looks again when the first is due."""
    plan = Plan()
    limit = world.settings.replace_after_s
    for replica in replicas:
        away = away_s(world, replica)
        if away is None or why_replaced(world, replica):
            continue
        reason = (
            f"replica {replica.id}: {replica.node} is away for {away:.0f} s; "
            f"another replica is placed after {limit:.0f} s (setting replace_after_s)"
        )
        waits = (wait(volume, reason, f"{replica.node} comes back", replica.node),)
        plan += Plan(waits=waits, look_again_s=limit - away)
    return plan
