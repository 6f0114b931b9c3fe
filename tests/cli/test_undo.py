"""``rali runs``, ``rali undo`` and ``rali quarantine``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import write_jpeg
from faults import contents, tree


@pytest.fixture
def before(wedding: Path) -> dict[str, tuple[bytes, int]]:
    """Return the wedding's files as they were before the cull."""
    return tree(wedding)


@pytest.fixture
def run(rali: Callable[..., Any], wedding: Path, before: dict[str, tuple[bytes, int]]) -> str:
    """Cull the worst three; return the run's name."""
    out = rali("cull", wedding, "--bottom", "3", "--apply", "--json").out
    return str(json.loads(out)["summary"]["run"]["run"])


# --- runs ------------------------------------------------------------------------------------------------------------


def test_runs_are_listed_the_last_first_with_numbers_and_places(
    rali: Callable[..., Any], wedding: Path, run: str
) -> None:
    rali("cull", wedding, "--bottom", "1", "--apply", "--copy")

    answer = rali("runs")
    first, second = json.loads(rali("runs", "--json").out)["runs"]

    assert (answer.code, answer.err) == (0, "")
    assert re.search(rf"{run} +3 +5 +\S+ kB  in the quarantine", answer.out)
    assert "copies in the quarantine" in answer.out
    assert f"bottom 3 of each folder: {wedding}" in answer.out
    assert f"in {wedding.parent}/.rali-quarantine/{run}" in answer.out
    assert (second["run"], second["photos"], second["files"], second["away"], second["mode"]) == (run, 3, 5, 5, "move")
    assert (first["photos"], first["mode"], first["undone"]) == (1, "copy", False)


def test_without_a_run_there_is_nothing_to_list_undo_or_purge(rali: Callable[..., Any], wedding: Path) -> None:
    assert rali("runs").out == "Nothing was culled yet.\n"
    assert rali("quarantine", "list").out == "The quarantine is empty.\n"
    assert "0 files  in all" in rali("quarantine", "size").out
    assert json.loads(rali("runs", "--json").out) == {"runs": []}
    for arguments in (["undo"], ["undo", "never"], ["quarantine", "purge", "never"]):
        answer = rali(*arguments)
        assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)


# --- undo ------------------------------------------------------------------------------------------------------------


def test_undo_brings_back_every_file_and_says_so(
    rali: Callable[..., Any], wedding: Path, run: str, before: dict[str, tuple[bytes, int]]
) -> None:
    answer = rali("undo", run)

    assert (answer.code, answer.err) == (0, "")
    assert "Brought back 3 photos (5 files, " in answer.out
    assert tree(wedding) == before
    assert "  undone\n" in rali("runs").out
    assert not (wedding.parent / ".rali-quarantine").exists()


def test_undo_twice_has_nothing_to_bring_back(rali: Callable[..., Any], run: str) -> None:
    rali("undo")

    again = rali("undo", run)

    assert (again.code, again.err) == (0, "")
    assert again.out == f"Nothing to bring back: run {run} is undone.\n"


def test_culled_photos_leave_rankings_and_are_back_after_undo(
    rali: Callable[..., Any], wedding: Path, run: str
) -> None:
    assert "9 scored photos" in rali("list").out
    rali("undo")
    assert "12 scored photos" in rali("list").out


def test_undo_brings_back_the_last_move_and_not_copies_that_came_after(
    rali: Callable[..., Any], wedding: Path, run: str, before: dict[str, tuple[bytes, int]]
) -> None:
    rali("cull", wedding, "--bottom", "1", "--apply", "--copy")

    assert rali("undo").code == 0
    assert tree(wedding) == before


def test_only_brings_back_whole_shots_that_match(rali: Callable[..., Any], wedding: Path, run: str) -> None:
    answer = rali("undo", "--only", "*.mov")

    assert answer.code == 0
    assert "Brought back 1 photo (3 files, " in answer.out
    assert "2 files of this run are still away." in answer.out
    assert {"IMG_01.jpg", "IMG_01.mov", "IMG_01.xmp"} <= tree(wedding).keys()
    assert "2 in the quarantine, 3 back" in rali("runs").out


def test_only_that_matches_nothing_is_an_error(rali: Callable[..., Any], run: str) -> None:
    answer = rali("undo", "--only", "no\nsuch*")

    assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
    assert r"matches no\nsuch*" in answer.err


def test_undo_leaves_alone_what_has_taken_the_place_and_ends_with_3(
    rali: Callable[..., Any], wedding: Path, run: str
) -> None:
    write_jpeg(wedding / "IMG_02.jpg", 66)
    taken = (wedding / "IMG_02.jpg").read_bytes()

    answer = rali("undo")

    assert answer.code == 3
    assert "Brought back 2 photos" in answer.out
    assert "1 photo stayed:\n" in answer.out
    assert "IMG_02.jpg: there is another IMG_02.jpg by now" in answer.out
    assert (wedding / "IMG_02.jpg").read_bytes() == taken


def test_json_names_what_did_not_come_back(rali: Callable[..., Any], wedding: Path, run: str) -> None:
    (wedding / "IMG_02.jpg").touch()

    document = json.loads(rali("undo", "--json").out)

    assert (document["photos"], document["files"]) == (2, 4)
    assert [stayed["path"] for stayed in document["stayed"]] == [str(wedding / "IMG_02.jpg")]
    assert (document["run"]["away"], document["run"]["back"]) == (1, 4)


@pytest.mark.parametrize("option", ["--copy", "--hardlink"])
def test_undo_of_copies_says_that_the_originals_are_there(rali: Callable[..., Any], wedding: Path, option: str) -> None:
    rali("cull", wedding, "--bottom", "2", "--apply", option)
    before = tree(wedding)

    answer = rali("undo")

    assert (answer.code, answer.err) == (0, "")
    assert "the originals are in their places" in answer.out
    assert "rali quarantine purge" in answer.out
    assert tree(wedding) == before


@pytest.mark.parametrize("as_folder", [False, True], ids=["file", "folder"])
def test_a_lost_catalog_still_undoes_from_the_journal(
    rali: Callable[..., Any],
    wedding: Path,
    run: str,
    own_world: Path,
    before: dict[str, tuple[bytes, int]],
    as_folder: bool,
) -> None:
    for file in own_world.glob("catalog.db*"):
        file.unlink()
    folder = wedding.parent / ".rali-quarantine" / run

    answer = rali("undo", "--journal", folder if as_folder else folder / ".rali-journal.jsonl")

    assert (answer.code, answer.err) == (0, "")
    assert "Brought back 3 photos (5 files, " in answer.out
    assert tree(wedding) == before


def test_a_journal_that_is_none_is_one_line(rali: Callable[..., Any], wedding: Path, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("dear diary\n")

    assert rali("undo", "--journal", tmp_path / "x.jsonl").code == 2
    assert rali("undo", "--journal", tmp_path / "gone.jsonl").code == 1
    assert rali("undo", "run", "--journal", tmp_path / "x.jsonl").code == 2


def test_show_says_where_a_culled_photo_is_and_how_it_comes_back(
    rali: Callable[..., Any], wedding: Path, run: str
) -> None:
    out = rali("show", wedding / "IMG_01.jpg").out
    document = json.loads(rali("show", wedding / "IMG_01.jpg", "--json").out)["photos"][0]

    there = f"{wedding.parent}/.rali-quarantine/{run}/IMG_01.jpg"
    assert f"culled      {there}; back with: rali undo {run} --only IMG_01.jpg\n" in out
    assert document["culled"] == {"run": run, "path": there}
    assert rali("undo", run, "--only", "IMG_01.jpg").code == 0
    assert "\nculled " not in rali("show", wedding / "IMG_01.jpg").out


# --- quarantine ------------------------------------------------------------------------------------------------------


def purge(name: str, typed: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "rali_cli", "quarantine", "purge", name]
    return subprocess.run(command, input=typed, capture_output=True, timeout=25)


def test_list_and_size_show_what_lies_there(rali: Callable[..., Any], wedding: Path, run: str) -> None:
    size_bytes = sum(path.stat().st_size for path in (wedding.parent / ".rali-quarantine").rglob("IMG*"))

    assert run in rali("quarantine", "list").out
    assert re.search(r"kB +5 files  .*\.rali-quarantine\n", rali("quarantine", "size").out)
    document = json.loads(rali("quarantine", "size", "--json").out)
    assert document["total"] == {"files": 5, "size_bytes": size_bytes}
    assert [held["run"] for held in json.loads(rali("quarantine", "list", "--json").out)["runs"]] == [run]
    rali("undo")
    assert rali("quarantine", "list").out == "The quarantine is empty.\n"


def test_purge_deletes_once_the_name_is_typed_in_full(
    rali: Callable[..., Any], wedding: Path, run: str, in_quarantine: Callable[[], set[str]]
) -> None:
    stays = contents(wedding)

    done = purge(run, f"{run}\n".encode())

    assert done.returncode == 0
    assert b"5 files, " in done.stderr
    assert b"They will be deleted for good" in done.stderr
    assert b"Deleted 5 files (" in done.stdout
    assert in_quarantine() == set()
    assert contents(wedding) == stays
    assert "  deleted\n" in rali("runs").out
    assert rali("undo", run).out == f"Nothing to bring back: run {run} is deleted.\n"


@pytest.mark.parametrize("typed", [b"", b"\n", b"y\n", b"yes\n", b"2026\n", b"\xff\n"], ids=repr)
def test_anything_but_the_name_deletes_nothing_and_ends_with_4(
    run: str, in_quarantine: Callable[[], set[str]], typed: bytes
) -> None:
    before = in_quarantine()

    done = purge(run, typed)

    assert done.returncode == 4
    assert b"nothing was deleted" in done.stderr
    assert b"Traceback" not in done.stderr
    assert in_quarantine() == before != set()


def test_there_is_no_way_to_purge_without_typing_the_name(rali: Callable[..., Any], run: str) -> None:
    assert rali("quarantine", "purge", run, "--yes").code == 2


def test_what_has_changed_in_the_quarantine_is_not_purged(
    rali: Callable[..., Any], wedding: Path, run: str, in_quarantine: Callable[[], set[str]]
) -> None:
    write_jpeg(wedding.parent / ".rali-quarantine" / run / "IMG_02.jpg", 66, quality=50)

    done = purge(run, f"{run}\n".encode())

    assert done.returncode == 3
    assert b"has changed since it was culled" in done.stdout
    assert in_quarantine() == {"IMG_02.jpg"}


def test_an_unplugged_quarantine_is_one_line(rali: Callable[..., Any], wedding: Path, run: str) -> None:
    (wedding.parent / ".rali-quarantine").rename(wedding.parent / "unplugged")

    answer = rali("undo")

    assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
    assert "connect its drive" in answer.err
    assert "[not there now]" in rali("quarantine", "size").out
