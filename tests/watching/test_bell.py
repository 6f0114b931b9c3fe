"""The bell is heard once, whoever rings it, and its timeout holds whatever interrupts it."""

from __future__ import annotations

import subprocess
import sys

from rali.watching.bell import Bell

# The handler takes longer than what is left of the wait: where that is not counted, the wait never ends.
INTERRUPTED = """
import signal, time
from rali.watching.bell import Bell

signal.signal(signal.SIGALRM, lambda *_: time.sleep(0.4))
signal.setitimer(signal.ITIMER_REAL, 0.1)
print(Bell().wait(0.3))
"""


def test_however_often_it_is_rung_it_is_heard_once() -> None:
    bell = Bell()
    assert not bell.wait(0)
    bell.ring()
    bell.ring()
    assert bell.wait()
    assert not bell.wait(0.01)


def test_a_wait_ends_though_a_signal_comes_at_its_end() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=20)

    assert (done.stdout, done.stderr) == ("False\n", "")
