"""SIGKILL in the middle of a run: what was stored is whole, and the next run does the rest, once."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fakes import write_jpeg

PHOTOS = 60
# A run that stores each photo by itself and takes its time, so that there is a middle to be killed in.
SLOW_RUN = """
import sys, time
from rali import pipeline
from rali.model.scorer import Scorer
pipeline.STORE_EVERY_PHOTOS = 1
score = Scorer.score
def slow_score(self, pixels):
    time.sleep(0.1)
    return score(self, pixels)
Scorer.score = slow_score
from rali_cli.app import main
if __name__ == "__main__":
    sys.argv = ["rali", "score", sys.argv[1]]
    main()
"""


@pytest.fixture
def folder(tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RALI_MODEL", str(tiny_bundle))
    monkeypatch.setenv("RALI_WORKERS", "1")
    for number in range(PHOTOS):
        write_jpeg(tmp_path / "photos" / f"{number:02}.jpg", number)
    return tmp_path / "photos"


def count_scores(db: Path) -> int:
    """Count through a second, plain connection; 0 while there is nothing to count in."""
    if not db.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM scores").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def start_slow_run(folder: Path, tmp_path: Path) -> subprocess.Popen[str]:
    program = tmp_path / "slow_run.py"
    program.write_text(SLOW_RUN)
    return subprocess.Popen(
        [sys.executable, program, folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_scores(db: Path, process: subprocess.Popen[str], wanted: int) -> None:
    end_s = time.monotonic() + 20
    while count_scores(db) < wanted:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end_s
        time.sleep(0.02)


def test_after_a_kill_a_rerun_scores_only_what_is_missing(
    folder: Path, tmp_path: Path, own_world: Path, rali: Callable[..., Any]
) -> None:
    db = own_world / "catalog.db"
    total_before = 0
    for more in (3, 11):  # killed twice, at different points
        process = start_slow_run(folder, tmp_path)
        wait_for_scores(db, process, total_before + more)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        stored = count_scores(db)
        assert total_before + more <= stored < PHOTOS
        total_before = stored

    summary = json.loads(rali("score", folder, "--json").out)["summary"]

    with closing(sqlite3.connect(db)) as connection:
        stored_at_the_kill = summary["cached"]
        assert stored_at_the_kill >= total_before  # a transaction in flight may be rolled back, a stored score may not
        assert summary["scored"] == PHOTOS - stored_at_the_kill
        assert connection.execute("SELECT count(*), count(DISTINCT name) FROM photos").fetchone() == (PHOTOS, PHOTOS)
        assert connection.execute("SELECT count(*) FROM scores").fetchone() == (PHOTOS,)
        assert connection.execute("SELECT count(*) FROM embeddings").fetchone() == (PHOTOS,)
        assert connection.execute("SELECT count(*) FROM contents").fetchone() == (PHOTOS,)
        assert connection.execute("SELECT count(*) FROM failures").fetchone() == (0,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_no_worker_outlives_a_killed_run(folder: Path, tmp_path: Path, own_world: Path) -> None:
    process = start_slow_run(folder, tmp_path)
    wait_for_scores(own_world / "catalog.db", process, 2)
    process.kill()
    process.communicate()

    end_s = time.monotonic() + 10
    while left := _group(process.pid):
        assert time.monotonic() < end_s, left
        time.sleep(0.05)


def _group(pid: int) -> list[int]:
    """Return the living processes of the session that ``pid`` began."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == pid and fields[0] != "Z":
            found.append(int(entry))
    return found
