"""SIGKILL in the middle of a watch while files go on coming: the next one does the rest, and each photo once."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fakes import write_jpeg

from rali.catalog.catalog import Catalog
from rali.config import Settings
from rali.pipeline import score_photos
from rali.watching.events import CaughtUp, Scored

if TYPE_CHECKING:
    from conftest import Running

PROGRAM = """
import sys, time
from pathlib import Path
from rali import pipeline
from rali.catalog.catalog import Catalog
from rali.config import Settings
from rali.model.scorer import Scorer
from rali.watching.options import WatchOptions
from rali.watching.watcher import Watcher
pipeline.STORE_EVERY_PHOTOS = 1
score = Scorer.score
def slow_score(self, pixels):
    time.sleep(0.1)
    return score(self, pixels)
Scorer.score = slow_score
if __name__ == "__main__":
    db, model, folder = sys.argv[1:]
    settings = Settings(db=Path(db), model=model, device="cpu", workers=1)
    with Catalog(settings.db) as catalog:
        with Watcher([folder], catalog, settings, WatchOptions(settle_s=0.1, latency_s=0.1)) as watcher:
            for event in watcher.events():
                pass
"""
QUESTION = """
    SELECT f.path, p.name, p.inode, p.size_bytes, p.mtime_ns, p.companions, p.listed, c.hash, round(s.score, 3), x.kind
    FROM photos p JOIN folders f ON f.id = p.folder_id LEFT JOIN contents c ON c.id = p.content_id
    LEFT JOIN scores s ON s.content_id = p.content_id LEFT JOIN failures x ON x.photo_id = p.id ORDER BY 1, 2
"""


def count_scores(db: Path) -> int:
    if not db.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM scores").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def test_after_a_kill_the_next_watch_leaves_what_a_fresh_score_would(
    watch: Callable[..., Running], folder: Path, tmp_path: Path, settings: Settings, own_world: Path, rows: Any
) -> None:
    program = tmp_path / "watch.py"
    program.write_text(PROGRAM)
    process = subprocess.Popen(
        [sys.executable, program, settings.db, settings.model, folder], stderr=subprocess.PIPE, text=True
    )
    for number in range(15):
        write_jpeg(folder / f"{number:02}.jpg", number)
    for number in range(15, 30):
        write_jpeg(tmp_path / "card" / f"{number % 3}" / f"{number:02}.jpg", number)
    (tmp_path / "card").rename(folder / "card")
    end_s = time.monotonic() + 20
    while count_scores(settings.db) < 5:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end_s
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    stored = count_scores(settings.db)
    assert 5 <= stored < 30
    for number in range(30, 40):
        write_jpeg(folder / f"{number:02}.jpg", number)
    (folder / "cut.jpg").write_bytes((folder / "31.jpg").read_bytes()[:900])
    (folder / "empty.jpg").write_bytes(b"")
    os.utime(folder / "30.jpg", ns=(1, 1))

    run = watch(count=False, once=True)
    run.join()

    (caught_up,) = run.of(CaughtUp)
    assert caught_up.found == 42
    assert caught_up.cached >= stored
    assert sum(not event.known for event in run.of(Scored)) == 40 - caught_up.cached
    fresh = replace(settings, db=own_world / "fresh.db")
    with Catalog(fresh.db) as catalog:
        score_photos([folder], catalog, fresh)
    assert rows(QUESTION) == rows(QUESTION, db=fresh.db)
    assert rows("PRAGMA integrity_check") == [("ok",)]
