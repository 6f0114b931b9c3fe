"""What a model says of a photo: the nearest description, or nothing; words that are whole, or refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import write_changed, write_tiny_bundle
from numpy.typing import NDArray

from rali.errors import DamagedModelError
from rali.model.bundle import WORDS_TENSORS, load_tensors, read_info
from rali.model.scorer import Scorer
from rali.model.words import Words, read_words


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("words") / "tiny.safetensors", words=True).path


@pytest.fixture
def words(bundle: Path) -> Words:
    found = read_words(read_info(bundle))
    assert found is not None
    return found


def embedding(*numbers: float) -> NDArray[np.float16]:
    return np.array([[*numbers, *[0.0] * (6 - len(numbers))]], dtype=np.float16)


def said(words: Words, *numbers: float, score: float = 0.5) -> str | None:
    (description,) = words.describe(embedding(*numbers), np.array([score]))
    return None if description is None else description.text


def test_the_nearest_description_is_said_with_its_family_and_margin(words: Words) -> None:
    (description,) = words.describe(embedding(30.0, 0.0, 3.0), np.array([0.5]))

    assert description is not None
    assert (description.text, description.family) == ("motion blur, strong", "motion blur")
    assert description.margin == pytest.approx(27 / np.hypot(30, 3), abs=1e-3)


def test_a_rival_of_the_same_family_makes_nobody_unsure(words: Words) -> None:
    assert said(words, 1.0, 0.2) == "motion blur, strong"
    assert said(words, 1.0, 0.25) == "motion blur, slight"


def test_nothing_is_said_where_two_families_are_about_as_near(words: Words) -> None:
    assert said(words, 1.0, 0.0, 0.8) == "motion blur, strong"
    assert said(words, 1.0, 0.0, 0.9) is None
    assert said(words, 1.0, 0.0, 1.0) is None


def test_less_evidence_is_enough_for_a_photo_that_scores_low(words: Words) -> None:
    by_score = replace(words, least_margin=[(0.4, 0.1), (0.6, 0.5)])

    assert said(by_score, 1.0, 0.0, 0.8, score=0.1) == "motion blur, strong"  # by 0.16
    assert said(by_score, 1.0, 0.0, 0.8, score=0.4) == "motion blur, strong"
    assert said(by_score, 1.0, 0.0, 0.8, score=0.5) is None
    assert said(by_score, 1.0, 0.0, 0.8, score=1.0) is None
    assert said(by_score, 1.0, 0.0, 0.3, score=0.5) == "motion blur, strong"  # by 0.67


def test_margins_by_score_are_read_from_the_bundle(tmp_path: Path, bundle: Path) -> None:
    def change(header: dict[str, Any], _: dict[str, NDArray[Any]]) -> None:
        header["words"]["least_margin"] = [[0.4, 0.1], [0.6, 0.5]]

    found = read_words(read_info(write_changed(bundle, tmp_path / "by_score.safetensors", change)))

    assert found is not None
    assert found.least_margin == [(0.4, 0.1), (0.6, 0.5)]


def test_nothing_is_said_of_a_photo_that_is_fine(words: Words) -> None:
    assert said(words, 0.0, 0.0, 0.0, 1.0) is None
    assert said(words, 0.0, 0.0, 1.0, 0.95) is None


@pytest.mark.parametrize("number", [0.0, np.inf, np.nan])
def test_nothing_is_said_of_an_embedding_that_points_nowhere(words: Words, number: float) -> None:
    assert said(words, number) is None


def test_each_photo_of_a_batch_has_its_own_description(words: Words) -> None:
    batch = np.concatenate([embedding(0, 0, 5.0), embedding(np.inf), embedding(5.0), embedding(0, 0, 0, 5.0)])

    found = words.describe(batch, np.full(4, 0.5))

    assert [None if one is None else one.text for one in found] == ["underexposed", None, "motion blur, strong", None]
    assert words.describe(batch[:0], np.zeros(0)) == []


def test_a_bundle_without_words_has_none(tiny_bundle: Path) -> None:
    assert read_words(read_info(tiny_bundle)) is None


def test_words_take_no_part_in_the_network(bundle: Path, tiny_bundle: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    with_words, without = read_info(bundle), read_info(tiny_bundle)

    assert not [name for name in load_tensors(with_words) if name.startswith("words.")]
    assert np.array_equal(
        Scorer(with_words, device="cpu").score(pixels).scores, Scorer(without, device="cpu").score(pixels).scores
    )


def test_any_other_tensor_is_refused_as_before(bundle: Path) -> None:
    from rali.model.engines.torch_engine import TorchEngine

    info = read_info(bundle)
    tensors = load_tensors(info)

    with pytest.raises(DamagedModelError, match=r"does not hold the network it describes"):
        TorchEngine(info, tensors | {"words.other": tensors["head.prototypes"]}, device="cpu", precision="float32")


def test_half_precision_says_the_same(tmp_path: Path, bundle: Path, words: Words) -> None:
    def halve(_: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
        tensors |= {name: tensors[name].astype(np.float16) for name in WORDS_TENSORS}

    halved = read_words(read_info(write_changed(bundle, tmp_path / "half.safetensors", halve)))
    assert halved is not None
    (in_half,), (in_full,) = (found.describe(embedding(0.1, 0.0, 1.0), np.array([0.5])) for found in (halved, words))

    assert in_half is not None
    assert in_full is not None
    assert (in_half.text, in_half.margin) == (in_full.text, pytest.approx(in_full.margin, abs=1e-3))


def test_words_are_read_without_torch(bundle: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from rali.model.bundle import read_info\n"
        f"from rali.model.words import read_words; assert read_words(read_info(Path({str(bundle)!r})))\n"
        "assert 'torch' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], check=True, timeout=25)


def test_a_text_cannot_act_on_the_terminal(tmp_path: Path, bundle: Path) -> None:
    def write_red(header: dict[str, Any], _: dict[str, NDArray[Any]]) -> None:
        header["words"]["descriptions"][0]["text"] = "\x1b[31mred\ud800"

    found = read_words(read_info(write_changed(bundle, tmp_path / "red.safetensors", write_red)))

    assert found is not None
    assert said(found, 1.0) == r"\x1b[31mred\ud800"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda header, _: header.pop("words"), "not both there"),
        (lambda _, tensors: tensors.pop("words.vectors"), "not both there"),
        (lambda _, tensors: [tensors.pop(name) for name in WORDS_TENSORS], "not both there"),
        (lambda header, _: header.update(words=[]), "TypeError"),
        (lambda header, _: header.update(words="blurred"), "TypeError"),
        (lambda header, _: header["words"].pop("descriptions"), "descriptions"),
        (lambda header, _: header["words"].pop("least_margin"), "least_margin"),
        (lambda header, _: header["words"].update(least_margin=None), "TypeError"),
        (lambda header, _: header["words"].update(least_margin=float("nan")), "nan means nothing"),
        (lambda header, _: header["words"].update(least_margin=-0.1), "means nothing"),
        (lambda header, _: header["words"].update(least_margin=[]), "means nothing"),
        (lambda header, _: header["words"].update(least_margin=[[0.5, 0.1], [0.5, 0.2]]), "means nothing"),
        (lambda header, _: header["words"].update(least_margin=[[0.5, 3.0]]), "means nothing"),
        (lambda header, _: header["words"].update(least_margin=[[1.5, 0.1]]), "means nothing"),
        (lambda header, _: header["words"].update(least_margin=[0.5]), "TypeError"),
        (lambda header, _: header["words"]["descriptions"].pop(), "for 3 descriptions"),
        (lambda header, _: header["words"]["descriptions"][0].pop("family"), "family"),
        (lambda header, _: header["words"]["descriptions"][0].update(text=""), "no text"),
        (lambda header, _: header["words"]["descriptions"][0].update(family=3), "no family"),
        (lambda header, _: [one.update(family="blur") for one in header["words"]["descriptions"]], "two families"),
        (lambda _, tensors: tensors.update({"words.projection": np.eye(4, 5, dtype="f4")}), "take 6 components"),
        (lambda _, tensors: tensors.update({"words.projection": np.ones(6, dtype="f4")}), "take 6 components"),
        (lambda _, tensors: tensors.update({"words.vectors": np.ones((4, 3), dtype="f4")}), "in 4 dimensions"),
        (lambda _, tensors: tensors.update({"words.vectors": np.ones((4, 4), dtype="i4")}), "neither float16"),
        (lambda _, tensors: tensors.update({"words.vectors": np.zeros((4, 4), dtype="f4")}), "longer than nothing"),
        (lambda _, tensors: tensors["words.vectors"].__setitem__((0, 0), np.inf), "not all finite"),
        (lambda _, tensors: tensors["words.projection"].__setitem__((0, 0), np.nan), "not all finite"),
    ],
)  # fmt: skip
def test_words_that_are_not_whole_are_refused(
    tmp_path: Path, bundle: Path, change: Callable[[dict[str, Any], dict[str, NDArray[Any]]], object], says: str
) -> None:
    info = read_info(write_changed(bundle, tmp_path / "bad.safetensors", change))

    with pytest.raises(DamagedModelError, match=r"has words that cannot be used \(.*get it again") as caught:
        read_words(info)

    assert says in str(caught.value)


def test_a_file_that_went_away_is_refused(tmp_path: Path) -> None:
    info = write_tiny_bundle(tmp_path / "tiny.safetensors", words=True)
    info.path.unlink()

    with pytest.raises(DamagedModelError, match=r"words that cannot be used"):
        read_words(info)
