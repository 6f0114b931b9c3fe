"""A release becomes one bundle that scores the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from make_release import make_release
from safetensors import safe_open

from rali.config import Precision, default_model, models_folder, set_default_model
from rali.errors import ModelError, UnknownModelError, UsageError
from rali.model.importer import import_checkpoint, remove_model
from rali.model.registry import available_models, find_model
from rali.model.scorer import Scorer
from rali.model.verify import is_sound, verify_model


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_release(tmp_path_factory.mktemp("release") / "tiny-rali")


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-6), ("float16", 1e-2), ("bfloat16", 3e-2)])
def test_a_bundle_scores_as_its_folder_does(
    release: Path, pixels: np.ndarray, precision: Precision, tolerance: float
) -> None:
    bundle = import_checkpoint(release, precision=precision)
    wanted = Scorer(find_model(str(release)), device="cpu").score(pixels).scores
    found = Scorer(find_model("tiny-rali"), device="cpu").score(pixels).scores
    span = bundle.score_high - bundle.score_low
    assert np.abs(found - wanted).max() <= tolerance * (1 if precision == "float32" else span)


def test_a_bundle_carries_golden_scores_that_hold_here(release: Path) -> None:
    bundle = import_checkpoint(release)
    exact = [result for result in verify_model(bundle) if result.way.precision == "float32"]
    assert exact
    assert all(is_sound(result) and result.passed for result in exact)


def test_a_release_folder_has_no_golden_scores_to_verify(release: Path) -> None:
    with pytest.raises(ModelError, match="import it first"):
        list(verify_model(find_model(str(release))))


def test_half_precision_halves_the_encoder_and_spares_the_head(release: Path) -> None:
    bundle = import_checkpoint(release, precision="float16")
    assert bundle.precision == "float16"
    with safe_open(bundle.path, framework="pt") as file:
        dtypes = {name: file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
    assert {dtype for name, dtype in dtypes.items() if name.startswith("encoder.")} == {torch.float16}
    assert {dtype for name, dtype in dtypes.items() if name.startswith("head.")} == {torch.float32}


def test_the_text_tower_goes_into_a_file_of_its_own(release: Path) -> None:
    bundle = import_checkpoint(release, name="mine")
    with safe_open(bundle.path, framework="pt") as file:
        assert not [name for name in file.keys() if "text" in name]  # noqa: SIM118
    assert (models_folder() / "text" / "mine.safetensors").is_file()
    assert set(available_models()) == {"mini", "mine"}


@pytest.mark.parametrize("name", ["mini", "", "a/b", "../x", ".hidden", "x" * 65, "a b"])
def test_a_name_that_cannot_be_one_is_refused(release: Path, name: str) -> None:
    if name == "":
        assert import_checkpoint(release, name=name).name == "tiny-rali"  # not given
        return
    with pytest.raises(UsageError, match="--name"):
        import_checkpoint(release, name=name)
    assert set(available_models()) == {"mini"}


def test_weights_that_do_not_fit_half_precision_are_refused(tmp_path: Path) -> None:
    folder = make_release(tmp_path / "large")
    content = torch.load(folder / "ckpt.pt", weights_only=True)
    content["state_dict"]["clip.visual_projection.weight"] *= 1e9
    torch.save(content, folder / "ckpt.pt")
    with pytest.raises(ModelError, match=r"float16.*float32"):
        import_checkpoint(folder, precision="float16")
    assert import_checkpoint(folder, precision="float32").precision == "float32"


def test_removing_a_model_leaves_nothing_and_falls_back_to_mini(release: Path) -> None:
    import_checkpoint(release, name="mine")
    set_default_model("mine")
    assert default_model() == "mine"
    remove_model("mine")
    assert default_model() == "mini"
    assert not [path for path in models_folder().rglob("*") if "mine" in path.name]


@pytest.mark.parametrize(
    ("name", "error"), [("mini", UsageError), ("no-such", UnknownModelError), ("../x", UnknownModelError)]
)
def test_what_is_not_the_users_cannot_be_removed(name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        remove_model(name)


def test_a_full_disk_leaves_nothing_half_done(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import safetensors.torch

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(ModelError, match="free some space"):
        import_checkpoint(release, name="mine")
    assert not [path for path in models_folder().rglob("*") if path.is_file()]
