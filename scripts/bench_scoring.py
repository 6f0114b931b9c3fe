"""Decoding, the engine, and both together, against the machine's own limits and the authors' way."""

from __future__ import annotations

import os
import sqlite3
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from bench_reference import AuthorsWay, JpegAlone, cores, network_gflop, product_gflops, random_pixels
from bench_tools import RALI
from rali.catalog.catalog import Catalog
from rali.catalog.records import Scope, Scoring
from rali.config import Settings
from rali.errors import DeviceError
from rali.model.bundle import BundleInfo
from rali.model.choice import measured_here, open_scorer, remembered
from rali.model.scorer import Scorer
from rali.model.ways import asked_way, candidates
from rali.photos.scan import Scan
from rali.pipeline import ScoringSession
from rali.prepare import Preparer, fast_px, recipe_id
from rali.workers import WorkerPool, default_workers

ROUNDS = 3
_ENGINE_S = 4.0
_AUTHORS_PHOTOS = 20
_POLL_S = 0.02
# What is open already when a measurement without start-up begins has done this many photos.
_WARM_PHOTOS = 8

Figures = dict[str, float]


def bench_decode(files: Sequence[str], info: BundleInfo, settings: Settings) -> Figures:
    """Take rali's decoding workers against libjpeg-turbo alone, with as many processes, at the same reduction."""
    rates: dict[str, list[float]] = defaultdict(list)
    most = default_workers()
    with JpegAlone(processes=cores(), short_edge_px=fast_px(info.preprocessing)) as jpeg:
        for _ in range(ROUNDS):
            rates["libjpeg-turbo alone"].append(jpeg.rate(files))
            for workers in sorted({1, most, most + 1}):
                rates[f"rali, workers={workers}"].append(decode_rate(files, info, settings, workers))
            exact = replace(settings, recipe="exact")
            rates["rali, recipe exact"].append(decode_rate(files, info, exact, most))
    found = {f"{name}, photos/s": statistics.median(taken) for name, taken in rates.items()}
    alone, ours = (found[f"{name}, photos/s"] for name in ("libjpeg-turbo alone", f"rali, workers={most}"))
    return {**_described(files), **found, "rali / libjpeg-turbo alone": ours / alone}


def decode_rate(files: Sequence[str], info: BundleInfo, settings: Settings, workers: int) -> float:
    """Return photos per second of the pool by itself, workers started and warm."""
    preparer = Preparer(info.preprocessing, settings.recipe, settings.limit_px)
    with WorkerPool(preparer, workers=workers, timeout_s=settings.timeout_s) as pool:
        warm = [result for _, result, _ in pool.run(files[:_WARM_PHOTOS], _never)]
        started_s = time.perf_counter()
        done = sum(1 for _ in pool.run(files, _never))
        return done / (time.perf_counter() - started_s) if warm else 0.0


def bench_engine(info: BundleInfo, settings: Settings) -> Figures:
    """Take every engine and precision, fed with ready pixels, against a large matrix product in the same precision."""
    gflop = network_gflop(info)
    rates: dict[str, list[float]] = defaultdict(list)
    scorers = _scorers(info, settings)
    authors = AuthorsWay(info) if _is_clip(info) else None
    for _ in range(ROUNDS):
        for precision in {scorer.precision for scorer in scorers}:
            rates[f"matrix product {precision}"].append(product_gflops(precision) / gflop)
        for scorer in scorers:
            rates[f"{scorer.engine} {scorer.precision}"].append(engine_rate(scorer))
        if authors is not None:
            rates["authors' network, one picture at a time"].append(_authors_network_rate(authors, info))
    found = {f"{name}, photos/s": statistics.median(taken) for name, taken in rates.items()}
    result = {"GFLOP a picture": gflop, **found}
    for scorer in scorers:
        name, product = f"{scorer.engine} {scorer.precision}", f"matrix product {scorer.precision}"
        result[f"{name} / {product}"] = found[f"{name}, photos/s"] / found[f"{product}, photos/s"]
        if authors is not None:
            base = found["authors' network, one picture at a time, photos/s"]
            result[f"{name} / authors' network"] = found[f"{name}, photos/s"] / base
    return result


def _scorers(info: BundleInfo, settings: Settings) -> list[Scorer]:
    scorers = []
    for way in candidates(info, settings):
        try:
            scorers.append(Scorer(info, engine=way.engine, device="cpu", precision=way.precision))
        except DeviceError as error:
            print(f"left out, {way}: {error}")
    return scorers


def engine_rate(scorer: Scorer) -> float:
    """Return pictures per second of an engine fed with ready pixels, batch after batch."""
    pixels = random_pixels(scorer.info, scorer.batch_size)
    scorer.score(pixels)
    done, started_s = 0, time.perf_counter()
    while (spent_s := time.perf_counter() - started_s) < _ENGINE_S:
        scorer.score(pixels)
        done += len(pixels)
    return done / spent_s


def _authors_network_rate(authors: AuthorsWay, info: BundleInfo) -> float:
    import torch

    pixels = torch.randn(1, 3, info.preprocessing.crop_px, info.preprocessing.crop_px)
    authors.score_pixels(pixels)
    started_s = time.perf_counter()
    for _ in range(4):
        authors.score_pixels(pixels)
    return 4 / (time.perf_counter() - started_s)


def bench_score(temporary: Path, files: Sequence[str], info: BundleInfo, settings: Settings) -> Figures:
    """Take the whole job against its two limits, decoders alone and engine alone, and against the authors' way.

    Decoders and engine share the cores of a machine without a GPU, so both at once cannot reach the slower limit:
    what they can reach is one photo per time of both, which is given too. Where ``auto`` has a choice, it is measured
    first, as a long run does by itself.
    """
    settings = replace(settings, model=str(info.path))
    if asked_way(settings) is None and not remembered(info):
        measured_here(info, settings)
    rates: dict[str, list[float]] = defaultdict(list)
    first_s: list[float] = []
    authors = AuthorsWay(info) if _is_clip(info) else None
    scorer = open_scorer(info, settings)
    reduced_px = fast_px(info.preprocessing)
    workers = settings.workers or default_workers()
    with JpegAlone(processes=cores(), short_edge_px=reduced_px) as jpeg:
        for number in range(ROUNDS):
            rates["libjpeg-turbo alone"].append(jpeg.rate(files))
            rates["decoders alone"].append(decode_rate(files, info, settings, workers))
            rates["engine alone"].append(engine_rate(scorer))
            db = temporary / f"session-{number}.db"
            rates["end to end"].append(session_rate(files, info, replace(settings, db=db)))
            total_s, first = command_s(files, replace(settings, db=temporary / f"command-{number}.db"))
            rates["end to end, rali score"].append(len(files) / total_s)
            first_s.append(first)
            if authors is not None:
                rates["authors' way"].append(_authors_rate(authors, files[:_AUTHORS_PHOTOS]))
    print(f"{info.name}: {scorer.engine} {scorer.precision}", file=sys.stderr)
    found = {f"{name}, photos/s": statistics.median(taken) for name, taken in rates.items()}
    result = {**_described(files), **found, "first score, s": statistics.median(first_s)}
    decoders, engine, whole, command = (
        found[f"{name}, photos/s"]
        for name in ("decoders alone", "engine alone", "end to end", "end to end, rali score")
    )
    shared = 1 / (1 / decoders + 1 / engine)
    result |= {
        "both limits on shared cores, photos/s": shared,
        "end to end / slower limit": whole / min(decoders, engine),
        "end to end / shared cores": whole / shared,
        "end to end / engine alone": whole / engine,
        "rali score / slower limit": command / min(decoders, engine),
        "rali score / engine alone": command / engine,
    }
    if authors is not None:
        base = found["authors' way, photos/s"]
        result |= {"end to end / authors' way": whole / base, "rali score / authors' way": command / base}
    return result


def session_rate(files: Sequence[str], info: BundleInfo, settings: Settings) -> float:
    """Return photos per second through the library, workers and engine started and warm, everything stored."""
    photos = list(Scan([str(Path(files[0]).parent)]))
    with Catalog(settings.db) as catalog:
        scoring = catalog.scoring(info, recipe_id(settings.recipe))
        with ScoringSession(catalog, settings, info, scoring) as session:
            warm = sum(len(group) for group in session.score(photos[:_WARM_PHOTOS], expected=len(photos)))
            started_s = time.perf_counter()
            done = sum(len(group) for group in session.score(photos[warm:], expected=len(photos) - warm))
            spent_s = time.perf_counter() - started_s
        _require_scored(catalog, scoring, len(files))
    return done / spent_s


def command_s(files: Sequence[str], settings: Settings) -> tuple[float, float]:
    """Run ``rali score`` on a fresh catalog: seconds from its start to its end, and to its first stored score."""
    asked = {"model": settings.model, "engine": settings.engine, "precision": settings.precision, "db": settings.db}
    options = [text for name, value in asked.items() for text in (f"--{name}", str(value))]
    folder = str(Path(files[0]).parent)
    started_s = time.perf_counter()
    with subprocess.Popen([*RALI, "score", folder, *options], stdout=subprocess.DEVNULL) as process:
        first_s = 0.0
        while process.poll() is None:
            if not first_s and _has_score(settings.db):
                first_s = time.perf_counter() - started_s
            time.sleep(_POLL_S)
    total_s = time.perf_counter() - started_s
    if process.returncode:
        raise SystemExit(f"rali score failed with exit code {process.returncode}")
    return total_s, first_s or total_s


def _has_score(db: Path) -> bool:
    """Ask a catalog that another process is writing."""
    if not db.exists():
        return False
    try:
        with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True, timeout=0)) as connection:
            return connection.execute("SELECT 1 FROM scores LIMIT 1").fetchone() is not None
    except sqlite3.OperationalError:  # locked, or its tables are not made yet
        return False


def _authors_rate(authors: AuthorsWay, files: Sequence[str]) -> float:
    started_s = time.perf_counter()
    for file in files:
        authors.score(file)
    return len(files) / (time.perf_counter() - started_s)


def _require_scored(catalog: Catalog, scoring: Scoring, count: int) -> None:
    scored = len(catalog.ranking(scoring, Scope())[0])
    if scored != count:
        raise SystemExit(f"{scored} of {count} photos have a score: measure with photos that can all be read")


def _is_clip(info: BundleInfo) -> bool:
    return bool(info.architecture["encoder"]["kind"] == "clip-vision")


def _described(files: Sequence[str]) -> Figures:
    return {"photos": len(files), "MB a photo": sum(map(os.path.getsize, files)) / len(files) / 1e6}


def _never() -> bool:
    return False
