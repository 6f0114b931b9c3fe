"""Trouble that passes: what a watch waits out instead of ending, and when it tries again."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator

from rali.errors import CatalogBusyError, CatalogWriteError, WorkersError
from rali.watching.events import Event, Notice

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
# A watch that is to end by itself waits half a minute in all; then somebody has to see what is wrong.
TRIES_OF_ONCE = 6
# A catalog that another program holds, a full disk, a machine with no room for a process, a drive that stutters. Any
# other error is there for good: a model or a catalog that is damaged, an option that makes no sense.
_PASSING = (CatalogBusyError, CatalogWriteError, WorkersError, OSError)


def longer(pause_s: float, first_s: float, longest_s: float) -> float:
    """Return the pause after one of ``pause_s``: twice as long, from ``first_s`` (after 0) up to ``longest_s``."""
    return min(max(2 * pause_s, first_s), longest_s)


class Patience:
    """Tries one kind of work again and again when it fails: after 1 s, then after twice as long each time, up to 60 s.

    Args:
        broken: what is not done meanwhile, in words: ``Photos cannot be scored now``.
        mended: that it is done again: ``Photos are scored again``.
        most_tries: so many failures in a row are one too many; None: there is no such number.
        clock: gives seconds, and never goes back.

    Attributes:
        until_s: it is not tried before then.
    """

    def __init__(
        self,
        broken: str,
        mended: str,
        *,
        most_tries: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broken, self._mended, self._most_tries, self._clock = broken, mended, most_tries, clock
        self._tries = 0
        self._pause_s = 0.0
        self._told = ""
        self.until_s = 0.0

    @property
    def is_tried(self) -> bool:
        """Whether the work failed when it was last done."""
        return self._tries > 0

    def attempt(self, work: Iterator[Event]) -> Generator[Event, None, bool]:
        """Do the work, unless it is too early to try it again; yield its events, and what goes wrong.

        Args:
            work: a generator that was not begun. One that raised is over for good, so each attempt takes a new one.

        Returns:
            Whether it failed.

        Raises:
            RaliError, OSError: waiting does not cure it, or it was tried too often.
        """
        if self._clock() < self.until_s:
            return False
        try:
            yield from work
        except _PASSING as error:
            yield from self._put_off(error, self._clock())
            return True
        yield from self.worked()
        return False

    def worked(self) -> Iterator[Event]:
        """Note that some of the work was done; say so if it could not be done before."""
        if self.is_tried:
            self._tries, self._pause_s, self._told, self.until_s = 0, 0.0, "", 0.0
            yield Notice(self._mended)

    def _put_off(self, error: Exception, now_s: float) -> Iterator[Event]:
        self._tries += 1
        if self._most_tries is not None and self._tries >= self._most_tries:
            raise error
        self._pause_s = longer(self._pause_s, FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self.until_s = now_s + self._pause_s
        reason = " ".join(str(error).split()) or type(error).__name__
        when = f"every {self._pause_s:g} s" if self._pause_s >= LONGEST_PAUSE_S else f"in {self._pause_s:g} s"
        text = f"{self._broken} ({reason}); tried again {when}"
        if text != self._told:  # what stays as it is for a week is not said every minute
            self._told = text
            yield Notice(text)
