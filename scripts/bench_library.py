"""Large libraries: an unchanged folder looked at again, against find; and ranking a filled catalog."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from bench_tools import FOLDER_PHOTOS, RALI, REPEATS, fill_catalog, make_files
from rali.photos.photo import Photo
from rali.photos.scan import Scan

# What a rescan may cost: this many times what find takes to look at every file, and a start of Python.
TIMES_FIND = 1.5
START_S = 0.5


_LAUNCHER = """
import os, sys, time
started_s = time.monotonic()
pid = os.fork() or os.execvp(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(pid, 0)
sys.stderr.write(f"\\n{time.monotonic() - started_s} {usage.ru_utime + usage.ru_stime} {usage.ru_maxrss}")
sys.exit(os.waitstatus_to_exitcode(status) != 0)
"""


class Cost(NamedTuple):
    """What one command took: seconds on the clock, seconds of CPU (user and system), and its peak memory in MB."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def cost_of(command: list[str]) -> Cost:
    """Run a command whose output does not matter; it must succeed."""
    # A small process starts it: the peak memory of a child is never less than what its parent held at the fork.
    told = subprocess.run([sys.executable, "-S", "-c", _LAUNCHER, *command], check=True, capture_output=True).stderr
    wall_s, cpu_s, peak = map(float, told.split(b"\n")[-1].split())
    # Linux counts in KiB; macOS in bytes.
    return Cost(wall_s, cpu_s, peak * 1024 / 1e6 if sys.platform == "linux" else peak / 1e6)


def medians(commands: dict[str, list[str]], repeats: int = REPEATS) -> dict[str, Cost]:
    """Run commands in turns, so that a busy machine is as busy for each of them; return the medians."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for command in commands.values():
        cost_of(command)  # bytecode is written and folders are read
    for _ in range(repeats):
        for name, command in commands.items():
            costs[name].append(cost_of(command))
    return {name: Cost(*map(statistics.median, zip(*taken, strict=True))) for name, taken in costs.items()}


def bench_rescan(temporary: Path, photos: int) -> dict[str, float]:
    """Take ``rali score`` on an unchanged folder against find, at 10,000, 100,000 and so on up to ``photos`` files.

    Beside it the first such look, which compares photo by photo, and what other commands take on the same photos.
    """
    _keep_bytecode(temporary)
    result: dict[str, float] = {}
    for count in sorted({*(10**power for power in range(4, 12) if 10**power < photos), photos}):
        root = temporary / f"photos-{count}"
        make_files(root, count)
        db = temporary / f"catalog-{count}.db"
        fill_catalog(db, list(Scan([str(root)])))
        rescan = [*RALI, "score", str(root), "--db", str(db)]
        cost_of([*RALI, "score", str(root / "0000"), "--db", str(db)])  # bytecode is written
        first = cost_of(rescan)
        found = {"first rescan": first} | medians(
            {"find": ["find", str(root), "-printf", "%s %T@ %i\n"], "rescan": rescan}
        )
        found |= medians({f"rali {name}": command for name, command in _questions(root, db).items()}, repeats=3)
        find = found["find"]
        allowed_s, allowed_cpu_s = (TIMES_FIND * taken + START_S for taken in (find.wall_s, find.cpu_s))
        result |= {f"{count}: {figure}": value for figure, value in _figures(found).items()} | {
            f"{count}: allowed: s ({TIMES_FIND} x find + {START_S})": allowed_s,
            f"{count}: rescan / allowed": found["rescan"].wall_s / allowed_s,
            f"{count}: rescan / allowed, cpu": found["rescan"].cpu_s / allowed_cpu_s,
        }
    return result


def _questions(root: Path, db: Path) -> dict[str, list[str]]:
    """Return commands that ask about all photos below a folder, and change nothing."""
    asked = {
        "worst": [],
        "list": ["--below-percentile", "1", "-0"],
        "list, all": ["-0"],
        "stats": [],
        "cull": ["--bottom", "10%"],
    }
    return {name: [*RALI, name.split(",")[0], str(root), *options, "--db", str(db)] for name, options in asked.items()}


def _figures(found: dict[str, Cost]) -> dict[str, float]:
    return {
        f"{name}: {figure}": value
        for name, cost in found.items()
        for figure, value in (("s", cost.wall_s), ("cpu_s", cost.cpu_s), ("peak_mb", cost.peak_mb))
    }


def bench_rank(temporary: Path, photos: int) -> dict[str, float]:
    """Take the ranking commands on a filled catalog of files that need not exist."""
    _keep_bytecode(temporary)
    db = Path(os.environ["RALI_DB"])
    listed = [
        Photo(f"{temporary}/{number // FOLDER_PHOTOS:05}/IMG_{number:07}.jpg", 1, number + 1, 4_000_000, number)
        for number in range(photos)
    ]
    fill_catalog(db, listed)
    found = medians(
        {
            "help": [*RALI, "--help"],
            "worst": [*RALI, "worst"],
            "best of a folder": [*RALI, "best", f"{temporary}/00007"],
            "list of the bottom percent": [*RALI, "list", "--below-percentile", "1", "-0"],
        }
    )
    return {"photos": photos, "catalog_mb": db.stat().st_size / 1e6} | _figures(found)


def _keep_bytecode(temporary: Path) -> None:
    """Have rali find its bytecode, as where it is installed, even if this environment says to write none."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(temporary / "bytecode")
