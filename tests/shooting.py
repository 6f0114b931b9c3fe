"""A folder of photos that the catalog takes our word for: scores, times, exposures, looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from fakes import photo_at, prepared, write_jpeg

from rali.catalog.catalog import Catalog
from rali.catalog.records import Outcome
from rali.model.bundle import read_info
from rali.photos.exif import Exposure, Shot
from rali.photos.sniff import Format
from rali.prepare import recipe_id

PLAIN = Exposure(exposure_s=0.01, bias_ev=0.0, f_number=4.0, iso=100.0, focal_mm=50.0)
LOOKS = [0x0F1E2D3C4B5A6978, 0xF0A1B2C3D4E5F607, 0x1234567890ABCDEF]


class Shoot:
    """A folder of photos that the catalog takes our word for: scores, times, looks."""

    def __init__(self, folder: Path, catalog: Path, bundle: Path) -> None:
        self.folder, self.catalog, self.bundle = folder, catalog, bundle
        self.count = 0

    def add(
        self,
        name: str,
        score: float,
        at_s: float | None = None,
        *,
        look: int = LOOKS[0],
        exposure: Exposure = PLAIN,
        size: tuple[int, int] = (60, 40),
        companions: Sequence[str] = (),
        like: str | None = None,
        linked: bool = False,
        format: Format = Format.JPEG,
    ) -> Path:
        """Add a photo taken ``at_s`` seconds after noon; ``like`` another means a copy of its bytes, or a hard link."""
        path = self.folder / name
        self.count += 1
        path.parent.mkdir(parents=True, exist_ok=True)
        if like is None:
            write_jpeg(path, self.count)
        elif linked:
            path.hardlink_to(self.folder / like)
        else:
            path.write_bytes((self.folder / like).read_bytes())
        stamp = None if at_s is None else f"2026-05-01T12:{int(at_s) // 60:02}:{at_s % 60:05.2f}"
        taken = photo_at(path)._replace(companions=tuple(companions))
        read = prepared(taken, like or name, difference_hash=look)
        shot = Shot(captured_at=stamp, camera="Maker Body", exposure=exposure)
        content = replace(read.content, shot=shot, width=size[0], height=size[1], format=format)
        outcome = Outcome(taken, replace(read, content=content), score, np.array([1, 2], "<f2").tobytes())
        with Catalog(self.catalog) as catalog:
            catalog.store([outcome], catalog.scoring(read_info(self.bundle), recipe_id("fast")))
        return path

    def bracket(self, start_s: float) -> None:
        """Add three frames that belong together."""
        for number, bias in enumerate((0.0, -2.0, 2.0)):
            exposure = replace(PLAIN, bias_ev=bias)
            self.add(f"HDR_{number}.jpg", 20.0 + number, start_s + number / 2, look=LOOKS[2], exposure=exposure)
