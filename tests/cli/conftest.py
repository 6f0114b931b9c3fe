"""What the tests of culling share: a small wedding on a real disk, with the catalog's knowledge of it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import photo_at, prepared, write_jpeg

from rali.catalog.catalog import Catalog
from rali.catalog.records import Outcome
from rali.prepare import recipe_id

SHOTS = 12
_RATED = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\
<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="{}"/></rdf:RDF></x:xmpmeta>'


@pytest.fixture
def remember(own_world: Path, tiny_bundle: Path) -> Callable[..., None]:
    """Return a function that puts files that are there into the catalog, with scores; ``companions`` by file name."""
    from rali.model.bundle import read_info

    def store(scores: dict[Path, float], companions: dict[str, Sequence[str]] | None = None) -> None:
        outcomes = []
        for path, score in scores.items():
            taken = photo_at(path)._replace(companions=tuple((companions or {}).get(path.name, ())))
            vector = np.array([score, 1.0], dtype="<f2").tobytes()
            outcomes.append(Outcome(taken, prepared(taken, f"{taken.inode:x}"), score, vector))
        with Catalog(own_world / "catalog.db") as catalog:
            catalog.store(outcomes, catalog.scoring(read_info(tiny_bundle), recipe_id("fast")))

    return store


@pytest.fixture
def wedding(tmp_path: Path, remember: Callable[..., None]) -> Path:
    """Make twelve shots that score 5, 15 ... 115; the worst has a film and a sidecar beside it."""
    folder = tmp_path / "wedding"
    scores = {write_jpeg(folder / f"IMG_{number:02}.jpg", number): 10.0 * number - 5 for number in range(1, SHOTS + 1)}
    (folder / "IMG_01.mov").write_bytes(b"a film")
    (folder / "IMG_01.xmp").write_text(_RATED.format(0))
    remember(scores, {"IMG_01.jpg": ("IMG_01.mov", "IMG_01.xmp")})
    return folder


@pytest.fixture
def rate() -> Callable[[Path, int], None]:
    """Return a function that gives a photo stars, in a sidecar beside it, as other programs do."""

    def write(photo: Path, stars: int) -> None:
        photo.with_suffix(".xmp").write_text(_RATED.format(stars))

    return write


@pytest.fixture
def in_quarantine(wedding: Path) -> Callable[[], set[str]]:
    """Return a function that lists what lies in the quarantine beside the wedding."""
    quarantine = wedding.parent / ".rali-quarantine"
    return lambda: {path.name for path in quarantine.rglob("*") if path.is_file()} - {".rali-journal.jsonl"}


@pytest.fixture
def on_terminal() -> Callable[..., tuple[int, str]]:
    """Return a function that runs the command line on a terminal, and types an answer when it has been asked."""

    def run(
        *arguments: str | os.PathLike[str], types: bytes, program: Path | None = None, **options: Any
    ) -> tuple[int, str]:
        parent, child = pty.openpty()
        seen = bytearray()

        def read() -> None:
            answered = False
            try:
                while chunk := os.read(parent, 4096):
                    seen.extend(chunk)
                    if not answered and b"[y/N] " in seen:
                        answered = True
                        os.write(parent, types)
            except OSError:  # EIO: the other end is closed
                pass

        reader = threading.Thread(target=read)
        reader.start()
        start = ["-m", "rali_cli"] if program is None else [os.fspath(program)]
        command = [sys.executable, *start, *map(os.fspath, arguments)]
        done = subprocess.run(command, stdin=child, stdout=child, stderr=child, timeout=25, **options)
        os.close(child)
        reader.join()
        os.close(parent)
        return done.returncode, seen.decode(errors="replace").replace("\r\n", "\n")

    return run
