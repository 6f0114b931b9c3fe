"""What comes from the decoders, through the model in batches: one is being scored while the next one fills."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rali.catalog.catalog import Catalog
from rali.catalog.records import Outcome, Scoring
from rali.errors import FailureKind
from rali.model.scorer import Scorer, Scores
from rali.photos.photo import Photo
from rali.prepare import Failure, Prepared
from rali.workers import WorkerLost

if TYPE_CHECKING:
    from concurrent.futures import Future


def outcomes(
    results: Iterable[tuple[str, Prepared | Failure | WorkerLost, memoryview]],
    photos: dict[str, Photo],
    scorer: Scorer,
    catalog: Catalog,
    scoring: Scoring,
) -> Iterator[Outcome]:
    """Turn what comes from the workers into outcomes; a content that has no score yet goes through the model.

    The model runs on a thread of its own, so that the device works while results are taken, looked up and stored.

    Args:
        results: file, what became of it, and its pixels, which are copied before the next result is asked for.
        photos: which photo each file is; those that are answered are taken out.
    """
    from concurrent.futures import ThreadPoolExecutor  # here, because a rescan that finds nothing new comes by

    with ThreadPoolExecutor(1, "rali-score") as device:
        running: tuple[_Batch, Future[Scores]] | None = None
        filling = _Batch.for_(scorer)
        for file, result, buffer in results:
            if running is not None and running[1].done():
                yield from _scored(*running)
                running = None
            photo = photos.pop(file)
            if isinstance(result, WorkerLost):
                yield Outcome(photo, failure=lost_photo(result))
            elif isinstance(result, Failure):
                yield Outcome(photo, failure=result)
            elif catalog.score_of(result.content.hash, scoring) is not None:
                yield Outcome(photo, result)
            else:
                filling.add(photo, result, buffer)
            if len(filling.photos) >= min(len(filling.pixels), scorer.batch_size):
                if running is not None:
                    yield from _scored(*running)
                running = filling, device.submit(scorer.score, filling.taken)
                filling = _Batch.for_(scorer)
        if running is not None:
            yield from _scored(*running)
        if filling.photos:
            yield from _scored(filling, device.submit(scorer.score, filling.taken))


@dataclass
class _Batch:
    """Photos whose pixels wait for the model, uint8 [B, H, W, 3], or are in it."""

    pixels: NDArray[np.uint8]
    photos: list[tuple[Photo, Prepared]] = field(default_factory=list)

    @classmethod
    def for_(cls, scorer: Scorer) -> _Batch:
        """Make an empty one of the size that the scorer wants now: it shrinks where memory runs short."""
        return cls(np.empty((scorer.batch_size, *scorer.info.preprocessing.input_shape), dtype=np.uint8))

    def add(self, photo: Photo, prepared: Prepared, buffer: memoryview) -> None:
        self.pixels[len(self.photos)] = np.frombuffer(buffer, dtype=np.uint8).reshape(self.pixels.shape[1:])
        self.photos.append((photo, prepared))

    @property
    def taken(self) -> NDArray[np.uint8]:
        return self.pixels[: len(self.photos)]


def _scored(batch: _Batch, running: Future[Scores]) -> Iterator[Outcome]:
    """Wait for a batch and yield what came of it."""
    found = running.result()
    for (photo, prepared), score, embedding in zip(batch.photos, found.scores, found.embeddings, strict=True):
        if math.isfinite(score):
            yield Outcome(photo, prepared, float(score), embedding.astype("<f2").tobytes())
        else:
            yield Outcome(photo, prepared, failure=Failure(FailureKind.NOT_FINITE, "the model gave no finite score"))


def lost_photo(lost: WorkerLost) -> Failure:
    """Say what became of a photo whose worker was lost."""
    if lost.timed_out:
        return Failure(FailureKind.TIMED_OUT, "decoding it took too long and was stopped")
    if lost.exit_code == -signal.SIGKILL:  # nothing in a decoder sends it; the kernel does, when memory runs out
        return Failure(FailureKind.KILLED, "its worker was killed, as when memory runs out; score it again")
    return Failure(FailureKind.CRASHED, f"the decoder crashed on it (exit code {lost.exit_code})")
