"""``rali watch``: its panel, its lines and events, its ends."""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import pty
import re
import shlex
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fakes import write_jpeg
from rich.cells import cell_len

from rali.catalog.records import Scoring
from rali.errors import FailureKind
from rali.watching.events import Backlog, CaughtUp, Culled, Event, Failed, Gone, Held, Notice, Renamed, Scored
from rali_cli.watch_panel import Board
from rali_cli.watch_view import Tally, Watched, event_json

QUICK = ("--settle", "0.1", "--latency", "0")
STRANGE_NAMES = [b"a\nb.jpg", b"-rf.jpg", "\u202egpj.exe.jpg".encode(), b"\x1b[31mred.jpg", b"caf\xe9.jpg",
                 b"[bold]x.jpg"]  # fmt: skip


@pytest.fixture(autouse=True)
def tiny_by_default(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RALI_MODEL", str(tiny_bundle))
    monkeypatch.setenv("RALI_WORKERS", "1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        write_jpeg(tmp_path / "photos" / f"{number}.jpg", number)
    return tmp_path / "photos"


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts the command line in a process of its own; whatever still runs is killed."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str | os.PathLike[str]) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "rali_cli", *map(os.fspath, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], event: str, count: int = 1) -> list[dict[str, Any]]:
    """Read events until so many of one kind have come."""
    assert process.stdout is not None
    found: list[dict[str, Any]] = []
    while sum(one["event"] == event for one in found) < count:
        line = process.stdout.readline()
        assert line, process.communicate()
        found.append(json.loads(line))
    return found


def one_line(text: str) -> bool:
    return text.startswith("rali: ") and text.count("\n") == 1 and "Traceback" not in text


# --- lines -----------------------------------------------------------------------------------------------------------


def test_once_prints_a_line_a_photo_and_ends(rali: Callable[..., Any], folder: Path) -> None:
    answer = rali("watch", folder, "--once", *QUICK)

    assert answer.code == 0
    lines = answer.out.splitlines()
    assert sorted(line.split()[1] for line in lines) == [str(folder / f"{number}.jpg") for number in range(3)]
    assert all(re.fullmatch(r"[ \d]{3}\.\d  /\S+", line) for line in lines)
    assert answer.err.splitlines() == [
        f"Looking at {folder}",
        "Caught up: 3 photos, 0 cached, 0 failed before, 3 to score",
        "3 photos: 3 scored, 0 cached, 0 failed",
    ]


def test_once_scores_as_rali_score_does(rali: Callable[..., Any], folder: Path, tmp_path: Path) -> None:
    rali("watch", folder, "--once", *QUICK)
    watched = {photo["path"]: photo["score"] for photo in json.loads(rali("list", "--json").out)["photos"]}
    fresh = json.loads(rali("score", folder, "--db", tmp_path / "fresh.db", "--json").out)["photos"]

    # Not to the last digit: a photo's neighbours in a batch have a say in that.
    assert watched == pytest.approx({photo["path"]: photo["score"] for photo in fresh}, abs=1e-3)


def test_once_again_scores_nothing(rali: Callable[..., Any], folder: Path) -> None:
    rali("watch", folder, "--once", *QUICK)

    answer = rali("watch", folder, "--once", *QUICK)

    assert (answer.code, answer.out) == (0, "")
    assert answer.err.splitlines()[-1] == "3 photos: 0 scored, 3 cached, 0 failed"


def test_once_on_a_folder_that_was_emptied_is_refused_as_a_missing_drive_is(
    rali: Callable[..., Any], folder: Path, tmp_path: Path
) -> None:
    rali("watch", folder, "--once", *QUICK)
    folder.rename(tmp_path / "away")
    folder.mkdir()

    answer = rali("watch", folder, "--once", *QUICK)

    assert answer.code == 4
    assert "connect its drive" in answer.err


def test_once_ends_with_3_if_some_failed_now_or_before(rali: Callable[..., Any], folder: Path) -> None:
    (folder / "bad.jpg").write_bytes(b"no picture")

    answer = rali("watch", folder, "--once", *QUICK)

    assert answer.code == 3
    assert "bad" not in answer.out
    assert f"Failed, unsupported: {folder}/bad.jpg (not a photo in a format that rali reads)\n" in answer.err
    assert rali("watch", folder, "--once", *QUICK).code == 3


def test_once_goes_on_where_the_last_one_was_killed(
    rali: Callable[..., Any], folder: Path, started: Callable[..., Any]
) -> None:
    process = started("watch", folder, "--jsonl", *QUICK)
    read_until(process, "scored", 3)
    process.kill()
    process.wait()
    write_jpeg(folder / "new.jpg", 50)

    assert [line.split()[1] for line in rali("watch", folder, "--once", *QUICK).out.splitlines()] == [
        str(folder / "new.jpg")
    ]


def test_strange_names_do_nothing_to_lines(rali: Callable[..., Any], folder: Path) -> None:
    for number, name in enumerate(STRANGE_NAMES):
        os.rename(write_jpeg(folder / "x.jpg", 10 + number), os.path.join(os.fsencode(folder), name))
    (folder / "bad\x1b[31m.jpg").write_bytes(b"no picture")

    answer = rali("watch", folder, "--once", *QUICK)

    assert len(answer.out.splitlines()) == 3 + len(STRANGE_NAMES)
    for raw in ("\x1b", "\u202e", "a\nb"):
        assert raw not in answer.out + answer.err
    for escaped in (r"a\nb.jpg", r"\u202egpj.exe.jpg", r"\x1b[31mred.jpg", r"caf\xe9.jpg", "[bold]x.jpg"):
        assert escaped in answer.out
    assert r"bad\x1b[31m.jpg" in answer.err


# --- events for programs ---------------------------------------------------------------------------------------------


def test_jsonl_tells_every_event_in_ascii(rali: Callable[..., Any], folder: Path) -> None:
    os.rename(write_jpeg(folder / "x.jpg", 10), os.path.join(os.fsencode(folder), b"caf\xe9.jpg"))
    (folder / "bad.jpg").write_bytes(b"no picture")

    answer = rali("watch", folder, "--once", "--jsonl", *QUICK)
    events = [json.loads(line) for line in answer.out.splitlines()]

    assert (answer.code, answer.err) == (3, "")
    assert answer.out.isascii()
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", event["time"]) for event in events)
    first, *_, last = events
    assert first.items() >= {"event": "watching", "roots": [str(folder)]}.items()
    assert first["model"]["name"] == "tiny"
    assert last.items() >= {"event": "ended", "scored": 4, "failed": 1, "culled": 0, "interrupted": False}.items()
    scored = [event for event in events if event["event"] == "scored"]
    assert {os.fsencode(os.path.basename(event["path"])) for event in scored} == {
        b"0.jpg", b"1.jpg", b"2.jpg", b"caf\xe9.jpg",
    }  # fmt: skip
    assert all(isinstance(event["score"], float) for event in scored)
    assert (
        next(event for event in events if event["event"] == "failed").items()
        >= {
            "path": str(folder / "bad.jpg"),
            "error_kind": "unsupported",
        }.items()
    )


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (
            Scored("/a", 71.25, ("a.xmp",), 2.00049, known=True),
            {"event": "scored", "path": "/a", "score": 71.25, "companions": ["a.xmp"], "seconds": 2.0, "known": True},
        ),
        (
            Failed("/a", FailureKind.TRUNCATED, "it ends", None),
            {"event": "failed", "path": "/a", "error_kind": "truncated", "error": "it ends", "again_s": None},
        ),
        (Renamed("/a"), {"event": "renamed", "path": "/a"}),
        (Gone("/a"), {"event": "gone", "path": "/a"}),
        (Culled("run", ("/a",)), {"event": "culled", "run": "run", "paths": ["/a"]}),
        (Held("/a", "rating", "3 stars"), {"event": "held", "path": "/a", "rule": "rating", "detail": "3 stars"}),
        (Notice("so"), {"event": "notice", "text": "so"}),
        (CaughtUp(4, 1, 1, 2), {"event": "caught-up", "found": 4, "cached": 1, "failed": 1, "waiting": 2}),
        (Backlog(1, 2, 3), {"event": "backlog", "ready": 1, "settling": 2, "failing": 3}),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, dict) else "",
)
def test_the_fields_of_events_are_these(event: Event, told: dict[str, Any]) -> None:
    assert json.loads(json.dumps(event_json(event))) == told


def test_a_photo_that_arrives_is_told_of_while_the_watch_goes_on(
    folder: Path, started: Callable[..., subprocess.Popen[str]]
) -> None:
    process = started("watch", folder, "--jsonl", *QUICK)
    read_until(process, "scored", 3)
    write_jpeg(folder / "new" / "new.jpg", 50)

    assert read_until(process, "scored")[-1]["path"] == str(folder / "new" / "new.jpg")


@pytest.mark.parametrize("form", [[], ["--jsonl"]], ids=["lines", "jsonl"])
def test_a_reader_that_has_seen_enough_ends_it_quietly(folder: Path, form: list[str]) -> None:
    command = shlex.join([sys.executable, "-m", "rali_cli", "watch", str(folder), *form, *QUICK])
    for number in range(3, 30):
        write_jpeg(folder / f"{number}.jpg", number)

    done = subprocess.run(
        ["bash", "-c", f"{command} | head -1; exit ${{PIPESTATUS[0]}}"], capture_output=True, text=True, timeout=20
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr


# --- ends ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_130_and_one_line(
    folder: Path,
    rows: Callable[..., Any],
    started: Callable[..., subprocess.Popen[str]],
    number: signal.Signals,
) -> None:
    for more in range(3, 200):
        write_jpeg(folder / f"{more}.jpg", more)
    process = started("watch", folder, *QUICK)
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(number)
    out, err = process.communicate(timeout=15)

    printed = [line.split()[1] for line in (first + out).splitlines()]
    assert process.returncode == 130
    assert err.splitlines()[-1] == f"Stopped: {len(printed)} photos scored, 0 failed; all is stored."
    assert "Traceback" not in err
    stored = rows("SELECT p.name FROM photos p JOIN scores s ON s.content_id = p.content_id WHERE p.listed")
    assert sorted(os.path.basename(path) for path in printed) == sorted(os.fsdecode(name) for (name,) in stored)


def test_a_signal_while_it_waits_ends_it_soon(folder: Path, started: Callable[..., subprocess.Popen[str]]) -> None:
    process = started("watch", folder, "--jsonl", *QUICK)
    read_until(process, "scored", 3)
    time.sleep(0.3)
    process.terminate()
    out, err = process.communicate(timeout=5)

    assert (process.returncode, err) == (130, "")
    assert json.loads(out.splitlines()[-1]).items() >= {"event": "ended", "scored": 3, "interrupted": True}.items()


def test_a_second_watcher_of_the_folder_is_refused(
    rali: Callable[..., Any], folder: Path, started: Callable[..., subprocess.Popen[str]]
) -> None:
    process = started("watch", folder, "--jsonl", *QUICK)
    read_until(process, "caught-up")

    answer = rali("watch", folder, "--once")

    assert (answer.code, answer.out) == (4, "")
    assert one_line(answer.err)
    assert f"process {process.pid}" in answer.err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--below", "40"], 2, "add --apply"),
        (["--apply"], 2, "--below SCORE"),
        (["--grace", "0"], 2, "--grace"),
        (["--to", "/tmp"], 2, "--to"),
        (["--no-protect", "rating"], 2, "--no-protect"),
        (["--below", "nan", "--apply"], 2, "--below nan"),
        (["--below", "40", "--apply", "--no-protect", "nothing"], 2, "nothing"),
        (["--below", "40", "--apply", "--grace", "-1"], 2, "--grace -1"),
        (["--settle", "0"], 2, "--settle 0"),
        (["--rescan", "nan"], 2, "--rescan nan"),
        (["--exec", ""], 2, "--exec"),
        (["--exec", "a 'b"], 2, "--exec: no closing quotation"),
        (["--exec", "'/no/such\nprogram'"], 2, r"--exec /no/such\nprogram: there is no such program"),
        (["--exec", "./0.jpg {}"], 2, "--exec ./0.jpg: it cannot be executed"),
        (["--recipe", "slow"], 2, "exact or fast"),
        (["/no/such\nfolder"], 1, r"/no/such\nfolder"),
        (["0.jpg"], 1, "0.jpg is no folder"),
    ],
    ids=str,
)
def test_a_mistake_is_one_line_and_the_right_exit_code(
    rali: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, says: str
) -> None:
    monkeypatch.chdir(folder)

    answer = rali("watch", ".", "--once", *arguments)

    assert (answer.code, answer.out) == (code, "")
    assert one_line(answer.err), answer.err
    assert says in answer.err


def test_help_and_mistakes_load_no_torch(folder: Path) -> None:
    program = (
        "import sys\nfrom rali_cli.app import main\n"
        f"sys.argv = ['rali', 'watch', {str(folder)!r}, *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('torch' in sys.modules, 'watchdog' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, "--help"], capture_output=True, text=True, timeout=20)

    assert done.stderr == "False False\n"


# --- a command for each photo ----------------------------------------------------------------------------------------


def test_exec_runs_a_command_that_no_shell_reads(rali: Callable[..., Any], folder: Path, tmp_path: Path) -> None:
    os.rename(folder / "0.jpg", folder / "a b; touch $HOME 'x' {}.jpg")
    note = tmp_path / "note.py"
    note.write_text(
        "import os, sys\n"
        "with open(sys.argv[1], 'a') as file:\n"
        "    file.write(repr((sys.argv[2:], float(os.environ['RALI_SCORE']))) + '\\n')\n"
    )
    noted = tmp_path / "my notes"
    command = shlex.join([sys.executable, str(note), str(noted), "--photo={}", ";", "$HOME"])

    assert rali("watch", folder, "--once", "--exec", command, *QUICK).code == 0

    found = [eval(line) for line in noted.read_text().splitlines()]
    assert sorted(words for words, _ in found) == sorted(
        [f"--photo={folder / name}", ";", "$HOME"] for name in ("a b; touch $HOME 'x' {}.jpg", "1.jpg", "2.jpg")
    )


def test_a_command_that_fails_is_told_of_and_changes_nothing_else(rali: Callable[..., Any], folder: Path) -> None:
    answer = rali("watch", folder, "--once", "--exec", "sh -c 'echo no album >&2; exit 4'", *QUICK)

    assert answer.code == 0
    assert answer.err.count("--exec sh for ") == answer.err.count(": ended with 4 (no album)\n") == 3


@pytest.mark.parametrize("how", [[], ["--once"]], ids=["for long", "once"])
def test_a_signal_does_not_wait_for_a_command(
    folder: Path, started: Callable[..., subprocess.Popen[str]], how: list[str]
) -> None:
    process = started("watch", folder, *how, "--jsonl", "--exec", "sh -c 'sleep 50'", *QUICK)
    read_until(process, "scored", 3)
    time.sleep(0.5)
    process.terminate()
    out, err = process.communicate(timeout=20)  # far below 50, but a busy machine takes its time

    assert (process.returncode, err) == (130, "")
    assert "stopped, because the watch ended" in out
    assert "--exec was not run for 2 photos" in out


# --- culling ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def arrived(rali: Callable[..., Any], folder: Path) -> set[str]:
    """Let two photos come to a folder of three that were scored before, and so are none of a watch's business."""
    rali("watch", folder, "--once", *QUICK)
    return {os.fspath(write_jpeg(folder / f"new{number}.jpg", 20 + number)) for number in range(2)}


def test_what_scores_too_low_is_culled_and_undo_brings_it_back(
    rali: Callable[..., Any], folder: Path, arrived: set[str]
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    answer = rali("watch", folder, "--once", "--below", "1000", "--apply", "--grace", "0", *QUICK)

    assert answer.code == 0
    assert sorted(path.name for path in folder.iterdir()) == ["0.jpg", "1.jpg", "2.jpg"]
    assert set(re.findall(r"^Culled: (\S+)", answer.err, re.MULTILINE)) == arrived
    assert answer.err.splitlines()[-1] == "5 photos: 2 scored, 3 cached, 0 failed, 2 culled"
    (way_back,) = re.findall(r"^To bring back: rali (undo \S+)$", answer.err, re.MULTILINE)
    assert rali(*way_back.split()).code == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_once_refuses_to_cull_more_than_half_of_a_folder(rali: Callable[..., Any], folder: Path) -> None:
    answer = rali("watch", folder, "--once", "--below", "1000", "--apply", "--grace", "0", *QUICK)

    assert answer.code == 4
    assert len(list(folder.iterdir())) == 3
    assert len(answer.out.splitlines()) == 3  # their scores are there, and what to do is said
    assert "3 of the 3 photos" in answer.err
    assert answer.err.splitlines()[-1].endswith(f"rali cull {folder} --below 1000")


def test_the_way_back_names_the_catalog_that_was_named(rali: Callable[..., Any], folder: Path, tmp_path: Path) -> None:
    db = tmp_path / "my catalog.db"
    write_jpeg(folder / "3.jpg", 3)
    rali("watch", folder, "--once", "--db", db, *QUICK)
    write_jpeg(folder / "new.jpg", 20)

    answer = rali("watch", folder, "--once", "--below", "1000", "--apply", "--grace", "0", "--db", db, *QUICK)

    assert f" --db '{db}'\n" in answer.err


@pytest.mark.usefixtures("arrived")
def test_a_photo_with_stars_stays_and_it_is_said_why(
    rali: Callable[..., Any], folder: Path, rate: Callable[[Path, int], None]
) -> None:
    rate(folder / "new1.jpg", 4)

    answer = rali("watch", folder, "--once", "--below", "1000", "--apply", "--grace", "0", *QUICK)

    assert sorted(path.name for path in folder.iterdir()) == ["0.jpg", "1.jpg", "2.jpg", "new1.jpg", "new1.xmp"]
    assert f"Stays, rating: {folder}/new1.jpg (" in answer.err


# --- the panel -------------------------------------------------------------------------------------------------------


class Terminal:
    """Runs the command line on a terminal of its own and keeps what it writes, with the times."""

    def __init__(self, arguments: Sequence[str | os.PathLike[str]], *, width: int, height: int) -> None:
        self._parent, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rali_cli", *map(os.fspath, arguments)],
            stdin=child,
            stdout=child,
            stderr=child,
            env=environment | {"TERM": "xterm-256color"},
        )
        os.close(child)
        self.written: list[tuple[float, bytes]] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        try:
            while chunk := os.read(self._parent, 65536):
                self.written.append((time.monotonic(), chunk))
        except OSError:  # EIO: the other end is closed
            pass

    @property
    def text(self) -> str:
        """All that was written, without what moves the cursor and gives colours."""
        raw = b"".join(chunk for _, chunk in list(self.written)).decode(errors="replace")
        lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", raw.replace("\x1b[H", "\n")).replace("\r", "")
        return re.sub(r" +$", "", lines, flags=re.MULTILINE)

    @property
    def left_behind(self) -> str:
        """What was written outside of the panel's own screen, and so is there when it has gone."""
        raw = b"".join(chunk for _, chunk in list(self.written)).decode(errors="replace")
        before, *rest = raw.split("\x1b[?1049h")
        left = before + "".join(part.partition("\x1b[?1049l")[2] for part in rest)
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", left).replace("\r", "")

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self._parent, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.process.send_signal(signal.SIGWINCH)  # it has no controlling terminal that would

    @property
    def last_frame(self) -> str:
        return "Watching " + self.text.rpartition("Watching ")[2]

    def wait_for(self, words: str) -> None:
        end_s = time.monotonic() + 15
        while words not in self.last_frame:
            assert self.process.poll() is None, self.text
            assert time.monotonic() < end_s, self.text
            time.sleep(0.05)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        if self._parent >= 0:
            os.close(self._parent)
            self._parent = -1


@pytest.fixture
def on_panel() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def run(*arguments: str | os.PathLike[str], width: int = 80, height: int = 24) -> Terminal:
        opened.append(Terminal(arguments, width=width, height=height))
        return opened[-1]

    yield run
    for terminal in opened:
        terminal.close()


def test_the_panel_shows_the_scores_and_failures_as_they_come_and_then_keeps_still(
    folder: Path, on_panel: Callable[..., Terminal]
) -> None:
    (folder / "bad.jpg").write_bytes(b"no picture")
    os.rename(write_jpeg(folder / "x.jpg", 10), os.path.join(os.fsencode(folder), b"caf\xe9 \x1b[31m.jpg"))

    terminal = on_panel("watch", folder, *QUICK)
    terminal.wait_for("4 scored, 1 failed")
    write_jpeg(folder / "new.jpg", 50)
    terminal.wait_for("5 scored, 1 failed")
    terminal.wait_for("waiting for photos")

    frame = terminal.last_frame
    assert all(len(line) <= 80 for line in frame.splitlines())
    assert re.fullmatch(r"Watching …?.*/photos  waiting for photos", frame.splitlines()[0])
    for name in ("0.jpg", "1.jpg", "2.jpg", "new.jpg", r"caf\xe9 \x1b[31m.jpg"):
        assert re.search(rf"^\d\d:\d\d:\d\d +\d+\.\d  █+ +{re.escape(name)}$", frame, re.MULTILINE), frame
    assert "Failed, unsupported: bad.jpg" in frame

    terminal.process.send_signal(signal.SIGINT)
    assert terminal.process.wait(timeout=10) == 130
    terminal.close()
    assert terminal.text.endswith("Stopped: 5 photos scored, 1 failed; all is stored.\n")
    assert "Traceback" not in terminal.text


def test_the_panel_writes_nothing_while_nothing_happens(folder: Path, on_panel: Callable[..., Terminal]) -> None:
    terminal = on_panel("watch", folder, *QUICK)
    terminal.wait_for("3 scored")
    terminal.wait_for("waiting for photos")
    time.sleep(0.5)
    before = len(terminal.written)
    time.sleep(1.5)

    assert len(terminal.written) == before


def test_the_panel_leaves_behind_what_else_happened(folder: Path, on_panel: Callable[..., Terminal]) -> None:
    terminal = on_panel("watch", folder, "--below", "1000", "--apply", *QUICK)
    terminal.wait_for("3 scored")
    write_jpeg(folder / "new.jpg", 20)
    terminal.wait_for("4 scored")
    terminal.process.terminate()
    assert terminal.process.wait(timeout=10) == 130
    terminal.close()

    *_, not_culled, stopped = terminal.text.splitlines()
    assert "1 photos that scored too low were not culled: their time had not come" in not_culled
    assert stopped == "Stopped: 4 photos scored, 0 failed; all is stored."


def test_a_terminal_that_gets_another_size_is_left_with_whole_lines(
    folder: Path, on_panel: Callable[..., Terminal]
) -> None:
    terminal = on_panel("watch", folder, *QUICK, width=120, height=30)
    terminal.wait_for("3 scored")
    terminal.wait_for("waiting for photos")
    for width, height in ((50, 10), (100, 20)):
        terminal.resize(width, height)
        before = len(terminal.written)
        end_s = time.monotonic() + 10
        while len(terminal.written) == before:
            assert time.monotonic() < end_s
            time.sleep(0.02)
        terminal.wait_for("waiting for photos")
    terminal.process.terminate()
    assert terminal.process.wait(timeout=10) == 130
    terminal.close()

    assert terminal.left_behind == "Stopped: 3 photos scored, 0 failed; all is stored.\n"
    frame = terminal.last_frame.partition("Stopped:")[0].splitlines()
    assert all(cell_len(line) <= 100 for line in frame)


def test_once_on_a_terminal_ends_with_a_line_where_the_panel_was(
    folder: Path, on_panel: Callable[..., Terminal]
) -> None:
    terminal = on_panel("watch", folder, "--once", *QUICK, width=40, height=8)
    assert terminal.process.wait(timeout=20) == 0
    terminal.close()

    assert terminal.text.endswith("3 photos: 3 scored, 0 cached, 0 failed\n")
    assert "Traceback" not in terminal.text


# --- what the panel says ---------------------------------------------------------------------------------------------


WATCHED = Watched(("/photos",), Scoring(1, "0" * 16, "fast", "tiny", 0.0, 100.0), below=40.0, grace_s=60.0)


def drawn(events: Sequence[Event], *, width: int = 80, height: int = 24, now_s: float = 1.0, **more: Any) -> list[str]:
    board = Board(WATCHED)
    for event in events:
        board.note(event, 0.5, "14:05:12")
    return board.draw(width, height, now_s, **more).plain.splitlines()


def scores(count: int) -> list[Event]:
    return [Scored(f"/photos/{number}.jpg", float(number), (), 0.1) for number in range(count)]


def test_the_last_eight_scores_are_shown_with_bars_the_newest_on_top() -> None:
    lines = drawn([CaughtUp(0, 0, 0, 0), *scores(101)])

    assert lines == [
        "Watching /photos  waiting for photos",
        "101 scored, 0 failed, 0 culled  0 waiting, 0 settling",
        "Culls below 40.0, 60 s after the score",
        "",
        *(f"14:05:12  {score:5.1f}  {'█' * round(score / 5):<20}  {score}.jpg" for score in range(100, 92, -1)),
    ]


def test_the_state_is_said_in_words_and_the_rate_while_there_is_work() -> None:
    caught_up, busy = CaughtUp(0, 0, 0, 0), Backlog(7, 2, 1)

    assert drawn([])[0].endswith("looking through the folders")
    assert drawn([caught_up])[0].endswith("waiting for photos")
    assert drawn([caught_up, busy, *scores(50)], now_s=5.0)[0].endswith("  10.0 photos/s")
    assert drawn([caught_up, busy, *scores(50)])[1].endswith("7 waiting, 2 settling, 1 to try again")
    assert drawn([caught_up, busy, *scores(50)], now_s=60.0)[0].endswith("photos are settling")
    assert drawn([caught_up, *scores(50)])[0].endswith("waiting for photos")
    assert drawn([caught_up], ending=True)[0].endswith("ending: what was begun is finished")


def test_a_photo_that_failed_and_was_scored_later_is_no_failure_any_more() -> None:
    failed = Failed("/photos/0.jpg", FailureKind.TRUNCATED, "the end is missing", 2.0)

    assert "1 failed" in drawn([failed])[1]
    assert drawn([failed])[-1].startswith("14:05:12  Failed, truncated: 0.jpg (the end is missing)")
    assert "0 failed" in drawn([failed, *scores(1)])[1]
    assert not any("Failed" in line for line in drawn([failed, *scores(1)]))


def test_a_photo_that_fails_again_and_again_is_counted_once() -> None:
    tally = Tally()
    for kind in (FailureKind.TRUNCATED, FailureKind.CORRUPT, FailureKind.UNREADABLE, FailureKind.TRUNCATED):
        tally.note(Failed("/photos/0.jpg", kind, "", 2.0))
    tally.note(Failed("/photos/1.jpg", FailureKind.CORRUPT, "", None))

    assert tally.failed == 2
    assert tally.closing_line(interrupted=True) == "Stopped: 0 photos scored, 2 failed; all is stored."


def test_what_was_culled_is_marked_and_the_way_back_shown() -> None:
    lines = drawn([*scores(3), Culled("2026-05-01_1405", ("/photos/1.jpg",))])

    assert lines[-1] == "14:05:12  Culled 1.jpg; to bring back: rali undo 2026-05-01_1405"
    assert [line.split()[-2:] for line in lines[4:7]] == [["█", "2.jpg"], ["culled", "1.jpg"], ["█", "0.jpg"]]


@pytest.mark.parametrize("height", [3, 8, 12, 24])
@pytest.mark.parametrize("width", [20, 40, 80, 120])
def test_the_panel_fits_every_terminal(width: int, height: int) -> None:
    long = "/photos/" + "deep/" * 40
    events = [
        *scores(9),
        Scored(long + "漢字.jpg", 99.0, ("漢字.xmp",), 0.1),
        *(Failed(f"{long}{number}.jpg", FailureKind.CORRUPT, "m" * 300, 2.0) for number in range(9)),
        Notice("/photos is polled: " + "why " * 99),
        Culled("run", tuple(f"/photos/{number}.jpg" for number in range(5))),
    ]
    lines = drawn(events, width=width, height=height, plain=True)

    assert len(lines) < height
    assert all(cell_len(line) <= width for line in lines)
    assert all(line.isascii() for line in lines if "漢字" not in line)


def test_the_panel_keeps_no_more_than_it_shows() -> None:
    board, tally = Board(WATCHED), Tally()
    for number in range(20_000):
        path = f"/photos/{number}.jpg"
        for event in (Failed(path, FailureKind.TRUNCATED, "x", 2.0), Scored(path, 50.0, (), 1.0), Notice(path)):
            board.note(event, number / 10, "14:05:12")
            tally.note(event)

    assert tally.scored == 20_000
    assert len(pickle.dumps((board, tally))) < 5_000
