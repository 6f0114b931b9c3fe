"""What a run of training leaves for the next: embeddings, views' pixels, a checkpoint, a log. All rali's own files.

Each of them is named after everything that it was made by, and checked when it is read: what another recipe or model
made, or what a kill cut short, is never taken for this run's.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rali.errors import ModelError

KEY_BYTES = 16
_CHECK_BYTES = 4


class Stopped(Exception):  # noqa: N818 (no error: the user asked for it)
    """Training ended before its end because it was asked to; what is kept lets the next run go on."""


def name_of(**made_by: Any) -> str:
    """Name what is made by all of ``made_by``, plain values: 24 hex digits."""
    return hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:24]


def make_folder(folder: Path) -> Path:
    """Make a folder of ours.

    Raises:
        ModelError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(f"{folder} cannot be written ({error}): choose another folder with RALI_MODELS") from error
    return folder


class EmbeddingCache:
    """Embeddings of photos' views, [V, E] a photo, in one file that only grows.

    A record is a photo's key, the numbers, and a checksum over both. A kill can cut the last record short; it is then
    cut off, and with it whatever follows a damaged one.

    Args:
        path: named after all that the numbers depend on, see :func:`name_of`.
        views, width: V and E.
    """

    def __init__(self, path: Path, *, views: int, width: int) -> None:
        self.path = path
        self._shape = (views, width)
        self._numbers_bytes = 4 * views * width
        self._found: dict[bytes, NDArray[np.float32]] = {}
        whole = self._read()
        try:
            self._file = path.open("ab")
            if self._file.tell() > whole:
                self._file.truncate(whole)
        except OSError as error:
            raise ModelError(f"{path} cannot be written ({error}): choose another folder with RALI_MODELS") from error

    def __enter__(self) -> EmbeddingCache:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __contains__(self, key: bytes) -> bool:
        return key in self._found

    def __len__(self) -> int:
        return len(self._found)

    def get(self, key: bytes) -> NDArray[np.float32]:
        """Return a photo's embeddings [V, E].

        Raises:
            KeyError: they are not there.
        """
        return self._found[key]

    def put(self, key: bytes, embeddings: NDArray[np.float32]) -> None:
        """Remember a photo's embeddings [V, E].

        Raises:
            ValueError: key or embeddings have another size than all others.
            ModelError: the disk is full.
        """
        if len(key) != KEY_BYTES or embeddings.shape != self._shape:
            raise ValueError(f"a key of {len(key)} bytes with embeddings {embeddings.shape} is none of this cache's")
        body = key + embeddings.astype("<f4").tobytes()
        try:
            self._file.write(body + zlib.crc32(body).to_bytes(_CHECK_BYTES, "little"))
            self._file.flush()
        except OSError as error:
            raise ModelError(f"{self.path} cannot be written ({error}): free some space and train again") from error
        self._found[key] = embeddings.astype(np.float32)

    def _read(self) -> int:
        """Read all whole records; return where they end."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise ModelError(f"{self.path} cannot be read ({error}): remove it") from error
        size = KEY_BYTES + self._numbers_bytes + _CHECK_BYTES
        at = 0
        while at + size <= len(data):
            body, check = data[at : at + size - _CHECK_BYTES], data[at + size - _CHECK_BYTES : at + size]
            if zlib.crc32(body) != int.from_bytes(check, "little"):
                break
            self._found[body[:KEY_BYTES]] = np.frombuffer(body, "<f4", offset=KEY_BYTES).reshape(self._shape)
            at += size
        return at


class PixelStore:
    """Pixels of photos' views, uint8 [S, H, W, 3] a photo, one file a photo: what an encoder is fine-tuned on."""

    def __init__(self, folder: Path, shape: tuple[int, int, int, int]) -> None:
        self.folder = make_folder(folder)
        self._shape = shape

    def __contains__(self, key: bytes) -> bool:
        try:
            return self._path(key).stat().st_size == int(np.prod(self._shape))
        except OSError:
            return False

    def get(self, key: bytes) -> NDArray[np.uint8]:
        """Map a photo's pixels into memory, to be read where they are looked at: [S, H, W, 3]."""
        return np.memmap(self._path(key), np.uint8, "r", shape=self._shape)

    def put(self, key: bytes, pixels: NDArray[np.uint8]) -> None:
        """Keep a photo's pixels [S, H, W, 3].

        Raises:
            ModelError: the disk is full.
        """
        write_whole(self._path(key), np.ascontiguousarray(pixels).tobytes())

    def clear(self) -> None:
        """Delete the store."""
        for path in self.folder.glob("*.u8"):
            path.unlink(missing_ok=True)
        self.folder.rmdir()

    def _path(self, key: bytes) -> Path:
        return self.folder / f"{key.hex()}.u8"


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all.

    Raises:
        ModelError: it cannot be written; nothing is left of it.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be written ({error}): free some space and train again") from error
    finally:
        partial.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Delete a file of ours, if it is there."""
    path.unlink(missing_ok=True)


def save_checkpoint(path: Path, values: Mapping[str, Any]) -> None:
    """Write tensors and plain values, atomically.

    Raises:
        ModelError: the file cannot be written.
    """
    import io

    import torch

    buffer = io.BytesIO()
    torch.save(dict(values), buffer)
    body = buffer.getvalue()
    write_whole(path, body + hashlib.sha256(body).digest())


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Read what :func:`save_checkpoint` wrote; None where there is none, or it is not whole. Runs no code from it."""
    import io

    import torch

    try:
        data = path.read_bytes()
    except OSError:
        return None
    body, check = data[:-32], data[-32:]
    if hashlib.sha256(body).digest() != check:
        return None
    found: dict[str, Any] = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    return found


class Log:
    """Every figure of a run, a line each, in a file that goes on where an earlier run ended."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, line: str) -> None:
        """Add a line."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise ModelError(f"{self.path} cannot be written ({error}): free some space and train again") from error

    def move_to(self, path: Path) -> None:
        """Put what was logged to ``path``, in place of what is there."""
        write_whole(path, self.path.read_bytes())
        self.path.unlink()
