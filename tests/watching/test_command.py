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


def finish(runner: CommandRunner) -> None:
    runner.end(finish=True)
    assert runner.wait(10)


NOTE = "import os, sys; open(sys.argv[1], 'a').write(f'{sys.argv[2:]} {os.environ[\"RALI_SCORE\"]}\\n')"


def test_a_command_gets_the_path_and_the_score(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    name = "/photos/$(touch x) 'a'\n.jpg"
    with CommandRunner([sys.executable, "-c", NOTE, str(notes)]) as runner:
        runner.run_for(name, 12.34567)
        runner.run_for("/photos/b.jpg", 1.0)
        finish(runner)
        assert runner.left == 0

    assert notes.read_text() == f"{[name]} 12.3457\n['/photos/b.jpg'] 1.0000\n"
    assert list(runner.notices()) == []


def test_braces_stand_for_the_path(tmp_path: Path) -> None:
    with CommandRunner([sys.executable, "-c", NOTE, str(tmp_path / "notes"), "--photo={}", "-q"]) as runner:
        runner.run_for("/photos/a.jpg", 1.0)
        finish(runner)

    assert (tmp_path / "notes").read_text() == "['--photo=/photos/a.jpg', '-q'] 1.0000\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ([sys.executable, "-c", "import sys; sys.exit('no such album')"], "ended with 1 (no such album)"),
        ([sys.executable, "-c", "import time; time.sleep(20)"], "took longer than 0.5 s"),
        (["sh", "-c", "kill -9 $$"], "was ended by signal 9"),
        (
            ["sh", "-c", "printf 'begun\\ndone: 1%%\\rno \\033[31malbum\\n\\n' >&2; exit 3"],
            r"ended with 3 (no \x1b[31malbum)",
        ),
        (["sh", "-c", "printf '%9999d' 1 >&2; printf '\\n%9999d' 2 | tr ' ' x >&2; exit 3"], "(" + "x" * 200 + ")"),
        (["sh", "-c", "sleep 20 & exit 3"], "ended with 3"),
    ],
)
def test_trouble_is_told(command: list[str], said: str) -> None:
    started_s = time.monotonic()
    with CommandRunner(command, timeout_s=0.5) as runner:
        runner.run_for("/photos/a.jpg", 1.0)
        finish(runner)

    assert time.monotonic() - started_s < 5

    (notice,) = runner.notices()
    assert said in notice.text
    assert "/photos/a.jpg" in notice.text


def test_a_slow_command_keeps_nobody_waiting(tmp_path: Path) -> None:
    with CommandRunner([sys.executable, "-c", "import time; time.sleep(0.3)"]) as runner:
        started_s = time.monotonic()
        for _ in range(50):
            runner.run_for("/photos/a.jpg", 1.0)
        assert time.monotonic() - started_s < 0.2
        runner.end(finish=False)
        assert runner.wait(5)
        assert runner.left >= 48


def test_a_program_that_is_gone_by_now_is_told_of(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    with CommandRunner([str(program)]) as runner:
        program.unlink()
        runner.run_for("/photos/a.jpg", 1.0)
        finish(runner)

    assert ["No such file" in notice.text for notice in runner.notices()] == [True]


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ([], "give a command"),
        (["/no/such/program"], "/no/such/program: there is no such program"),
        (["no-such-program"], "no-such-program: there is no such program"),
        (["{tmp}/note.py"], "note.py: it cannot be executed"),
        (["{tmp}"], "it cannot be executed"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(tmp_path: Path, command: list[str], says: str) -> None:
    (tmp_path / "note.py").write_text("print()")

    with pytest.raises(UsageError, match=says):
        CommandRunner([word.replace("{tmp}", str(tmp_path)) for word in command])


# --- ends ----------------------------------------------------------------------------------------------------------


# Starts another process, notes the numbers of both, and stays; a polite request alone does not end it.
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(sys.argv[1] + ".part", "w").write(f"{os.getpid()} {child.pid}")
os.rename(sys.argv[1] + ".part", sys.argv[1])
time.sleep(60)
"""


def processes(note: Path) -> list[int]:
    """Wait for the numbers that STUBBORN notes."""
    end_s = time.monotonic() + 10
    while not note.exists():
        assert time.monotonic() < end_s
        time.sleep(0.01)
    return [int(word) for word in note.read_text().split()]


def still_running(pids: list[int]) -> list[int]:
    """Return those of some processes that run, once a kill has had time to reach them."""
    end_s = time.monotonic() + 5
    while (found := [pid for pid in pids if _is_running(pid)]) and time.monotonic() < end_s:
        time.sleep(0.02)
    return found


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_an_end_kills_the_command_that_runs_and_all_that_it_has_started(tmp_path: Path) -> None:
    with CommandRunner([sys.executable, "-c", STUBBORN, str(tmp_path / "note")]) as runner:
        for name in "abc":
            runner.run_for(f"/photos/{name}.jpg", 1.0)
        pids = processes(tmp_path / "note")
        started_s = time.monotonic()
        runner.end(finish=False)
        assert runner.wait(5)

    assert time.monotonic() - started_s < 3
    assert still_running(pids) == []
    assert runner.left == 2
    assert ["/photos/a.jpg: stopped, because the watch ended" in notice.text for notice in runner.notices()] == [True]


def test_a_watch_that_waits_for_its_commands_ends_when_asked_to(
    watch: Callable[..., Running], folder: Path, tmp_path: Path
) -> None:
    for number in range(3):
        write_jpeg(folder / f"{number}.jpg", number)
    run = watch(once=True, command=[sys.executable, "-c", STUBBORN, str(tmp_path / "note")])
    run.until(lambda run: len(run.of(Scored)) == 3)
    pids = processes(tmp_path / "note")
    time.sleep(0.3)  # by now nothing else is left to do
    started_s = time.monotonic()
    run.stop()

    assert time.monotonic() - started_s < 4
    assert still_running(pids) == []
    assert any("--exec was not run for 2 photos" in notice for notice in run.notices)


def test_once_waits_for_all_commands(watch: Callable[..., Running], folder: Path, tmp_path: Path) -> None:
    for number in range(3):
        write_jpeg(folder / f"{number}.jpg", number)

    run = watch(once=True, command=["sh", "-c", f"sleep 0.3; echo $1 >> {tmp_path}/notes", "sh"])
    run.join()

    assert len((tmp_path / "notes").read_text().splitlines()) == 3
    assert run.notices == []


def test_a_watcher_runs_it_for_what_it_scores(watch: Callable[..., Running], folder: Path, tmp_path: Path) -> None:
    write_jpeg(folder / "a.jpg", 1)
    notes = tmp_path / "notes"

    run = watch(once=True, command=[sys.executable, "-c", NOTE, str(notes)])
    run.join()

    (scored,) = run.of(Scored)
    assert notes.read_text() == f"{[str(folder / 'a.jpg')]} {scored.score:.4f}\n"
