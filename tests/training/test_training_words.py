from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rali.model.words import FINE
from rali.training.distortions import KINDS, LEVELS, Family, family_of
from rali.training.words import (
    DESCRIPTIONS,
    FAMILY_WORDS,
    KIND_NOUNS,
    NOTHING_WRONG,
    WITHOUT_FAULTS,
    Description,
    Strength,
    description_of,
    sentence_of_faults,
    sentence_of_score,
    wordings,
)

Faults = list[tuple[str, int]]
FAULTS = st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.integers(1, 5)), max_size=4)


def words_for(kind: str, level: int) -> tuple[str, ...]:
    family = family_of(kind, level)
    return (*KIND_NOUNS.get(kind, ()), *(word for words in (FAMILY_WORDS[family] if family else ()) for word in words))


@given(FAULTS, st.integers(0, 1000))
def test_a_sentence_mentions_every_fault_that_people_see_and_no_other(faults: Faults, seed: int) -> None:
    sentence = sentence_of_faults(faults, np.random.default_rng(seed))
    seen = [(kind, level) for kind, level in faults if KINDS[kind].visible[level - 1]]

    for kind, level in seen:
        assert any(word in sentence for word in words_for(kind, level))
    assert (sentence in WITHOUT_FAULTS) == (not seen)
    assert sentence_of_faults(faults, np.random.default_rng(seed)) == sentence


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", LEVELS)
def test_sentences_of_a_fault_vary(kind: str, level: int) -> None:
    rng = np.random.default_rng(0)
    sentences = {sentence_of_faults([(kind, level)], rng) for _ in range(40)}

    assert len(sentences) == len(WITHOUT_FAULTS) if KINDS[kind].visible[level - 1] == 0 else len(sentences) > 10


def test_a_stronger_fault_is_said_in_stronger_words() -> None:
    rng = np.random.default_rng(0)
    weak, strong = (" ".join(sentence_of_faults([("JPEG", level)], rng) for _ in range(40)) for level in (1, 5))

    assert "slight" in weak
    assert "slight" not in strong
    assert "severe" in strong


def test_contrast_that_is_too_flat_is_never_called_harsh() -> None:
    rng = np.random.default_rng(0)
    harsh, flat = (
        " ".join(sentence_of_faults([("contrast change", level)], rng) for _ in range(40)) for level in (1, 5)
    )

    assert "harsh" in harsh
    assert "flat" not in harsh
    assert "harsh" not in flat
    assert "flat" in flat


@pytest.mark.parametrize(
    ("score", "grade"),
    [(-3, "bad"), (0, "bad"), (19.9, "bad"), (20, "poor"), (59, "fair"), (60, "good"), (100, "excellent")],
)
def test_a_score_is_said_as_its_grade(score: float, grade: str) -> None:
    rng = np.random.default_rng(0)
    sentences = {sentence_of_score(score, [], rng) for _ in range(60)}

    assert len(sentences) == 9
    assert any(grade in sentence for sentence in sentences)
    assert not any(f" a {vowel}" in f" {sentence}" for sentence in sentences for vowel in "aeiou")


def test_measured_attributes_follow_the_grade() -> None:
    sentence = sentence_of_score(30, ["soft", "dark", "grainy"], np.random.default_rng(0))

    assert all(word in sentence for word in ("soft", "dark", "grainy", ", ", " and "))


def test_descriptions_are_a_closed_list_of_families_with_three_strengths() -> None:
    texts = [description.text for description in DESCRIPTIONS]

    assert len(set(texts)) == len(texts) == 1 + 3 * len(Family)
    assert {"nothing wrong", "motion blur, strong", "underexposed, slight"} <= set(texts)
    assert Description("noise, moderate", Family.NOISE, Strength.MODERATE) in DESCRIPTIONS
    assert NOTHING_WRONG.family == FINE
    assert FINE not in set(Family)


@pytest.mark.parametrize("description", DESCRIPTIONS, ids=lambda each: each.text)
def test_a_description_has_several_wordings_of_its_own(description: Description) -> None:
    own = set(wordings(description))
    others = {wording for other in DESCRIPTIONS if other != description for wording in wordings(other)}

    assert len(own) == len(wordings(description)) >= 5
    assert not own & others


def test_a_distortion_is_described_as_its_family_and_strength() -> None:
    assert description_of("motion blur", 5) == Description("motion blur, strong", Family.MOTION_BLUR, Strength.STRONG)
    assert description_of("mean shift", 5) == Description("underexposed, slight", Family.UNDEREXPOSED, Strength.SLIGHT)
    assert description_of("motion blur", 1) == NOTHING_WRONG
    assert description_of("color block", 5) is None
