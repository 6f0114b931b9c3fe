"""Model names and where their bundles lie."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import write_tiny_bundle

from rali.errors import DamagedModelError, UnknownModelError
from rali.model.bundle import read_info
from rali.model.registry import available_models, find_by_id, find_model


def test_mini_is_always_there_and_small() -> None:
    info = find_model("mini")

    assert info.name == "mini"
    assert info.size_bytes < 12_000_000
    assert "Apache" in info.licence


def test_a_bundle_in_the_users_models_folder_is_found_by_its_name(own_world: Path) -> None:
    write_tiny_bundle(own_world / "models" / "mine.safetensors")

    assert list(available_models()) == ["mini", "mine"]
    assert find_model("mine").path == own_world / "models" / "mine.safetensors"


def test_a_bundle_is_found_by_its_path(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_bundle.parent)

    assert find_model(str(tiny_bundle)).name == "tiny"
    assert find_model("tiny.safetensors").name == "tiny"


@pytest.mark.parametrize("model", ["maxi", "./maxi.safetensors", "~nobody-of-this-name/x", "x" * 300, "a\nb"])
def test_an_unknown_model_is_refused_with_those_that_are_known(model: str) -> None:
    with pytest.raises(UnknownModelError, match=r"use one of: mini") as caught:
        find_model(model)

    assert "\n" not in str(caught.value)


def test_a_damaged_bundle_in_the_folder_harms_nobody_who_does_not_ask_for_it(own_world: Path) -> None:
    (own_world / "models").mkdir()
    (own_world / "models" / "bad.safetensors").write_bytes(b"not a bundle")

    assert find_model("mini").name == "mini"
    with pytest.raises(DamagedModelError):
        find_model("bad")


def test_a_bundle_is_found_by_what_it_computes_whatever_its_name(own_world: Path, tiny_bundle: Path) -> None:
    mine = write_tiny_bundle(own_world / "models" / "mine.safetensors", seed=4)
    (own_world / "models" / "bad.safetensors").write_bytes(b"not a bundle")
    tiny = read_info(tiny_bundle)

    assert find_by_id(mine.model_id) == mine
    assert find_by_id(mine.model_id, "bad", "mini", "nothing", "") == mine
    assert find_by_id(tiny.model_id) is None
    assert find_by_id(tiny.model_id, str(tiny_bundle)) == tiny
