"""What clients of a volume are told, session by session: each way of being wrong is noticed."""

import pytest

from shorthorn.sim.judges.histories import BLOCK, Histories, Kind, Request, content_of, value_of
from shorthorn.sim.judges.registers import Violation

V = "v-1"


def write(histories: Histories, epoch: int, block: int = 0) -> Request:
    request = histories.call(V, epoch, Kind.WRITE, (block,))
    histories.done(request)
    return request


def read(histories: Histories, epoch: int, data: bytes, block: int = 0) -> None:
    histories.done(histories.call(V, epoch, Kind.READ, (block,)), data)


@pytest.fixture
def histories() -> Histories:
    made = Histories()
    made.opened(V, 1, broken=False)
    return made


def test_a_write_is_read_by_the_next_session(histories: Histories) -> None:
    written = write(histories, 1)
    histories.session_over(V, 1)
    histories.opened(V, 2, broken=False)
    read(histories, 2, content_of(written.value))


def test_a_write_is_lost(histories: Histories) -> None:
    write(histories, 1)
    histories.session_over(V, 1)
    histories.opened(V, 2, broken=False)
    with pytest.raises(Violation, match="shows 0"):
        read(histories, 2, bytes(BLOCK))


def test_an_unflushed_write_may_be_lost_by_a_broken_open_and_a_flushed_one_not(histories: Histories) -> None:
    write(histories, 1)
    flushed = write(histories, 1, block=1)
    histories.done(histories.call(V, 1, Kind.FLUSH, ()))
    unflushed = write(histories, 1)
    histories.opened(V, 2, broken=True)
    read(histories, 2, content_of(flushed.value), block=1)
    assert unflushed.value > 0
    with pytest.raises(Violation, match="shows 0"):
        read(histories, 2, bytes(BLOCK))


def test_a_session_that_is_over_answers_what_it_was_asked_afterwards(histories: Histories) -> None:
    histories.session_over(V, 1)
    late = histories.call(V, 1, Kind.READ, (0,))
    with pytest.raises(Violation, match=r"S2: .* over when it was sent"):
        histories.done(late, bytes(BLOCK))


def test_a_session_before_the_one_that_is_open_answers_what_it_was_asked_afterwards(
    histories: Histories,
) -> None:
    histories.opened(V, 2, broken=False)
    late = histories.call(V, 1, Kind.WRITE, (0,))
    with pytest.raises(Violation, match="S2"):
        histories.done(late)


def test_a_write_that_was_asked_of_a_session_that_was_over_has_happened_when_the_next_opens_or_never(
    histories: Histories,
) -> None:
    """A fence seals one replica; the old engine's write may reach another one until the next open seals that, too."""
    histories.session_over(V, 1)
    seen, unseen = (histories.call(V, 1, Kind.WRITE, (block,)) for block in (0, 1))
    histories.cut(seen)
    histories.opened(V, 2, broken=False)
    read(histories, 2, content_of(seen.value))
    read(histories, 2, bytes(BLOCK), block=1)
    with pytest.raises(Violation, match=f"shows {unseen.value}"):
        read(histories, 2, content_of(unseen.value), block=1)


def test_a_write_that_was_asked_of_a_session_after_the_next_had_opened_is_seen(histories: Histories) -> None:
    histories.session_over(V, 1)
    histories.opened(V, 2, broken=False)
    late = histories.call(V, 1, Kind.WRITE, (0,))
    histories.cut(late)
    with pytest.raises(Violation, match=f"shows {late.value}"):
        read(histories, 2, content_of(late.value))


def test_a_write_that_was_cut_off_is_there_or_not_but_not_both(histories: Histories) -> None:
    cut = histories.call(V, 1, Kind.WRITE, (0,))
    histories.cut(cut)
    histories.opened(V, 2, broken=False)
    read(histories, 2, bytes(BLOCK))
    with pytest.raises(Violation, match=f"shows {cut.value}"):
        read(histories, 2, content_of(cut.value))


def test_a_late_answer_of_what_was_decided_before_is_allowed(histories: Histories) -> None:
    request = histories.call(V, 1, Kind.WRITE, (0,))
    histories.opened(V, 2, broken=False)
    read(histories, 2, content_of(request.value))
    histories.done(request)


def test_a_late_acknowledgement_of_what_did_not_happen(histories: Histories) -> None:
    request = histories.call(V, 1, Kind.WRITE, (0,))
    histories.opened(V, 2, broken=False)
    read(histories, 2, bytes(BLOCK))
    with pytest.raises(Violation, match="acknowledged write"):
        histories.done(request)


def test_a_trim_reads_as_zeroes(histories: Histories) -> None:
    write(histories, 1)
    histories.done(histories.call(V, 1, Kind.TRIM, (0,)))
    read(histories, 1, bytes(BLOCK))


def test_epochs_grow(histories: Histories) -> None:
    with pytest.raises(Violation, match="S8"):
        histories.opened(V, 1, broken=False)


def test_copies_are_judged_like_reads(histories: Histories) -> None:
    written = write(histories, 1)
    histories.judge_copy(V, "r1", 0, content_of(written.value))
    with pytest.raises(Violation):
        histories.judge_copy(V, "r2", 0, bytes(BLOCK))
    with pytest.raises(Violation, match="nobody ever wrote"):
        histories.judge_copy(V, "r2", 77, content_of(5))


def test_a_block_of_two_writes_shows_each_sector_and_a_torn_sector_is_wrong() -> None:
    assert value_of(content_of(5)) == 5
    mixed = content_of(5)[:512] + content_of(6)[512:]
    assert value_of(mixed) == (5, 6, 6, 6, 6, 6, 6, 6)
    with pytest.raises(Violation, match="two writes"):
        value_of(content_of(5)[:256] + content_of(6)[256:])


def test_what_no_write_made_is_wrong_unless_rot_could_be_taken_for_a_torn_block(histories: Histories) -> None:
    write(histories, 1)
    rotten = b"\x01" + bytes(8) + bytes(BLOCK - 9)
    with pytest.raises(Violation, match="parts of two writes"):
        read(histories, 1, rotten)
    histories.took_rot(V)
    read(histories, 1, rotten)
    with pytest.raises(Violation, match="shows 0"):
        read(histories, 1, bytes(BLOCK))
