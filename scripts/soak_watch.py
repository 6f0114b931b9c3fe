"""A soak of watching: tiny files come, change, move and go; no score may be lost or made twice, no memory may grow.

    python scripts/soak_watch.py --events 50000 --minutes 20 --files 100000

A watcher runs in a process of its own, over a folder of ``--files`` files that the catalog knows already. First it is
left alone, and the share of a core that it takes is measured; then files are written, edited, renamed and deleted at
random, ``--events`` times within ``--minutes``, while its memory is noted. Every content is written once, so each must
be scored once at most; and in the end the catalog must list what lies on the disk, and nothing else. Files are not
pictures, and are read but not decoded: what is measured is the watching.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from hashlib import blake2b
from pathlib import Path

from bench_tools import fill_catalog, make_files
from rali.catalog.catalog import Catalog
from rali.catalog.records import Outcome, Scoring
from rali.config import Settings
from rali.errors import FailureKind
from rali.photos.decode import FileState
from rali.photos.exif import Shot
from rali.photos.photo import Photo
from rali.photos.scan import Scan
from rali.photos.sniff import Format
from rali.prepare import Content, Failure, Prepared
from rali.watching.events import CaughtUp, Notice
from rali.watching.options import WatchOptions
from rali.watching.watcher import Watcher

_GROUP = 64
# So many files are there at a time, so that memory which grows does not grow with them.
_LIVING = 2000
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Soak, or be the watcher that is soaked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=5000)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long the events take")
    parser.add_argument("--files", type=int, default=10_000, help="that are there before")
    parser.add_argument("--idle-s", type=float, default=30.0, help="how long it is left alone")
    parser.add_argument("--rescan", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--watch", nargs=2, metavar=("ROOT", "DB"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.watch:
        be_watched(Path(arguments.watch[0]), Path(arguments.watch[1]), arguments.rescan, arguments.events)
        return
    with tempfile.TemporaryDirectory(prefix="soak-watch-") as folder:
        sys.exit(0 if soak(Path(folder), arguments) else 1)


def soak(folder: Path, arguments: argparse.Namespace) -> bool:
    """Run the whole of it; tell if nothing was lost, and nothing scored twice."""
    print(f"seed {arguments.seed}", flush=True)
    root, db = folder / "photos", folder / "catalog.db"
    root.mkdir()
    make_files(root, arguments.files)
    fill_catalog(db, list(Scan([os.fspath(root)])))
    command = [sys.executable, __file__, "--rescan", str(arguments.rescan), "--events", str(arguments.events)]
    command += ["--watch", str(root), str(db)]
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert watcher.stdout is not None
        started_s = time.monotonic()
        caught_up = json.loads(watcher.stdout.readline())
        print(f"caught up with {caught_up['found']:,} files in {time.monotonic() - started_s:.1f} s", flush=True)
        time.sleep(2)
        cpu_s, rss = usage(watcher.pid)
        time.sleep(arguments.idle_s)
        idle_cpu_s = usage(watcher.pid)[0] - cpu_s
        print(
            f"idle: {100 * idle_cpu_s / arguments.idle_s:.2f} % of a core over {arguments.idle_s:g} s, "
            f"and {caught_up['walk_cpu_s']:.2f} s for each look at everything "
            f"({100 * caught_up['walk_cpu_s'] / 600:.2f} % at one in 600 s); {rss / 1e6:.0f} MB",
            flush=True,
        )
        stir(root, arguments, lambda: usage(watcher.pid))
        end_s = time.monotonic() + 60 + arguments.rescan
        while (missing := differences(root, db)) and time.monotonic() < end_s:
            time.sleep(1)
        assert watcher.stdin is not None
        watcher.stdin.close()
        report = json.loads(watcher.stdout.readlines()[-1])
    finally:
        watcher.kill()
        watcher.wait()
    print(f"scored {report['scored']:,}; lost {len(missing)}, twice {report['twice']}; notices: {report['notices']}")
    return not missing and not report["twice"]


def stir(root: Path, arguments: argparse.Namespace, measure: Callable[[], tuple[float, int]]) -> None:
    """Write, edit, rename, delete and move at random."""
    rng = random.Random(arguments.seed)
    files: list[Path] = []
    folders = [root / f"new {number}" for number in range(20)]
    for folder in folders:
        folder.mkdir()
    started_s = time.monotonic()
    for number in range(arguments.events):
        if number % max(1, arguments.events // 10) == 0:
            cpu_s, rss = measure()
            print(f"{number:,} events: {rss / 1e6:.0f} MB, {cpu_s:.1f} s of CPU", flush=True)
        what = rng.random()
        if len(files) < 10 or (what < 0.55 and len(files) < _LIVING):
            target = rng.choice(folders) / f"{number}.jpg"
            partial = target.with_suffix(".part") if rng.random() < 0.3 else target
            partial.write_bytes(f"content {number}".encode())
            partial.rename(target)
            files.append(target)
        elif 0.55 <= what < 0.7:
            rng.choice(files).write_bytes(f"content {number}".encode())
        elif 0.7 <= what < 0.85:
            at = rng.randrange(len(files))
            files[at] = files[at].rename(rng.choice(folders) / f"{number}.jpg")
        elif what < 0.998:
            files.pop(rng.randrange(len(files))).unlink()
        else:
            gone = rng.choice(folders)
            shutil.rmtree(gone)
            gone.mkdir()
            files = [file for file in files if file.parent != gone]
        time.sleep(max(0.0, started_s + 60 * arguments.minutes * number / arguments.events - time.monotonic()))


def differences(root: Path, db: Path) -> set[tuple[str, bytes]]:
    """Return what lies on the disk and is not listed with its content's hash, and the other way round."""
    with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True, timeout=30)) as connection:
        rows = connection.execute(
            """
            SELECT f.path, p.name, c.hash FROM photos p JOIN folders f ON f.id = p.folder_id
            JOIN contents c ON c.id = p.content_id WHERE p.listed AND CAST(f.path AS TEXT) LIKE '%/new %'
            """
        ).fetchall()
    remembered = {(os.path.join(os.fsdecode(path), os.fsdecode(name)), content) for path, name, content in rows}
    there = {(str(file), content_hash(file.read_bytes())) for file in root.glob("new */*.jpg")}
    return remembered ^ there


def usage(pid: int) -> tuple[float, int]:
    """Return what a process has taken of the CPU, in seconds, and its memory, in bytes."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS, int(fields[21]) * _PAGE


# --- the watcher -------------------------------------------------------------------------------------------------


def content_hash(data: bytes) -> bytes:
    """Return what stands for a file's content in the catalog."""
    return blake2b(data, digest_size=16).digest()


class ReadingSession:
    """Reads files and gives each content a score; counts how often."""

    is_open = False

    def __init__(self, catalog: Catalog, contents: int) -> None:
        self._catalog = catalog
        self.scoring: Scoring | None = None
        self.scored = bytearray(contents)  # how often, by the number in the content; as large from the first as ever

    def score(
        self,
        photos: Iterable[Photo],
        stop: Callable[[], bool],  # noqa: ARG002 (see Session)
        *,
        expected: int,  # noqa: ARG002
    ) -> Iterator[list[Outcome]]:
        """Score and store photos."""
        assert self.scoring is not None
        group: list[Outcome] = []
        for photo in photos:
            group.append(self._outcome(photo, self.scoring))
            if len(group) >= _GROUP:
                self._catalog.store(group, self.scoring)
                yield group
                group = []
        if group:
            self._catalog.store(group, self.scoring)
            yield group

    def rest(self) -> None:
        """Do nothing."""

    def _outcome(self, photo: Photo, scoring: Scoring) -> Outcome:
        try:
            with open(photo.file, "rb") as file:
                info = os.fstat(file.fileno())
                data = file.read()
        except OSError as error:
            return Outcome(photo, failure=Failure(FailureKind.VANISHED, str(error)))
        found = content_hash(data)
        state = FileState(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns)
        prepared = Prepared(state, Content(found, Format.JPEG, 60, 40, Shot(), 0))
        if self._catalog.score_of(found, scoring) is not None:
            return Outcome(photo, prepared)
        self.scored[int(data.removeprefix(b"content "))] += 1
        return Outcome(photo, prepared, found[0] / 2.55, bytes(256))


def be_watched(root: Path, db: Path, rescan_s: float, events: int) -> None:
    """Watch until standard input ends; print what was found, and in the end what was scored."""
    import threading

    notices: list[str] = []
    with Catalog(db) as catalog:
        session = ReadingSession(catalog, events)
        options = WatchOptions(settle_s=0.5, latency_s=0.2, rescan_s=rescan_s)
        with Watcher([root], catalog, Settings(db=db, model="mini"), options, session=session) as watcher:
            session.scoring = watcher.scoring

            def wait_for_the_end() -> None:
                sys.stdin.read()
                watcher.stop()

            threading.Thread(target=wait_for_the_end, daemon=True).start()
            cpu_s = time.process_time()
            for event in watcher.events():
                if isinstance(event, CaughtUp):
                    walk_cpu_s = time.process_time() - cpu_s
                    print(json.dumps({"found": event.found, "walk_cpu_s": walk_cpu_s}), flush=True)
                elif isinstance(event, Notice):
                    notices.append(event.text)
    twice = sum(count > 1 for count in session.scored)
    print(json.dumps({"scored": sum(session.scored), "twice": twice, "notices": notices}))


if __name__ == "__main__":
    main()
