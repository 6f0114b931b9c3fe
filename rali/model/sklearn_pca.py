"""Read a pickled scikit-learn PCA without running anything that the pickle asks for.

A pickle is a program. This reads the few operations that a fitted PCA of numpy arrays needs, into a stub, and refuses
every other global. joblib writes arrays into the stream behind a wrapper object, so its wrapper is understood too.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rali.errors import DamagedModelError

# numpy 2 moved its private modules; pickles of either name the same functions.
from numpy._core.multiarray import _reconstruct, scalar  # isort: skip
from numpy._core.numeric import _frombuffer  # type: ignore[attr-defined]  # isort: skip


@dataclass(frozen=True)
class FittedPca:
    """What of a PCA the head needs.

    Attributes:
        mean: float [E].
        components: float [D, E].
        variance: float [E], of an IncrementalPCA; None for a plain PCA, which has none.
    """

    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    variance: NDArray[np.float64] | None


def read_pca(path: Path) -> FittedPca:
    """Read ``pca.pkl``: a PCA or IncrementalPCA of any scikit-learn, pickled by joblib (compressed or not) or pickle.

    Raises:
        DamagedModelError: the file is damaged, holds something else, or asks for code to be run.
    """
    try:
        with _decompressed(path) as stream:
            found = _PcaUnpickler(stream, path.parent).load()
        if not isinstance(found, _Estimator):
            raise DamagedModelError(f"{path} holds no PCA; get it again")
        attributes = vars(found)
        variance = attributes.get("var_")
        return FittedPca(
            mean=np.asarray(attributes["mean_"], dtype=np.float64),
            components=np.asarray(attributes["components_"], dtype=np.float64),
            variance=None if variance is None else np.asarray(variance, dtype=np.float64),
        )
    except DamagedModelError:
        raise
    except _ForbiddenError as error:
        raise DamagedModelError(f"{path} asks for {error} to be run, which no PCA needs: do not use it") from error
    except OSError as error:
        raise DamagedModelError(f"{path} cannot be read ({error.strerror or error}); get it again") from error
    # A damaged pickle raises whatever its bytes happen to mean.
    except Exception as error:
        raise DamagedModelError(f"{path} is damaged ({type(error).__name__}); get it again") from error


class _ForbiddenError(Exception):
    """The pickle names something that is not on the list."""


class _Estimator:
    """Stands for scikit-learn's class: takes the attributes and nothing else."""


class _ArrayWrapper:
    """Stands for joblib's NumpyArrayWrapper: an array whose bytes follow in the stream."""

    shape: tuple[int, ...]
    order: str
    dtype: np.dtype[Any]
    numpy_array_alignment_bytes: int | None = None

    def read(self, stream: BinaryIO) -> NDArray[Any]:
        if self.dtype.hasobject:
            raise _ForbiddenError("an array of objects")
        if self.numpy_array_alignment_bytes is not None:  # joblib 1.1 and later pad, and say by how much
            stream.read(stream.read(1)[0])
        count = int(np.prod(self.shape, dtype=np.int64))
        raw = stream.read(count * self.dtype.itemsize)
        array = np.frombuffer(raw, dtype=self.dtype, count=count)
        if self.order == "F":
            return array.reshape(self.shape[::-1]).T
        return array.reshape(self.shape)


class _FileWrapper:
    """Stands for NDArrayWrapper of joblib before 0.10: an array in a file of its own beside the pickle."""

    filename: str

    def read(self, folder: Path) -> NDArray[Any]:
        return np.asarray(np.load(folder / Path(self.filename).name, allow_pickle=False))


def _reconstruct_estimator(kind: type, base: type, state: object) -> _Estimator:
    """Stand for the function by which pickles of protocol 0 and 1 make an object."""
    if kind is not _Estimator or base is not object or state is not None:
        raise _ForbiddenError(f"a {kind}")
    return _Estimator()


_GLOBALS: dict[tuple[str, str], Any] = {
    **{
        (f"sklearn.decomposition.{module}", name): _Estimator
        for module, name in (
            ("_pca", "PCA"),
            ("pca", "PCA"),
            ("_incremental_pca", "IncrementalPCA"),
            ("incremental_pca", "IncrementalPCA"),
        )
    },
    **{
        (f"{prefix}joblib.numpy_pickle", name): stand_in
        for prefix in ("", "sklearn.externals.")
        for name, stand_in in (("NumpyArrayWrapper", _ArrayWrapper), ("NDArrayWrapper", _FileWrapper))
    },
    **{
        (f"numpy.{core}.multiarray", name): function
        for core in ("core", "_core")
        for name, function in (("_reconstruct", _reconstruct), ("scalar", scalar))
    },
    **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
    **{(module, "_reconstructor"): _reconstruct_estimator for module in ("copy_reg", "copyreg")},
    **{(module, "object"): object for module in ("__builtin__", "builtins")},
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


# The unpickler in pure Python, which typeshed does not know: the one in C reads ahead, past where joblib put an array.
_PythonUnpickler: Any = pickle._Unpickler


class _PcaUnpickler(_PythonUnpickler):  # type: ignore[misc]
    dispatch = _PythonUnpickler.dispatch.copy()

    def __init__(self, stream: BinaryIO, folder: Path) -> None:
        super().__init__(stream)
        self._array_stream = stream
        self._folder = folder

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):  # how protocol 2 writes bytes
            return _latin1_bytes
        if (module, name) not in _GLOBALS:
            raise _ForbiddenError(f"{module}.{name}")
        return _GLOBALS[module, name]

    def load_build(self) -> None:
        super().load_build()
        built = self.stack[-1]
        if isinstance(built, _ArrayWrapper):
            self.stack[-1] = built.read(self._array_stream)
        elif isinstance(built, _FileWrapper):
            self.stack[-1] = built.read(self._folder)

    dispatch[pickle.BUILD[0]] = load_build


def _latin1_bytes(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise _ForbiddenError(f"a text in {encoding}")
    return text.encode("latin1")


def _decompressed(path: Path) -> BinaryIO:
    """Open a file that joblib may have compressed; a PCA is a few megabytes, so it is read whole."""
    data = path.read_bytes()
    if data.startswith(b"\x1f\x8b"):
        data = gzip.decompress(data)
    elif data.startswith(b"BZh"):
        data = bz2.decompress(data)
    elif data.startswith((b"\xfd7zXZ", b"\x5d\x00")):
        data = lzma.decompress(data)
    elif data[:1] == b"\x78" and data[1:2] in b"\x01\x5e\x9c\xda":
        data = zlib.decompress(data)
    return io.BytesIO(data)
