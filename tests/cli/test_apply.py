"""``rali apply``: exactly the plan's set, less what has changed since."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import write_jpeg
from faults import contents, tree
from filelock import FileLock

# A cull whose every link takes its time, so that there is a middle to be interrupted in.
SLOW_RALI = """
import sys, time
from rali.moving import carrier
from rali.moving.moves import Fs
carrier.BATCH_SHOTS = 1
link = Fs.link
def slow_link(self, old, new):
    link(self, old, new)
    print("linked", file=sys.stderr, flush=True)
    time.sleep(0.2)
Fs.link = slow_link
from rali_cli.app import main
if __name__ == "__main__":
    main()
"""

# A cull that tells when it begins to wait for another one.
WAITING_RALI = """
import sys
import filelock
FileLock = filelock.FileLock
def told(*arguments, **options):
    print("waiting", file=sys.stderr, flush=True)
    return FileLock(*arguments, **options)
filelock.FileLock = told
from rali_cli.app import main
main()
"""


@pytest.fixture
def plan(rali: Callable[..., Any], wedding: Path, tmp_path: Path) -> Path:
    """Save a plan for the worst three."""
    rali("cull", wedding, "--bottom", "3", "--plan", tmp_path / "plan.json")
    return tmp_path / "plan.json"


def test_the_set_in_the_file_moves_and_nothing_else(
    rali: Callable[..., Any], wedding: Path, plan: Path, in_quarantine: Callable[[], set[str]]
) -> None:
    before = contents(wedding)
    rali("reject", wedding / "IMG_09.jpg")  # decided later: no part of this plan

    answer = rali("apply", plan)

    assert (answer.code, answer.err) == (0, "")
    assert "Moved 3 photos (5 files, " in answer.out
    assert in_quarantine() == {"IMG_01.jpg", "IMG_01.mov", "IMG_01.xmp", "IMG_02.jpg", "IMG_03.jpg"}
    assert contents(wedding, wedding.parent / ".rali-quarantine") == before


def test_what_changed_since_is_dropped_with_the_reason_and_ends_with_3(
    rali: Callable[..., Any],
    wedding: Path,
    plan: Path,
    in_quarantine: Callable[[], set[str]],
    rate: Callable[[Path, int], None],
) -> None:
    write_jpeg(wedding / "IMG_02.jpg", 77)
    rate(wedding / "IMG_01.jpg", 4)

    answer = rali("apply", plan)

    assert answer.code == 3
    assert "Dropped since the plan was made: 2 photos (1 rating, 1 changed)" in answer.out
    assert "Moved 1 photo (1 file, " in answer.out
    assert in_quarantine() == {"IMG_03.jpg"}


def in_quarantine_runs(wedding: Path) -> list[str]:
    return [folder.name for folder in (wedding.parent / ".rali-quarantine").iterdir()]


def test_a_plan_applied_twice_moves_nothing_the_second_time(
    rali: Callable[..., Any], wedding: Path, plan: Path
) -> None:
    rali("apply", plan)
    after = tree(wedding.parent)

    again = rali("apply", plan)

    assert again.code == 3
    assert "3 photos (3 gone)" in again.out
    (run,) = in_quarantine_runs(wedding)
    assert " ".join(again.out.split()).count(f"run {run} has moved it; back with: rali undo {run}") == 3
    assert "Nothing was moved." in again.out
    assert tree(wedding.parent) == after


def test_json_names_what_was_dropped(rali: Callable[..., Any], wedding: Path, plan: Path) -> None:
    rali("keep", wedding / "IMG_02.jpg")

    answer = rali("apply", plan, "--json")
    document = json.loads(answer.out)

    assert answer.code == 3
    assert document["summary"]["run"]["photos"] == 2
    assert document["stayed"] == [{"path": str(wedding / "IMG_02.jpg"), "reason": "keep: marked keep"}]


def test_what_is_rated_while_the_question_stands_stays(
    on_terminal: Callable[..., tuple[int, str]],
    wedding: Path,
    plan: Path,
    in_quarantine: Callable[[], set[str]],
    tmp_path: Path,
) -> None:
    program = tmp_path / "rates_first.py"
    program.write_text(
        "import sys\nfrom pathlib import Path\nfrom rali_cli.commands import apply\n"
        f"def is_yes(question):\n    Path({str(wedding / 'IMG_02.xmp')!r}).write_text('<x')\n    return True\n"
        "apply.is_yes = is_yes\nfrom rali_cli.app import main\nmain()\n"
    )

    code, seen = on_terminal("apply", plan, program=program, types=b"")

    assert code == 3
    assert re.search(r"Stays, \w+: .*IMG_02\.jpg", seen)
    assert "Moved 2 photos" in seen
    assert "IMG_02.jpg" not in in_quarantine()


@pytest.mark.parametrize("command", ["apply", "cull"])
def test_what_is_marked_while_another_rali_moves_photos_stays(
    rali: Callable[..., Any],
    wedding: Path,
    plan: Path,
    in_quarantine: Callable[[], set[str]],
    own_world: Path,
    command: str,
) -> None:
    arguments = ["apply", plan] if command == "apply" else ["cull", wedding, "--bottom", "3", "--apply"]
    held = FileLock(f"{(own_world / 'catalog.db').resolve()}.moves-lock")
    with held:
        process = subprocess.Popen(
            [sys.executable, "-c", WAITING_RALI, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        assert process.stderr.readline() == "waiting\n"
        rali("keep", wedding / "IMG_02.jpg")
    out, err = process.communicate(timeout=20)

    assert process.returncode == 3
    assert re.search(r"Stays, keep: .*IMG_02\.jpg \(marked keep\)", err)
    assert "Moved 2 photos" in out
    assert in_quarantine() == {"IMG_01.jpg", "IMG_01.mov", "IMG_01.xmp", "IMG_03.jpg"}


@pytest.mark.parametrize("text", ["", "{}", "dear diary", '{"rali_plan": 99}', "\xff"], ids=repr)
def test_what_is_no_plan_is_one_line_and_ends_with_2(
    rali: Callable[..., Any], wedding: Path, tmp_path: Path, text: str
) -> None:
    (tmp_path / "x.json").write_text(text)

    answer = rali("apply", tmp_path / "x.json")

    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)


def test_a_plan_that_is_not_there_is_one_line(rali: Callable[..., Any], wedding: Path) -> None:
    answer = rali("apply", "no\nplan.json")

    assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
    assert r"no\nplan.json" in answer.err


def test_the_limits_hold_here_too(
    rali: Callable[..., Any], wedding: Path, tmp_path: Path, in_quarantine: Callable[[], set[str]]
) -> None:
    rali("cull", wedding, "--bottom", "75%", "--plan", tmp_path / "much.json")

    assert rali("apply", tmp_path / "much.json").code == 4
    assert in_quarantine() == set()
    assert rali("apply", tmp_path / "much.json", "--yes").code == 0


def test_a_quarantine_that_cannot_be_made_ends_with_4_and_moves_nothing(
    rali: Callable[..., Any], wedding: Path, plan: Path
) -> None:
    before = tree(wedding)

    answer = rali("apply", plan, "--to", "/proc/quarantine")

    assert answer.code == 4
    assert answer.err.startswith("rali: the quarantine /proc/quarantine")
    assert tree(wedding) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_finishes_what_was_begun_and_ends_with_130(
    rali: Callable[..., Any], wedding: Path, plan: Path, tmp_path: Path, number: signal.Signals
) -> None:
    before = contents(wedding)
    (tmp_path / "slow.py").write_text(SLOW_RALI)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "slow.py", "apply", plan],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "linked\n"
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=20)

    assert process.returncode == 130
    assert "Traceback" not in err
    assert "Interrupted: what was begun is finished, and the rest was not touched." in err
    assert "Moved 1 photo (3 files, " in out
    assert contents(wedding, wedding.parent / ".rali-quarantine") == before
    assert {path.name for path in wedding.iterdir()} >= {"IMG_02.jpg", "IMG_03.jpg"}
    assert rali("undo").code == 0
    assert contents(wedding) == before


@pytest.mark.parametrize("command", [["stats"], ["runs"], ["undo", "--only", "nothing"], ["doctor"]], ids=str)
def test_a_killed_run_is_repaired_by_the_next_command_whatever_it_is(
    rali: Callable[..., Any], wedding: Path, plan: Path, tmp_path: Path, command: list[str]
) -> None:
    before = contents(wedding)
    (tmp_path / "slow.py").write_text(SLOW_RALI)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "slow.py", "apply", plan], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "linked\n"
    process.kill()
    process.communicate(timeout=20)

    first, second = rali(*command), rali("runs")

    assert "was interrupted" in first.err
    assert (second.code, second.err) == (0, "")
    assert contents(wedding, wedding.parent / ".rali-quarantine") == before


def test_a_run_that_is_under_way_is_left_alone_by_other_commands(
    rali: Callable[..., Any], wedding: Path, plan: Path, tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text(SLOW_RALI)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "slow.py", "apply", plan], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "linked\n"

    started_s = time.monotonic()
    answer = rali("stats")

    assert (answer.code, answer.err) == (0, "")
    assert time.monotonic() - started_s < 10
    assert "unfinished" in rali("runs").out
    out, _ = process.communicate(timeout=20)
    assert "Moved 3 photos" in out


def test_a_run_that_cannot_be_repaired_now_hinders_no_question(
    rali: Callable[..., Any], wedding: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> list[str]:
        raise PermissionError(13, "Permission denied", "/x/catalog.db.moves-lock")

    monkeypatch.setattr("rali.moving.recovery.recover", fail)

    answer = rali("stats")

    assert answer.code == 0
    assert "12 scored photos" in answer.out
    assert answer.err.startswith("An interrupted run cannot be repaired now (")
