"""Make a shoot to try rali on: 400 shots, 60 bursts, 20 exposure brackets, RAW+JPEG pairs, stars of another program.

    python scripts/make_shoot.py FOLDER --photos ../shared/iqa/images

Real photos are the scenes; of each, frames are cut as a hand gives them, and most bursts hold one that is blurred. A
RAW file is an uncompressed DNG of the same frame, without a preview. Some shots have stars, labels and develop settings
already: beside RAWs as Lightroom saves them, in JPEGs as it writes into those. ``FOLDER.truth.json`` says what is what.
"""

from __future__ import annotations

import argparse
import json
import struct
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from measure_bursts import scenes
from rali.training.colour import Pixels, to_linear
from rali.training.faults import blur, expose

SEED = 8
BURSTS, BRACKETS, SINGLES = 60, 20, 100
LENGTHS = (3, 4, 5, 4)  # frames of a burst, in turn: 240 in all
SIZE = (1260, 945)
SCALE = 3  # scenes are 500 pixels wide; there must be something to look at at 100 %
START = datetime(2026, 5, 1, 14, 0, 0, 250_000)
LIGHTROOM = """\
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0-c000 1.000000, 0000/00/00-00:00:00        ">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
   xmp:ModifyDate="2026-05-02T09:00:00"{given}>
   <dc:subject>
    <rdf:Bag>
     <rdf:li>bride &amp; groom</rdf:li>
    </rdf:Bag>
   </dc:subject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
# What a photographer has given already, in turn, and how often: one shot in eight.
GIVEN = (
    '\n   xmp:Rating="5"',
    '\n   xmp:Rating="3"\n   xmp:Label="Green"',
    '\n   crs:Version="15.4"\n   crs:HasSettings="True"\n   crs:Exposure2012="+0.35"',
    '\n   xmp:Rating="-1"',
)
GIVEN_EVERY = 8


@dataclass
class Shot:
    """One press of the shutter."""

    name: str
    unit: int
    kind: str  # burst, bracket, single
    pixels: Pixels
    moment: datetime
    bias_ev: float = 0.0
    is_blurred: bool = False
    files: list[str] = field(default_factory=list)
    given: str | None = None


def main() -> None:
    """Write the shoot."""
    arguments = argparse.ArgumentParser(description="Make a shoot.")
    arguments.add_argument("folder", type=Path, help="does not exist yet")
    arguments.add_argument("--photos", type=Path, required=True, help="folder of photos, each a scene")
    arguments.add_argument("--part", type=int, default=1, help="only one unit in so many")
    given = arguments.parse_args()
    print(f"{make_shoot(given.folder, given.photos, part=given.part)} shots in {given.folder}")


def make_shoot(folder: Path, photos: Path, *, part: int = 1) -> int:
    """Write the files of the shoot, one unit of ``part``; return how many shots there are."""
    rng = np.random.default_rng(SEED)
    kinds = ["burst"] * (BURSTS // part) + ["bracket"] * (BRACKETS // part) + ["single"] * (SINGLES // part)
    kinds = [kinds[at] for at in rng.permutation(len(kinds))]
    found = scenes(photos, len(kinds))
    moment, number, bursts, truth = START, 0, 0, []
    for unit, kind in enumerate(kinds):
        scene = Image.fromarray(found[unit % len(found)])
        scene = scene.resize((scene.width * SCALE, scene.height * SCALE), Image.Resampling.LANCZOS)
        length = {"burst": LENGTHS[bursts % len(LENGTHS)], "bracket": 3, "single": 1}[kind]
        bursts += kind == "burst"
        for frame in range(length):
            number += 1
            card = folder / f"{100 + number // 250}EOS"
            card.mkdir(parents=True, exist_ok=True)
            shot = take(np.asarray(scene), kind, frame, rng, Shot(f"IMG_{number:04}", unit, kind, scene, moment))
            if number % GIVEN_EVERY == 0:
                shot.given = LIGHTROOM.format(given=GIVEN[number // GIVEN_EVERY % len(GIVEN)])
            write(shot, card, with_raw=unit % 5 == 0, with_jpeg=not (kind == "single" and unit % 10 == 0))
            truth.append({
                "name": shot.name, "unit": unit, "kind": kind, "blurred": shot.is_blurred, "files": shot.files,
                "protected": shot.given is not None and 'Rating="-1"' not in shot.given,
            })  # fmt: skip
            moment += timedelta(seconds=0.4 if kind == "bracket" else 0.15)
        moment += timedelta(seconds=float(rng.uniform(5, 40)))
    folder.with_name(folder.name + ".truth.json").write_text(json.dumps(truth, indent=0))
    return number


def take(scene: Pixels, kind: str, frame: int, rng: np.random.Generator, shot: Shot) -> Shot:
    """Give a shot its picture, as a hand and the kind of unit make it."""
    width, height = SIZE
    middle = np.array([scene.shape[1] - width, scene.shape[0] - height]) / 2
    x, y = np.clip(middle + rng.uniform(-1, 1, 2) * 0.012 * width, 0, 2 * middle).astype(int)
    shot.pixels = scene[y : y + height, x : x + width]
    if kind == "bracket":
        shot.bias_ev = (0.0, -2.0, 2.0)[frame]
        shot.pixels = expose(shot.pixels, shot.bias_ev)
    elif kind == "burst" and frame == shot.unit % 4:  # the last unit of four has none where it is short
        shot.is_blurred = True
        shot.pixels = blur(shot.pixels, 9.0)
    return shot


def write(shot: Shot, folder: Path, *, with_raw: bool, with_jpeg: bool) -> None:
    """Write a shot's files."""
    with_raw = with_raw or not with_jpeg
    if with_jpeg:
        options: dict[str, Any] = {"quality": 93, "exif": exif_of(shot)}
        if shot.given and not with_raw:
            options["xmp"] = shot.given.encode()
        Image.fromarray(shot.pixels).save(folder / f"{shot.name}.JPG", "JPEG", **options)
        shot.files.append(f"{folder.name}/{shot.name}.JPG")
    if with_raw:
        (folder / f"{shot.name}.DNG").write_bytes(dng_of(shot))
        shot.files.append(f"{folder.name}/{shot.name}.DNG")
        if shot.given:
            (folder / f"{shot.name}.xmp").write_text(shot.given, encoding="utf-8")
            shot.files.append(f"{folder.name}/{shot.name}.xmp")


# --- what cameras write ----------------------------------------------------------------------------------------------

_SHORT, _LONG, _ASCII, _BYTE, _RATIONAL, _SIGNED = 3, 4, 2, 1, 5, 10
_CODES = {_SHORT: "H", _LONG: "I", _BYTE: "B", _RATIONAL: "I", _SIGNED: "i"}


def exif_tags(shot: Shot) -> dict[int, tuple[int, Any]]:
    """Return the tags of the EXIF directory: TIFF's type, values."""
    return {
        0x829A: (_RATIONAL, (round(8000 * 2**shot.bias_ev), 1_000_000)),
        0x829D: (_RATIONAL, (28, 10)),
        0x8827: (_SHORT, (400,)),
        0x9003: (_ASCII, shot.moment.strftime("%Y:%m:%d %H:%M:%S")),
        0x9204: (_SIGNED, (round(shot.bias_ev * 10), 10)),
        0x920A: (_RATIONAL, (50, 1)),
        0x9291: (_ASCII, f"{shot.moment.microsecond // 10_000:02}"),
        0xA402: (_SHORT, (0,)),
        0xA431: (_ASCII, "1001"),
    }


def exif_of(shot: Shot) -> bytes:
    """Return a JPEG's EXIF."""
    first = {0x010F: (_ASCII, "Maker"), 0x0110: (_ASCII, "Body II"), 0x0112: (_SHORT, (1,))}
    return b"Exif\0\0" + tiff(first, exif_tags(shot))


def dng_of(shot: Shot) -> bytes:
    """Return the shot as the sensor saw it: an uncompressed DNG, a Bayer mosaic of linear light."""
    light = np.clip(to_linear(shot.pixels) * 4095, 0, 4095).astype("<u2")
    mosaic: NDArray[np.uint16] = light[..., 1].copy()
    mosaic[0::2, 0::2], mosaic[1::2, 1::2] = light[0::2, 0::2, 0], light[1::2, 1::2, 2]
    height, width = mosaic.shape
    srgb = (32404, -15371, -4985, -9692, 18760, 415, 556, -2040, 10572)  # of XYZ, in ten thousandths
    first: dict[int, tuple[int, Any]] = {
        0x00FE: (_LONG, (0,)), 0x0100: (_LONG, (width,)), 0x0101: (_LONG, (height,)), 0x0102: (_SHORT, (16,)),
        0x0103: (_SHORT, (1,)), 0x0106: (_SHORT, (32803,)), 0x010F: (_ASCII, "Maker"), 0x0110: (_ASCII, "Body II"),
        0x0112: (_SHORT, (1,)), 0x0115: (_SHORT, (1,)), 0x0116: (_LONG, (height,)),
        0x0117: (_LONG, (mosaic.nbytes,)), 0x011C: (_SHORT, (1,)), 0x828D: (_SHORT, (2, 2)),
        0x828E: (_BYTE, (0, 1, 1, 2)), 0xC612: (_BYTE, (1, 4, 0, 0)), 0xC614: (_ASCII, "Maker Body II"),
        0xC61D: (_LONG, (4095,)), 0xC621: (_SIGNED, tuple(n for value in srgb for n in (value, 10_000))),
        0xC628: (_RATIONAL, (1, 1, 1, 1, 1, 1)), 0xC65A: (_SHORT, (21,)),
    }  # fmt: skip
    return tiff(first, exif_tags(shot), mosaic.tobytes())


def tiff(first: dict[int, tuple[int, Any]], exif: dict[int, tuple[int, Any]], pixels: bytes = b"") -> bytes:
    """Return a TIFF of one directory, its EXIF directory, and pixels in one strip."""
    first = first | {0x8769: (_LONG, (0,))} | ({0x0111: (_LONG, (0,))} if pixels else {})
    exif_at = 8 + len(_directory(first, 8))
    end = exif_at + len(_directory(exif, exif_at))
    first[0x8769] = (_LONG, (exif_at,))
    if pixels:
        first[0x0111] = (_LONG, (end,))
    return struct.pack("<2sHI", b"II", 42, 8) + _directory(first, 8) + _directory(exif, exif_at) + pixels


def _directory(tags: dict[int, tuple[int, Any]], at: int) -> bytes:
    entries, rest = b"", b""
    rest_at = at + 2 + 12 * len(tags) + 4
    for tag, (kind, value) in sorted(tags.items()):
        data = value.encode() + b"\0" if kind == _ASCII else struct.pack(f"<{len(value)}{_CODES[kind]}", *value)
        count = len(data) if kind == _ASCII else len(value) // (2 if kind in (_RATIONAL, _SIGNED) else 1)
        if len(data) > 4:
            place = struct.pack("<I", rest_at + len(rest))
            rest += data + b"\0" * (len(data) % 2)
        else:
            place = data.ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, kind, count) + place
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0) + rest


if __name__ == "__main__":
    main()
