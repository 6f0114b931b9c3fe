"""Stand-ins for what is slow, hostile or rare: work for the pool, preparers that die, scorers, pictures.

Everything that crosses into a worker process stands at module top level, so that spawn can pickle it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file

from rali.catalog.records import Outcome
from rali.errors import FailureKind
from rali.model.bundle import BundleInfo, write_bundle
from rali.model.preprocess import Preprocessing
from rali.model.scorer import Scores
from rali.photos.decode import FileState
from rali.photos.exif import Shot
from rali.photos.photo import Photo
from rali.photos.sniff import Format
from rali.prepare import Content, Failure, Prepared, Preparer

# --- pictures ----------


def write_jpeg(path: Path, seed: int = 0, *, size: tuple[int, int] = (64, 48), quality: int = 90) -> Path:
    """Write a textured picture; each seed is another picture."""
    width, height = size
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC), dtype=np.int16)
    grain = random.integers(-20, 21, (height, width, 3), dtype=np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(path, "JPEG", quality=quality)
    return path


def write_black(path: Path) -> Path:
    """Write a picture without any light in it: the one that :class:`DarkIsNotANumber` stumbles over."""
    Image.new("RGB", (64, 48)).save(path, "JPEG")
    return path


def photo_at(path: Path) -> Photo:
    """Describe a file as a scan would."""
    info = path.stat()
    return Photo(os.fspath(path), info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns)


# --- outcomes without files ----------

FORMAT = next(iter(Format))


def photo(file: str, *, inode: int = 0, mtime_ns: int = 1, companions: tuple[str, ...] = ()) -> Photo:
    """Describe a file that is nowhere."""
    return Photo(file, 1, inode or abs(hash(file)) % 10**9, 100, mtime_ns, companions)


def prepared(photo: Photo, content: str, *, captured_at: str | None = None, difference_hash: int = 7) -> Prepared:
    """Make what a worker gives for ``photo``."""
    state = FileState(photo.device, photo.inode, photo.size_bytes, photo.mtime_ns)
    shot = Shot(orientation=1, captured_at=captured_at, camera="Canon EOS 7D")
    return Prepared(state, Content(os.fsencode(content).ljust(16, b"."), FORMAT, 40, 30, shot, difference_hash))


def scored(file: str, score: float, *, content: str | None = None, **more: Any) -> Outcome:
    """Make the outcome of a photo that got a score; its content is its name if nothing else is said."""
    captured_at, vector = more.pop("captured_at", None), more.pop("vector", [score, 1.0])
    taken = photo(file, **more)
    embedding = np.array(vector, dtype="<f2").tobytes()
    return Outcome(taken, prepared(taken, content or file, captured_at=captured_at), score, embedding)


def failed(file: str, kind: FailureKind = FailureKind.CORRUPT, **more: Any) -> Outcome:
    """Make the outcome of a photo that failed."""
    return Outcome(photo(file, **more), failure=Failure(kind, "it is broken"))


# --- models ----------

TINY_ARCHITECTURE = {
    "encoder": {"kind": "efficientnet-lite", "stem_channels": 8, "stages": [[3, 1, 1, 8, 1], [3, 2, 2, 12, 1]]},
    "head": {"components": 6, "prototypes": 5},
}
TINY_COMPONENTS = 6

# Which way an embedding of the tiny model points for each of its words: the first numbers of six.
TINY_WORDS = {
    ("motion blur, strong", "motion blur"): (1.0, 0.0, 0.0, 0.0),
    ("motion blur, slight", "motion blur"): (0.9, 0.4, 0.0, 0.0),
    ("underexposed", "exposure"): (0.0, 0.0, 2.0, 0.0),
    ("nothing is wrong", "fine"): (0.0, 0.0, 0.0, 1.0),
}


def tiny_words() -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    """Make what a bundle with words has more than another: in the header, and tensors."""
    described = [{"text": text, "family": family} for text, family in TINY_WORDS]
    projection = np.eye(4, TINY_COMPONENTS, dtype=np.float32)
    vectors = np.array(list(TINY_WORDS.values()), dtype=np.float32)
    header = {"words": {"descriptions": described, "least_margin": 0.1}}
    return header, {"words.projection": projection, "words.vectors": vectors}


def write_tiny_bundle(
    path: Path,
    *,
    seed: int = 0,
    name: str = "tiny",
    score: float | None = None,
    words: bool = False,
    architecture: dict[str, Any] = TINY_ARCHITECTURE,
) -> BundleInfo:
    """Write a whole bundle of a few kilobytes with random weights, or one that always gives ``score``."""
    import torch

    from rali.model.network import build_model

    model = build_model(architecture)
    generator = torch.Generator().manual_seed(seed)
    tensors = {key: torch.randn(value.shape, generator=generator) * 0.3 for key, value in model.state_dict().items()}
    tensors["head.pca_scale"] = torch.ones_like(tensors["head.pca_scale"])
    tensors["head.logit_scale"] = torch.tensor(8.0)
    tensors["head.proto_scores"] = torch.linspace(5, 95, 5) if score is None else torch.full((5,), score)
    header = {
        "name": name,
        "title": "a tiny model for tests",
        "architecture": architecture,
        "preprocessing": Preprocessing(32, 32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)).to_json(),
        "score_low": 0.0,
        "score_high": 100.0,
        "score_meaning": "nothing at all",
        "licence": "CC0",
        "source": "random numbers",
        "training_data": "none",
        "golden_scores": [50.0] * 16,
    }
    if words:
        described, word_tensors = tiny_words()
        header |= described
        tensors |= {key: torch.from_numpy(value) for key, value in word_tensors.items()}
    return write_bundle(path, tensors, header)


def write_changed(
    source: Path, target: Path, change: Callable[[dict[str, Any], dict[str, NDArray[Any]]], object]
) -> Path:
    """Write a bundle again, whose header and tensors ``change`` has changed in place; its hash is left as it was."""
    with safe_open(source, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
        header = json.loads(file.metadata()["rali"])
    change(header, tensors)
    save_file(tensors, target, metadata={"rali": json.dumps(header)})
    return target


class BrightnessScorer:
    """Scores a picture by its mean brightness, without a model; takes Scorer's place in the pipeline."""

    def __init__(self, info: BundleInfo, *_: object, **__: object) -> None:
        self.info = info
        self.device = "cpu"
        self.batch_size = 2

    def score(self, pixels: NDArray[np.uint8]) -> Scores:
        """Score uint8 [B, H, W, 3]."""
        brightness = pixels.mean(axis=(1, 2, 3)) / 2.55
        return Scores(brightness, np.repeat(brightness[:, None], TINY_COMPONENTS, axis=1).astype(np.float16))


class DarkIsNotANumber(BrightnessScorer):
    """Gives NaN for pictures that are black."""

    def score(self, pixels: NDArray[np.uint8]) -> Scores:
        """Score uint8 [B, H, W, 3]."""
        found = super().score(pixels)
        found.scores[found.scores < 5] = np.nan
        return found


# --- workers ----------


def misbehave(task: str) -> None:
    """Do to this process what the task's name says."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    name = os.path.basename(task)
    if name.startswith("abort"):
        os.abort()
    if name.startswith("exit"):
        os._exit(7)
    if name.startswith("hang"):
        time.sleep(60)
    if name.startswith("slow"):
        time.sleep(0.4)
    if name.startswith("raise"):
        raise RuntimeError("a mistake in the decoder")


@dataclass(frozen=True)
class ShoutingWork:
    """Returns the task in capitals and writes its length into the buffer, unless the task's name means trouble."""

    result_bytes: int = 8

    def start(self) -> None:
        """Do nothing."""

    def __call__(self, task: str, buffer: memoryview) -> Any:
        """Do one task."""
        misbehave(task)
        buffer[:] = bytes([len(task)] * self.result_bytes)
        return task.upper()


@dataclass(frozen=True)
class StillbornWork(ShoutingWork):
    """Cannot even start."""

    def start(self) -> None:
        """Die."""
        os._exit(9)


class HostilePreparer(Preparer):
    """The real preparer, but a file's name can make the process abort or hang, as a bad decoder would."""

    def __call__(self, file: str, buffer: memoryview) -> Prepared | Failure:
        """Prepare ``file``."""
        misbehave(file)
        return super().__call__(file, buffer)


class DenyingPreparer(Preparer):
    """The real preparer, but files named ``denied*`` cannot be opened, as on a share that is away."""

    def __call__(self, file: str, buffer: memoryview) -> Prepared | Failure:
        """Prepare ``file``."""
        if os.path.basename(file).startswith("denied"):
            return Failure(FailureKind.UNREADABLE, "Stale file handle")
        return super().__call__(file, buffer)
