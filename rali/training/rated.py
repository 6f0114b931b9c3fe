"""Photos that people have rated, and the views of them that a model learns from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rali.batches import lost_photo
from rali.config import Recipe, Settings
from rali.errors import EvaluationError, FailureKind, PhotoError
from rali.evaluate import Labels
from rali.model.preprocess import Preprocessing
from rali.photos.fingerprint import content_hash
from rali.photos.photo import display_path
from rali.prepare import Failure, Preparer, decode_for
from rali.workers import WorkerLost, WorkerPool, default_workers

FEWEST_PHOTOS = 30
HELD_OUT = 0.2
# A change of anything here that changes a view needs a new number: what is remembered of views goes by it.
VIEWS_VERSION = 1
_READ_BYTES = 1 << 20

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class View:
    """One way to look at a photo.

    Attributes:
        square: which of the photo's squares: 0 is all of it as the model sees it, the others are crops.
        mirrored: left for right.
        weight: in the loss. A crop may miss what the photo was rated for.
    """

    square: int
    mirrored: bool
    weight: float


# The first is the photo as it is scored.
VIEWS = (View(0, False, 1.0), View(0, True, 1.0), View(1, False, 0.5), View(2, True, 0.5))
SQUARES = 3
_SMALLEST_CROP = 0.8  # of the short edge


@dataclass(frozen=True)
class RatedPhoto:
    """A photo with people's score.

    Attributes:
        image: its name in the list.
        file: where it lies.
        score: on the lists' scale; the mean, where copies of it are rated too.
        key: of its content, 16 bytes.
    """

    image: str
    file: str
    score: float
    key: bytes


@dataclass(frozen=True)
class Rated:
    """What there is to learn from.

    Attributes:
        photos: each content once.
        failed: names of photos that cannot be read, with the reason.
        copies: how many more names or files with the same content were listed.
    """

    photos: Sequence[RatedPhoto]
    failed: Sequence[tuple[str, Failure]]
    copies: int


def rated_photos(labels: Labels) -> Rated:
    """Read the listed photos' bytes and tell them apart by content, so that no copy of one is learnt and tested on."""
    found: dict[bytes, list[RatedPhoto]] = {}
    failed: list[tuple[str, Failure]] = []
    for listed in labels.images:
        try:
            key = key_of(listed.file)
        except OSError as error:
            failed.append((listed.image, Failure(FailureKind.UNREADABLE, error.strerror or str(error))))
            continue
        found.setdefault(key, []).append(RatedPhoto(listed.image, listed.file, listed.gt_score, key))
    photos = [
        RatedPhoto(copies[0].image, copies[0].file, float(np.mean([copy.score for copy in copies])), key)
        for key, copies in found.items()
    ]
    return Rated(photos, failed, sum(len(copies) - 1 for copies in found.values()))


def key_of(file: str) -> bytes:
    """Hash a file's bytes: 16 bytes.

    Raises:
        OSError: it cannot be read.
    """
    with open(file, "rb") as stream:
        return content_hash(iter(lambda: stream.read(_READ_BYTES), b""))


def require_rated(photos: Sequence[RatedPhoto]) -> None:
    """Check that there is enough to learn from.

    Raises:
        EvaluationError: there is not.
    """
    if len(photos) < FEWEST_PHOTOS:
        raise EvaluationError(
            f"{len(photos):,} photo{'' if len(photos) == 1 else 's'} to learn from: training needs at least "
            f"{FEWEST_PHOTOS} that can be read and are not copies of each other, and gets good from a few hundred on"
        )
    if len({photo.score for photo in photos}) < 3:
        scores = sorted({photo.score for photo in photos})
        raise EvaluationError(
            f"all {len(photos):,} photos have gt_score {' or '.join(f'{score:g}' for score in scores)}: "
            "training needs scores that differ, three of them at least"
        )


def drawn_out(scores: NDArray[np.float64], share: float, *, seed: int) -> NDArray[np.bool_]:
    """Draw ``share`` of photos with these scores [N] at random, as many good as bad ones: true for those drawn."""
    rng = np.random.default_rng(seed)
    ranked = np.lexsort((rng.random(len(scores)), scores))
    drawn = np.zeros(len(scores), dtype=bool)
    for group in np.array_split(ranked, max(1, round(len(scores) * share))):  # from each stretch of the ranking one
        drawn[rng.choice(group)] = True
    return drawn


# --- views ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ViewPreparer:
    """Decode a photo and cut its squares out: a picklable function for the worker pool.

    Which crops are taken depends on the photo's content and nothing else.
    """

    preprocessing: Preprocessing
    recipe: Recipe
    limit_px: int

    @property
    def result_bytes(self) -> int:
        """Size of the squares of one photo."""
        return SQUARES * int(np.prod(self.preprocessing.input_shape))

    def start(self) -> None:
        """Set up a worker process as for scoring."""
        Preparer(self.preprocessing, self.recipe, self.limit_px).start()

    def __call__(self, file: str, buffer: memoryview) -> bytes | Failure:
        """Write the squares of ``file``, uint8 [SQUARES, crop, crop, 3], into ``buffer``; return its key."""
        try:
            decoded = decode_for(file, self.preprocessing, self.recipe, self.limit_px)
            key = key_of(file)
            cut = squares(decoded.image, self.preprocessing, key=key)
        except PhotoError as error:
            return Failure(error.kind, error.message)
        except OSError as error:
            return Failure(FailureKind.VANISHED, error.strerror or str(error))
        except MemoryError:
            return Failure(FailureKind.TOO_LARGE, "preparing it needs more memory than a worker may take")
        np.frombuffer(buffer, dtype=np.uint8).reshape(cut.shape)[:] = cut
        return key


def squares(image: Image.Image, preprocessing: Preprocessing, *, key: bytes) -> Pixels:
    """Cut out what the model sees of a photo, then of two crops of it that ``key`` decides: uint8 [3, H, W, 3].

    Raises:
        PhotoError: the photo is too narrow to be scored.
    """
    rng = np.random.default_rng(int.from_bytes(key, "big"))
    cut = [preprocessing.crop(preprocessing.resize(image))]
    while len(cut) < SQUARES:
        side = max(1, round(min(image.size) * rng.uniform(_SMALLEST_CROP, 1.0)))
        left, top = (int(rng.integers(0, length - side + 1)) for length in image.size)
        cut.append(preprocessing.crop(preprocessing.resize(image.crop((left, top, left + side, top + side)))))
    return np.stack(cut)


def views_of(cut: Pixels) -> Pixels:
    """Arrange a photo's squares [S, H, W, 3] as :data:`VIEWS` say: [V, H, W, 3]."""
    return np.stack([cut[view.square][:, ::-1] if view.mirrored else cut[view.square] for view in VIEWS])


def read_squares(
    photos: Sequence[RatedPhoto],
    preprocessing: Preprocessing,
    settings: Settings,
    *,
    on_failure: Callable[[RatedPhoto, Failure], None],
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[bytes, Pixels]]:
    """Decode photos in processes of their own and yield key and squares [S, H, W, 3] of each, in no particular order.

    The pixels are valid until the next photo is asked for.

    Args:
        on_failure: told of each photo that cannot be used, and why.
    """
    if not photos:
        return
    by_file = {photo.file: photo for photo in photos}
    preparer = ViewPreparer(preprocessing, settings.recipe, settings.limit_px)
    workers = min(settings.workers or default_workers(), len(photos))
    with WorkerPool(preparer, workers=workers, timeout_s=settings.timeout_s) as pool:
        for file, result, buffer in pool.run(by_file, stop):
            photo = by_file[file]
            if isinstance(result, WorkerLost):
                on_failure(photo, lost_photo(result))
            elif isinstance(result, Failure):
                on_failure(photo, result)
            elif result != photo.key:
                on_failure(photo, Failure(FailureKind.CHANGED, "it changed while it was looked at"))
            else:
                shape = (SQUARES, *preprocessing.input_shape)
                yield photo.key, np.frombuffer(buffer, dtype=np.uint8).reshape(shape)


def shown(failed: Sequence[tuple[str, Failure]]) -> list[str]:
    """Put failures into words, a line each."""
    return [f"{display_path(image)} ({failure.kind}: {failure.message})" for image, failure in failed]
