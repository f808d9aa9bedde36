"""The whole plan: each volume's planners by what the volume is doing, then admission.

Pure: the same world and the same ids give the same plan. The order of the branches is the order of importance: what
consumers want comes before maintenance, and nothing happens to an unsettled volume but settling.
"""

from shorthorn.core.lifecycle.state import wanted
from shorthorn.core.model.volume import TaskKind, Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning import tasks
from shorthorn.core.planning.admission import admit
from shorthorn.core.planning.attached import plan_attached
from shorthorn.core.planning.away import plan_patience
from shorthorn.core.planning.forming import plan_forming
from shorthorn.core.planning.leaving import plan_giving_up, plan_leaving
from shorthorn.core.planning.looking import NewId, away_s, coming, keepers, task_under_way
from shorthorn.core.planning.plan import NOTHING, Intent, Plan, Wait
from shorthorn.core.planning.reclaim import plan_reclaim
from shorthorn.core.planning.repair import plan_copying, plan_repair
from shorthorn.core.planning.sessions import plan_end, plan_start
from shorthorn.core.planning.settling import plan_settling


def plan(world: World, new_id: NewId) -> Plan:
    """For every volume, in order of uid, under the cluster's budgets."""
    intents: list[Intent] = []
    waits: list[Wait] = []
    times: list[float] = []
    for volume in world.volumes.values():
        one = plan_volume(world, volume, new_id)
        intents += one.intents
        waits += one.waits
        times += [one.look_again_s] if one.look_again_s is not None else []
    whole = Plan(intents=tuple(intents), waits=tuple(waits), look_again_s=min(times, default=None))
    return admit(world, whole)


def plan_volume(world: World, volume: Volume, new_id: NewId) -> Plan:
    """For one volume, before admission."""
    plan = plan_reclaim(world, volume)
    if volume.deleting:
        return plan
    if volume.session:
        end = plan_end(world, volume, volume.session)
        return plan + end + (NOTHING if end.intents else plan_attached(world, volume, new_id))
    if volume.m == 0:
        return plan + plan_forming(world, volume, new_id)
    if volume.attachments:
        plan += plan_start(world, volume)
        return plan + _maintain(world, volume, new_id) if _held_by_the_dead(world, volume) else plan
    return plan + _maintain(world, volume, new_id)


def _held_by_the_dead(world: World, volume: Volume) -> bool:
    """Its consumer's node was declared dead: no session can start, and nothing else waits for that (L7)."""
    node = world.nodes.get(volume.held_at) if volume.held_at else None
    return node is not None and node.dead is not None


def _maintain(world: World, volume: Volume, new_id: NewId) -> Plan:
    """A volume without a session that nobody can use now."""
    done = next((t for t in volume.tasks if t.committed), None)
    if done is not None:
        return tasks.follow(world, volume, done, "", Plan)
    if not volume.settled:
        return plan_settling(world, volume, new_id)
    want = wanted(world, volume)
    task = task_under_way(volume)
    if task is not None and task.kind is TaskKind.COPY:
        return plan_copying(world, volume, task, want, new_id)
    if task is not None:
        return tasks.follow(world, volume, task, "the volume is settled", Plan)
    plan = plan_giving_up(world, volume, want) + _patience(world, volume, want)
    if plan.intents:
        return plan
    if len(keepers(world, volume)) < want:
        plan += plan_repair(world, volume, want, new_id)
    return plan if plan.intents else plan + plan_leaving(world, volume, want)


def _patience(world: World, volume: Volume, want: int) -> Plan:
    """Who is away for a short time is said only when too few would be left without it."""
    counted = [*keepers(world, volume), *coming(world, volume)]
    away = [r for r in counted if away_s(world, r) is not None]
    return plan_patience(world, volume, away) if len(counted) - len(away) < want else NOTHING
