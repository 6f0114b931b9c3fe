"""Sets of rated photos, made in code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from pictures import scene
from PIL import Image

from rali.model.bundle import BundleInfo
from rali.model.scorer import Scorer
from rali.training.faults import blur
from rali.training.rated import HELD_OUT, drawn_out

COUNT = 40
ENDS = (1.0, 5.0)


def write_rated(folder: Path, count: int = COUNT, *, noise: float = 0.0, seed: int = 0) -> Path:
    """Write blurred scenes, and the list of their scores, 1 to 5, the worse the more blurred; return the list."""
    rng = np.random.default_rng(seed)
    entries = []
    (folder / "images").mkdir(parents=True)
    for number in range(count):
        score = ENDS[0] + (ENDS[1] - ENDS[0]) * number / (count - 1)
        picture = blur(scene(72, 56, seed=number % 3), 0.6 * (ENDS[1] - score + 0.02))
        Image.fromarray(picture).save(folder / "images" / f"{number}.png")
        given = float(np.clip(score + noise * rng.standard_normal(), *ENDS))
        entries.append({"image": f"images/{number}.png", "gt_score": round(given, 3)})
    meta = folder / "meta.json"
    meta.write_text(json.dumps(entries))
    return meta


def write_misleading(folder: Path, info: BundleInfo, *, seed: int = 0) -> Path:
    """Write a set whose held-out photos people rank just as ``info`` does, and all others the other way round."""
    meta = write_rated(folder)
    images = [entry["image"] for entry in json.loads(meta.read_text())]
    seen = [info.preprocessing.crop(info.preprocessing.resize(Image.open(folder / image))) for image in images]
    upwards = [images[at] for at in np.argsort(Scorer(info, device="cpu").score(np.stack(seen)).scores)]
    scores = np.linspace(*ENDS, COUNT)
    held_out = drawn_out(scores, HELD_OUT, seed=seed)
    shown, learnt = upwards[2::5], [image for image in reversed(upwards) if image not in upwards[2::5]]
    named = {
        at: image
        for places, names in ((held_out, shown), (~held_out, learnt))
        for at, image in zip(np.flatnonzero(places), names, strict=True)
    }
    meta.write_text(json.dumps([{"image": named[at], "gt_score": score} for at, score in enumerate(scores)]))
    return meta
