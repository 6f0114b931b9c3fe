from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rali.errors import ModelError
from rali.training.kept import EmbeddingCache, Log, PixelStore, load_checkpoint, name_of, save_checkpoint

KEYS = [bytes([number]) * 16 for number in range(3)]
RECORD_BYTES = 16 + 4 * 2 * 3 + 4


def numbers(number: int) -> np.ndarray:
    return np.full((2, 3), number + 0.5, np.float32)


def filled(path: Path) -> Path:
    with EmbeddingCache(path, views=2, width=3) as cache:
        for number, key in enumerate(KEYS):
            cache.put(key, numbers(number))
    return path


def test_what_is_kept_is_named_after_all_that_it_was_made_by() -> None:
    assert name_of(model="a", views=1) == name_of(views=1, model="a") != name_of(model="b", views=1)


@pytest.mark.parametrize(("cut", "left"), [(0, 3), (1, 2), (RECORD_BYTES - 1, 2), (RECORD_BYTES, 2)])
def test_what_a_kill_cut_short_is_made_again(tmp_path: Path, cut: int, left: int) -> None:
    path = filled(tmp_path / "cache")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - cut])

    with EmbeddingCache(path, views=2, width=3) as cache:
        assert len(cache) == left
        for number, key in enumerate(KEYS[:left]):
            np.testing.assert_array_equal(cache.get(key), numbers(number))
        if KEYS[2] not in cache:
            cache.put(KEYS[2], numbers(2))

    assert path.read_bytes() == data


def test_a_damaged_record_is_never_believed(tmp_path: Path) -> None:
    path = filled(tmp_path / "cache")
    data = bytearray(path.read_bytes())
    data[RECORD_BYTES + 20] ^= 1
    path.write_bytes(data)

    with EmbeddingCache(path, views=2, width=3) as cache:
        assert [key in cache for key in KEYS] == [True, False, False]


def test_embeddings_of_another_size_are_no_record(tmp_path: Path) -> None:
    with EmbeddingCache(filled(tmp_path / "cache"), views=2, width=4) as cache:
        assert len(cache) == 0
        with pytest.raises(ValueError, match="none of this cache's"):
            cache.put(KEYS[0], numbers(0))


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be"):
        EmbeddingCache(tmp_path, views=2, width=3)


def test_pixels_are_there_whole_or_not_at_all(tmp_path: Path) -> None:
    store = PixelStore(tmp_path / "pixels", (2, 4, 4, 3))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)

    store.put(KEYS[0], pixels)
    (store.folder / f"{KEYS[1].hex()}.u8").write_bytes(b"cut short")

    assert [key in store for key in KEYS] == [True, False, False]
    np.testing.assert_array_equal(store.get(KEYS[0]), pixels)
    store.clear()
    assert not store.folder.exists()


def test_a_checkpoint_is_read_only_if_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    assert load_checkpoint(path) is None

    save_checkpoint(path, {"epochs": 2, "weights": torch.arange(3.0)})

    found = load_checkpoint(path)
    assert found is not None
    assert (found["epochs"], found["weights"].tolist()) == (2, [0, 1, 2])
    path.write_bytes(path.read_bytes()[:-5])
    assert load_checkpoint(path) is None
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint"]


def test_a_log_goes_on_and_is_moved_to_the_model(tmp_path: Path) -> None:
    for line in ("one", "two"):
        Log(tmp_path / "log")(line)

    Log(tmp_path / "log").move_to(tmp_path / "mine.log")

    assert (tmp_path / "mine.log").read_text() == "one\ntwo\n"
    assert not (tmp_path / "log").exists()
