"""Roots that come and go: which are there, which are waited for, and how each is heard.

A mount and an unmount are no file events, so a watched root is looked at every second: it is a few calls of the system.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from rali.catalog.catalog import Catalog
from rali.errors import UnsafeError
from rali.photos.photo import display_path, shell_word
from rali.watching.events import Event, Notice
from rali.watching.hints import Source
from rali.watching.roots import Root

_CHECK_S = 1.0


class Presence:
    """Keeps the roots watched that are there, and says which are not.

    Args:
        source: begins to watch the roots at once, so that what comes during the first look is not missed.
        once: nothing is waited for, and that roots are polled is not worth a word.
        notice: told how a root is watched.
        on_lost: told of a root of which nobody heard for some time: that it is away, or that it has been.
    """

    def __init__(
        self,
        roots: Sequence[Root],
        catalog: Catalog,
        source: Source,
        *,
        once: bool,
        notice: Callable[[str], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._roots, self._catalog, self._source = roots, catalog, source
        self._once, self._notice, self._on_lost = once, notice, on_lost
        for root in roots:
            self._watch(root)

    def check(self) -> Iterator[Event]:
        """Look at the roots whose time has come: who was there may have gone, who was away may be back."""
        for root in self._roots:
            if time.monotonic() < root.check_s:
                continue
            root.check_s = time.monotonic() + _CHECK_S
            gone = root.is_away(self._catalog)
            if root.away and not gone:
                yield self._find(root)
            elif gone and not root.away:
                yield self.lose(root)
            elif not gone and root.is_replaced():
                self._on_lost(root.path)
                self._renew(root)
                yield Notice(
                    f"{display_path(root.path)} was away, another folder or drive is there now: it is looked at"
                )
            elif not gone and self._source.is_stale(root.path):
                self._renew(root)
                yield Notice(
                    f"{display_path(root.path)} was made again, or something was mounted or unmounted in it: "
                    "all of it is looked at"
                )

    def hears(self, root: Root) -> None:
        """Make sure that a root which is to be looked at is watched, or else polled."""
        if self._source.exhausted() is not None:
            # What is watched no longer is all there is, in any of them.
            for other in self._roots:
                if other.polled is None and not other.away:
                    self._source.unwatch(other.path)
                    self._watch(other)
        elif root.is_replaced() or self._source.is_stale(root.path):
            self._source.unwatch(root.path)
            self._watch(root)

    def lose(self, root: Root, why: str | None = None) -> Notice:
        """Leave a root alone until it is back; what is remembered of it stays.

        Raises:
            UnsafeError: with ``once``.
        """
        shown = display_path(root.path)
        if self._once:
            raise UnsafeError(
                why
                or f"{shown} is gone or empty: connect its drive, or if its photos are gone: "
                f"rali forget {shell_word(root.path)}"
            )
        root.away, root.walk = True, None
        root.check_s = time.monotonic() + _CHECK_S
        self._source.unwatch(root.path)
        self._on_lost(root.path)
        return Notice(f"{why or f'{shown} is gone or empty'}; waiting for it, and its photos stay in rankings")

    def _find(self, root: Root) -> Notice:
        root.away = False
        self._renew(root)
        return Notice(f"{display_path(root.path)} is back")

    def _renew(self, root: Root) -> None:
        """Watch a root anew, and look at all of it: what came meanwhile was not heard."""
        self._source.unwatch(root.path)
        self._watch(root)
        root.walk, root.next_look_s = None, 0.0

    def _watch(self, root: Root) -> None:
        """Watch a root for events, before it is looked at: what comes during the look is not missed."""
        before = root.polled
        root.remember()
        root.polled = self._source.watch(root.path)
        if root.polled not in (None, before) and not self._once:
            self._notice(
                f"{display_path(root.path)} is polled: {root.polled}. "
                "What comes is found by looking at all of it now and then"
            )
