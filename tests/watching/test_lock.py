"""One watcher a root, and one clear line when the locks cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from rali.errors import CatalogBusyError, CatalogWriteError
from rali.watching.lock import RootLock


def test_a_lock_that_is_not_let_go_is_one_line(tmp_path: Path) -> None:
    with FileLock(tmp_path / "catalog.db.watch-lock"), pytest.raises(CatalogBusyError, match="try again in a moment"):
        RootLock(tmp_path / "catalog.db", ["/photos"], patience_s=0.1).__enter__()


@pytest.mark.parametrize("in_the_way", ["the data folder", "the lock", "the note"])
def test_locks_that_cannot_be_written_are_one_line(tmp_path: Path, in_the_way: str) -> None:
    db = tmp_path / "data" / "catalog.db"
    if in_the_way == "the data folder":  # a read-only one refuses as well, but never root
        db.parent.write_text("")
    else:
        with RootLock(db, ["/photos"]):
            (note,) = db.parent.glob("*.json")
        (note if in_the_way == "the note" else db.with_name("catalog.db.watch-lock")).unlink(missing_ok=True)
        (note if in_the_way == "the note" else db.with_name("catalog.db.watch-lock")).mkdir()

    with pytest.raises(CatalogWriteError, match="check that folder, or use --db") as refused:
        RootLock(db, ["/photos"]).__enter__()

    assert str(db.parent) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_lock_that_failed_half_way_holds_nothing(tmp_path: Path) -> None:
    db = tmp_path / "catalog.db"
    with RootLock(db, ["/b"]):
        (note,) = tmp_path.glob("*.json")
    note.mkdir()
    with pytest.raises(CatalogWriteError):
        RootLock(db, ["/a", "/b"]).__enter__()
    note.rmdir()

    with RootLock(db, ["/a", "/b"]):
        pass
