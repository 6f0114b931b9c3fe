"""Measure rali against the machine's own limits: two things in one run, ratios, medians.

    python scripts/bench.py rescan --photos 100000      an unchanged folder, against find
    python scripts/bench.py rank --photos 1000000       ranking a filled catalog
    python scripts/bench.py score PHOTOS_FOLDER         end to end, against decoding alone and the model alone
    python scripts/bench.py moves --photos 100000       planning, moving and undoing, against mv, rename and cp

Files and catalogs are made in a temporary folder (moves: in --folder DIR, to measure another disk) and removed. Each
prints JSON with --json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from bench_moves import bench_moves
from bench_tools import FOLDER_PHOTOS, RALI, fill_catalog, make_files, median_s, run
from rali.config import Settings
from rali.model.registry import find_model
from rali.model.scorer import Scorer
from rali.photos.photo import Photo
from rali.photos.scan import Scan
from rali.prepare import Preparer
from rali.workers import WorkerPool


def main() -> None:
    """Run one benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, photos in (("rescan", 100_000), ("rank", 1_000_000)):
        command = commands.add_parser(name)
        command.add_argument("--photos", type=int, default=photos)
    command = commands.add_parser("moves")
    command.add_argument("--photos", type=int, default=100_000)
    command.add_argument("--folder", type=Path, help="where to work, on the disk to measure")
    command = commands.add_parser("score")
    command.add_argument("folder", type=Path)
    command.add_argument("--count", type=int, default=200, help="how many photos of the folder")
    for command in commands.choices.values():
        command.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON alone")
    arguments = parser.parse_args()
    where = arguments.folder if arguments.command == "moves" else None
    with tempfile.TemporaryDirectory(prefix="rali-bench-", dir=where) as temporary:
        os.environ["RALI_DB"] = str(Path(temporary) / "catalog.db")
        if arguments.command == "rescan":
            result = bench_rescan(Path(temporary), arguments.photos)
        elif arguments.command == "rank":
            result = bench_rank(Path(temporary), arguments.photos)
        elif arguments.command == "moves":
            result = bench_moves(Path(temporary).resolve(), arguments.photos)
        else:
            result = bench_score(Path(temporary), arguments.folder, arguments.count)
    if arguments.json:
        print(json.dumps(result, indent=1))
    else:
        for name, value in result.items():
            print(f"{name:<48} {value:,.3f}")


def bench_rescan(temporary: Path, photos: int) -> dict[str, float]:
    """Time ``rali score`` on an unchanged folder against find, which does nothing but stat."""
    root = temporary / "photos"
    make_files(root, photos)
    fill_catalog(Path(os.environ["RALI_DB"]), list(Scan([str(root)])))
    find_s = median_s(lambda: run(["find", str(root), "-printf", "%s %T@\n"]))
    rescan_s = median_s(lambda: run([*RALI, "score", str(root)]))
    return {
        "photos": photos,
        "find_s": find_s,
        "rescan_s": rescan_s,
        "allowed_s (3 x find + 1)": 3 * find_s + 1,
        "ratio to find": rescan_s / find_s,
    }


def bench_rank(temporary: Path, photos: int) -> dict[str, float]:
    """Time the ranking commands on a filled catalog of files that need not exist."""
    listed = [
        Photo(f"{temporary}/{number // FOLDER_PHOTOS:05}/IMG_{number:07}.jpg", 1, number + 1, 4_000_000, number)
        for number in range(photos)
    ]
    fill_catalog(Path(os.environ["RALI_DB"]), listed)
    start_s = median_s(lambda: run([*RALI, "--help"]))
    return {
        "photos": photos,
        "help_s": start_s,
        "worst_s": median_s(lambda: run([*RALI, "worst"])),
        "best_of_a_folder_s": median_s(lambda: run([*RALI, "best", f"{temporary}/00007"])),
        "list_bottom_percent_s": median_s(lambda: run([*RALI, "list", "--below-percentile", "1", "-0"])),
        "catalog_mb": Path(os.environ["RALI_DB"]).stat().st_size / 1e6,
    }


def bench_score(temporary: Path, folder: Path, count: int) -> dict[str, float]:
    """Time the whole job against its two limits: the decoders alone, and the model fed with ready pixels."""
    root = temporary / "photos"
    root.mkdir()
    photos = list(Scan([str(folder.resolve())]))[:count]
    for number, photo in enumerate(photos):
        shutil.copyfile(photo.file, root / f"{number:05}{photo.path.suffix}")
    settings = Settings()
    info = find_model("mini")
    files = [photo.file for photo in Scan([str(root)])]
    preparer = Preparer(info.preprocessing, "fast", settings.limit_px)
    with WorkerPool(preparer, workers=os.cpu_count() or 1, timeout_s=settings.timeout_s) as pool:
        pool_started = time.monotonic()
        decoded = sum(1 for _ in pool.run(files, lambda: False))
        decode_s = time.monotonic() - pool_started
    scorer = Scorer(info)
    pixels = np.random.default_rng(0).integers(
        0, 256, (scorer.batch_size, *info.preprocessing.input_shape), dtype=np.uint8
    )
    steps = max(1, min(decoded, 100) // scorer.batch_size)
    scorer.score(pixels)
    engine_started = time.monotonic()
    for _ in range(steps):
        scorer.score(pixels)
    engine_rate = steps * scorer.batch_size / (time.monotonic() - engine_started)
    started = time.monotonic()
    run([*RALI, "score", str(root)])
    total_s = time.monotonic() - started
    return {
        "photos": len(files),
        "decoders_alone_per_s": len(files) / decode_s,
        "model_alone_per_s": engine_rate,
        "end_to_end_per_s (with start-up)": len(files) / total_s,
        "ratio to the slower limit": len(files) / total_s / min(engine_rate, len(files) / decode_s),
    }


if __name__ == "__main__":
    main()
