"""``rali cull``: the plan it shows, what it saves, what it moves, and when it refuses."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import write_jpeg
from faults import contents, tree

STRANGE_NAMES = [b"a\nb.jpg", b'quo"te\'s.jpg', b"-rf.jpg", "\u202egpj.exe.jpg".encode(), b"\x1b[31mred.jpg",
                 b"caf\xe9.jpg", b"[bold]x.jpg"]  # fmt: skip


def planned(answer: Any) -> list[str]:
    return [Path(photo["path"]).name for photo in json.loads(answer.out)["photos"]]


def the_command(out: str) -> list[str]:
    """Return the command that a plan's last line names, as a shell would read it."""
    return shlex.split(out.splitlines()[-1])[1:]


# --- a plan ----------------------------------------------------------------------------------------------------------


def test_a_plan_moves_nothing_and_says_how_to_apply_it(rali: Callable[..., Any], wedding: Path) -> None:
    before = tree(wedding.parent)

    answer = rali("cull", wedding, "--bottom", "25%")

    assert (answer.code, answer.err) == (0, "")
    assert tree(wedding.parent) == before
    assert "3 of 12 scored photos would go: 5 files" in answer.out
    assert re.search(r"5\.0 +4 +\S+IMG_01\.jpg \(\+mov xmp\) +bottom 25 % +\d+", answer.out)
    assert answer.out.index("IMG_01") < answer.out.index("IMG_02") < answer.out.index("IMG_03")
    assert f"They would go into {wedding.parent}/.rali-quarantine" in answer.out
    assert "Nothing was moved. To move exactly these photos:\n  rali apply " in answer.out


def test_the_command_shown_moves_exactly_what_was_shown(
    rali: Callable[..., Any], wedding: Path, in_quarantine: Callable[[], set[str]]
) -> None:
    out = rali("cull", wedding, "--bottom", "2").out
    write_jpeg(wedding / "newer.jpg", 99)  # came later, and is no part of it
    before = contents(wedding)

    assert rali(*the_command(out)).code == 0

    assert in_quarantine() == {"IMG_01.jpg", "IMG_01.mov", "IMG_01.xmp", "IMG_02.jpg"}
    assert contents(wedding.parent) == before


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--below", "20"], [1, 2]),
        (["--bottom", "10%"], [1]),
        (["--bottom", "3"], [1, 2, 3]),
        (["--keep", "10"], [1, 2]),
        (["--bottom", "2", "--across"], [1, 2]),
        (["--below", "60", "--include", "IMG_0[34]*"], [3, 4]),
        (["--below", "60", "--exclude", "IMG_0[1-4]*"], [5, 6]),
        (["--below", "60", "--since", "2030"], []),
    ],
    ids=str,
)
def test_options_choose_what_they_say(
    rali: Callable[..., Any], wedding: Path, options: list[str], numbers: list[int]
) -> None:
    answer = rali("cull", wedding, *options, "--json")

    assert answer.code == 0
    assert planned(answer) == [f"IMG_{number:02}.jpg" for number in numbers]


def test_count_shortens_the_table_and_not_the_plan(rali: Callable[..., Any], wedding: Path, tmp_path: Path) -> None:
    out = rali("cull", wedding, "--bottom", "4", "-n", "1", "--plan", tmp_path / "plan.json").out

    assert out.count("IMG_") == 1
    assert "... and 3 more; -n shows more" in out
    assert len(json.loads((tmp_path / "plan.json").read_text())["shots"]) == 4


def test_what_is_protected_stays_and_is_shown_with_the_reason(
    rali: Callable[..., Any], wedding: Path, rate: Callable[[Path, int], None]
) -> None:
    rate(wedding / "IMG_02.jpg", 3)
    rali("keep", wedding / "IMG_03.jpg")

    answer = rali("cull", wedding, "--bottom", "4")
    document = json.loads(rali("cull", wedding, "--bottom", "4", "--json").out)

    assert "Held back: 2 photos (1 keep, 1 rating)" in answer.out
    assert re.search(r"rating +\S+IMG_02\.jpg +3 stars in IMG_02\.xmp", answer.out)
    assert [Path(photo["path"]).name for photo in document["photos"]] == ["IMG_01.jpg", "IMG_04.jpg"]
    assert document["summary"]["held_back"] == {"rating": 1, "keep": 1}
    assert [(held["rule"], Path(held["path"]).name) for held in document["held_back"]] == [
        ("rating", "IMG_02.jpg"),
        ("keep", "IMG_03.jpg"),
    ]


def test_a_rule_that_is_off_is_off_in_the_command_shown_too(
    rali: Callable[..., Any], wedding: Path, in_quarantine: Callable[[], set[str]], rate: Callable[[Path, int], None]
) -> None:
    rate(wedding / "IMG_02.jpg", 3)

    out = rali("cull", wedding, "--bottom", "2", "--no-protect", "rating").out

    assert the_command(out)[1:3] == ["--no-protect", "rating"]
    assert rali(*the_command(out)).code == 0
    assert "IMG_02.jpg" in in_quarantine()


def test_the_options_that_matter_are_in_the_command_shown(
    rali: Callable[..., Any], wedding: Path, tmp_path: Path, own_world: Path
) -> None:
    odd = tmp_path / "it's\n here"

    arguments = ["--copy", "--to", odd, "--plan", tmp_path / "a plan.json", "--db", own_world / "catalog.db"]
    out = rali("cull", wedding, "--bottom", "2", *arguments).out
    shell = out.splitlines()[-1].replace("rali", shlex.join([sys.executable, "-m", "rali_cli"]), 1)
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=25)

    assert "To copy exactly these photos:" in out
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list(odd.rglob("*.jpg"))) == 2
    assert (wedding / "IMG_01.jpg").exists()


def test_a_plan_of_no_name_is_kept_beside_the_catalog_and_only_the_last_twenty(
    rali: Callable[..., Any], wedding: Path, own_world: Path
) -> None:
    plans = own_world / "plans"
    plans.mkdir()
    for day in range(1, 31):
        (plans / f"2026-01-{day:02}_100000.json").write_text("old")
    (plans / "my notes.json").write_text("mine")

    out = rali("cull", wedding, "--bottom", "2").out
    kept = sorted(path.name for path in plans.iterdir())

    assert Path(the_command(out)[-1]).parent == plans
    assert Path(the_command(out)[-1]).name in kept
    assert len(kept) == 21
    assert "my notes.json" in kept
    assert "2026-01-30_100000.json" in kept
    assert "2026-01-11_100000.json" not in kept


def test_a_file_that_is_no_plan_is_not_written_over(
    rali: Callable[..., Any], wedding: Path, tmp_path: Path, in_quarantine: Callable[[], set[str]]
) -> None:
    diary = tmp_path / "diary.txt"
    diary.write_text("dear diary")

    answer = rali("cull", wedding, "--bottom", "2", "--apply", "--plan", diary)

    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert diary.read_text() == "dear diary"
    assert in_quarantine() == set()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["."], "--below SCORE, --bottom 10%, --keep N, --per-burst KEEP or --from LIST"),
        ([], "rali cull FOLDER"),
        ([".", "--below", "5", "--keep", "3"], "one way"),
        ([".", "--bottom", "lots"], "--bottom 'lots'"),
        ([".", "--below", "5", "--across"], "--across"),
        ([".", "--below", "5", "--no-protect", "stars"], "no such rule"),
        ([".", "--below", "5", "--no-protect", "changed"], "always holds"),
        ([".", "--below", "5", "--copy", "--hardlink"], "use one of"),
        ([".", "--below", "5", "-0"], "-0 goes with --from"),
        ([".", "--from", "list", "--keep", "2"], "one way"),
    ],
    ids=str,
)
def test_a_mistake_is_one_line_and_ends_with_2(
    rali: Callable[..., Any], wedding: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(wedding)

    answer = rali("cull", *arguments)

    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1), answer.err
    assert says in answer.err


def test_a_folder_that_was_never_scored_is_an_error(rali: Callable[..., Any], wedding: Path) -> None:
    answer = rali("cull", wedding.parent / "wedding2", "--below", "50")

    assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
    assert "run: rali score" in answer.err


def test_nothing_to_cull_is_one_line_and_fine(rali: Callable[..., Any], wedding: Path, own_world: Path) -> None:
    answer = rali("cull", wedding, "--below", "1", "--apply")

    assert (answer.code, answer.err) == (0, "")
    assert answer.out.strip() == "Nothing to cull: score below 1, of 12 scored photos"
    assert not (own_world / "plans").exists()


def test_if_all_that_was_chosen_is_protected_it_says_so(rali: Callable[..., Any], wedding: Path) -> None:
    rali("keep", wedding / "IMG_01.jpg")

    answer = rali("cull", wedding, "--bottom", "1", "--apply")

    assert answer.code == 0
    assert answer.out.startswith("Nothing to cull: ")
    assert "Held back: 1 photo (1 keep)" in answer.out


def test_without_an_option_what_is_marked_reject_goes(rali: Callable[..., Any], wedding: Path) -> None:
    rali("reject", wedding / "IMG_12.jpg")

    assert planned(rali("cull", wedding, "--json")) == ["IMG_12.jpg"]


# --- a list ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "ends"),
    [(["--from", "-0"], b"\0"), (["--from", "-"], b"\n"), (["--from", "-", "-0"], b"\0"), (["--from", "-"], b"\0")],
    ids=str,
)
def test_a_list_on_stdin_is_what_goes(
    rali: Callable[..., Any], wedding: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], ends: bytes
) -> None:
    listed = [os.fsencode(wedding / name) for name in ("IMG_07.jpg", "IMG_01.mov", "unknown.jpg")]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(ends.join([*listed, b""]))))

    answer = rali("cull", *options, "--json")

    assert planned(answer) == ["IMG_01.jpg", "IMG_07.jpg"]
    assert json.loads(answer.out)["summary"]["held_back"] == {"unknown": 1}


def test_a_list_without_a_folder_has_its_quarantine_beside_the_photos_own(
    rali: Callable[..., Any], wedding: Path, tmp_path: Path, in_quarantine: Callable[[], set[str]]
) -> None:
    (tmp_path / "list.txt").write_text(f"{wedding}/IMG_02.jpg\n")

    assert rali("cull", "--from", tmp_path / "list.txt", "--apply").code == 0
    assert in_quarantine() == {"IMG_02.jpg"}


def test_a_list_in_a_file_is_what_goes(rali: Callable[..., Any], wedding: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{wedding}/IMG_02.jpg\n\n{wedding}/IMG_04.jpg\n")

    assert planned(rali("cull", wedding, "--from", tmp_path / "list.txt", "--json")) == ["IMG_02.jpg", "IMG_04.jpg"]
    assert rali("cull", wedding, "--from", tmp_path / "gone.txt").code == 1


def test_what_rali_list_prints_can_be_culled(wedding: Path) -> None:
    rali = shlex.join([sys.executable, "-m", "rali_cli"])
    pipe = f"{rali} list --below 20 -0 | {rali} cull {shlex.quote(str(wedding))} --from -0 --apply"

    done = subprocess.run(["bash", "-o", "pipefail", "-c", pipe], capture_output=True, text=True, timeout=25)

    assert (done.returncode, done.stderr) == (0, "")
    assert "Moved 2 photos" in done.stdout


# --- --apply ---------------------------------------------------------------------------------------------------------


def test_apply_moves_at_once_in_a_pipe_and_says_how_to_undo(
    rali: Callable[..., Any], wedding: Path, in_quarantine: Callable[[], set[str]]
) -> None:
    before = contents(wedding)

    answer = rali("cull", wedding, "--bottom", "25%", "--apply")

    assert (answer.code, answer.err) == (0, "")
    assert "Moved 3 photos (5 files, " in answer.out
    run = answer.out.splitlines()[-1].removeprefix("Undo with: rali undo ")
    assert f"They are in {wedding.parent}/.rali-quarantine/{run}" in answer.out
    assert len(in_quarantine()) == 5
    assert contents(wedding.parent) == before


def test_json_after_apply_has_the_run(rali: Callable[..., Any], wedding: Path) -> None:
    answer = rali("cull", wedding, "--bottom", "2", "--apply", "--json")
    document = json.loads(answer.out)

    assert answer.code == 0
    assert (document["summary"]["run"]["photos"], document["summary"]["run"]["away"]) == (2, 4)
    assert document["stayed"] == []


@pytest.mark.parametrize("option", ["--copy", "--hardlink"])
def test_copy_and_hardlink_leave_the_originals(
    rali: Callable[..., Any], wedding: Path, option: str, in_quarantine: Callable[[], set[str]]
) -> None:
    before = tree(wedding)

    answer = rali("cull", wedding, "--bottom", "2", "--apply", option)

    assert answer.code == 0
    assert "The originals are where they were." in answer.out
    assert tree(wedding) == before
    assert len(in_quarantine()) == 4


def test_to_trash_hands_the_runs_folder_to_the_bin(
    rali: Callable[..., Any], wedding: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trashed = []
    monkeypatch.setattr("send2trash.send2trash", trashed.append)

    answer = rali("cull", wedding, "--bottom", "2", "--apply", "--to-trash")

    assert answer.code == 0
    (folder,) = trashed
    assert Path(folder).parent.name == ".rali-quarantine"
    assert "in the system's bin" in answer.out
    assert "in the system's bin" in rali("runs").out


def test_if_the_bin_refuses_the_photos_are_in_the_quarantine_and_can_be_undone(
    rali: Callable[..., Any], wedding: Path, monkeypatch: pytest.MonkeyPatch, in_quarantine: Callable[[], set[str]]
) -> None:
    def refuse(folder: str) -> None:
        raise OSError("no bin here")

    monkeypatch.setattr("send2trash.send2trash", refuse)

    answer = rali("cull", wedding, "--bottom", "2", "--apply", "--to-trash")

    assert answer.code == 1
    assert "rali: the system's bin does not take" in answer.err
    assert "Undo with: rali undo" in answer.out
    assert len(in_quarantine()) == 4


def test_more_than_half_of_a_folder_is_refused_with_4_until_yes(
    rali: Callable[..., Any], wedding: Path, in_quarantine: Callable[[], set[str]]
) -> None:
    before = tree(wedding)

    refused = rali("cull", wedding, "--bottom", "75%", "--apply")

    assert refused.code == 4
    assert refused.err.count("\n") == 1
    assert "9 of the 12 photos" in refused.err
    assert tree(wedding) == before
    command = shlex.split(refused.err.split("If it is meant: ")[1])[1:]
    assert rali(*command).code == 0
    assert len(in_quarantine()) == 11


def test_yes_lets_more_than_half_go(
    rali: Callable[..., Any], wedding: Path, in_quarantine: Callable[[], set[str]]
) -> None:
    assert rali("cull", wedding, "--bottom", "75%", "--apply", "--yes").code == 0
    assert len(in_quarantine()) == 11


def test_a_plan_that_is_over_the_limits_says_so_and_how(rali: Callable[..., Any], wedding: Path) -> None:
    out = rali("cull", wedding, "--bottom", "75%").out

    assert "Look twice: 9 of the 12 photos" in out
    assert "--yes" in the_command(out)


def test_what_cannot_be_moved_stays_with_the_reason_and_ends_with_3(
    rali: Callable[..., Any], wedding: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rali.moving import moves

    link = moves.Fs.link

    def refuse(self: Any, old: str, new: str) -> None:
        if old.endswith("IMG_02.jpg"):
            raise OSError(5, "Input/output error")
        link(self, old, new)

    monkeypatch.setattr(moves.Fs, "link", refuse)

    answer = rali("cull", wedding, "--bottom", "2", "--apply")

    assert answer.code == 3
    assert "Moved 1 photo (3 files, " in answer.out
    assert "1 photo stayed:" in answer.out
    assert "IMG_02.jpg: Input/output error" in answer.out
    assert (wedding / "IMG_02.jpg").exists()


def test_a_full_disk_ends_with_1_and_names_it(
    rali: Callable[..., Any], wedding: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rali.moving import moves

    def full(self: Any, old: str, new: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(moves.Fs, "link", full)
    before = contents(wedding)

    answer = rali("cull", wedding, "--bottom", "2", "--apply")

    assert answer.code == 1
    assert "rali: ended early (No space left on device)" in answer.err
    assert contents(wedding) == before


# --- the question ----------------------------------------------------------------------------------------------------


def test_on_a_terminal_a_yes_moves(
    on_terminal: Callable[..., tuple[int, str]], wedding: Path, in_quarantine: Callable[[], set[str]]
) -> None:
    code, seen = on_terminal("cull", wedding, "--bottom", "2", "--apply", types=b"y\n")

    assert code == 0
    assert "Move 2 photos (4 files, " in seen
    assert "Moved 2 photos" in seen
    assert len(in_quarantine()) == 4


@pytest.mark.parametrize("types", [b"n\n", b"\n", b"yep\n", b"\x04", b"\xff\n"], ids=repr)
def test_on_a_terminal_all_but_a_yes_moves_nothing(
    on_terminal: Callable[..., tuple[int, str]], wedding: Path, types: bytes, in_quarantine: Callable[[], set[str]]
) -> None:
    code, seen = on_terminal("cull", wedding, "--bottom", "2", "--apply", types=types)

    assert code == 0
    assert "Nothing was moved. The plan is kept: rali apply" in seen
    assert in_quarantine() == set()


def test_ctrl_c_at_the_question_moves_nothing_and_ends_with_130(
    on_terminal: Callable[..., tuple[int, str]], wedding: Path, in_quarantine: Callable[[], set[str]]
) -> None:
    code, seen = on_terminal(
        "cull", wedding, "--bottom", "2", "--apply", types=b"\x03", preexec_fn=_be_in_the_foreground
    )

    assert code == 130
    assert "Traceback" not in seen
    assert in_quarantine() == set()


def _be_in_the_foreground() -> None:
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_yes_asks_nothing(
    on_terminal: Callable[..., tuple[int, str]], wedding: Path, in_quarantine: Callable[[], set[str]]
) -> None:
    code, seen = on_terminal("cull", wedding, "--bottom", "2", "--apply", "--yes", types=b"")

    assert code == 0
    assert "[y/N]" not in seen
    assert len(in_quarantine()) == 4


# --- row 24: names that break things ---------------------------------------------------------------------------------


@pytest.fixture
def strange(tmp_path: Path, remember: Callable[..., None]) -> Path:
    folder = tmp_path / "strange"
    scores = {}
    for number, name in enumerate(STRANGE_NAMES):
        path = Path(os.fsdecode(os.path.join(os.fsencode(folder), name)))
        write_jpeg(folder / "x", number).rename(path)
        scores[path] = float(number)
    remember(scores)
    return folder


def test_strange_names_do_nothing_to_the_tables(rali: Callable[..., Any], strange: Path) -> None:
    plan = rali("cull", strange, "--below", "50")
    moved = rali("cull", strange, "--below", "50", "--apply", "--yes")
    shown = plan.out + moved.out + rali("runs").out + rali("quarantine", "list").out

    for raw in ("\x1b", "\u202e", "a\nb"):
        assert raw not in shown
    for escaped in (r"a\nb.jpg", r"\u202egpj.exe.jpg", r"\x1b[31mred.jpg", r"caf\xe9.jpg", "-rf.jpg", "[bold]x.jpg"):
        assert escaped in plan.out
    assert f"Moved {len(STRANGE_NAMES)} photos" in moved.out


def test_strange_names_come_through_json_and_back(rali: Callable[..., Any], strange: Path) -> None:
    before = tree(strange)

    answer = rali("cull", strange, "--below", "50", "--apply", "--yes", "--json")

    assert answer.out.isascii()
    assert {photo["path"] for photo in json.loads(answer.out)["photos"]} == {
        os.fsdecode(os.path.join(os.fsencode(strange), name)) for name in STRANGE_NAMES
    }
    assert tree(strange) == {}
    assert rali("undo").code == 0
    assert tree(strange) == before
