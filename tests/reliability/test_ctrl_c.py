"""Ctrl-C and SIGTERM: the run ends in good order, with what is done stored."""

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
from test_kill_while_scoring import PHOTOS, count_scores, folder, start_slow_run, wait_for_scores

__all__ = ["folder"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_ends_the_run_with_130_and_keeps_what_is_done(
    folder: Path, tmp_path: Path, own_world: Path, rali: Callable[..., Any], number: signal.Signals
) -> None:
    db = own_world / "catalog.db"
    process = start_slow_run(folder, tmp_path)
    wait_for_scores(db, process, 4)
    before = count_scores(db)
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=15)

    stored = count_scores(db)
    assert process.returncode == 130
    assert before <= stored < PHOTOS
    assert re.fullmatch(r"Interrupted, [\d,]+ photos to go: what was scored is stored; run it again to go on.\n", err)
    assert f"{PHOTOS} photos: {stored} scored" in out

    summary = json.loads(rali("score", folder, "--json").out)["summary"]
    assert (summary["scored"], summary["cached"], summary["failed"]) == (PHOTOS - stored, stored, 0)


@pytest.mark.parametrize("pause_s", [0.6, 0.9, 1.3, 2.0])
def test_ctrl_c_during_the_start_ends_with_130_and_no_traceback(folder: Path, pause_s: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "rali_cli", "score", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    time.sleep(pause_s)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=20)

    assert process.returncode in (130, 0)
    assert "Traceback" not in err
    assert "cannot start" not in err


def test_a_second_ctrl_c_ends_at_once(folder: Path, tmp_path: Path, own_world: Path) -> None:
    process = start_slow_run(folder, tmp_path)
    wait_for_scores(own_world / "catalog.db", process, 2)
    for _ in range(2):
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.02)
    _, err = process.communicate(timeout=15)

    assert process.returncode == 130
    assert "Traceback" not in err
