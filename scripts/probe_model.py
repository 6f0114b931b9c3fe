"""Measure how a model behaves: that it agrees with people, that worse scores lower, and that trifles change nothing.

    python scripts/probe_model.py --photos ../shared/photos --iqa ../shared/iqa
    python scripts/probe_model.py --model MINE.safetensors --photos PHOTOS --iqa IQA --json figures.json

PHOTOS holds photos, or the folders kodak/ and cameras/ of photos; IQA holds val.json, photos with people's scores. All
figures are in points of a scale of 0 to 100 or in per cent. Seeded. About five minutes on two cores for mini.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from probe_tools import Figure, Model, Photo, Points, Rated, photos_in, rated_photos, smaller, subject_of
from rali.agreement import Estimate, measure
from rali.model.engines.openvino_library import openvino_version
from rali.model.registry import find_model
from rali.model.scorer import Scorer
from rali.model.words import FINE, Words, read_words
from rali.training.colour import Pixels, as_floats, as_pixels, to_linear, to_srgb
from rali.training.distortions import KINDS, distort, family_of
from rali.training.faults import add_noise, blur, compress, expose, moved

SEED = 2510
WORKING_PX = 768  # short edge of what is ruined step by step: a camera's full size takes minutes and says the same
LARGE_PX, LARGE_EDGES = 6_000_000, 3  # halved: photos of 6 MP, and those of three times the model's picture at least
NAMED = 3  # how many of the worst are named

# Strengths of steps 1 to 4; step 0 is the photo. Blur and noise are as they are in the model's input: ``ratio`` is how
# many of the photo's pixels make one of those, along an edge.
Ruin = Callable[[Pixels, float, float], Pixels]
STEPS: Mapping[str, tuple[Ruin, tuple[float, ...]]] = {
    "blur": (lambda picture, sigma, ratio: blur(picture, sigma * ratio), (1, 2, 4, 8)),
    "noise": (
        lambda picture, sigma, ratio: add_noise(picture, sigma * ratio, np.random.default_rng(SEED)),
        (5, 10, 20, 40),
    ),
    "compression": (lambda picture, quality, _: compress(picture, int(quality)), (50, 25, 12, 6)),
    "underexposure": (lambda picture, stops, _: expose(picture, -stops), (1, 2, 3, 4)),
    "overexposure": (lambda picture, stops, _: expose(picture, stops), (1, 2, 3, 4)),
}
SHIFTS = (0.25, 0.5, 0.75)  # pixels of the model's input, on both axes
BLANKS = {
    "black": (0, 0, 0),
    "dark grey": (64, 64, 64),
    "grey": (128, 128, 128),
    "white": (255, 255, 255),
    "red": (200, 30, 30),
    "green": (40, 120, 50),
    "blue": (30, 50, 160),
    "sky": (135, 190, 235),
    "skin": (225, 180, 150),
}
BLANK_GRAINS = (0, 1, 3)  # deviation of the noise, grey levels
SURROUNDINGS_SIGMA, SURROUNDINGS_STOPS = 4.0, 3.0
LEVEL_VIEW_PX, LEVELS, DRAWS = 512, (3, 4, 5), 4  # KADID's levels are those of pictures of about that size


# --- the figures ------------------------------------------------------------------------------------------------------


def accuracy(rated: Rated) -> Iterator[Figure]:
    """Compare with people's scores; then by tenths of the model's scores, what people say of the photos in each."""
    found, count = measure(list(rated.human), list(rated.predicted)), len(rated.human)

    def interval(of: Estimate) -> str:
        return "" if of.low is None else f"95 % of resamples {of.low:.3f} to {of.high:.3f}"

    yield Figure("accuracy", "SRCC", found.srcc.value, count, note=interval(found.srcc))
    yield Figure("accuracy", "PLCC", found.plcc.value, count, note=interval(found.plcc))
    yield Figure("accuracy", "RMSE", float(np.sqrt(np.mean((rated.predicted - rated.human) ** 2))), count)
    for tenth in np.array_split(np.argsort(rated.predicted, kind="stable"), min(10, count)):
        name = f"people's mean where predicted {rated.predicted[tenth].mean():.1f}"
        yield Figure("accuracy", name, float(rated.human[tenth].mean()), len(tenth))


def monotone(model: Model, photos: Iterable[Photo]) -> Iterator[Figure]:
    """Ruin photos step by step and count the steps in which the score falls."""
    names: list[str] = []
    rises: list[Points] = []
    for name, picture in photos:
        original = smaller(picture, WORKING_PX)
        ratio = min(original.shape[:2]) / model.edge_px
        ruined = [ruin(original, by, ratio) for ruin, strengths in STEPS.values() for by in strengths]
        first, *rest = model.score([original, *ruined])
        names.append(name)
        rises.append(np.diff(np.reshape(rest, (len(STEPS), -1)), prepend=first))  # [faults, 4]
    table = np.stack(rises)  # [photos, faults, 4]
    for at, fault in enumerate(STEPS):
        mean = " ".join(f"{rise:+.1f}" for rise in table[:, at].mean(axis=0))
        note = f"mean steps {mean}; {_wrong(names, table[:, at])}"
        yield Figure("monotone", f"{fault}, % falls", _share(table[:, at] < 0), table[:, at].size, 97, note=note)
    note = f"{len(names)} photos; {_wrong(names, table, 2 * NAMED)}"
    yield Figure("monotone", "all faults, % falls", _share(table < 0), table.size, 97, note=note)


def _wrong(names: Sequence[str], rises: Points, most: int = NAMED) -> str:
    """Name the photos with the most steps in which the score does not fall."""
    counted = Counter({name: int((of >= 0).sum()) for name, of in zip(names, rises, strict=True)})
    return "not in " + (", ".join(f"{name} {count}" for name, count in counted.most_common(most) if count) or "none")


def blank_frames(model: Model, rated: Rated) -> Iterator[Figure]:
    """Score frames with nothing on them: how many of the photos that people rated score lower, in per cent."""
    rng, shape = np.random.default_rng(SEED), (model.edge_px, model.edge_px * 3 // 2, 3)
    for grain in BLANK_GRAINS:
        frames = [np.rint(colour + rng.normal(0, grain, shape)).clip(0, 255) for colour in BLANKS.values()]
        scores = model.score(frame.astype(np.uint8) for frame in frames)  # [colours]
        below = 100 * (rated.predicted < scores[:, None]).mean(axis=1)  # [colours]
        ranked = sorted(zip(below, scores, BLANKS, strict=True), reverse=True)
        note = ", ".join(f"{name} {share:.0f} (scores {score:.1f})" for share, score, name in ranked[:NAMED])
        name = f"highest percentile, noise {grain}"
        yield Figure("blank frames", name, float(below.max()), len(frames), most=5, note=note)


def robust(model: Model, photos: Iterable[Photo]) -> Iterator[Figure]:
    """Change photos in ways that nobody sees and measure by how much the score changes."""
    changes: list[tuple[str, float, str]] = []
    for name, picture in photos:
        edge_px, working = min(picture.shape[:2]), smaller(picture, WORKING_PX)
        ratio = min(working.shape[:2]) / model.edge_px
        pairs = [("moved by 1/4 to 3/4 of a pixel", working, moved(working, shift * ratio)) for shift in SHIFTS]
        pairs.append(("saved again at quality 95", picture, compress(picture, 95)))
        if edge_px >= LARGE_EDGES * model.edge_px:
            pairs.append((f"halved from {LARGE_EDGES * model.edge_px} px up", picture, smaller(picture, edge_px / 2)))
            if picture.size // 3 >= LARGE_PX:
                pairs.append(("halved from 6 MP up", *pairs[-1][1:]))
        before_working, before = model.score([working, picture])
        after = model.score(changed for _, _, changed in pairs)
        for (trifle, start, _), score in zip(pairs, after, strict=True):
            changes.append((trifle, float(score - (before_working if start is working else before)), name))
    ranked = sorted(changes, key=lambda change: (change[0], -abs(change[1])))
    for trifle, group in groupby(ranked, key=lambda change: change[0]):
        cases = list(group)
        sizes = np.abs([change for _, change, _ in cases])
        note = ", ".join(f"{name} {change:+.1f}" for _, change, name in cases[:NAMED])
        yield Figure("robust", f"{trifle}: 95 %", float(np.percentile(sizes, 95)), len(cases), most=3)
        yield Figure("robust", f"{trifle}: largest", float(sizes.max()), len(cases), most=3, note=note)


def spared(model: Model, rated: Rated) -> Iterator[Figure]:
    """Do on purpose, to good photos' surroundings, what would be a fault in the whole photo; then take colour away."""
    good = rated.best(0.25)
    before = model.score(good)

    def change(ruin: Callable[[Pixels], Pixels]) -> float:
        return float((model.score(ruin(picture) for picture in good) - before).mean())

    def blurred(picture: Pixels) -> Pixels:
        return blur(picture, SURROUNDINGS_SIGMA * min(picture.shape[:2]) / model.edge_px)

    def bokeh(picture: Pixels) -> Pixels:
        subject, sharp = subject_of(picture), as_floats(picture)
        return as_pixels(sharp * subject + as_floats(blurred(picture)) * (1 - subject))

    def low_key(picture: Pixels) -> Pixels:
        return to_srgb(to_linear(picture) * np.float32(2.0) ** (SURROUNDINGS_STOPS * (subject_of(picture) - 1)))

    def grey(picture: Pixels) -> Pixels:
        return np.asarray(Image.fromarray(picture).convert("L").convert("RGB"))

    all_blurred, all_dark = change(blurred), change(lambda picture: expose(picture, -SURROUNDINGS_STOPS))
    for name, ruin, whole, word in (
        ("bokeh", bokeh, all_blurred, "blurred"),
        ("low key", low_key, all_dark, "darkened"),
    ):
        note = f"the goal is the change where the whole photo is {word} alike"
        yield Figure("spared", f"{name}, mean change", change(ruin), len(good), whole, note=note)
    yield Figure("spared", "black and white, mean change", change(grey), len(good))


def why(model: Model, words: Words, rated: Rated) -> Iterator[Figure]:
    """Ruin photos in ways that have a name, and count how often the model says that name; then look at real faults."""
    rng = np.random.default_rng(SEED)
    levels = {kind: [level for level in LEVELS if family_of(kind, level)] for kind in KINDS}
    named = [kind for kind in KINDS if levels[kind]]
    families, pictures = [], []
    for picture in rated.best(0.5) * DRAWS:
        kind = named[int(rng.integers(len(named)))]
        level = levels[kind][int(rng.integers(len(levels[kind])))]
        families.append(str(family_of(kind, level)))
        pictures.append(distort(smaller(picture, LEVEL_VIEW_PX), kind, level, rng))
    ruined = model.run(pictures)
    faults = [at for at, family in enumerate(words.families) if family != FINE]
    forced = replace(
        words,
        texts=[words.texts[at] for at in faults],
        families=[words.families[at] for at in faults],
        vectors=words.vectors[faults],
        least_margin=[(0.0, 0.0)],
    )
    said, made_to_say = (
        np.array([each.family if each else "" for each in model.describe(ruined, by)]) for by in (words, forced)
    )
    actual = np.array(families)
    yield Figure("why", "% right, where something is said", *_right(said, actual, said != ""), 70)
    yield Figure("why", "% of which something is said", _share(said != ""), len(actual))
    yield Figure("why", "% right, if it must name a fault", _share(made_to_say == actual), len(actual))
    for family in sorted(set(families)):
        of = actual == family
        instead = Counter(str(name) for name in said[of & (said != "") & (said != actual)]).most_common(2)
        note = f"said of {(said[of] != '').sum()} of {of.sum()}; {_share(made_to_say[of] == family):.0f} if it must"
        note += "".join(f"; {name} {count}" for name, count in instead)
        yield Figure("why", f"{family}: % right", *_right(said, actual, of & (said != "")), note=note)
    for which, photos in (("best", rated.best(0.25)), ("worst", rated.worst(0.25))):
        told = Counter(each.family for each in model.describe(model.run(photos), words) if each)
        note = ", ".join(f"{name} {count}" for name, count in told.most_common())
        share = 100 * told.total() / len(photos)
        yield Figure("why", f"% of the {which} photos with a fault named", share, len(photos), note=note)


def _right(said: NDArray[np.str_], actual: NDArray[np.str_], of: NDArray[np.bool_]) -> tuple[float | None, int]:
    return (_share((said == actual)[of]) if of.any() else None), int(of.sum())


def _share(true: NDArray[np.bool_]) -> float:
    """Return how many of ``true`` hold, in per cent."""
    return 100 * float(true.mean())


def main() -> None:
    """Measure one model, print and store what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini", help="name of a model, or path of a bundle")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos to change")
    parser.add_argument("--iqa", type=Path, required=True, help="folder with val.json")
    parser.add_argument("--json", type=Path, help="store the figures here as well")
    options = parser.parse_args()
    torch.set_num_threads(2)
    info = find_model(options.model)
    # OpenVINO's float32 is torch's within 1e-5 points, in a third of the time.
    scorer = Scorer(info, engine="openvino" if openvino_version() else "torch", device="cpu")
    model = Model(scorer, read_words(info))
    print(f"{info.name} {info.model_id}, points of 0 to 100\n  {'':42} {'value':>7} {'goal':>8} {'':4} cases")
    rated = rated_photos(model, options.iqa)
    figures: list[Figure] = []
    parts: list[Callable[[], Iterator[Figure]]] = [
        lambda: accuracy(rated),
        lambda: monotone(model, photos_in(model, options.photos)),
        lambda: blank_frames(model, rated),
        lambda: robust(model, photos_in(model, options.photos)),
        lambda: spared(model, rated),
    ]
    words = model.words
    if words is not None:
        parts.append(lambda: why(model, words, rated))
    for part in parts:
        found = list(part())
        print(found[0].part, *(figure.line() for figure in found), sep="\n", flush=True)
        figures += found
    if options.json:
        told = {"model": info.name, "model_id": info.model_id}
        entries = [asdict(figure) | {"passed": figure.passed} for figure in figures]
        options.json.write_text(json.dumps({**told, "figures": entries}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
