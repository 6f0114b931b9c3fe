"""Thumbnails of many photos, in processes of their own."""

from __future__ import annotations

import os
from pathlib import Path

from fakes import misbehave, photo_at, prepared, write_jpeg

from rali.catalog.catalog import Catalog
from rali.catalog.records import Outcome
from rali.config import Settings
from rali.errors import FailureKind
from rali.model.bundle import read_info
from rali.photos.thumbnail import Size
from rali.prepare import Failure
from rali.thumbnails.cache import ThumbnailCache
from rali.thumbnails.making import Request, Thumbnailer, make_thumbnails, requests_for

SIZE = Size(64, 3_000)
SETTINGS = Settings(workers=1, timeout_s=5)


class HostileThumbnailer(Thumbnailer):
    """The real one, but a file's name can make the process abort, as a bad decoder would."""

    def __call__(self, file: str, buffer: memoryview) -> int | Failure:
        """Make the thumbnail of ``file``."""
        misbehave(file)
        return super().__call__(file, buffer)


def test_a_crash_costs_one_photo_and_failures_have_reasons(tmp_path: Path) -> None:
    good = [write_jpeg(tmp_path / f"{number}.jpg", number) for number in range(3)]
    bad = write_jpeg(tmp_path / "abort.jpg")
    (tmp_path / "no.jpg").write_text("no photo")
    requests = [Request(str(path)) for path in [good[0], bad, tmp_path / "no.jpg", tmp_path / "gone.jpg", *good[1:]]]

    made = dict(
        make_thumbnails(requests, SIZE, SETTINGS, ThumbnailCache(tmp_path / "c"), thumbnailer=HostileThumbnailer)
    )

    assert all(isinstance(made[str(path)], bytes) for path in good)
    kinds = {os.path.basename(file): made.kind for file, made in made.items() if isinstance(made, Failure)}
    assert kinds == {
        "abort.jpg": FailureKind.CRASHED,
        "no.jpg": FailureKind.UNSUPPORTED,
        "gone.jpg": FailureKind.VANISHED,
    }


def test_a_kept_thumbnail_needs_no_process_and_an_edited_photo_gets_another(
    tmp_path: Path, own_world: Path, tiny_bundle: Path
) -> None:
    path = write_jpeg(tmp_path / "a.jpg", 1)
    photo = photo_at(path)
    cache = ThumbnailCache(tmp_path / "c")
    with Catalog(own_world / "catalog.db") as catalog:
        outcome = Outcome(photo, prepared(photo, "a content"), 50.0, b"\0\0")
        catalog.store([outcome], catalog.scoring(read_info(tiny_bundle), "fast-1.1-half"))
        requests = requests_for(catalog, [str(path)])
        ((_, first),) = make_thumbnails(requests, SIZE, SETTINGS, cache)
        ((_, again),) = make_thumbnails(requests, SIZE, SETTINGS, cache, thumbnailer=NoThumbnailer)
        write_jpeg(path, 2)
        ((_, edited),) = make_thumbnails(requests_for(catalog, [str(path)]), SIZE, SETTINGS, cache)

    assert first == again != edited
    assert len([file for file in (tmp_path / "c").rglob("*") if file.is_file()]) == 1


class NoThumbnailer(Thumbnailer):
    """Must not be needed."""

    def start(self) -> None:
        """Die."""
        os._exit(9)
