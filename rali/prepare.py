"""What a decoding worker does with one file: read it once, and make of it all that is asked for later."""

from __future__ import annotations

import contextlib
import ctypes
import os
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from rali.config import Recipe
from rali.errors import FailureKind, PhotoError
from rali.model.preprocess import PREPROCESS_VERSION, Preprocessing
from rali.photos.decode import DECODE_VERSION, Decoded, FileState, decode
from rali.photos.exif import Shot
from rali.photos.fingerprint import difference_hash
from rali.photos.sniff import Format
from rali.photos.user_work import UserWork

# A fast decode's short edge is at least so many times the one that a model's picture is scaled to. With mini's 512,
# photos of 20 and 24 megapixels are decoded at a quarter of their size. Against the full decode no score of 70 in
# cameras/ moves by more than 0.7 points; at 1.5 times, by 1.7, which is too much.
FAST_OVERSAMPLING = 1.75
# The same of a RAW's embedded preview, without which it takes a demosaic.
PREVIEW_OVERSAMPLING = 2
# What a worker may take: the interpreter with its libraries, and a few copies of the largest photo allowed.
_BASE_BYTES = 2 << 30
_BYTES_PER_PIXEL = 16
_M_ARENA_MAX = -8  # glibc's malloc.h
# Where they share the cores with the model, decoders that take what it leaves make all of it a tenth faster.
_NICENESS = 10


# The engine's precision is part of a recipe as a class, not as a dtype: a catalog that moves from a desktop with a GPU
# to a laptop without one keeps its scores. "half" promises no more than what half precision keeps: 1 % of the scale.
_PRECISION_CLASS: dict[Recipe, str] = {"exact": "float32", "fast": "half"}


def recipe_id(recipe: Recipe) -> str:
    """Name what a score was made by, so that scores of different making are never mixed: ``fast-3.1-half``."""
    return f"{recipe}-{DECODE_VERSION}.{PREPROCESS_VERSION}-{_PRECISION_CLASS[recipe]}"


@dataclass(frozen=True)
class Content:
    """What is in a photo file, whatever the file's name.

    Attributes:
        hash: 16 bytes over the content, see :mod:`rali.photos.fingerprint`.
        width, height: in pixels, upright.
        difference_hash: 64 bits, unsigned.
        notes: what was odd but no failure.
        user_work: what the user decided about it in other programs, see :mod:`rali.photos.user_work`.
    """

    hash: bytes
    format: Format
    width: int
    height: int
    shot: Shot
    difference_hash: int
    notes: tuple[str, ...] = ()
    user_work: UserWork = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """A photo that is ready for the model; its pixels went into the buffer."""

    state: FileState
    content: Content


@dataclass(frozen=True)
class Failure:
    """Why a photo has no score."""

    kind: FailureKind
    message: str


def limit_process(limit_px: int) -> None:
    """Set up a process that decodes photos: our own pixel limit in place of Pillow's, and an end to its memory."""
    Image.MAX_IMAGE_PIXELS = None  # decode() refuses what is over limit_px before a pixel is decoded
    with contextlib.suppress(AttributeError, OSError, TypeError):  # glibc alone has arenas
        # The HEIC decoder's threads each fill an arena that glibc never empties: 190 MB after 20 photos, else 43.
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has no such limits
        import resource

        ceiling = _BASE_BYTES + limit_px * _BYTES_PER_PIXEL
        resource.setrlimit(resource.RLIMIT_AS, (ceiling, resource.getrlimit(resource.RLIMIT_AS)[1]))


def fast_px(preprocessing: Preprocessing) -> int:
    """Return the least short edge of a fast decode."""
    return round(FAST_OVERSAMPLING * preprocessing.resize_px)


def decode_for(file: str, preprocessing: Preprocessing, recipe: Recipe, limit_px: int) -> Decoded:
    """Decode a photo as large as a model needs it.

    Raises:
        PhotoError: see :func:`rali.photos.decode.decode`.
    """
    return decode(
        file,
        reduce_to_px=fast_px(preprocessing) if recipe == "fast" else None,
        preview_px=PREVIEW_OVERSAMPLING * preprocessing.resize_px,
        limit_px=limit_px,
        srgb=not preprocessing.as_stored,
    )


@dataclass(frozen=True)
class Preparer:
    """Decode, turn, resize, crop and hash: a picklable function for the worker pool."""

    preprocessing: Preprocessing
    recipe: Recipe
    limit_px: int
    result_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "result_bytes", int(np.prod(self.preprocessing.input_shape)))

    def start(self) -> None:
        """Set up a worker process, which lets the model go first."""
        limit_process(self.limit_px)
        with contextlib.suppress(AttributeError, OSError):  # Windows has no nice
            os.nice(_NICENESS)

    def __call__(self, file: str, buffer: memoryview) -> Prepared | Failure:
        """Prepare ``file``; write the model's input, uint8 [crop, crop, 3], into ``buffer``."""
        try:
            decoded = decode_for(file, self.preprocessing, self.recipe, self.limit_px)
            resized = self.preprocessing.resize(decoded.image)
            square = self.preprocessing.crop(resized)
        except PhotoError as error:
            return Failure(error.kind, error.message)
        except MemoryError:  # a long, narrow photo grows when it is resized
            return Failure(FailureKind.TOO_LARGE, "preparing it needs more memory than a worker may take")
        np.frombuffer(buffer, dtype=np.uint8).reshape(self.preprocessing.input_shape)[:] = square
        content = Content(
            hash=decoded.content_hash,
            format=decoded.format,
            width=decoded.width,
            height=decoded.height,
            shot=decoded.shot,
            difference_hash=difference_hash(resized),
            notes=decoded.notes,
            user_work=decoded.user_work,
        )
        return Prepared(decoded.state, content)
