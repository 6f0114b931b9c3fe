"""Which way of running a model is taken: what is asked for, or the fastest that passed the gate on this machine.

Measuring takes seconds for mini and a minute for a ViT-L/14, so it is done once, where it pays, and remembered: by
``rali model verify``, by ``rali doctor --measure``, and by a run of many photos after its first scores. Until then a
float32 runs the model, OpenVINO's where it is installed on an x86 processor.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from rali.config import Settings, cache_folder
from rali.errors import DeviceError
from rali.model.bundle import BundleInfo
from rali.model.gate import Interrupted, Measured, measure
from rali.model.golden import golden_pixels
from rali.model.scorer import Scorer
from rali.model.ways import Way, asked_way, candidates, machine_id

# From here on measuring pays: a ViT-L/14 takes a minute to measure and gains 0.4 s a photo; mini takes 5 s.
WORTH_MEASURING_PHOTOS = {"clip-vision": 150, "efficientnet-lite": 500}


def open_scorer(
    info: BundleInfo,
    settings: Settings,
    *,
    expected: int = 0,
    stop: Callable[[], bool] = lambda: False,
    on_notice: Callable[[str], None] = lambda _: None,
) -> Scorer:
    """Make a scorer as the settings ask, or as was measured; a long run measures once, after its first scores.

    Args:
        expected: about how many photos are waiting.
        stop: asked while it measures.
        on_notice: told in a line what was changed to go on.

    Raises:
        DeviceError: the device or the engine that is asked for is not there.
        DamagedModelError: the bundle is altered, or not what it says.
    """

    def opened(way: Way) -> Scorer:
        return Scorer(info, engine=way.engine, device=way.device, precision=way.precision, on_notice=on_notice)

    way = asked_way(settings)
    if way is not None:
        return opened(way)
    known = remembered(info)
    way = best_way(info, settings, known)
    try:
        scorer = opened(way)
    except DeviceError as error:
        if settings.engine != "auto" or way.engine == "torch":
            raise
        on_notice(f"going on with torch: {error}")
        return opened(Way("torch", "cpu", "float32"))
    worth_photos = WORTH_MEASURING_PHOTOS[info.architecture["encoder"]["kind"]]
    if not known and expected >= worth_photos and len(candidates(info, settings)) > 1:

        def reconsider() -> Way | None:
            with suppress(Interrupted):
                return best_way(info, settings, measured_here(info, settings, stop=stop))
            return None

        scorer.reconsider = reconsider
    return scorer


def best_way(info: BundleInfo, settings: Settings, known: Sequence[Measured]) -> Way:
    """Return the fastest way on the CPU that the settings allow and that passed; unmeasured, the first candidate."""
    allowed = candidates(info, settings)
    passed = [result for result in known if result.passed and result.way in allowed]
    return max(passed, key=lambda result: result.photos_per_s).way if passed else allowed[0]


def measured_here(
    info: BundleInfo, settings: Settings, *, stop: Callable[[], bool] = lambda: False
) -> Sequence[Measured]:
    """Measure the candidates on the golden pictures, remember what came out, and return it.

    A model without golden scores is compared with what torch's float32 gives here.

    Raises:
        Interrupted: ``stop`` said so; nothing is remembered.
    """
    pixels = golden_pixels(info.preprocessing.crop_px)
    reference = np.array(info.golden_scores)
    if not info.golden_scores:
        reference = Scorer(info, device="cpu").golden_scores()
    results: list[Measured] = []
    for way in candidates(info, replace(settings, engine="auto", precision="auto")):
        if way.precision != "int8":
            # Of its own engine: whoever asks for torch is to have torch's fastest, however slow it is beside OpenVINO.
            rivals = [result for result in results if result.passed and result.way.engine == way.engine]
            fastest = max((rival.photos_per_s for rival in rivals), default=0.0)
            results.append(measure(info, way, pixels, reference, stop=stop, least_per_s=fastest / 1.5))
    results = keeping_int8(info, results)
    remember(info, results)
    return results


def keeping_int8(info: BundleInfo, results: Sequence[Measured]) -> list[Measured]:
    """Return results on the golden pictures, with those of int8 as remembered: only real photos can decide on it."""
    decided = [result for result in remembered(info) if result.way.precision == "int8"]
    ways = [result.way for result in decided]
    return decided + [result for result in results if result.way not in ways]


# --- what is remembered --------------------------------------------------------------------------------------------


def remembered(info: BundleInfo) -> list[Measured]:
    """Return what was measured of a model on this machine, with these libraries; nothing if it was not."""
    try:
        stored = json.loads(_file(info).read_bytes())
        return [Measured(**{**result, "way": Way(**result["way"])}) for result in stored]
    except (OSError, ValueError, TypeError, KeyError):  # missing or damaged: it can be measured again
        return []


def remember(info: BundleInfo, results: Iterable[Measured]) -> None:
    """Store measurements, in place of those that were there; a cache that cannot be written is not written."""
    on_cpu = [asdict(result) for result in results if result.way.device == "cpu"]
    file = _file(info)
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(on_cpu, indent=1), encoding="utf-8")
        partial.replace(file)


def _file(info: BundleInfo) -> Path:
    return cache_folder() / "measured" / f"{info.model_id}-{machine_id()}.json"
