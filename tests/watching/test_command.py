"""The user's command for each scored photo: no shell, one at a time, and never in the way."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes import write_jpeg

from rali.errors import UsageError
from rali.watching.command import CommandRunner
from rali.watching.events import Scored

if TYPE_CHECKING:
    from conftest import Running

NOTE = "import os, sys; open(sys.argv[1], 'a').write(f'{sys.argv[2:]} {os.environ[\"RALI_SCORE\"]}\\n')"


def test_a_command_gets_the_path_and_the_score(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    name = "/photos/$(touch x) 'a'\n.jpg"
    with CommandRunner([sys.executable, "-c", NOTE, str(notes)]) as runner:
        runner.run_for(name, 12.34567)
        runner.run_for("/photos/b.jpg", 1.0)
        assert runner.close(finish=True) == 0

    assert notes.read_text() == f"{[name]} 12.3457\n['/photos/b.jpg'] 1.0000\n"
    assert list(runner.notices()) == []


def test_braces_stand_for_the_path(tmp_path: Path) -> None:
    with CommandRunner([sys.executable, "-c", NOTE, str(tmp_path / "notes"), "--photo={}", "-q"]) as runner:
        runner.run_for("/photos/a.jpg", 1.0)
        runner.close(finish=True)

    assert (tmp_path / "notes").read_text() == "['--photo=/photos/a.jpg', '-q'] 1.0000\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ([sys.executable, "-c", "import sys; sys.exit('no such album')"], "ended with 1 (no such album)"),
        ([sys.executable, "-c", "import time; time.sleep(20)"], "took longer than 0.5 s"),
        (["/no/such/program"], "No such file"),
    ],
)
def test_trouble_is_told(command: list[str], said: str) -> None:
    with CommandRunner(command, timeout_s=0.5) as runner:
        runner.run_for("/photos/a.jpg", 1.0)
        runner.close(finish=True)

    (notice,) = runner.notices()
    assert said in notice.text
    assert "/photos/a.jpg" in notice.text


def test_a_slow_command_keeps_nobody_waiting(tmp_path: Path) -> None:
    with CommandRunner([sys.executable, "-c", "import time; time.sleep(0.3)"]) as runner:
        started_s = time.monotonic()
        for _ in range(50):
            runner.run_for("/photos/a.jpg", 1.0)
        assert time.monotonic() - started_s < 0.2
        assert runner.close(finish=False) >= 48


def test_an_empty_command_is_refused() -> None:
    with pytest.raises(UsageError, match="give a command"):
        CommandRunner([])


def test_a_watcher_runs_it_for_what_it_scores(watch: Callable[..., Running], folder: Path, tmp_path: Path) -> None:
    write_jpeg(folder / "a.jpg", 1)
    notes = tmp_path / "notes"

    run = watch(once=True, command=[sys.executable, "-c", NOTE, str(notes)])
    run.join()

    (scored,) = run.of(Scored)
    assert notes.read_text() == f"{[str(folder / 'a.jpg')]} {scored.score:.4f}\n"
