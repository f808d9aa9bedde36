"""Who leads: one at a time as long as clocks are sane, somebody whenever somebody lives, and never by comparing clocks."""

import random

import msgspec
import pytest

from shorthorn.control.lease import LEASE, Lease, LeaseKeeper, LeaseTimes, Step, next_step
from shorthorn.core.model.journal import JournalLine
from shorthorn.errors import Unavailable
from shorthorn.store import FaultyStore, MemoryStore
from shorthorn.store.faulty import Fault, in_order
from tests.control.clocks import HandClock

TIMES = LeaseTimes(renew_every_s=1, hold_s=3, take_after_s=5)
MINE, OTHERS = Lease(holder="me", term=3), Lease(holder="other", term=3)


@pytest.mark.parametrize(
    ("lease", "unchanged_s", "step"),
    [
        (None, 0, Step.TAKE),
        (MINE, 0, Step.RENEW),
        (MINE, 100, Step.RENEW),
        (OTHERS, 0, Step.WAIT),
        (OTHERS, 4.99, Step.WAIT),
        (OTHERS, 5, Step.TAKE),
    ],
)
def test_a_lease_is_taken_over_only_when_it_was_long_unchanged(
    lease: Lease | None, unchanged_s: float, step: Step
) -> None:
    assert next_step("me", lease, unchanged_s, TIMES) is step


@pytest.mark.parametrize("times", [(0, 3, 5), (1, 1, 5), (1, 5, 5)])
def test_a_holder_stops_before_another_may_take_over(times: tuple[float, float, float]) -> None:
    renew, hold, take = times
    with pytest.raises(ValueError, match="renew_every_s < hold_s < take_after_s"):
        LeaseTimes(renew_every_s=renew, hold_s=hold, take_after_s=take)


class Server:
    """A keeper with a clock of its own, and what it was told."""

    def __init__(self, name: str, store: MemoryStore | FaultyStore, now_s: float = 100.0) -> None:
        self.clock = HandClock(now_s)
        self.told: list[bool] = []
        self.keeper = LeaseKeeper(store, self.clock, name, TIMES, self.told.append)

    def leads(self) -> bool:
        return self.keeper.leading


async def held(store: MemoryStore | FaultyStore) -> Lease:
    document = await LEASE.get(store, "")
    assert document is not None
    return document.value


async def test_the_first_leads_and_the_other_follows_while_it_renews() -> None:
    store = MemoryStore()
    a, b = Server("a", store), Server("b", store, now_s=9e6)
    for _ in range(20):
        for server in (a, b):
            await server.keeper.look()
            server.clock.now_s += 1
        assert a.leads()
        assert not b.leads()
        assert b.keeper.holder == "a"
    assert (a.told, b.told) == ([True], [])
    assert await held(store) == Lease(holder="a", term=1, renewals=19)
    (entry,) = await store.journal()
    assert msgspec.json.decode(entry.body, type=JournalLine).line == "server a leads, term 1: nobody led"


async def test_a_paused_leader_stops_at_once_and_learns_at_its_next_look_who_leads() -> None:
    store = MemoryStore()
    a, b = Server("a", store), Server("b", store)
    await a.keeper.look()
    await b.keeper.look()
    a.clock.now_s += 3
    assert not a.leads()  # before it has looked at anything
    b.clock.now_s += 4.9
    await b.keeper.look()
    assert not b.leads()
    b.clock.now_s += 0.1
    await b.keeper.look()
    assert b.leads()
    await a.keeper.look()
    assert a.keeper.holder == "b"
    assert (a.told, b.told) == ([True, False], [True])
    assert await held(store) == Lease(holder="b", term=2)


async def test_a_leader_that_was_late_but_not_replaced_leads_again_in_its_term_and_begins_anew() -> None:
    store = MemoryStore()
    a = Server("a", store)
    await a.keeper.look()
    a.clock.now_s += 60
    assert not a.leads()
    await a.keeper.look()
    assert a.leads()
    assert a.told == [True, True]
    assert (await held(store)).term == 1


async def test_another_life_of_a_server_is_another_holder() -> None:
    store = MemoryStore()
    await Server("a1", store).keeper.look()
    again = Server("a2", store)
    await again.keeper.look()
    assert not again.leads()


async def test_a_follower_that_was_paused_looks_before_it_takes() -> None:
    """Its own pause is no silence of the leader."""
    store = MemoryStore()
    a, b = Server("a", store), Server("b", store)
    await a.keeper.look()
    await b.keeper.look()
    for _ in range(10):
        a.clock.now_s += 1
        await a.keeper.look()
    b.clock.now_s += 10
    await b.keeper.look()
    assert not b.leads()
    assert a.leads()


@pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.REQUEST_LOST, Fault.RIVAL])
async def test_who_does_not_know_that_it_leads_does_not(fault: Fault) -> None:
    store = FaultyStore(MemoryStore(), in_order([fault]))
    a = Server("a", store)
    await a.keeper.look()
    assert not a.leads()
    a.clock.now_s += 1
    await a.keeper.look()
    assert a.leads()


async def test_a_leader_whose_store_is_away_stops_when_its_time_is_over() -> None:
    store = FaultyStore(MemoryStore())
    a = Server("a", store)
    await a.keeper.look()
    store.decide = lambda writes: Fault.UNAVAILABLE
    for _ in range(2):
        a.clock.now_s += 1
        with pytest.raises(Unavailable):
            await a.keeper.look()
        assert a.leads()
    a.clock.now_s += 1
    assert not a.leads()


async def test_the_time_that_a_renewal_took_is_not_counted_twice() -> None:
    """The lease runs from before the renewal was sent: the store may have carried it out at once."""
    store = FaultyStore(MemoryStore())
    a = Server("a", store)

    def slow(_writes: object) -> None:
        a.clock.now_s += 2.9

    store.decide = slow
    await a.keeper.look()
    assert a.leads()
    a.clock.now_s += 0.1
    assert not a.leads()


@pytest.mark.parametrize("seed", range(40))
async def test_at_most_one_leads_and_soon_one_does(seed: int) -> None:
    """Three servers with clocks of other rates, pauses, slow and lost commits."""
    chance = random.Random(seed)
    store = FaultyStore(MemoryStore())
    servers = [Server(name, store, chance.uniform(0, 1e6)) for name in "abc"]
    rates = [chance.uniform(0.85, 1.15) for _ in servers]
    next_look_s = [0.0] * 3
    now_s, calm_since_s, worst_s, terms = 0.0, 0.0, 0.0, 0

    def advance(step_s: float) -> None:
        nonlocal now_s
        now_s += step_s
        for server, rate in zip(servers, rates, strict=True):
            server.clock.now_s += step_s * rate

    def trouble(_writes: object) -> Fault | None:
        advance(chance.choice([0.0, 0.01, 0.3]))
        if terms == 0:
            return None  # a rival would found the lease without its line in the journal
        return chance.choice([None] * 8 + [Fault.ANSWER_LOST, Fault.REQUEST_LOST, Fault.RIVAL])

    store.decide = trouble
    while now_s < 300:
        index = min(range(3), key=next_look_s.__getitem__)
        advance(max(0.0, next_look_s[index] - now_s))
        await servers[index].keeper.look()
        leaders = [s.keeper.me for s in servers if s.keeper.leading]
        assert len(leaders) <= 1, (seed, now_s, leaders)
        pause_s = chance.choice([0.0] * 30 + [2.0, 7.0, 20.0])
        next_look_s[index] = now_s + 1 / rates[index] + pause_s
        lease = await held(store)
        assert lease.term >= terms
        terms = lease.term
        if leaders:
            calm_since_s = now_s
        worst_s = max(worst_s, now_s - calm_since_s)
    assert worst_s < 45, (seed, worst_s)  # all paused at once, then one of them waits
    lines = [msgspec.json.decode(e.body, type=JournalLine).line for e in await store.journal()]
    assert len(lines) == terms  # each term has its line, and no renewal has one
