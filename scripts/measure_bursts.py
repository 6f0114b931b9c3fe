"""Measure how well photos of one moment are found: precision and recall of pairs, on a set made of real photos.

    python scripts/measure_bursts.py
    python scripts/measure_bursts.py --photos ../shared/iqa/images --scenes 180 --json figures.json
    python scripts/measure_bursts.py --records 100000

Each photo is a scene. Of a scene, frames are cut as a hand and a subject that moves would give them, exposed, blurred
and saved differently, and stamped with time as cameras do and do not: the next subject follows within seconds, two
bodies of one model shoot at once, some write no parts of a second, some no seconds, some only the date, copies sent by
phone write nothing. Then they are scored as a user would, and what rali bursts finds is compared with the truth.
``--records`` times that many made-up records instead.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rali.catalog.catalog import Catalog
from rali.catalog.records import Scope
from rali.grouping.bursts import Burst, find_bursts
from rali.grouping.frame import Frame
from rali.grouping.groups import group_frames
from rali.photos.exif import Exposure
from rali.training.colour import Pixels
from rali.training.faults import blur, expose

SEED = 20261122
SIDE = 500  # of a scene, in pixels: what LIVE In the Wild has
WIDTH, HEIGHT = 420, 315
START = datetime(2026, 5, 1, 12, 0, 1)
_MAKE, _MODEL, _EXIF_IFD, _TIME, _PART, _SERIAL = 0x010F, 0x0110, 0x8769, 0x9003, 0x9291, 0xA431
_SECONDS, _APERTURE, _ISO, _BIAS, _MODE, _FOCAL = 0x829A, 0x829D, 0x8827, 0x9204, 0xA402, 0x920A


class Scene(NamedTuple):
    """A picture, and another one to take a moving subject from."""

    pixels: Pixels
    subject: Pixels


@dataclass(frozen=True)
class Take:
    """One frame to be written.

    Attributes:
        unit: frames of one unit are of one moment.
        kind: what the unit is, for the table of figures.
        moment: by the camera's clock; None writes no time.
        stamp: how it is written: parts, seconds, minutes, date.
    """

    unit: int
    kind: str
    pixels: Pixels
    moment: datetime | None
    stamp: str = "parts"
    serial: str = "1001"
    bias_ev: float = 0.0
    exposure_s: float = 0.008
    bracketing: bool = False
    quality: int = 92


def main() -> None:
    """Build the set, have it scored, print the figures."""
    arguments = argparse.ArgumentParser(description="Measure rali bursts.")
    arguments.add_argument(
        "--photos", type=Path, default=Path(__file__).parents[1] / "samples", help="folder of photos"
    )
    arguments.add_argument("--scenes", type=int, default=60, help="at most so many photos are used")
    arguments.add_argument("--json", type=Path, help="write the figures here, too")
    arguments.add_argument("--records", type=int, help="time so many made-up records instead")
    given = arguments.parse_args()
    if given.records:
        print(time_records(given.records))
        return
    with tempfile.TemporaryDirectory() as folder:
        truth = write_set(scenes(given.photos, given.scenes), Path(folder) / "photos")
        figures = measure(find(Path(folder)), truth)
    print(f"{len(truth)} photos of {len({take.unit for take in truth.values()})} moments")
    for name, value in figures.items():
        print(f"{name:<44} {value}")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))


# --- the set -----------------------------------------------------------------------------------------------------


def scenes(folder: Path, most: int) -> list[Pixels]:
    """Read photos, each the middle square of one, scaled to 500 x 500; near-copies in samples/ are left out."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
    files = [file for file in files if "_" not in file.stem]
    chosen = np.random.default_rng(SEED).permutation(len(files))[:most]
    found = []
    for at in sorted(chosen):
        with Image.open(files[at]) as image:
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            square = image.convert("RGB").crop((left, top, left + side, top + side))
            found.append(np.asarray(square.resize((SIDE, SIDE), Image.Resampling.LANCZOS)))
    return found


def window(scene: Pixels, x: int, y: int, width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """Cut a frame out of a scene, moved back inside where it would hang over."""
    x, y = min(max(x, 0), SIDE - width), min(max(y, 0), SIDE - height)
    return scene[y : y + height, x : x + width]


def hand_held(scene: Pixels, rng: np.random.Generator, shake: float) -> Pixels:
    """Cut a frame as a hand holds it: off by ``shake`` of its width, in any direction."""
    angle, distance = rng.uniform(0, 2 * np.pi), shake * WIDTH * rng.uniform(0.3, 1.0)
    x, y = (SIDE - WIDTH) / 2 + distance * np.cos(angle), (SIDE - HEIGHT) / 2 + distance * np.sin(angle)
    return window(scene, round(x), round(y))


def with_subject(frame: Pixels, other: Pixels, x: int) -> Pixels:
    """Put a piece of another scene, a quarter of the frame's width, where a subject stands."""
    frame = frame.copy()
    frame[110:270, x : x + 105] = other[110:270, 180:285]
    return frame


def takes_of(scene: Scene, unit: int, moment: datetime, rng: np.random.Generator) -> Iterator[Take]:
    """Yield the frames of one scene; which kind it is goes round."""
    kind = list(KINDS)[unit % len(KINDS)]
    for take in KINDS[kind](scene, moment, rng):
        yield replace(take, unit=unit, kind=kind)


def _held_down(scene: Scene, moment: datetime, rng: np.random.Generator) -> Iterator[Take]:
    for number in range(5):
        frame = with_subject(hand_held(scene.pixels, rng, 0.02), scene.subject, 60 + 45 * number)
        frame = blur(frame, rng.uniform(1.0, 3.0)) if number == 2 else expose(frame, rng.uniform(-0.3, 0.3))
        yield Take(0, "", frame, moment + timedelta(seconds=0.12 * number))


def _whole_seconds(scene: Scene, moment: datetime, rng: np.random.Generator) -> Iterator[Take]:
    for number in range(4):
        frame = expose(hand_held(scene.pixels, rng, 0.03), rng.uniform(-0.5, 0.5))
        quality = int(rng.integers(60, 95))
        yield Take(0, "", frame, moment + timedelta(seconds=0.7 * number), "seconds", "2002", quality=quality)


def _same_pose(scene: Scene, moment: datetime, rng: np.random.Generator) -> Iterator[Take]:
    for number in range(3):
        frame = blur(hand_held(scene.pixels, rng, 0.04), rng.uniform(0.3, 1.2))
        yield Take(0, "", frame, moment + timedelta(seconds=5.0 * number))


def _bracket(scene: Scene, moment: datetime, rng: np.random.Generator) -> Iterator[Take]:
    for number, bias in enumerate((0.0, -2.0, 2.0)):
        frame = expose(hand_held(scene.pixels, rng, 0.01), bias)
        when = moment + timedelta(seconds=0.4 * number)
        yield Take(0, "", frame, when, bias_ev=bias, exposure_s=0.008 * 2**bias, bracketing=bool(rng.integers(2)))


def _panorama(scene: Scene, moment: datetime, rng: np.random.Generator) -> Iterator[Take]:
    step, way = int(rng.integers(60, 84)), int(rng.integers(2))
    for number in range(4):
        x = step * (number if way else 3 - number) + int(rng.integers(-3, 4))
        frame = window(scene.pixels, x, 80 + int(rng.integers(-5, 6)), 245, 327)
        yield Take(0, "", frame, moment + timedelta(seconds=1.6 * number))


def _sent(scene: Scene, moment: datetime, rng: np.random.Generator) -> Iterator[Take]:
    frame = hand_held(scene.pixels, rng, 0.01)
    yield Take(0, "", frame, moment)
    size = (WIDTH * 6 // 10, HEIGHT * 6 // 10)
    small = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))
    yield Take(0, "", small, None, quality=int(rng.integers(45, 80)))


def _alone(stamp: str, serial: str, shake: float = 0.03) -> Callable[..., Iterator[Take]]:
    def one(scene: Scene, moment: datetime, rng: np.random.Generator) -> Iterator[Take]:
        yield Take(0, "", hand_held(scene.pixels, rng, shake), moment, stamp, serial)

    return one


KINDS: Mapping[str, Callable[..., Iterator[Take]]] = {
    "held down": _held_down,
    "single, parts of a second": _alone("parts", "1001"),
    "whole seconds": _whole_seconds,
    "single, whole seconds": _alone("seconds", "2002"),
    "same pose again": _same_pose,
    "single, no seconds": _alone("minutes", "3003"),
    "bracket": _bracket,
    "single, only a date": _alone("date", "4004"),
    "panorama": _panorama,
    "sent by phone": _sent,
}


def write_set(found: Sequence[Pixels], folder: Path) -> dict[str, Take]:
    """Write all frames as JPEGs; return the truth by file name."""
    folder.mkdir()
    rng = np.random.default_rng(SEED)
    truth: dict[str, Take] = {}
    clocks = {"1001": START, "2002": START}  # two bodies shoot at once
    for unit, scene in enumerate(found):
        both = Scene(scene, found[(unit + 7) % len(found)])
        serial = "2002" if list(KINDS)[unit % len(KINDS)].endswith("whole seconds") else "1001"
        takes = list(takes_of(both, unit, clocks[serial], rng))
        for number, take in enumerate(takes):
            name = f"{unit:04}_{number}.jpg"
            Image.fromarray(take.pixels).save(folder / name, "JPEG", quality=take.quality, exif=exif_of(take))
            truth[name] = take
        last = max(take.moment for take in takes if take.moment is not None)
        clocks[serial] = last + timedelta(seconds=float(rng.uniform(0.8, 8.0)))  # the next subject
    return truth


def exif_of(take: Take) -> bytes:
    """Write what the take's camera would; nothing where it has no time."""
    exif = Image.Exif()
    if take.moment is None:
        return exif.tobytes()
    exif[_MAKE], exif[_MODEL] = "Maker", "Body II"
    details = exif.get_ifd(_EXIF_IFD)
    written = {"minutes": "%Y:%m:%d %H:%M:00", "date": "%Y:%m:%d 00:00:00"}.get(take.stamp, "%Y:%m:%d %H:%M:%S")
    details[_TIME] = take.moment.strftime(written)
    if take.stamp == "parts":
        details[_PART] = f"{take.moment.microsecond // 10_000:02}"
    details[_SERIAL] = take.serial
    details[_SECONDS], details[_APERTURE], details[_ISO] = take.exposure_s, 4.0, 200
    details[_BIAS], details[_MODE], details[_FOCAL] = take.bias_ev, 2 if take.bracketing else 0, 50.0
    return exif.tobytes()


# --- what is found ---------------------------------------------------------------------------------------------------


def find(folder: Path) -> list[Burst]:
    """Score the photos as a user does, and group them."""
    db = folder / "catalog.db"
    command = [sys.executable, "-m", "rali_cli", "score", str(folder / "photos"), "--db", str(db)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with Catalog(db) as catalog:
        (scoring,) = catalog.scorings()
        return find_bursts(catalog, scoring, Scope())


def measure(bursts: Sequence[Burst], truth: Mapping[str, Take]) -> dict[str, str]:
    """Return precision and recall of pairs, of all and of each kind of unit, and what was kept whole."""
    together = [[Path(frame.path).name for frame in burst.frames] for burst in bursts]
    found = {pair for names in together for pair in combinations(sorted(names), 2)}
    units: dict[int, list[str]] = {}
    for name, take in sorted(truth.items()):
        units.setdefault(take.unit, []).append(name)
    wanted = {pair for names in units.values() for pair in combinations(names, 2)}
    right = found & wanted
    figures = {
        "precision of pairs": _share(len(right), len(found)),
        "recall of pairs": _share(len(right), len(wanted)),
    }
    for kind in KINDS:
        of_kind = {pair for pair in wanted if truth[pair[0]].kind == kind}
        if of_kind:
            figures[f"recall, {kind}"] = _share(len(found & of_kind), len(of_kind))
        else:
            names = [name for name, take in truth.items() if take.kind == kind]
            caught = {name for pair in found - wanted for name in pair}
            figures[f"grouped wrongly, {kind}"] = _share(len(caught & set(names)), len(names))
    for kind in ("bracket", "panorama"):
        whole = Counter(
            burst.kind == kind for burst, names in zip(bursts, together, strict=True) if truth[names[0]].kind == kind
        )
        figures[f"told to be one, of {kind} groups"] = _share(whole[True], whole.total())
    kinds = [truth[names[0]].kind for names in together]
    others = [burst for burst, kind in zip(bursts, kinds, strict=True) if kind not in ("bracket", "panorama")]
    figures["kept whole though a burst"] = _share(sum(burst.kept_whole for burst in others), len(others))
    return figures


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%} ({part:,} of {whole:,})" if whole else "-"


# --- speed -----------------------------------------------------------------------------------------------------------


def time_records(count: int) -> str:
    """Group made-up records, moments of 1 to 11 frames with embeddings, a tenth of them without a time."""
    rng = np.random.default_rng(SEED)
    frames: list[Frame] = []
    vectors: dict[int, NDArray[np.float16]] = {}
    exposure = Exposure(exposure_s=0.01, bias_ev=0.0, f_number=2.8, iso=100.0, focal_mm=50.0)
    moment = START
    while len(frames) < count:
        moment += timedelta(seconds=float(rng.exponential(60)))
        hashed, vector = int(rng.integers(0, 1 << 63)), rng.normal(size=128)
        for _ in range(int(rng.integers(1, 12))):
            moment += timedelta(seconds=float(rng.uniform(0.05, 1)))
            stamp = moment.isoformat(timespec="milliseconds") if rng.random() > 0.1 else None
            own = hashed
            for bit in rng.integers(0, 64, int(rng.integers(0, 8))):
                own ^= 1 << int(bit)
            vectors[len(frames)] = (vector + rng.normal(size=128) * 0.3).astype(np.float16)
            frames.append(Frame(len(frames), stamp, "Maker Body", exposure, own, 6000, 4000))
    before, cpu_before = time.perf_counter(), time.process_time()
    groups = group_frames(frames[:count], vectors=vectors)
    wall_s, cpu_s = time.perf_counter() - before, time.process_time() - cpu_before
    return f"{count:,} records: {len(groups):,} groups in {wall_s:.1f} s ({cpu_s:.1f} s of CPU)"


if __name__ == "__main__":
    main()
