"""mini still computes what it did when it was made, and still agrees with people."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from rali.model.golden import GOLDEN_COUNT, golden_pixels
from rali.model.registry import find_model
from rali.model.scorer import Scorer
from rali.prepare import Prepared, Preparer

GOLDEN_SHA256 = "7cde1e9e61a99edb944c8cfceedda235d2cf483f3656b0deec89ffc95c04436f"


def test_the_golden_pictures_are_the_same_bytes_on_every_machine() -> None:
    pixels = golden_pixels(384)

    assert (pixels.shape, pixels.dtype) == ((GOLDEN_COUNT, 384, 384, 3), np.uint8)
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == GOLDEN_SHA256


def test_the_golden_pictures_differ_from_each_other() -> None:
    assert len({picture.tobytes() for picture in golden_pixels(64)}) == GOLDEN_COUNT


def test_mini_gives_its_golden_scores() -> None:
    info = find_model("mini")

    assert len(info.golden_scores) == GOLDEN_COUNT
    # 0.01 of 100 points: float32 on another processor.
    assert Scorer(info, device="cpu").golden_scores() == pytest.approx(info.golden_scores, abs=1e-2)


def test_minis_golden_scores_would_notice_another_model() -> None:
    scores = np.array(find_model("mini").golden_scores)

    assert scores.std() > 1
    assert ((scores > 0) & (scores < 100)).all()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_mini_ranks_unseen_photos_as_people_do(shared: Path) -> None:
    from scipy.stats import pearsonr, spearmanr

    info = find_model("mini")
    scorer = Scorer(info, device="cpu")
    preparer = Preparer(info.preprocessing, "fast", 500_000_000)
    rated = json.loads((shared / "iqa" / "val.json").read_text())
    buffer = bytearray(preparer.result_bytes)
    found = []
    for entry in rated:
        assert isinstance(preparer(str(shared / "iqa" / entry["image"]), memoryview(buffer)), Prepared)
        pixels = np.frombuffer(buffer, dtype=np.uint8).reshape(1, *info.preprocessing.input_shape).copy()
        found.append(float(scorer.score(pixels).scores[0]))
    human = [entry["gt_score"] for entry in rated]

    assert spearmanr(found, human).statistic >= 0.78
    assert pearsonr(found, human).statistic >= 0.78
