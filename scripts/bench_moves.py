"""``bench.py moves``: planning a cull, moving and undoing, against mv, rename and cp; and what fsync costs.

Each round does every way of moving once, so that a disk that gets slower is slower for all; of the rounds, medians.
Between two timings the disk is given time to write what is pending.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from bench_tools import RALI, fill_catalog, make_files, median_s, run, seconds
from rali.catalog.catalog import Catalog
from rali.catalog.records import Scope, Scoring
from rali.culling.choice import Choice
from rali.culling.plan import CullPlan, plan_cull
from rali.moving.moves import Fs
from rali.moving.runs import apply_plan, find_run, undo
from rali.photos.scan import Scan

ROUNDS = 3
PHOTO_BYTES = 1024
OTHER_DEVICE = Path("/dev/shm")
COPIED_PHOTOS = 300
COPIED_BYTES = 1 << 20


class HastyFs(Fs):
    """The real calls, but nothing waits for the disk; for measuring what the waiting costs, and for nothing else."""

    def sync(self, file: int) -> None:
        """Do nothing."""

    def sync_folder(self, path: str) -> None:
        """Do nothing."""


def bench_moves(folder: Path, photos: int) -> dict[str, float]:
    """Measure plans, moves on one volume, and moves to another."""
    load = os.getloadavg()[0]
    return {
        "photos": photos,
        "load before": load,
        "fsync_ms": 1000 * fsync_s(folder),
        **bench_one_volume(folder, photos),
        **bench_two_volumes(folder),
        "load after": os.getloadavg()[0],
    }


def bench_one_volume(folder: Path, photos: int) -> dict[str, float]:
    """Plan; then move all photos to a quarantine beside them and back, in several ways."""
    root = folder / "photos"
    db = Path(os.environ["RALI_DB"])
    make_files(root, photos, size_bytes=PHOTO_BYTES)
    scoring = fill_catalog(db, list(Scan([str(root)])))
    result: dict[str, float] = {}
    with Catalog(db) as catalog:
        for percent in (10, 50):
            settle(folder)
            result[f"plan_{percent}_percent_s"] = median_s(lambda: planned(catalog, scoring, root, percent))  # noqa: B023
            command = [*RALI, "cull", str(root), "--bottom", f"{percent}%", "--across", "--json"]
            result[f"rali_cull_{percent}_percent_s"] = median_s(lambda: run(command))  # noqa: B023
        plan = planned(catalog, scoring, root, 100)
    assert len(plan.shots) == photos, plan.held_back[:3]

    timings: dict[str, list[float]] = defaultdict(list)

    def timed(name: str, action: Callable[[], object]) -> None:
        settle(folder)
        timings[name].append(seconds(action))

    for _ in range(ROUNDS):
        for name, durable in (("", True), ("_without_fsync", False)):
            with catalog_and_fs(db, durable=durable) as (catalog, fs):
                timed(f"move{name}", lambda: move_all(catalog, plan, fs))
                timed(f"undo{name}", lambda: undo_all(catalog, photos, fs))
        for name, away in (("mv", mv_all), ("rename", rename_all)):
            target = folder / "moved"
            timed(name, lambda: away(root, target))  # noqa: B023
            timings[f"{name}_and_sync"].append(timings[name][-1] + seconds(lambda: settle(folder)))
            rename_all(target, root)
    medians = {name: statistics.median(found) for name, found in timings.items()}
    result |= {f"{name}_per_s": photos / median for name, median in medians.items()}
    result["what fsync costs a move (x)"] = medians["move"] / medians["move_without_fsync"]
    result["what fsync costs an undo (x)"] = medians["undo"] / medians["undo_without_fsync"]
    for other in ("mv", "mv_and_sync", "rename", "rename_and_sync"):
        result[f"move, slower than {other.replace('_', ' ')} (x)"] = medians["move"] / medians[other]
    return result


def bench_two_volumes(folder: Path) -> dict[str, float]:
    """Move photos of a megabyte to another device and back, against cp and sync; nothing if there is no other."""
    if not os.access(OTHER_DEVICE, os.W_OK) or OTHER_DEVICE.stat().st_dev == folder.stat().st_dev:
        return {}
    root, db = folder / "large", folder / "large.db"
    make_files(root, COPIED_PHOTOS, size_bytes=COPIED_BYTES)
    scoring = fill_catalog(db, list(Scan([str(root)])))
    timings: dict[str, list[float]] = defaultdict(list)

    def timed(name: str, action: Callable[[], object]) -> None:
        settle(folder)
        timings[name].append(seconds(action))

    with tempfile.TemporaryDirectory(prefix="rali-bench-", dir=OTHER_DEVICE) as other:
        to, copy, back = Path(other, "quarantine"), Path(other, "copy"), folder / "copied back"
        for _ in range(ROUNDS):
            with catalog_and_fs(db, durable=True) as (catalog, fs):
                plan = planned(catalog, scoring, root, 100)
                timed("move_away", lambda: move_all(catalog, plan, fs, to))  # noqa: B023
                timed("undo_back", lambda: undo_all(catalog, COPIED_PHOTOS, fs))
            timed("cp_away", lambda: copy_all(root, copy))
            timed("cp_back", lambda: copy_all(copy, back))
            shutil.rmtree(copy)
            shutil.rmtree(back)
    medians = {name: statistics.median(found) for name, found in timings.items()}
    megabytes = COPIED_PHOTOS * COPIED_BYTES / 1e6
    result = {f"other device: {name}_mb_per_s": megabytes / median for name, median in medians.items()}
    result["other device: move, slower than cp and sync (x)"] = medians["move_away"] / medians["cp_away"]
    result["other device: undo, slower than cp and sync (x)"] = medians["undo_back"] / medians["cp_back"]
    return result


def planned(catalog: Catalog, scoring: Scoring, root: Path, percent: float) -> CullPlan:
    """Plan to cull the worst photos."""
    choice = Choice(bottom_percent=percent, across=True)
    return plan_cull(catalog, scoring, Scope([str(root)]), choice, roots=[str(root)])


@contextmanager
def catalog_and_fs(db: Path, *, durable: bool) -> Iterator[tuple[Catalog, Fs]]:
    """Open a catalog as rali does; or, if not ``durable``, so that neither it nor anything else waits for the disk."""
    with Catalog(db) as catalog:
        if durable:
            yield catalog, Fs()
            return
        catalog.rows("PRAGMA synchronous = OFF")
        with mock.patch("os.fsync"):  # of the journal in the quarantine
            yield catalog, HastyFs()


def move_all(catalog: Catalog, plan: CullPlan, fs: Fs, to: Path | None = None) -> None:
    """Move what is planned."""
    done = apply_plan(catalog, plan, to=to, fs=fs)
    assert done.carried.shots == len(plan.shots), done.carried


def undo_all(catalog: Catalog, photos: int, fs: Fs) -> None:
    """Undo the last run."""
    done = undo(catalog, find_run(catalog, None), fs=fs)
    assert done.carried.shots == photos, done.carried


def mv_all(root: Path, target: Path) -> None:
    """Move all files with mv, folder by folder."""
    for source in sorted(root.iterdir()):
        (target / source.name).mkdir(parents=True, exist_ok=True)
        names = b"".join(os.fsencode(file) + b"\0" for file in sorted(source.iterdir()))
        subprocess.run(["xargs", "-0", "mv", "-t", str(target / source.name)], input=names, check=True)


def rename_all(root: Path, target: Path) -> None:
    """Move all files with nothing but the system's call."""
    for source in sorted(os.listdir(root)):
        to = target / source
        to.mkdir(parents=True, exist_ok=True)
        for name in sorted(os.listdir(root / source)):
            os.rename(f"{root}/{source}/{name}", f"{to}/{name}")


def copy_all(root: Path, target: Path) -> None:
    """Copy all files with cp, and bring them to the disk."""
    run(["cp", "-r", "--preserve", str(root), str(target)])
    settle(target)


def settle(folder: Path) -> None:
    """Wait until everything is on the disk that a folder lies on."""
    run(["sync", "-f", str(folder)])


def fsync_s(folder: Path) -> float:
    """Return how long the disk takes to keep 4 KB."""
    with (folder / "fsync").open("wb", buffering=0) as file:

        def keep() -> None:
            file.write(bytes(4096))
            os.fsync(file.fileno())

        return statistics.median(seconds(keep) for _ in range(100))
