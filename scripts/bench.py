"""Measure rali against the machine's own limits: two things in one run, ratios, medians.

    python scripts/bench.py decode --photos FOLDER      the decoding workers, against libjpeg-turbo alone
    python scripts/bench.py engine --model vit-l        every engine and precision, against a large matrix product
    python scripts/bench.py score --photos FOLDER       end to end, against both limits and the authors' way
    python scripts/bench.py judged --photos FOLDER      what issue 7 judges by: score three times, and rescan
    python scripts/bench.py rescan --photos 100000      unchanged folders of 10,000 files and up, against find,
                                                        and questions about them
    python scripts/bench.py rank --photos 1000000       ranking a filled catalog
    python scripts/bench.py moves --photos 100000       planning, moving and undoing, against mv, rename and cp

decode, score and judged make JPEGs of 12 to 24 megapixels from the photos in FOLDER (--kind camera), or 500 x 500 ones
(small); as-is takes them as they are. --model is a name or a bundle; vit-l is one of the release's size with random
weights, which is also measured against the authors' way (needs the extra train).

Files and catalogs are made in a temporary folder (in --folder DIR, to measure another disk) and removed. Each prints
JSON with --json.
"""

from __future__ import annotations

import os

# As the command line has it: read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import get_args

from bench_library import bench_rank, bench_rescan
from bench_moves import bench_moves
from bench_photos import photos_to_measure
from bench_reference import write_vit_l
from bench_scoring import bench_decode, bench_engine, bench_score
from rali.config import AskedEngine, AskedPrecision, Settings
from rali.model.bundle import BundleInfo
from rali.model.choice import measured_here
from rali.model.registry import find_model

_SYNTHETIC = {"rescan": 100_000, "rank": 1_000_000, "moves": 100_000}
_FROM_PHOTOS = {"decode": 100, "score": 200, "judged": 200}
# What is judged: title, model, photos, and which ratios are to reach what.
_JUDGED = (
    ("ViT-L/14, large JPEGs", "vit-l", "camera", {"end to end / authors' way": 6, "end to end / engine alone": 0.85}),
    ("mini, large JPEGs", "mini", "camera", {"end to end / slower limit": 0.85}),
    ("mini, 500 x 500", "mini", "small", {"end to end / slower limit": 0.85}),
)
_JUDGED_FILES = 100_000


def main() -> None:
    """Run one benchmark."""
    arguments = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="rali-bench-", dir=arguments.folder) as temporary:
        os.environ["RALI_DB"] = str(Path(temporary) / "catalog.db")
        result = _run(arguments, Path(temporary).resolve())
    if arguments.json:
        print(json.dumps(result, indent=1))
    else:
        for name, value in result.items():
            print(f"{name:<72} {value:,.3f}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in (*_FROM_PHOTOS, "engine", *_SYNTHETIC):
        command = commands.add_parser(name)
        if name in _SYNTHETIC:
            command.add_argument("--photos", type=int, default=_SYNTHETIC[name], help="how many")
        else:
            command.add_argument("--workers", type=int, default=0)
        if name in ("decode", "engine", "score"):
            command.add_argument("--model", default="mini", help="a name, a bundle, or vit-l")
            command.add_argument("--engine", choices=get_args(AskedEngine), default="auto")
            command.add_argument("--precision", choices=get_args(AskedPrecision), default="auto")
        if name in ("decode", "score"):
            command.add_argument("--kind", choices=("camera", "small", "as-is"), default="camera")
        if name in _FROM_PHOTOS:
            command.add_argument("--photos", type=Path, required=True, help="a folder of real photos")
            command.add_argument("--count", type=int, default=_FROM_PHOTOS[name], help="how many photos")
        command.add_argument("--folder", type=Path, help="where to work, on the disk to measure")
        command.add_argument("--json", action="store_true", help="print JSON alone")
    return parser


def _run(arguments: argparse.Namespace, temporary: Path) -> dict[str, float]:
    if arguments.command == "rescan":
        return bench_rescan(temporary, arguments.photos)
    if arguments.command == "rank":
        return bench_rank(temporary, arguments.photos)
    if arguments.command == "moves":
        return bench_moves(temporary, arguments.photos)
    if arguments.command == "judged":
        return _judged(arguments, temporary)
    info = _model(arguments.model, temporary)
    settings = Settings(
        model=str(info.path), engine=arguments.engine, precision=arguments.precision, workers=arguments.workers
    )
    if arguments.command == "engine":
        return bench_engine(info, settings)
    files = photos_to_measure(arguments.photos, temporary / "photos", count=arguments.count, kind=arguments.kind)
    if arguments.command == "decode":
        return bench_decode(files, info, settings)
    return bench_score(temporary, files, info, settings)


def _judged(arguments: argparse.Namespace, temporary: Path) -> dict[str, float]:
    """Take everything that the issue has a number for; the ratios come last, each with what it is to reach."""
    figures: dict[str, float] = {}
    ratios: dict[str, float] = {}
    for title, model, kind, targets in _JUDGED:
        folder = temporary / f"{model}-{kind}"
        folder.mkdir()
        info = _model(model, folder)
        settings = Settings(model=str(info.path), workers=arguments.workers)
        files = photos_to_measure(arguments.photos, folder / "photos", count=arguments.count, kind=kind)
        measured_here(info, settings)  # as a run of many photos does after its first scores
        found = bench_score(folder, files, info, settings)
        figures |= {f"{title}: {name}": value for name, value in found.items()}
        ratios |= {f"{title}: {name} (at least {least})": found[name] for name, least in targets.items()}
        shutil.rmtree(folder)
    rescan = bench_rescan(temporary, _JUDGED_FILES)
    ratios |= {f"{name} (at most 1)": value for name, value in rescan.items() if "rescan / allowed" in name}
    return figures | rescan | ratios


def _model(name: str, temporary: Path) -> BundleInfo:
    return write_vit_l(temporary / "vit-l.safetensors") if name == "vit-l" else find_model(name)


if __name__ == "__main__":
    main()
