"""When a photo is whole: never while it changes, always in the end, and nothing is dropped."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from fakes import photo
from hypothesis import given
from hypothesis import strategies as st

from rali.errors import FailureKind
from rali.watching.settle import LONGEST_PAUSE_S, Settler, Stamp

A = photo("/photos/a.jpg")
WHOLE: Stamp = ((100, 1, 1),)
OTHER: Stamp = ((200, 2, 1),)
EMPTY: Stamp = ((0, 1, 1),)


def test_two_looks_far_enough_apart_are_enough() -> None:
    settler = Settler(2.0)
    settler.look(A, WHOLE, 0.0)
    assert settler.next_due_s() == 2.0
    settler.look(A, WHOLE, 1.9)
    assert settler.take() is None

    assert settler.due(2.0, 10) == [A]
    settler.look(A, WHOLE, 2.0)

    assert settler.take() == A


def test_a_change_starts_the_wait_again() -> None:
    settler = Settler(2.0)
    settler.look(A, WHOLE, 0.0)
    assert settler.look(A, OTHER, 1.5)
    settler.look(A, OTHER, 3.4)
    assert settler.take() is None

    settler.look(A, OTHER, 3.5)

    assert settler.take() == A


def test_a_file_at_rest_for_long_need_not_be_waited_for() -> None:
    settler = Settler(2.0)

    settler.look(A, WHOLE, 0.0, quiet_s=2.0)

    assert settler.take() == A


def test_an_empty_file_is_waited_for_ten_times_as_long() -> None:
    settler = Settler(2.0)
    settler.look(A, EMPTY, 0.0, quiet_s=5.0)
    settler.look(A, EMPTY, 14.0)
    assert settler.take() is None

    settler.look(A, EMPTY, 15.0)

    assert settler.take() == A


def test_what_changes_while_it_is_ready_settles_again() -> None:
    settler = Settler(2.0)
    settler.look(A, WHOLE, 0.0, quiet_s=9.0)
    settler.look(A, OTHER, 1.0)

    assert (settler.ready, settler.take()) == (0, None)
    assert settler.next_due_s() == 3.0


def test_what_changes_while_it_is_scored_is_scored_again() -> None:
    settler = Settler(2.0)
    settler.look(A, WHOLE, 0.0, quiet_s=9.0)
    assert settler.take() == A
    settler.look(A, OTHER, 1.0)
    settler.look(A, OTHER, 5.0)
    assert settler.take() is None  # it is out, and must not be taken twice

    settler.scored(A.file, WHOLE)

    assert settler.due(5.0, 10) == [A]
    settler.look(A, OTHER, 5.0)
    assert settler.take() == A


def test_what_is_put_back_is_ready_again_unless_it_has_changed() -> None:
    settler = Settler(2.0)
    settler.look(A, WHOLE, 0.0, quiet_s=9.0)
    settler.take()
    settler.put_back(A.file, WHOLE)
    assert settler.take() == A

    settler.look(A, OTHER, 1.0)
    settler.put_back(A.file, WHOLE)

    assert (settler.take(), settler.next_due_s()) == (None, 3.0)


def test_what_is_done_is_not_put_back() -> None:
    settler = Settler(2.0)
    settler.look(A, WHOLE, 0.0, quiet_s=9.0)
    settler.take()
    settler.failed(A.file, WHOLE, FailureKind.TRUNCATED, 0.0)

    settler.put_back(A.file, WHOLE)

    assert (settler.take(), settler.failing) == (None, 1)


def test_a_truncated_file_is_looked_at_with_growing_pauses_and_then_left_to_the_catalog() -> None:
    settler = Settler(2.0)
    settler.look(A, WHOLE, 0.0, quiet_s=9.0)
    now_s, pauses, news = 0.0, [], []
    while settler.take() == A:
        again_s, new = settler.failed(A.file, WHOLE, FailureKind.TRUNCATED, now_s)
        pauses.append(again_s)
        news.append(new)
        if again_s is None:
            break
        assert settler.next_due_s() == now_s + again_s
        now_s += again_s
        settler.due(now_s, 1)
        settler.look(A, WHOLE, now_s)

    assert pauses == [2, 4, 8, 16, 32, 64, 128, 256, 300, None]
    assert news == [True] + [False] * 9
    assert (len(settler), settler.failing, settler.ready) == (0, 0, 0)


def test_what_cannot_be_read_is_never_let_go() -> None:
    settler = Settler(2.0)
    settler.look(A, WHOLE, 0.0, quiet_s=9.0)
    now_s = 0.0
    for _ in range(50):
        assert settler.take() == A
        again_s, _ = settler.failed(A.file, WHOLE, FailureKind.UNREADABLE, now_s)
        assert again_s is not None
        assert again_s <= LONGEST_PAUSE_S
        now_s += again_s
        settler.due(now_s, 1)
        settler.look(A, WHOLE, now_s)


@pytest.mark.parametrize("kind", [FailureKind.CRASHED, FailureKind.TIMED_OUT, FailureKind.TOO_LARGE])
def test_what_no_pause_mends_is_left_to_the_catalog_at_once(kind: FailureKind) -> None:
    settler = Settler(2.0)
    settler.look(A, WHOLE, 0.0, quiet_s=9.0)
    settler.take()

    assert settler.failed(A.file, WHOLE, kind, 1.0) == (None, True)
    assert len(settler) == 0


def test_a_failed_file_that_changes_is_settled_at_once() -> None:
    settler = Settler(2.0)
    settler.look(A, WHOLE, 0.0, quiet_s=9.0)
    settler.take()
    settler.failed(A.file, WHOLE, FailureKind.TRUNCATED, 0.0)

    settler.look(A, OTHER, 1.0)

    assert (settler.failing, settler.next_due_s()) == (0, 3.0)


def test_a_drive_that_does_not_answer_is_asked_again() -> None:
    settler = Settler(2.0)
    settler.look(A, WHOLE, 0.0)
    settler.due(2.0, 1)

    settler.unreachable(A.file, 2.0)

    assert settler.next_due_s() == 4.0
    settler.look(A, WHOLE, 4.0)
    assert settler.take() == A


def test_what_need_not_be_read_any_more_is_forgotten() -> None:
    settler = Settler(2.0)
    b, c = photo("/photos/b.jpg"), photo("/photos/c.jpg")
    for one in (A, b, c):
        settler.look(one, WHOLE, 0.0, quiet_s=9.0)
    assert settler.take() == A
    settler.failed(A.file, WHOLE, FailureKind.TRUNCATED, 0.0)

    settler.keep_only("/photos", {"c.jpg"}, {"a.jpg", "b.jpg", "c.jpg"})
    assert [file in settler for file in (A.file, b.file, c.file)] == [True, False, True]

    settler.keep_only("/photos", {"c.jpg"}, {"c.jpg"})
    assert A.file not in settler


# --- whatever happens -------------------------------------------------------------------------------------------


class Write(NamedTuple):
    """After some seconds a file gets another size."""

    after_s: float
    name: str
    size: int


writes = st.lists(
    st.builds(Write, st.floats(0, 4), st.sampled_from(["a.jpg", "b.jpg", "c.jpg"]), st.integers(0, 3)),
    min_size=1,
    max_size=40,
)
kinds = st.sampled_from([None, None, None, FailureKind.TRUNCATED, FailureKind.UNREADABLE, FailureKind.CHANGED])


@given(writes, st.data())
def test_nothing_is_taken_while_it_changes_and_all_is_done_at_last(history: list[Write], data: st.DataObject) -> None:
    settle_s = 2.0
    settler = Settler(settle_s)
    disk: dict[str, tuple[Stamp, float]] = {}
    done: dict[str, Stamp] = {}
    now_s = 0.0

    def work_until(end_s: float, *, failures: bool) -> None:
        nonlocal now_s
        while True:
            while (taken := settler.take()) is not None:
                stamp, changed_s = disk[taken.file]
                patience_s = settle_s * (10 if stamp[0][0] == 0 else 1)
                assert now_s - changed_s >= patience_s - 1e-6
                kind = data.draw(kinds) if failures else None
                if kind is None:
                    settler.scored(taken.file, stamp)
                    done[taken.file] = stamp
                else:
                    settler.failed(taken.file, stamp, kind, now_s)
            due_s = settler.next_due_s()
            if due_s is None or due_s > end_s:
                break
            now_s = max(now_s, due_s)
            for found in settler.due(now_s, 2):
                settler.look(found, disk[found.file][0], now_s)
        now_s = max(now_s, end_s)

    for number, write in enumerate(history):
        work_until(now_s + write.after_s, failures=True)
        file = f"/photos/{write.name}"
        disk[file] = ((write.size, number, 1),), now_s
        settler.look(photo(file), disk[file][0], now_s)
    work_until(now_s + 10_000, failures=False)

    assert done == {file: stamp for file, (stamp, _) in disk.items()}
    assert (len(settler), settler.ready, settler.settling, settler.failing) == (0, 0, 0, 0)
