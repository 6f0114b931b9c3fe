"""Lists of images with people's scores, and what a model says of the same images; :mod:`rali.agreement` compares."""

from __future__ import annotations

import json
import math
import os
import posixpath
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rali.agreement import require_enough
from rali.catalog.catalog import Catalog
from rali.catalog.records import PhotoRecord, Scoring
from rali.config import Settings
from rali.errors import EvaluationError, FailureKind, PathError
from rali.photos.photo import display_path
from rali.pipeline import Progress, Run, score_photos
from rali.prepare import Failure


@dataclass(frozen=True)
class LabelledImage:
    """An image with people's mean opinion score.

    Attributes:
        image: its name in the list.
        gt_score: the mean opinion score, on whatever scale the data set has.
        file: where it lies, absolute and free of links; two names of one file have the same.
    """

    image: str
    gt_score: float
    file: str


@dataclass(frozen=True)
class Labels:
    """What the lists say: the images that are there, and the names of those that are not."""

    images: Sequence[LabelledImage]
    missing: Sequence[str]


@dataclass(frozen=True)
class Predictions:
    """What a model says of labelled images.

    Attributes:
        scored: images with their scores, in the order of the lists.
        failed: images that have no score, with the reason.
        run: how the scores were made; if it was interrupted, some images are in neither list.
    """

    scored: Sequence[tuple[LabelledImage, float]]
    failed: Sequence[tuple[LabelledImage, Failure]]
    run: Run

    @property
    def scoring(self) -> Scoring:
        """What the scores were made by."""
        return self.run.scoring


# --- what people said ----------------------------------------------------------------------------------------------


def read_labels(metas: Sequence[Path], root: Path) -> Labels:
    """Read lists in the Data-DeQA-Score format and look the images up below ``root``.

    An image that is listed again with the same score counts once. Names may be absolute, or lead out of ``root``.

    Raises:
        PathError: ``root`` is no folder.
        EvaluationError: a list cannot be read or does not have the format, or two entries contradict each other.
    """
    folder = os.path.expanduser(root)
    if not os.path.isdir(folder):
        raise PathError(f"--root {display_path(folder)} is no folder: give the one that the lists' names start from")
    listed: dict[str, tuple[str, float, Path]] = {}
    for meta in metas:
        for image, gt_score in _entries(meta):
            _, earlier, where = listed.setdefault(posixpath.normpath(image), (image, gt_score, meta))
            if earlier != gt_score:
                raise EvaluationError(
                    f"{display_path(image)} has gt_score {earlier:g} in {display_path(where)} and {gt_score:g} in "
                    f"{display_path(meta)}: remove one of them"
                )
    images: list[LabelledImage] = []
    missing: list[str] = []
    files: dict[tuple[int, int], str] = {}
    for image, gt_score, _ in listed.values():
        try:
            file = os.path.realpath(os.path.join(folder, image))
            info = os.stat(file)
        except (OSError, ValueError):  # ValueError: a NUL, or half a surrogate pair; no file has such a name
            missing.append(image)
            continue
        if stat.S_ISREG(info.st_mode):
            # A scan takes a file with several hard links once, so here it has one name too.
            images.append(LabelledImage(image, gt_score, files.setdefault((info.st_dev, info.st_ino), file)))
        else:
            missing.append(image)
    return Labels(images, missing)


def _entries(meta: Path) -> Iterator[tuple[str, float]]:
    """Yield image and gt_score of each entry of one list."""
    shown = display_path(meta)
    try:
        entries = json.loads(Path(meta).expanduser().read_bytes())
    except OSError as error:
        raise EvaluationError(f"{shown}: {error.strerror or error}. Check the spelling") from error
    except (ValueError, RecursionError) as error:
        raise EvaluationError(f"{shown} is not JSON ({error}): give a list in the Data-DeQA-Score format") from error
    if not isinstance(entries, list):
        raise EvaluationError(f"{shown} holds no list: give a JSON list of entries with image and gt_score")
    if not entries:
        raise EvaluationError(f"{shown} is an empty list: there is nothing to evaluate")
    for number, entry in enumerate(entries, start=1):
        where = f"{shown}, entry {number} of {len(entries)}"
        if not isinstance(entry, dict):
            raise EvaluationError(f"{where} is no object with image and gt_score")
        image = entry.get("image", entry.get("img_path"))
        if not isinstance(image, str) or not image:
            raise EvaluationError(f"{where} names no image: it needs a text under image or img_path")
        if "gt_score" not in entry:
            raise EvaluationError(f"{where} ({display_path(image)}) has no gt_score")
        yield image, _checked_score(entry["gt_score"], f"{where} ({display_path(image)})")


def _checked_score(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EvaluationError(f"{where} has a gt_score that is no number: {json.dumps(value)[:40]}")
    with suppress(OverflowError):  # an integer beyond the floats
        if math.isfinite(value):
            return float(value)
    raise EvaluationError(f"{where} has a gt_score that is not finite")


# --- what the model says -------------------------------------------------------------------------------------------


def predict(
    labels: Labels,
    catalog: Catalog,
    settings: Settings,
    *,
    on_progress: Callable[[Progress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Predictions:
    """Score the images that have no score yet, each file by itself, and return the scores of all.

    Raises:
        EvaluationError: too few images are there.
        RaliError: see :func:`rali.pipeline.score_photos`.
    """
    readable = {image.file for image in labels.images if os.access(image.file, os.R_OK)}
    require_enough(len([image for image in labels.images if image.file in readable]))
    files = list(dict.fromkeys(image.file for image in labels.images if image.file in readable))
    run = score_photos(files, catalog, replace(settings, pairs="each"), on_progress=on_progress, stop=stop)
    ids = {file: photo_id for file in files if (photo_id := catalog.find(file)) is not None}
    records = {record.photo_id: record for record in catalog.records(ids.values(), run.scoring)}
    scored: list[tuple[LabelledImage, float]] = []
    failed: list[tuple[LabelledImage, Failure]] = []
    for image in labels.images:
        record = records.get(ids.get(image.file, -1))
        if image.file not in readable:
            failed.append((image, Failure(FailureKind.UNREADABLE, "permission denied")))
        elif record is not None and record.score is not None:
            scored.append((image, record.score))
        elif not run.interrupted:
            failed.append((image, _failure(record)))
    return Predictions(scored, failed, run)


def _failure(record: PhotoRecord | None) -> Failure:
    if record is None or record.failure_kind is None:  # removed between two looks at it
        return Failure(FailureKind.VANISHED, "it was there, and then could not be scored")
    return Failure(record.failure_kind, record.failure_message or "")
