"""The panel of a watch: what it says, and how it is drawn again and again without flicker or waste."""

from __future__ import annotations

import signal
import textwrap
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from rich.cells import cell_len
from rich.console import ConsoleDimensions
from rich.control import Control
from rich.live import Live
from rich.text import Text

from rali.watching.bell import Bell
from rali.watching.events import Backlog, Culled, Event, Failed, Gone, Held, Notice, Scored
from rali_cli.render import console, score_text, with_companions
from rali_cli.watch_view import Tally, Watched, culled_in_words, in_words

_SCORES_SHOWN = 8
_NEWS_LINES = 6
_LINES_A_NEWS = 3
_REST_S = 0.25
_RATE_OVER_S = 10
# Where there is less room, the time of day gives way to the name.
_NARROW = 60


@dataclass
class _Row:
    clock: str
    event: Scored
    fate: str = ""


@dataclass(frozen=True)
class _News:
    clock: str
    text: str
    style: str


class Board:
    """What the panel says at a moment; it knows no terminal and no clock."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._tally = Tally()
        self._backlog = Backlog(0, 0, 0)
        self._rows: deque[_Row] = deque(maxlen=_SCORES_SHOWN)  # last first
        self._news: dict[str, _News] = {}  # by what it is about; a later word replaces an earlier one
        self._seconds: deque[list[int]] = deque(maxlen=_RATE_OVER_S + 1)  # [second, photos scored in it]

    def note(self, event: Event, now_s: float, clock: str) -> None:
        """Take up an event.

        Args:
            now_s: on a clock that never goes back.
            clock: the time of day.
        """
        self._tally.note(event)
        match event:
            case Scored():
                self._rows.appendleft(_Row(clock, event))
                self._news.pop(event.path, None)
                if not self._seconds or self._seconds[-1][0] != int(now_s):
                    self._seconds.append([int(now_s), 0])
                self._seconds[-1][1] += 1
            case Backlog():
                self._backlog = event
            case Gone(path):
                self._news.pop(path, None)
                self._mark([path], "gone")
            case Culled():
                self._mark(event.paths, "culled")
                self._add(event.run, _News(clock, culled_in_words(event, self._watched), "yellow"))
            case Failed() | Held() | Notice():
                if words := in_words(event, self._watched, self._watched.name_of):
                    about = event.text if isinstance(event, Notice) else event.path
                    self._add(about, _News(clock, words, "red" if isinstance(event, Failed) else "default"))
            case _:
                pass

    def _add(self, about: str, news: _News) -> None:
        self._news.pop(about, None)
        self._news[about] = news
        while len(self._news) > _NEWS_LINES:
            del self._news[next(iter(self._news))]

    def _mark(self, paths: Collection[str], fate: str) -> None:
        for row in self._rows:
            if row.event.path in paths:
                row.fate = fate

    def news(self) -> list[Text]:
        """Return what else happened than scores, whole, oldest first."""
        return [Text.assemble((f"{news.clock}  ", "dim"), (news.text, news.style)) for news in self._news.values()]

    def rate(self, now_s: float) -> float:
        """Return the photos scored in a second, over the last ten seconds."""
        recent = [entry for entry in self._seconds if entry[0] > now_s - _RATE_OVER_S]
        return sum(count for _, count in recent) / max(1.0, now_s - recent[0][0]) if recent else 0.0

    def is_moving(self, now_s: float) -> bool:
        """Tell if the board shows a rate, which sinks by itself."""
        return bool(self._backlog.ready or self._backlog.settling) and self.rate(now_s) > 0

    def draw(self, width: int, height: int, now_s: float, *, ending: bool = False, plain: bool = False) -> Text:
        """Draw the panel as lines that fit.

        Args:
            width, height: of the terminal, in cells.
            ending: the watch was asked to end.
            plain: the terminal shows ASCII alone.
        """
        head = self._draw_head(width, now_s, ending=ending, plain=plain)
        news = self._draw_news(width, min(_NEWS_LINES, (height - len(head) - 3) // 2))
        room = height - len(head) - len(news) - 3
        rows = [self._draw_row(row, width, plain=plain) for row in self._rows][: max(1, room)]
        blocks = [block for block in (head, rows, news) if block]
        lines = [line for number, block in enumerate(blocks) for line in ([Text()] if number else []) + block]
        for line in lines:
            line.truncate(width, overflow="crop")
        return Text("\n", no_wrap=True, overflow="crop").join(lines[: max(1, height - 1)])

    def _draw_head(self, width: int, now_s: float, *, ending: bool, plain: bool) -> list[Text]:
        tally, backlog = self._tally, self._backlog
        if ending:
            state = "ending: what was begun is finished"
        elif tally.caught_up is None:
            state = "looking through the folders"
        elif self.is_moving(now_s):
            state = f"{self.rate(now_s):.1f} photos/s"
        else:
            state = "photos are settling" if backlog.settling else "waiting for photos"
        places = _end_of(self._watched.places, max(8, width - len(f"Watching   {state}")), plain=plain)
        first = Text.assemble(("Watching ", "bold"), places, (f"  {state}", "dim"))
        counts = Text(f"{tally.scored:,} scored")
        counts.append(f", {len(tally.failing):,} failed", style="red" if tally.failing else "default")
        if self._watched.below is not None:
            counts.append(f", {tally.culled:,} culled", style="yellow" if tally.culled else "default")
        counts.append(f"  {backlog.ready:,} waiting, {backlog.settling:,} settling", style="dim")
        if backlog.failing:
            counts.append(f", {backlog.failing:,} to try again", style="dim")
        lines = [first, counts]
        if self._watched.below is not None:
            below = self._watched.scoring.text(self._watched.below)
            lines.append(Text(f"Culls below {below}, {self._watched.grace_s:g} s after the score", style="dim"))
        return lines

    def _draw_row(self, row: _Row, width: int, *, plain: bool) -> Text:
        event, scoring = row.event, self._watched.scoring
        room = max(4, min(24, width // 4))
        length = max(1, round(room * min(1.0, max(0.0, scoring.share(event.score)))))
        score = score_text(event.score, scoring)
        line = Text()
        if width >= _NARROW:
            line.append(f"{row.clock}  ", style="dim")
        line.append(f"{score.plain:>5}  ", style=score.style)
        line.append(("#" if plain else "█") * length, style=score.style)
        line.append(" " * (room - length + 2))
        if row.fate:
            line.append(f"{row.fate}  ", style="dim")
        name = with_companions(self._watched.name_of(event.path), event.companions)
        name = _end_of(name, max(8, width - line.cell_len), plain=plain)
        line.append(name, style="dim" if row.fate else "default")
        return line

    def _draw_news(self, width: int, most: int) -> list[Text]:
        """Draw what else happened, oldest first; of what does not fit, the oldest is left out."""
        lines: list[Text] = []
        for news in reversed(self._news.values()):
            parts = textwrap.wrap(news.text, max(20, width - 10))[:_LINES_A_NEWS]
            if len(lines) + len(parts) > most:
                break
            shown = [Text.assemble((f"{news.clock}  ", "dim"), (parts[0], news.style))]
            shown += [Text.assemble(" " * 10, (part, news.style)) for part in parts[1:]]
            lines = shown + lines
        return lines


def _end_of(name: str, width: int, *, plain: bool) -> str:
    """Return a name, or as much of its end as fits: the end tells photos of a folder apart."""
    if cell_len(name) <= width:
        return name
    dots = "..." if plain else "…"
    while name and cell_len(name) + cell_len(dots) > width:
        name = name[1:]
    return dots + name


class Panel:
    """The board, drawn on a terminal again and again, but never while nothing changes.

    It has a screen of its own, as an editor has, because a terminal that gets another size breaks lines anew: what was
    drawn among other lines could not be wiped away again. When the watch ends the screen goes, and what else happened
    than scores is left behind: some of it is only said at the very end.

    A thread of its own draws, because the watch gives no sign of life while it waits; it sleeps until it is rung for,
    and then draws at most four times a second.
    """

    def __init__(self, watched: Watched, stopping: Callable[[], bool]) -> None:
        self._board, self._stopping = Board(watched), stopping
        self._console = console()
        self._live = Live(console=self._console, auto_refresh=False, screen=True)
        self._lock = threading.Lock()
        self._bell = Bell()  # rung by a signal handler, too: one tells of a new size
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep_drawing, name="rali-panel", daemon=True)
        self._drawn: tuple[Text, ConsoleDimensions] | None = None
        self._before: Any = None

    def __enter__(self) -> Self:
        if hasattr(signal, "SIGWINCH"):
            self._before = signal.signal(signal.SIGWINCH, lambda *_: self._bell.ring())
        self._live.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._bell.ring()
        self._thread.join()
        with suppress(OSError):  # the terminal went away
            # For terminals that have but one screen.
            self._live.update(Text(), refresh=True)
            self._console.control(Control.home())
            self._live.stop()
        if hasattr(signal, "SIGWINCH"):
            signal.signal(signal.SIGWINCH, self._before)

    def show(self, event: Event) -> None:
        """Put an event on the board."""
        with self._lock:
            self._board.note(event, time.monotonic(), time.strftime("%H:%M:%S"))
        self._bell.ring()

    def end(self, tally: Tally, *, interrupted: bool) -> None:
        """Print where the panel was what else happened, and the last line."""
        for line in self._board.news():
            self._console.print(line, soft_wrap=True)
        self._console.print(tally.closing_line(interrupted=interrupted), soft_wrap=True)

    def _keep_drawing(self) -> None:
        try:
            while not self._done.is_set():
                moving = self._draw()
                # A rate has to sink while nothing happens; once it is 0, there is nothing to wake up for.
                if self._bell.wait(1.0 if moving else None):
                    self._done.wait(_REST_S)
        except OSError:  # the terminal went away; the watch need not
            return

    def _draw(self) -> bool:
        """Draw the board, if it looks otherwise than before; tell if it will in a second, whatever happens."""
        now_s, ending, size = time.monotonic(), self._stopping(), self._console.size
        with self._lock:
            drawn = self._board.draw(*size, now_s, ending=ending, plain=self._console.options.ascii_only)
            moving = self._board.is_moving(now_s)
        if (drawn, size) != self._drawn:
            self._live.update(drawn, refresh=True)
            self._drawn = (drawn, size)
        return moving
