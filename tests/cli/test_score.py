"""``rali score``: its answers, its exit codes, its streams."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import write_jpeg, write_tiny_bundle

PHOTO_KEYS = {
    "path", "score", "percentile", "status", "error", "error_kind", "width", "height", "format", "captured_at",
    "camera", "size_bytes", "companions", "notes", "scored_at", "why", "why_margin",
}  # fmt: skip
STRANGE_NAMES = [b"a\nb.jpg", b'quo"te\'s.jpg', b"-rf.jpg", "\u202egpj.exe.jpg".encode(), b"\x1b[31mred.jpg",
                 b"caf\xe9.jpg", b"a,b;c.jpg", b"[bold]x.jpg"]  # fmt: skip


@pytest.fixture(autouse=True)
def tiny_by_default(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RALI_MODEL", str(tiny_bundle))
    monkeypatch.setenv("RALI_WORKERS", "1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(7):
        write_jpeg(tmp_path / "photos" / f"{number}.jpg", number)
    return tmp_path / "photos"


def one_line(text: str) -> bool:
    return text.startswith("rali: ") and text.count("\n") == 1 and "Traceback" not in text


def test_a_run_ends_with_histogram_worst_best_and_summary(rali: Callable[..., Any], folder: Path) -> None:
    answer = rali("score", folder)

    assert (answer.code, answer.err) == (0, "")
    assert "7 photos: 7 scored, 0 cached, 0 failed" in answer.out
    assert answer.out.index(" 90 to 100") < answer.out.index("  0 to 10") < answer.out.index("Worst")
    worst = answer.out.split("Worst")[1].split("Best")[0]
    assert worst.count(".jpg") == 5
    assert "Model tiny (" in answer.out
    assert "recipe fast-" in answer.out


def test_only_mini_says_how_to_get_the_full_model(rali: Callable[..., Any], folder: Path) -> None:
    line = "rali model pull rali"

    assert line not in rali("score", folder).out
    assert line in rali("score", folder / "0.jpg", "--model", "mini").out


def test_a_second_run_finds_everything_cached(rali: Callable[..., Any], folder: Path) -> None:
    rali("score", folder)

    assert "7 photos: 0 scored, 7 cached, 0 failed\n" in rali("score", folder).out


def test_the_json_document_keeps_to_its_schema(rali: Callable[..., Any], folder: Path) -> None:
    (folder / "bad.jpg").write_bytes(b"no picture")

    answer = rali("score", folder, "--json")
    document = json.loads(answer.out)

    assert (answer.code, answer.err) == (3, "")
    assert set(document) == {"model", "photos", "summary"}
    assert set(document["model"]) == {"name", "id", "recipe", "score_low", "score_high"}
    assert all(set(photo) == PHOTO_KEYS for photo in document["photos"])
    *scored, failed = document["photos"]
    assert [photo["status"] for photo in scored] == ["scored"] * 7
    assert [photo["score"] for photo in scored] == sorted(photo["score"] for photo in scored)
    assert all(photo["error"] is photo["error_kind"] is None for photo in scored)
    assert all(0 < photo["percentile"] < 100 for photo in scored)
    assert (failed["status"], failed["error_kind"]) == ("failed", "unsupported")
    assert failed["score"] is failed["percentile"] is None
    assert failed["error"]
    assert document["summary"].items() >= {"photos": 8, "scored": 7, "cached": 0, "failed": 1}.items()


def test_json_says_cached_for_what_was_scored_before(rali: Callable[..., Any], folder: Path) -> None:
    rali("score", folder)
    write_jpeg(folder / "new.jpg", 50)

    photos = json.loads(rali("score", folder, "--json").out)["photos"]

    assert {Path(photo["path"]).name: photo["status"] for photo in photos} == {
        **{f"{number}.jpg": "cached" for number in range(7)},
        "new.jpg": "scored",
    }


def test_csv_is_one_line_a_photo_with_a_header(rali: Callable[..., Any], folder: Path) -> None:
    (folder / "bad.jpg").write_bytes(b"no picture")

    answer = rali("score", folder, "--csv")
    lines = list(csv.DictReader(io.StringIO(answer.out, newline="")))

    assert answer.code == 3
    assert answer.out.startswith("path,score,percentile,status,")
    assert len(lines) == 8
    assert {line["model"] for line in lines} == {"tiny"}
    assert [(line["score"], line["status"]) for line in lines][-1] == ("", "failed")
    assert [float(line["score"]) for line in lines[:-1]] == sorted(float(line["score"]) for line in lines[:-1])


# --- row 24: names that break things ---------------------------------------------------------------------------------


@pytest.fixture
def strange(tmp_path: Path) -> list[str]:
    files = []
    for number, name in enumerate(STRANGE_NAMES):
        file = os.path.join(os.fsencode(tmp_path), b"strange", name)
        write_jpeg(tmp_path / "strange" / "x.jpg", number).rename(os.fsdecode(file))
        files.append(os.fsdecode(file))
    return sorted(files)


def test_strange_names_come_through_json(rali: Callable[..., Any], strange: list[str], tmp_path: Path) -> None:
    answer = rali("score", tmp_path / "strange", "--json")

    assert answer.out.isascii()
    assert sorted(photo["path"] for photo in json.loads(answer.out)["photos"]) == strange


def test_strange_names_come_through_csv(rali: Callable[..., Any], strange: list[str], tmp_path: Path) -> None:
    answer = rali("score", tmp_path / "strange", "--csv")

    assert sorted(line["path"] for line in csv.DictReader(io.StringIO(answer.out, newline=""))) == strange


def test_strange_names_do_nothing_to_a_table(rali: Callable[..., Any], strange: list[str], tmp_path: Path) -> None:
    rali("score", tmp_path / "strange")

    shown = rali("list").out

    for raw in ("\x1b", "\u202e", "a\nb"):
        assert raw not in shown
    for escaped in (r"a\nb.jpg", r"\u202egpj.exe.jpg", r"\x1b[31mred.jpg", r"caf\xe9.jpg", "-rf.jpg", "[bold]x.jpg"):
        assert escaped in shown


def test_the_suffixes_of_other_files_do_nothing_to_the_summary(rali: Callable[..., Any], folder: Path) -> None:
    (folder / "x.a\nb\x1b[31m").touch()

    out = rali("score", folder).out

    assert r"1 .a\nb\x1b[31m" in out
    assert "\x1b" not in out


def test_a_file_whose_name_looks_like_an_option_can_be_scored(
    rali: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "0.jpg").rename(folder / "-rf.jpg")
    monkeypatch.chdir(folder)

    assert rali("score", "--", "-rf.jpg").code == 0


# --- exit codes and errors -------------------------------------------------------------------------------------------


def test_some_failures_end_with_3_and_are_listed_with_their_reasons(rali: Callable[..., Any], folder: Path) -> None:
    (folder / "bad.jpg").write_bytes(b"no picture")
    (folder / "empty.jpg").touch()

    answer = rali("score", folder)

    assert answer.code == 3
    failed = answer.out.split("Failed")[1]
    assert "bad.jpg" in failed
    assert "unsupported" in failed
    assert "empty.jpg" in failed
    assert rali("score", folder).code == 3  # still failed, though cached


def test_retry_failed_looks_again(rali: Callable[..., Any], folder: Path, tiny_bundle: Path) -> None:
    (folder / "bad.jpg").write_bytes(b"no picture")
    rali("score", folder)

    summary = json.loads(rali("score", folder, "--retry-failed", "--json").out)["summary"]

    assert (summary["scored"], summary["cached"], summary["failed"]) == (0, 7, 1)


def test_an_emptied_folder_ends_with_4_and_nothing_is_unlisted(
    rali: Callable[..., Any], folder: Path, rows: Callable[..., Any]
) -> None:
    rali("score", folder)
    folder.rename(folder.with_name("unplugged"))
    folder.mkdir()

    answer = rali("score", folder)

    assert answer.code == 4
    assert one_line(answer.err)
    assert "7 photos are remembered" in answer.err
    assert rows("SELECT sum(listed) FROM photos") == [(7,)]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["/no/such/folder"], 1, "/no/such/folder"),
        (["/no/such\nfolder"], 1, r"/no/such\nfolder"),
        ([".", "--model", "maxi"], 1, "there is no model 'maxi'"),
        ([".", "--model", "/etc/hostname"], 1, "not a whole rali model bundle"),
        ([".", "--recipe", "slow"], 2, "exact or fast"),
        ([".", "--device", "tpu"], 2, "auto or cpu"),
        ([".", "--workers", "-3"], 2, "0 to 256"),
        ([".", "--json", "--csv"], 2, "one of --json"),
        ([".", "--db", "/dev/null/catalog.db"], 1, "--db"),
        ([".", "--db", "/"], 1, "is a folder"),
        (["/dev/null"], 1, "neither a folder nor a file"),
    ],
)
def test_a_mistake_is_one_line_and_the_right_exit_code(
    rali: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, says: str
) -> None:
    monkeypatch.chdir(folder)

    answer = rali("score", *arguments)

    assert (answer.code, answer.out) == (code, "")
    assert one_line(answer.err), answer.err
    assert says in answer.err


def test_a_device_that_is_not_there_is_one_line(rali: Callable[..., Any], folder: Path) -> None:
    import torch

    if torch.backends.mps.is_available():
        pytest.skip("this machine has one")

    answer = rali("score", folder, "--device", "mps")

    assert answer.code == 1
    assert one_line(answer.err)
    assert "--device cpu" in answer.err


def test_an_unknown_option_ends_with_2(rali: Callable[..., Any]) -> None:
    assert rali("score", ".", "--fast").code == 2
    assert rali("score").code == 2


@pytest.mark.parametrize("damage", ["flipped", "truncated"])
def test_a_damaged_bundle_is_one_line_and_touches_no_score(
    rali: Callable[..., Any], folder: Path, tmp_path: Path, rows: Callable[..., Any], damage: str
) -> None:
    path = write_tiny_bundle(tmp_path / "damaged.safetensors").path
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content if damage == "flipped" else content[:-9])

    answer = rali("score", folder, "--model", path)

    assert answer.code == 1
    assert one_line(answer.err)
    assert "get it again" in answer.err
    assert rows("SELECT count(*) FROM scores") == [(0,)]


def test_a_damaged_catalog_is_set_aside_with_a_notice_and_the_run_goes_on(
    rali: Callable[..., Any], folder: Path, own_world: Path
) -> None:
    rali("score", folder)
    (own_world / "catalog.db").write_bytes(bytes(8192))

    answer = rali("score", folder)

    assert answer.code == 0
    assert "The catalog was damaged: it was set aside as " in answer.err
    assert "7 scored" in answer.out
    assert len(list(own_world.glob("catalog.db.corrupt-*"))) == 1


def test_a_database_of_another_program_is_left_alone(rali: Callable[..., Any], folder: Path, own_world: Path) -> None:
    (own_world / "catalog.db").write_bytes(b"my diary")

    answer = rali("score", folder)

    assert answer.code == 1
    assert one_line(answer.err)
    assert (own_world / "catalog.db").read_bytes() == b"my diary"


# --- streams ---------------------------------------------------------------------------------------------------------


def test_progress_goes_to_a_terminal_on_stderr_and_never_to_stdout(folder: Path) -> None:
    parent, child = pty.openpty()
    seen: list[bytes] = []

    def read() -> None:
        try:
            while chunk := os.read(parent, 4096):
                seen.append(chunk)
        except OSError:  # EIO: the other end is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    command = [sys.executable, "-m", "rali_cli", "score", str(folder), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=child, timeout=25)
    os.close(child)
    reader.join()
    os.close(parent)

    assert done.returncode == 0
    assert len(json.loads(done.stdout)["photos"]) == 7
    assert b"Scoring" in b"".join(seen)


def test_nothing_goes_to_stderr_where_it_is_no_terminal(
    rali_process: Callable[..., subprocess.CompletedProcess[str]], folder: Path
) -> None:
    done = rali_process("score", folder)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_of_ascii_gets_escapes_not_a_traceback(
    rali_process: Callable[..., subprocess.CompletedProcess[str]], folder: Path
) -> None:
    (folder / "0.jpg").rename(folder / "blåbær.jpg")
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}

    done = rali_process("score", folder, env=environment)
    as_csv = rali_process("list", "--csv", env=environment)

    assert (done.returncode, done.stderr) == (0, "")
    assert (as_csv.returncode, as_csv.stderr) == (0, "")
    assert "blåbær.jpg" in as_csv.stdout
