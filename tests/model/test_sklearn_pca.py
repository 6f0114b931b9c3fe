"""A pickled PCA of any layout is read without scikit-learn, and runs nothing."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.decomposition import PCA, IncrementalPCA

from rali.errors import DamagedModelError
from rali.model.sklearn_pca import read_pca

DATA = np.random.default_rng(0).normal(size=(64, 10)) + np.arange(10)


def fitted(kind: Any, dtype: type = np.float64) -> Any:
    return kind(4).fit(DATA.astype(dtype))


def assert_same(path: Path, wanted: Any) -> None:
    found = read_pca(path)
    np.testing.assert_array_equal(found.mean, wanted.mean_)
    np.testing.assert_array_equal(found.components, wanted.components_)
    if hasattr(wanted, "var_"):
        np.testing.assert_array_equal(found.variance, wanted.var_)
    else:
        assert found.variance is None


@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [PCA, IncrementalPCA])
def test_joblib_files_are_read_compressed_or_not(kind: Any, dtype: type, compress: Any, tmp_path: Path) -> None:
    wanted = fitted(kind, dtype)
    joblib.dump(wanted, tmp_path / "pca.pkl", compress=compress)
    assert_same(tmp_path / "pca.pkl", wanted)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", [PCA, IncrementalPCA])
def test_plain_pickles_of_every_protocol_are_read(kind: Any, protocol: int, tmp_path: Path) -> None:
    wanted = fitted(kind)
    (tmp_path / "pca.pkl").write_bytes(pickle.dumps(wanted, protocol=protocol))
    assert_same(tmp_path / "pca.pkl", wanted)


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (b"sklearn.decomposition._incremental_pca", b"sklearn.decomposition.incremental_pca"),
        (b"numpy._core.multiarray", b"numpy.core.multiarray"),
    ],
)
def test_the_module_names_of_older_libraries_are_known(new: bytes, old: bytes, tmp_path: Path) -> None:
    wanted = fitted(IncrementalPCA)
    data = pickle.dumps(wanted, protocol=0)
    assert new in data
    (tmp_path / "pca.pkl").write_bytes(data.replace(new, old))
    assert_same(tmp_path / "pca.pkl", wanted)


def test_an_array_in_fortran_order_keeps_its_shape(tmp_path: Path) -> None:
    wanted = fitted(PCA)
    wanted.components_ = np.asfortranarray(wanted.components_)
    joblib.dump(wanted, tmp_path / "pca.pkl")
    assert_same(tmp_path / "pca.pkl", wanted)


@pytest.mark.parametrize("thing", [{"mean_": 1}, [1, 2], np.zeros(3), "PCA"], ids=["dict", "list", "array", "text"])
def test_something_else_is_no_pca(thing: object, tmp_path: Path) -> None:
    joblib.dump(thing, tmp_path / "pca.pkl")
    with pytest.raises(DamagedModelError, match="holds no PCA"):
        read_pca(tmp_path / "pca.pkl")


def test_an_array_of_objects_is_refused(tmp_path: Path) -> None:
    wanted = fitted(PCA)
    wanted.mean_ = np.array([print], dtype=object)
    joblib.dump(wanted, tmp_path / "pca.pkl")
    with pytest.raises(DamagedModelError, match="do not use it"):
        read_pca(tmp_path / "pca.pkl")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_damaged(share: float, tmp_path: Path) -> None:
    joblib.dump(fitted(PCA), tmp_path / "pca.pkl")
    data = (tmp_path / "pca.pkl").read_bytes()
    (tmp_path / "pca.pkl").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DamagedModelError):
        read_pca(tmp_path / "pca.pkl")
