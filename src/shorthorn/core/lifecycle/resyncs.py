"""How the resync of a replica in a session goes, in plain words. Derived from what is seen; decides nothing."""

from shorthorn.core.model.sighting import ResyncSighting
from shorthorn.core.model.units import format_size
from shorthorn.core.model.volume import Replica, Volume
from shorthorn.core.model.world import World


def resync_seen(world: World, volume: Volume, replica: Replica) -> ResyncSighting | None:
    """The newest word of the session's engine about this attempt of a replica; None while there is none."""
    session = volume.session
    engine = world.engine_seen(session.node, volume.uid, session.epoch) if session else None
    resyncs = engine.resyncs if engine else ()
    return next((r for r in resyncs if (r.replica, r.attempt) == (replica.id, replica.attempt)), None)


def resync_line(world: World, volume: Volume, replica: Replica) -> str:
    """`replica r2 on n2 is being resynced: 42 % of 10 GiB`, or what it waits for."""
    name = f"replica {replica.id} on {replica.node}"
    seen = resync_seen(world, volume, replica)
    if seen is None:
        return f"{name} is to be resynced by the engine"
    if seen.waits_for:
        return f"{name} is not being resynced now: {seen.waits_for}"
    if not seen.total:
        return f"{name} is being resynced"
    return f"{name} is being resynced: {100 * seen.done // seen.total} % of {format_size(seen.total)}"
