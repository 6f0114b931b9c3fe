"""Our one file format for every model: safetensors with a JSON header. Nothing in it is ever executed.

The header is the string ``rali`` in the safetensors metadata, a JSON object; :class:`BundleInfo` lists its fields.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from rali.errors import DamagedModelError, ModelError
from rali.model.golden import GOLDEN_COUNT
from rali.model.preprocess import Preprocessing
from rali.photos.photo import display_path

if TYPE_CHECKING:
    from torch import Tensor

FORMAT_VERSION = 1
# What rali/model/words.py reads: no part of the network.
WORDS_TENSORS = ("words.projection", "words.vectors")
_HASH_ROOM = "?" * 64
_DTYPE_NAMES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32"}


@dataclass(frozen=True)
class BundleInfo:
    """A bundle's header.

    Attributes:
        name: what ``--model`` calls it.
        title: one line for people.
        architecture: encoder and head sizes, see :func:`rali.model.network.build_model`.
        preprocessing: what the model's input is made from.
        score_low, score_high: ends of the score's scale; higher is better.
        score_meaning: what the scale is.
        licence, source, training_data: where the weights come from and on what terms.
        golden_scores: float32 scores of :func:`rali.model.golden.golden_pixels`.
        weights_sha256: hash of the file's tensor section, 64 hex digits.
        parameters: how many numbers the tensors hold.
        precision: the encoder's dtype in the file.
        size_bytes: of the file.
    """

    name: str
    title: str
    architecture: Mapping[str, Any]
    preprocessing: Preprocessing
    score_low: float
    score_high: float
    score_meaning: str
    licence: str
    source: str
    training_data: str
    golden_scores: tuple[float, ...]
    weights_sha256: str
    parameters: int
    precision: str
    size_bytes: int
    path: Path

    @property
    def model_id(self) -> str:
        """Identity of what the model computes: 16 hex digits over weights, architecture and preprocessing."""
        described = json.dumps([self.architecture, self.preprocessing.to_json()], sort_keys=True)
        return hashlib.sha256(f"{self.weights_sha256} {described}".encode()).hexdigest()[:16]


def read_info(path: Path) -> BundleInfo:
    """Read a bundle's header without its tensors and without importing torch.

    Raises:
        DamagedModelError: the file is truncated, is no safetensors file, or its header lacks something.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
            parameters = sum(math.prod(part.get_shape()) for part in slices.values())
            dtypes = {part.get_dtype() for name, part in slices.items() if name.startswith("encoder.")}
        header = json.loads(metadata["rali"])
        if header["format_version"] != FORMAT_VERSION:
            raise DamagedModelError(
                f"{path} has bundle format {header['format_version']}; this rali reads {FORMAT_VERSION}: update it"
            )
        score_low, score_high = float(header["score_low"]), float(header["score_high"])
        architecture, golden = header["architecture"], tuple(float(score) for score in header["golden_scores"])
        preprocessing = Preprocessing.from_json(header["preprocessing"])
        if not all(isinstance(architecture[part], dict) for part in ("encoder", "head")):
            raise TypeError("its architecture names no encoder and head")
        if not isinstance(architecture["encoder"].get("kind"), str):
            raise TypeError("it does not say of what kind its encoder is")
        if architecture["encoder"].get("image_px", preprocessing.crop_px) != preprocessing.crop_px:
            raise ValueError("its pictures do not have the size that its encoder takes")
        if len(golden) not in (0, GOLDEN_COUNT):
            raise ValueError(f"it has {len(golden)} golden scores, not {GOLDEN_COUNT}")
        if not -math.inf < score_low < score_high < math.inf:
            raise ValueError(f"there is no scale from {score_low} to {score_high}")
        return BundleInfo(
            name=_printable(header["name"]),
            title=_printable(header["title"]),
            architecture=architecture,
            preprocessing=preprocessing,
            score_low=score_low,
            score_high=score_high,
            score_meaning=_printable(header["score_meaning"]),
            licence=_printable(header["licence"]),
            source=_printable(header["source"]),
            training_data=_printable(header["training_data"]),
            golden_scores=golden,
            weights_sha256=str(header["weights_sha256"]),
            parameters=parameters,
            precision=" and ".join(sorted(_DTYPE_NAMES.get(dtype, dtype) for dtype in dtypes)),
            size_bytes=path.stat().st_size,
            path=path,
        )
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise DamagedModelError(
            f"{path} is not a whole rali model bundle ({type(error).__name__}: {error}); get it again"
        ) from error


def load_tensors(info: BundleInfo) -> dict[str, Tensor]:
    """Check the file against its hash, then read the network's tensors onto the CPU.

    Raises:
        DamagedModelError: the file is not the one that the header describes.
    """
    from safetensors.torch import load_file

    if info.path.is_dir():  # a release as its authors lay it out
        from rali.model.checkpoint import read_checkpoint

        checkpoint = read_checkpoint(info.path)
        if checkpoint.info.weights_sha256 != info.weights_sha256:
            raise DamagedModelError(f"{info.path} changed while it was read; try again")
        return dict(checkpoint.tensors)
    check_weights(info)
    try:
        return {name: tensor for name, tensor in load_file(info.path).items() if name not in WORDS_TENSORS}
    except (SafetensorError, OSError) as error:
        raise DamagedModelError(f"{info.path} cannot be read ({error}); get it again") from error


def load_arrays(info: BundleInfo) -> dict[str, NDArray[Any]]:
    """Do what :func:`load_tensors` does, for NumPy, and without torch where the bundle is a file that NumPy can read.

    Raises:
        DamagedModelError: the file is not the one that the header describes.
    """
    if info.path.is_dir() or "bfloat16" in info.precision:  # NumPy has no bfloat16
        return {name: tensor.float().numpy() for name, tensor in load_tensors(info).items()}
    check_weights(info)
    try:
        with safe_open(info.path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys() if name not in WORDS_TENSORS}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DamagedModelError(f"{info.path} cannot be read ({error}); get it again") from error


def check_weights(info: BundleInfo) -> None:
    """Check a bundle's file against its hash; a release folder is checked when it is read.

    Raises:
        DamagedModelError: the file is not the one that the header describes.
    """
    if info.path.is_dir():
        return
    try:
        sound = _tensor_section_sha256(info.path) == info.weights_sha256
    except OSError as error:
        raise DamagedModelError(f"{info.path} cannot be read ({error}); get it again") from error
    if not sound:
        raise DamagedModelError(f"{info.path} has been altered: its weights do not match their hash; get it again")


def write_bundle(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> BundleInfo:
    """Write ``tensors`` with ``header`` (BundleInfo's fields but those that the file itself tells), atomically.

    Raises:
        ModelError: the file cannot be written; nothing is left of it.
        KeyError, TypeError, ValueError: the header lacks something or holds what JSON cannot.
    """
    from safetensors.torch import save_file

    # One writer, one partial file: two at once both end with a good bundle.
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    contiguous = {name: tensor.contiguous() for name, tensor in sorted(tensors.items())}
    # The header comes first in the file and holds the hash of what follows it: leave room, write, hash, fill in.
    complete = {**header, "format_version": FORMAT_VERSION, "weights_sha256": _HASH_ROOM}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(contiguous, partial, metadata={"rali": json.dumps(complete, sort_keys=True)})
        _fill_in_hash(partial, _tensor_section_sha256(partial))
        read_info(partial)
        partial.replace(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be written ({error}): free some space or choose another place") from error
    finally:
        partial.unlink(missing_ok=True)
    return read_info(path)


def _fill_in_hash(path: Path, sha256: str) -> None:
    with path.open("r+b") as file:
        (header_bytes,) = struct.unpack("<Q", file.read(8))
        at = file.read(header_bytes).index(_HASH_ROOM.encode())
        file.seek(8 + at)
        file.write(sha256.encode())
        file.flush()
        os.fsync(file.fileno())


def _printable(text: object) -> str:
    """Keep what a stranger's file says from acting on the terminal."""
    return display_path(str(text))


def _tensor_section_sha256(path: Path) -> str:
    with path.open("rb") as file:
        (header_bytes,) = struct.unpack("<Q", file.read(8))
        file.seek(8 + header_bytes)
        return hashlib.file_digest(file, "sha256").hexdigest()
