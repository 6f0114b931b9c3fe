"""``rali train``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import write_tiny_bundle

from rali.model.bundle import read_info

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "training"))
from rated_set import write_misleading, write_rated

# A timeout that hits while a fixture or pytest itself runs ends the whole worker: torch alone may take 30 s to import
# where other jobs have the processors.
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def data_set(tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make forty rated photos; the tiny model is the default."""
    monkeypatch.setenv("RALI_MODEL", str(tiny_bundle))
    monkeypatch.setenv("RALI_WORKERS", "1")
    write_rated(tmp_path / "set")
    return tmp_path / "set"


def train(rali: Callable[..., Any], data_set: Path, *options: str | Path) -> Any:
    return rali("train", data_set / "meta.json", "--root", data_set, *options)


def test_a_trained_model_is_used_by_its_name(rali: Callable[..., Any], data_set: Path, own_world: Path) -> None:
    (data_set / "images" / "5.png").write_bytes(b"no picture")

    answer = train(rali, data_set, "-o", "mine")

    assert answer.code == 3, answer.err
    assert answer.err == "Left out: images/5.png (unsupported: not a photo in a format that rali reads)\n"
    lines = answer.out.splitlines()
    assert lines[0].split()[:2] == ["tiny", "95"]
    assert [line.split()[0] for line in lines[1:3]] == ["SRCC", "PLCC"]
    assert "On 8 held-out photos; 31 were learnt from" in lines
    assert f"Every figure: {own_world / 'models' / 'mine.log'}" in lines
    assert lines[-1].startswith("Use it with: rali score --model mine FOLDER")
    scored = rali("score", data_set, "--model", "mine", "--json")
    assert json.loads(scored.out)["model"]["name"] == "mine"
    assert rali("model", "remove", "mine").code == 0
    assert not (own_world / "models" / "mine.log").exists()


def test_a_model_that_is_worse_replaces_nothing_and_json_is_exactly_as_documented(
    rali: Callable[..., Any], tmp_path: Path, tiny_bundle: Path, data_set: Path
) -> None:
    write_misleading(tmp_path / "misleading", read_info(tiny_bundle))
    mine = write_tiny_bundle(tmp_path / "mine.safetensors", seed=5)

    answer = train(rali, tmp_path / "misleading", "-o", mine.path, "--force", "--json")

    assert answer.code == 1
    assert answer.err == (
        "The new model ranks held-out photos worse than tiny does: nothing was stored (--even-if-worse stores it).\n"
    )
    document = json.loads(answer.out)
    assert list(document) == [
        *("model", "base", "photos", "held_out", "before", "after", "worse", "notices", "log", "missing", "failed"),
    ]
    assert (document["model"], document["worse"]) == (None, True)
    assert (document["photos"], document["held_out"]) == (40, 8)
    assert list(document["before"]) == ["srcc", "plcc"]
    assert document["before"]["srcc"]["value"] == 1
    assert Path(document["log"]).read_text().splitlines()[-1].startswith("after: SRCC -")
    assert read_info(mine.path) == mine


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["-o", "mini"], 2, "mini is the model inside rali"),
        (["-o", "a/b"], 2, "ends in .safetensors"),
        (["-o", "mine", "--model", "nobody"], 1, "there is no model 'nobody'"),
        (["-o", "taken"], 4, "--force"),
        (["-o", "mine", "--root", "/nowhere"], 1, "--root /nowhere is no folder"),
        (["-o", "mine", "--epochs", "0"], 2, "--epochs"),
        ([], 2, "--output"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_read(
    rali: Callable[..., Any], data_set: Path, own_world: Path, options: list[str], code: int, message: str
) -> None:
    write_tiny_bundle(own_world / "models" / "taken.safetensors")

    answer = train(rali, data_set, *options)

    assert (answer.code, answer.out) == (code, "")
    assert message in answer.err
    assert "Traceback" not in answer.err


def test_too_few_photos_are_one_line_and_missing_ones_are_listed(rali: Callable[..., Any], data_set: Path) -> None:
    for number in range(20):
        (data_set / "images" / f"{number}.png").unlink()

    answer = train(rali, data_set, "-o", "mine")

    assert (answer.code, answer.out) == (1, "")
    lines = answer.err.splitlines()
    assert lines[:20] == [f"Missing: images/{number}.png" for number in range(20)]
    assert lines[20:] == [lines[-1]]
    assert lines[-1].startswith("rali: 20 photos to learn from: training needs at least 30")


def test_ctrl_c_keeps_what_is_done_and_ends_with_130(data_set: Path, own_world: Path) -> None:
    command = [sys.executable, "-m", "rali_cli", "train", data_set / "meta.json", "--root", data_set, "-o", "mine"]
    process = subprocess.Popen(list(map(os.fspath, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    folder = own_world / "models" / "training"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not any(path.stat().st_size for path in folder.glob("embeddings-*")):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)

    assert (process.returncode, out) == (130, "")
    assert "run the same command again to go on" in err
    assert any(folder.glob("embeddings-*"))
    assert not (own_world / "models" / "mine.safetensors").exists()
