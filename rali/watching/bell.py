"""A bell: wakes who waits for it, from any thread and from a signal handler."""

from __future__ import annotations

import threading
from contextlib import suppress


class Bell:
    """Stays rung until one who waits has heard it; ringing it again meanwhile changes nothing.

    A lock that is held until somebody rings. Unlike a condition's or an event's, its release may be called in a signal
    handler; and its timeout holds where a signal comes at the very end of it: CPython's SimpleQueue.get then waits for
    ever.
    """

    def __init__(self) -> None:
        self._silence = threading.Lock()
        self._silence.acquire()

    def ring(self) -> None:
        """Wake who waits, or will; never waits itself."""
        with suppress(RuntimeError):  # it has been rung already
            self._silence.release()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the bell, at most so long; tell if it rang."""
        return self._silence.acquire(timeout=-1 if timeout_s is None else max(0.0, timeout_s))
