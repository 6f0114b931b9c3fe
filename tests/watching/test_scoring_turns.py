"""Turns of scoring: when the session rests, and what becomes of photos that a turn had taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator

from fakes import failed, photo, scored

from rali.catalog.records import Outcome
from rali.errors import FailureKind
from rali.photos.photo import Photo
from rali.watching.events import Event, Failed, Scored
from rali.watching.scoring_turns import ScoringTurns
from rali.watching.settle import Settler, Stamp
from rali.watching.trouble import Patience

STAMP: Stamp = ((100, 1, 1),)
REST_AFTER_S = 0.15


class FakeSession:
    """Gives every photo the outcome that the test says; notes whether it rests."""

    def __init__(self, outcome_of: Callable[[str], Outcome]) -> None:
        self._outcome_of = outcome_of
        self.is_open = False
        self.closed = 0

    def score(
        self, photos: Iterable[Photo], stop: Callable[[], bool], *, expected: int
    ) -> Generator[list[Outcome], None, None]:
        self.is_open = True
        try:
            for one in photos:
                yield [self._outcome_of(one.file)]
        finally:
            self.closed += 1

    def rest(self) -> None:
        self.is_open = False


class Bench:
    """Turns over a settler of their own."""

    def __init__(self, session: FakeSession) -> None:
        self.settler = Settler(1.0)
        self.turns = ScoringTurns(
            session,
            self.settler,
            latency_s=0.0,
            patience=Patience("Not now", "Again"),
            rest_after_s=REST_AFTER_S,
        )

    def make_ready(self, file: str) -> None:
        self.settler.look(photo(file), STAMP, time.monotonic(), quiet_s=99.0)

    def turn(self, became: Callable[[Outcome, Stamp | None], Iterator[Event]] | None = None) -> list[Event]:
        return list(self.turns.score(self._take, became or self._became, lambda: iter(()), lambda: False))

    def _take(self, taken: dict[str, Stamp | None]) -> Iterator[Photo]:
        while (found := self.settler.take()) is not None:
            taken[found.file] = self.settler.stamp_of(found.file)
            yield found

    def _became(self, outcome: Outcome, stamp: Stamp | None) -> Iterator[Event]:
        file = outcome.photo.file
        if outcome.failure is not None:
            again_s, news = self.settler.failed(file, stamp, outcome.failure.kind, 0.0)
            if news:
                yield Failed(file, outcome.failure.kind, "", again_s)
            return
        self.settler.scored(file, stamp)
        yield Scored(file, 1.0, (), 0.0)


def test_a_file_that_fails_as_before_does_not_keep_the_model_in_memory() -> None:
    session = FakeSession(lambda file: failed(file, FailureKind.UNREADABLE))
    bench = Bench(session)
    bench.make_ready("/photos/a.jpg")
    assert len(bench.turn()) == 1
    time.sleep(REST_AFTER_S)
    bench.make_ready("/photos/a.jpg")  # the next try

    assert bench.turn() == []
    bench.turns.rest_if_unused()

    assert not session.is_open


def test_a_photo_that_is_scored_keeps_the_model_for_the_next() -> None:
    session = FakeSession(lambda file: scored(file, 1.0))
    bench = Bench(session)
    time.sleep(REST_AFTER_S)
    bench.make_ready("/photos/a.jpg")

    bench.turn()
    bench.turns.rest_if_unused()
    assert session.is_open
    time.sleep(REST_AFTER_S)
    bench.turns.rest_if_unused()

    assert not session.is_open


def test_a_turn_that_fails_closes_its_session_and_puts_back_what_was_not_done() -> None:
    session = FakeSession(lambda file: scored(file, 1.0))
    bench = Bench(session)
    for name in "abc":
        bench.make_ready(f"/photos/{name}.jpg")

    def stumble(outcome: Outcome, stamp: Stamp | None) -> Iterator[Event]:
        if outcome.photo.file == "/photos/b.jpg":
            raise OSError("not now")
        yield from bench._became(outcome, stamp)

    events = bench.turn(stumble)

    assert [event.path for event in events if isinstance(event, Scored)] == ["/photos/a.jpg"]
    assert session.closed == 1
    assert bench.settler.ready == 2
    assert not bench.turns.is_due()  # there is a pause first
    assert 0 < bench.turns.next_s() - time.monotonic() <= 1
