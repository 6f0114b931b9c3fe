"""Our file format for models: whole or refused."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import TINY_ARCHITECTURE, write_tiny_bundle
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from rali.errors import DamagedModelError
from rali.model.bundle import BundleInfo, load_tensors, read_info, write_bundle
from rali.model.scorer import Scorer


def header_of(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="numpy") as file:
        header: dict[str, Any] = json.loads(file.metadata()["rali"])
    return header


def with_header(source: Path, target: Path, header: object) -> Path:
    """Write ``source``'s tensors under another header."""
    with safe_open(source, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    save_file(tensors, target, metadata={"rali": header if isinstance(header, str) else json.dumps(header)})
    return target


def tensors_start(path: Path) -> int:
    (header_bytes,) = struct.unpack("<Q", path.read_bytes()[:8])
    return 8 + int(header_bytes)


def use(path: Path) -> BundleInfo:
    """Do all that a run does before the first picture."""
    info = read_info(path)
    Scorer(info, device="cpu")
    return info


def test_a_bundle_gives_back_what_was_written(tiny_bundle: Path) -> None:
    info = read_info(tiny_bundle)

    assert (info.name, info.licence, info.score_low, info.score_high) == ("tiny", "CC0", 0.0, 100.0)
    assert info.architecture == TINY_ARCHITECTURE
    assert info.preprocessing.input_shape == (32, 32, 3)
    assert info.size_bytes == tiny_bundle.stat().st_size
    assert load_tensors(info)["head.prototypes"].shape == (5, 6)


def test_writing_leaves_no_partial_file(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "models" / "tiny.safetensors")

    assert [path.name for path in (tmp_path / "models").iterdir()] == ["tiny.safetensors"]


def test_writing_the_same_model_twice_gives_the_same_bytes(tmp_path: Path, tiny_bundle: Path) -> None:
    again = write_tiny_bundle(tmp_path / "again.safetensors")

    assert again.path.read_bytes() == tiny_bundle.read_bytes()


def test_a_header_that_lacks_something_is_never_put_in_place(tmp_path: Path, tiny_bundle: Path) -> None:
    header = header_of(tiny_bundle)
    del header["licence"]

    with pytest.raises(DamagedModelError, match=r"licence"):
        write_bundle(tmp_path / "a.safetensors", load_tensors(read_info(tiny_bundle)), header)

    assert not (tmp_path / "a.safetensors").exists()


def test_the_identity_depends_on_weights_architecture_and_preprocessing_alone(
    tmp_path: Path, tiny_bundle: Path
) -> None:
    model_id = read_info(tiny_bundle).model_id
    header = header_of(tiny_bundle)
    renamed = with_header(tiny_bundle, tmp_path / "a", header | {"name": "other", "title": "other"})
    recropped = with_header(
        tiny_bundle, tmp_path / "b", header | {"preprocessing": header["preprocessing"] | {"crop_px": 16}}
    )
    reweighted = write_tiny_bundle(tmp_path / "c", seed=1).path

    assert read_info(renamed).model_id == model_id
    assert len({model_id, read_info(recropped).model_id, read_info(reweighted).model_id}) == 3


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_bundle_is_refused_before_its_tensors_are_read(
    tmp_path: Path, tiny_bundle: Path, share: float
) -> None:
    content = tiny_bundle.read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(content[: int(len(content) * share)])

    with pytest.raises(DamagedModelError, match=r"not a whole rali model bundle.*get it again"):
        read_info(path)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_flipped_bit_in_the_weights_is_refused(
    tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path, data: st.DataObject
) -> None:
    content = bytearray(tiny_bundle.read_bytes())
    content[data.draw(st.integers(tensors_start(tiny_bundle), len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("flipped") / "a.safetensors"
    path.write_bytes(content)

    with pytest.raises(DamagedModelError, match=r"altered"):
        load_tensors(read_info(path))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_changed_byte_in_the_header_is_refused_or_does_no_harm(
    tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path, data: st.DataObject
) -> None:
    content = bytearray(tiny_bundle.read_bytes())
    content[data.draw(st.integers(0, tensors_start(tiny_bundle) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("changed") / "a.safetensors"
    path.write_bytes(content)

    with contextlib.suppress(DamagedModelError):  # and no other error
        use(path)


@pytest.mark.parametrize(
    "change",
    [
        {"format_version": 99},
        {"golden_scores": None},
        {"golden_scores": ["a"]},
        {"score_low": float("nan")},
        {"score_low": 100.0, "score_high": 0.0},
        {"score_high": float("inf")},
        {"preprocessing": None},
        {"preprocessing": []},
        {"preprocessing": {"resize_px": 0, "crop_px": 0, "mean": [0, 0, 0], "std": [1, 1, 1]}},
        {"preprocessing": {"resize_px": 1e400, "crop_px": 32, "mean": [0, 0, 0], "std": [1, 1, 1]}},
        {"preprocessing": {"resize_px": 10**9, "crop_px": 10**9, "mean": [0, 0, 0], "std": [1, 1, 1]}},
        {"preprocessing": {"resize_px": 32, "crop_px": 32, "mean": [0], "std": [1, 1, 1]}},
        {"preprocessing": {"resize_px": 32, "crop_px": 32, "mean": [0, 0, 0], "std": [0, 0, 0]}},
        {"architecture": None},
        {"architecture": {}},
        {"architecture": {"encoder": {"kind": "os.system"}, "head": {}}},
        {"architecture": {"encoder": {"kind": "efficientnet-lite", "stem_channels": 8, "stages": [[3]]}, "head": {}}},
        {"architecture": {"encoder": {"kind": "efficientnet-lite", "stem_channels": 1e400, "stages": []}, "head": {}}},
        {"architecture": {**TINY_ARCHITECTURE, "head": {"components": 7, "prototypes": 5}}},
        {"architecture": {**TINY_ARCHITECTURE, "head": {"components": -1, "prototypes": 5}}},
    ],
    ids=str,
)
def test_a_header_that_makes_no_sense_is_refused(tmp_path: Path, tiny_bundle: Path, change: dict[str, Any]) -> None:
    path = with_header(tiny_bundle, tmp_path / "odd.safetensors", header_of(tiny_bundle) | change)

    with pytest.raises(DamagedModelError) as caught:
        use(path)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("header", ["", "[]", "null", '"text"', "{", "[" * 100_000])
def test_a_header_that_is_no_json_object_is_refused(tmp_path: Path, tiny_bundle: Path, header: str) -> None:
    with pytest.raises(DamagedModelError):
        read_info(with_header(tiny_bundle, tmp_path / "odd.safetensors", header))


@pytest.mark.parametrize("encoder", [{}, {"kind": None}, {"kind": ["clip-vision"]}, None], ids=str)
def test_a_header_that_names_no_kind_of_encoder_is_refused_when_it_is_read(
    tmp_path: Path, tiny_bundle: Path, encoder: object
) -> None:
    architecture = {**TINY_ARCHITECTURE, "encoder": encoder}
    path = with_header(
        tiny_bundle, tmp_path / "odd.safetensors", header_of(tiny_bundle) | {"architecture": architecture}
    )

    with pytest.raises(DamagedModelError, match="encoder"):
        read_info(path)


def test_a_safetensors_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    save_file({"weight": np.zeros(3, dtype=np.float32)}, tmp_path / "other.safetensors")

    with pytest.raises(DamagedModelError, match=r"not a whole rali model bundle"):
        read_info(tmp_path / "other.safetensors")


def test_a_pickle_under_a_bundles_name_is_refused_and_never_run(tmp_path: Path) -> None:
    import pickle

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "evil.safetensors").write_bytes(pickle.dumps(Bomb()))

    with pytest.raises(DamagedModelError):
        use(tmp_path / "evil.safetensors")

    assert not (tmp_path / "ran").exists()


def test_a_missing_tensor_is_refused(tmp_path: Path, tiny_bundle: Path) -> None:
    info = read_info(tiny_bundle)
    tensors = load_tensors(info)
    del tensors["head.prototypes"]
    write_bundle(tmp_path / "less.safetensors", tensors, header_of(tiny_bundle))

    with pytest.raises(DamagedModelError, match=r"does not hold the network it describes"):
        use(tmp_path / "less.safetensors")
