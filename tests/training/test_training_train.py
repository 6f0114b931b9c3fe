"""Training as a whole, on a tiny model and forty tiny pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import write_tiny_bundle
from rated_set import write_rated

from rali.config import Settings
from rali.errors import UnsafeError, UsageError
from rali.evaluate import read_labels
from rali.model.bundle import BundleInfo, load_tensors, read_info
from rali.model.scorer import Scorer
from rali.model.words import read_words
from rali.training.bundles import Scale, scale_of, target_of, write_trained
from rali.training.embed import load_model
from rali.training.kept import Stopped
from rali.training.materials import Step
from rali.training.train import Trained, train


@pytest.fixture(scope="module")
def rated_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rated(tmp_path_factory.mktemp("rated") / "set")


@pytest.fixture
def base(tmp_path: Path) -> BundleInfo:
    return write_tiny_bundle(tmp_path / "base.safetensors", words=True)


def trained(meta: Path, base: BundleInfo, name: str = "mine", **options: object) -> Trained:
    settings = Settings(model=str(base.path), device="cpu", workers=1)
    return train(read_labels([meta], meta.parent), target_of(name), settings, **options)  # type: ignore[arg-type]


def test_training_stopped_and_gone_on_with_makes_the_model_that_an_unbroken_one_makes(
    rated_set: Path, base: BundleInfo, own_world: Path
) -> None:
    steps: list[Step] = []
    with pytest.raises(Stopped):
        trained(rated_set, base, on_step=steps.append, stop=lambda: any(step.done == 7 for step in steps))
    assert not (own_world / "models" / "mine.safetensors").exists()

    steps.clear()
    gone_on = trained(rated_set, base, on_step=steps.append)
    first_read = next(step.done for step in steps if step.name == "Reading photos")
    for file in (own_world / "models" / "training").glob("embeddings-*"):
        file.unlink()
    unbroken = trained(rated_set, base, "unbroken")

    assert first_read >= 7
    assert gone_on.info is not None
    assert unbroken.info is not None
    assert gone_on.info.model_id == unbroken.info.model_id
    assert gone_on.before is not None
    assert gone_on.after is not None
    assert gone_on.after.srcc.value > max(0.8, gone_on.before.srcc.value + 0.1)
    assert (gone_on.photos, gone_on.held_out, gone_on.worse) == (40, 8, False)
    # The bundle is a sound model on people's scale, and its words, which no longer fit, are gone.
    info = read_info(gone_on.info.path)
    assert (info.name, info.score_low, info.score_high) == ("mine", 1.0, 5.0)
    np.testing.assert_allclose(Scorer(info, device="cpu").golden_scores(), info.golden_scores, atol=1e-5)
    assert read_words(info) is None
    assert any("words of tiny" in notice for notice in gone_on.notices)
    log = (own_world / "models" / "mine.log").read_text()
    assert "before: SRCC" in log
    assert "after: SRCC" in log


def test_an_encoder_is_trained_too_and_its_pixels_are_cleared_away(
    rated_set: Path, base: BundleInfo, own_world: Path
) -> None:
    found = trained(rated_set, base, encoder=True, epochs=2, even_if_worse=True)

    assert found.info is not None
    stored, before = load_tensors(found.info), load_tensors(base)
    same = {name: bool((tensor == before[name]).all()) for name, tensor in stored.items() if "encoder" in name}
    assert any(not kept for name, kept in same.items() if "stages.1" in name) or "gains nothing" in found.notices[0]
    assert all(kept for name, kept in same.items() if "stages.1" not in name) or found.info.precision == "float16"
    left = {path.name.partition("-")[0] for path in (own_world / "models" / "training").iterdir()}
    assert left == {"lock", "embeddings"}


def test_another_training_at_work_is_not_disturbed(rated_set: Path, base: BundleInfo, own_world: Path) -> None:
    from filelock import FileLock

    (own_world / "models" / "training").mkdir(parents=True)
    with FileLock(own_world / "models" / "training" / "lock"), pytest.raises(UnsafeError, match="another rali train"):
        trained(rated_set, base)


def test_words_stay_where_they_still_hold(base: BundleInfo, own_world: Path) -> None:
    model = load_model(base)
    encoder = {name: tensor for name, tensor in load_tensors(base).items() if name.startswith("encoder.")}

    info = write_trained(target_of("mine"), base, encoder, model.head, scale=Scale(0, 100), photos=50, words=True)

    kept, words = read_words(info), read_words(base)
    assert kept is not None
    assert words is not None
    assert kept.texts == words.texts
    np.testing.assert_array_equal(kept.vectors, words.vectors)


@pytest.mark.parametrize(
    ("scores", "ends"),
    [
        ([10, 90], (0, 100)),
        ([1.2, 4.9], (1, 5)),
        ([0, 1], (0, 1)),
        ([0, 4.5], (0, 5)),
        ([2, 9], (1, 10)),
        ([-3, 2], (-3, 2)),
        ([100, 900], (100, 900)),
    ],
)
def test_the_scale_of_scores_is_the_models_or_a_usual_one(
    base: BundleInfo, scores: list[float], ends: tuple[float, float]
) -> None:
    assert scale_of(np.array(scores, float), base) == Scale(*map(float, ends))


def test_a_model_of_that_name_is_replaced_only_if_asked_to(tmp_path: Path) -> None:
    taken = write_tiny_bundle(tmp_path / "taken.safetensors").path

    with pytest.raises(UnsafeError, match="--force"):
        target_of(str(taken))

    assert target_of(str(taken), force=True).path == taken
    assert target_of("name").path.name == "name.safetensors"


@pytest.mark.parametrize("output", ["mini", "a/b", "../x", ".hidden", "mini.safetensors", "sp ace"])
def test_a_name_that_no_model_can_have_is_refused(output: str) -> None:
    with pytest.raises(UsageError, match="-o"):
        target_of(output)
