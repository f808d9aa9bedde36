"""Stories that tests tell a world, with the rules in place and without one of them."""

import random
from collections.abc import Callable

from shorthorn.links import program_lines as lines
from tests.native.clients import Call
from tests.native.node import Node
from tests.native.world import BLOCKS, Actor, World


def half_a_write(seed: int) -> World:
    """A write reaches one copy only, and its engine dies; one session reads one copy, the next the other."""
    world = World(seed=seed, nodes=2)
    first = world.open(0)
    world.hold(first, 1)
    written = world.write(first, 0)
    world.pump.run(lambda: has(world.nodes[0], written))
    world.kill(first)
    for node in (0, 1):
        session = world.open(node)
        world.wait_for(world.read(session, 0))
        world.kill(session)
    return world


def a_copy_loses_power(seed: int) -> World:
    """An acknowledged write is in two page caches; the copy beside the next engine loses its power."""
    world = World(seed=seed, nodes=2)
    world.wait_for(world.write(world.open(0), 0))
    world.lose_power(0, seed)
    world.start_replica(0)
    second = world.open(0)
    world.wait_for(world.read(second, 0))
    world.close(second)
    return world


def chance(seed: int) -> World:
    """Sessions, work without a session, and faults, as they come."""
    world = World(seed=seed, nodes=4, spare=1)
    dice = random.Random(seed)
    for _ in range(40):
        if world.record.session is None:
            _detached(world, dice)
        elif world.engine is not None:
            _attached(world, world.engine, dice)
        for node in world.nodes:
            if node.replica is None and dice.random() < 0.7:
                world.start_replica(node.index)
    for node in world.nodes:
        if node.replica is None:
            world.start_replica(node.index)
    world.rest()
    return world


def has(node: Node, written: Call) -> bool:
    """Whether a write is in this copy."""
    assert written.block is not None
    return node.files.read(written.block * 4096, 8) == written.op.to_bytes(8, "little")


def _detached(world: World, dice: random.Random) -> None:
    members = world.record.in_sync()
    spare = [index for index in range(len(world.nodes)) if index not in members]
    if not world.record.settled and dice.random() < 0.3:
        world.start_copier(dice.randrange(len(world.nodes)), lines.SettleWork())
        _some_steps(world, dice, 400)
    elif world.record.settled and spare and dice.random() < 0.5:
        move = lines.MoveWork(source=f"r{dice.choice(members)}", target=f"r{dice.choice(spare)}")
        world.start_copier(dice.randrange(len(world.nodes)), move)
        _some_steps(world, dice, 400)
    if world.record.session is None:
        world.start_session(dice.randrange(len(world.nodes)))
        _some_steps(world, dice, 800)


def _attached(world: World, engine: Actor, dice: random.Random) -> None:
    if world.record.broken:
        world.close(engine)
        return
    for _ in range(dice.randrange(6)):
        if not engine.serving:
            break
        match dice.randrange(4):
            case 0:
                world.flush(engine)
            case 1:
                world.read(engine, dice.choice(BLOCKS))
            case _:
                world.write(engine, dice.choice(BLOCKS), fua=dice.random() < 0.2)
        _some_steps(world, dice, 20)
    victim = dice.randrange(len(world.nodes))
    match dice.randrange(8):
        case 0:
            world.kill(engine)
        case 7:
            for node in world.nodes:
                world.lose_power(node.index, dice.randrange(1 << 30))
        case 1:
            world.lose_power(victim, dice.randrange(1 << 30))
        case 2 if world.nodes[victim].replica is not None:
            world.crash_replica(victim)
        case 3:
            world.close(engine)
        case _:
            _some_steps(world, dice, 60)


def _some_steps(world: World, dice: random.Random, at_most: int) -> None:
    for _ in range(dice.randrange(at_most)):
        world.pump.step()


STORIES: dict[str, Callable[[int], World]] = {
    story.__name__: story for story in (half_a_write, a_copy_loses_power, chance)
}
