"""Questions to whoever sits at the terminal; they go to stderr, so that stdout stays data."""

from __future__ import annotations

import os
import sys


def somebody_is_there() -> bool:
    """Tell if a question can be seen and answered."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def is_yes(question: str) -> bool:
    """Ask; everything but a yes is a no."""
    return ask(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def ask(prompt: str) -> str:
    """Ask for a line, which may come through a pipe; an empty text if there is none."""
    print(prompt, end="", file=sys.stderr, flush=True)
    answer = os.fsdecode(sys.stdin.buffer.readline())
    if not answer.endswith("\n") or not sys.stdin.isatty():  # nobody has pressed return
        print(file=sys.stderr)
    return answer.removesuffix("\n")
