from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fakes import write_jpeg
from PIL import Image
from rated_set import write_rated

from rali.config import Settings
from rali.errors import EvaluationError, FailureKind
from rali.evaluate import Labels, read_labels
from rali.model.preprocess import Preprocessing
from rali.prepare import Failure
from rali.training.rated import (
    SQUARES,
    VIEWS,
    RatedPhoto,
    ViewPreparer,
    drawn_out,
    key_of,
    rated_photos,
    read_squares,
    require_rated,
    squares,
    views_of,
)

PREPROCESSING = Preprocessing(32, 32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def labels_of(folder: Path, scores: dict[str, float]) -> Labels:
    meta = folder / "meta.json"
    meta.write_text(json.dumps([{"image": name, "gt_score": score} for name, score in scores.items()]))
    return read_labels([meta], folder)


def test_copies_of_a_photo_are_one_photo_with_the_mean_of_their_scores(tmp_path: Path) -> None:
    for number, name in enumerate(("a.jpg", "b.jpg")):
        write_jpeg(tmp_path / name, number)
    shutil.copy(tmp_path / "a.jpg", tmp_path / "copy.jpg")

    rated = rated_photos(labels_of(tmp_path, {"a.jpg": 2, "b.jpg": 3, "copy.jpg": 4}))

    assert [(photo.image, photo.score) for photo in rated.photos] == [("a.jpg", 3.0), ("b.jpg", 3.0)]
    assert rated.copies == 1


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([], "0 photos to learn from: training needs at least 30"),
        ([1.0], "1 photo to learn from"),
        (list(range(29)), "29 photos"),
        ([3.0] * 40, "all 40 photos have gt_score 3: training needs scores that differ"),
        ([0.0, 1.0] * 20, "gt_score 0 or 1"),
    ],
)
def test_what_cannot_be_learnt_from_is_one_line(scores: list[float], message: str) -> None:
    photos = [RatedPhoto("a", "/a", score, b"") for score in scores]

    with pytest.raises(EvaluationError, match=message) as caught:
        require_rated(photos)

    assert "\n" not in str(caught.value)


def test_photos_are_held_out_from_all_of_the_scale_and_by_the_seed() -> None:
    scores = np.random.default_rng(0).permutation(100).astype(float)

    drawn = drawn_out(scores, 0.2, seed=1)

    assert drawn.sum() == 20
    assert np.array_equal(np.sort(scores[drawn]) // 5, np.arange(20))
    assert np.array_equal(drawn, drawn_out(scores, 0.2, seed=1))
    assert not np.array_equal(drawn, drawn_out(scores, 0.2, seed=2))


def test_the_first_view_is_what_the_model_sees_and_crops_depend_on_the_content_alone(tmp_path: Path) -> None:
    image = Image.open(write_jpeg(tmp_path / "a.jpg", size=(90, 60))).convert("RGB")

    cut, again, other = (squares(image, PREPROCESSING, key=key) for key in (b"a", b"a", b"b"))
    views = views_of(cut)

    assert cut.shape == (SQUARES, 32, 32, 3)
    np.testing.assert_array_equal(cut[0], PREPROCESSING.crop(PREPROCESSING.resize(image)))
    np.testing.assert_array_equal(cut, again)
    assert not np.array_equal(cut[1:], other[1:])
    assert len(views) == len(VIEWS)
    np.testing.assert_array_equal(views[1], views[0][:, ::-1])


def test_a_sideways_photo_is_turned_upright_as_for_scoring(tmp_path: Path) -> None:
    upright = Image.open(write_jpeg(tmp_path / "a.jpg", size=(90, 60))).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    preparer = ViewPreparer(PREPROCESSING, "exact", 10**8)
    buffer = bytearray(preparer.result_bytes)

    key = preparer(str(tmp_path / "turned.png"), memoryview(buffer))

    assert key == key_of(str(tmp_path / "turned.png"))
    expected = squares(upright, PREPROCESSING, key=key)
    np.testing.assert_array_equal(np.frombuffer(buffer, np.uint8).reshape(expected.shape), expected)


def test_a_photo_that_cannot_be_read_is_told_of_and_the_others_come(tmp_path: Path) -> None:
    write_rated(tmp_path / "set", 3)
    (tmp_path / "set" / "images" / "1.png").write_bytes(b"no picture")
    photos = rated_photos(read_labels([tmp_path / "set" / "meta.json"], tmp_path / "set")).photos
    failed: list[tuple[RatedPhoto, Failure]] = []

    found = {
        key: cut.shape
        for key, cut in read_squares(
            photos, PREPROCESSING, Settings(workers=1), on_failure=lambda *pair: failed.append(pair)
        )
    }

    assert found == {photos[0].key: (SQUARES, 32, 32, 3), photos[2].key: (SQUARES, 32, 32, 3)}
    assert [(photo.image, failure.kind) for photo, failure in failed] == [("images/1.png", FailureKind.UNSUPPORTED)]
