"""What a worker makes of one file: the model's input and all that is asked for later, or a reason."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from make_images import dng, encoded, every_format, exif, picture, png_header_of, smooth, written
from PIL import Image

from rali.config import Recipe
from rali.errors import FailureKind
from rali.model.preprocess import Preprocessing
from rali.photos.exif import Shot
from rali.photos.fingerprint import CONTENT_HASH_BYTES
from rali.photos.sniff import Format
from rali.prepare import Failure, Prepared, Preparer, recipe_id

PREPROCESSING = Preprocessing(96, 80, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def _preparer(recipe: Recipe = "exact", limit_px: int = 10_000_000) -> Preparer:
    return Preparer(PREPROCESSING, recipe, limit_px)


def _prepared(file: str, recipe: Recipe = "exact") -> tuple[Prepared, np.ndarray]:
    preparer = _preparer(recipe)
    buffer = bytearray(preparer.result_bytes)
    outcome = preparer(file, memoryview(buffer))
    assert isinstance(outcome, Prepared), outcome
    return outcome, np.frombuffer(buffer, np.uint8).reshape(PREPROCESSING.input_shape)


def _failed(file: str, **options: int) -> Failure:
    preparer = _preparer(**options)
    buffer = bytearray(b"\x07" * preparer.result_bytes)
    outcome = preparer(file, memoryview(buffer))
    assert isinstance(outcome, Failure), outcome
    assert buffer == b"\x07" * preparer.result_bytes, "a failure leaves no pixels behind"
    return outcome


def test_the_buffer_holds_what_resizing_and_cropping_by_hand_gives(tmp_path: Path) -> None:
    photo = picture(400, 300)
    outcome, pixels = _prepared(written(tmp_path / "photo", encoded(photo, "png")))
    expected = np.asarray(photo.resize((128, 96), Image.Resampling.BICUBIC))[8:88, 24:104]
    assert (pixels == expected).all()
    assert (outcome.content.width, outcome.content.height) == (400, 300)


def test_the_content_is_described(tmp_path: Path) -> None:
    about = exif(6, "2026:05:01 12:00:00", "5", "Canon", "EOS R").tobytes()
    file = written(tmp_path / "photo.jpg", encoded(picture(400, 300), "jpeg", exif=about))
    outcome, _ = _prepared(file)
    content, info = outcome.content, os.stat(file)
    assert content.format is Format.JPEG
    assert (content.width, content.height) == (300, 400)
    assert content.shot == Shot(6, "2026-05-01T12:00:00.5", "Canon EOS R")
    assert len(content.hash) == CONTENT_HASH_BYTES
    assert 0 <= content.difference_hash < 2**64
    assert (outcome.state.inode, outcome.state.size_bytes, outcome.state.mtime_ns) == (
        info.st_ino, info.st_size, info.st_mtime_ns,
    )  # fmt: skip


def test_every_format_is_prepared_in_either_recipe(tmp_path: Path) -> None:
    for name, (format, data) in every_format().items():
        for recipe in ("exact", "fast"):
            outcome, pixels = _prepared(written(tmp_path / name, data), recipe)  # type: ignore[arg-type]
            assert outcome.content.format is format
            assert pixels.any()


def test_fast_is_close_to_exact_and_reads_the_same_content(tmp_path: Path) -> None:
    file = written(tmp_path / "photo.jpg", encoded(smooth(2400, 1800), "jpeg", quality=90))
    exact, exact_pixels = _prepared(file, "exact")
    fast, fast_pixels = _prepared(file, "fast")
    difference = np.abs(exact_pixels.astype(int) - fast_pixels)
    assert difference.mean() < 0.5
    assert difference.max() <= 3
    assert (exact.content.hash, exact.content.width) == (fast.content.hash, fast.content.width)
    assert (exact.content.difference_hash ^ fast.content.difference_hash).bit_count() <= 3


def test_fast_decodes_enough_more_than_the_model_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    real = Preprocessing.resize

    def watching(self: Preprocessing, image: Image.Image) -> Image.Image:
        seen.append(image.size)
        return real(self, image)

    monkeypatch.setattr(Preprocessing, "resize", watching)
    for short in (250, 400, 800, 1600, 1700):
        _prepared(written(tmp_path / "p", encoded(Image.new("RGB", (short * 3 // 2, short)), "jpeg")), "fast")
        assert min(short, 1.75 * 96) <= min(seen[-1])
    assert min(seen[-1]) < 1700, "it should have been reduced"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", FailureKind.EMPTY),
        (b"no photo at all, though it is long enough to be looked at", FailureKind.UNSUPPORTED),
        (encoded(picture(), "jpeg")[:-1], FailureKind.TRUNCATED),
        (png_header_of(13_000, 13_000), FailureKind.TOO_LARGE),
        (encoded(Image.new("RGB", (1, 5000)), "png"), FailureKind.UNSUPPORTED),
    ],
    ids=["empty", "garbage", "truncated", "bomb", "line"],
)
def test_a_bad_photo_is_a_failure_and_not_an_exception(tmp_path: Path, data: bytes, kind: FailureKind) -> None:
    failure = _failed(written(tmp_path / "photo.jpg", data))
    assert failure.kind is kind
    assert failure.message
    assert "\n" not in failure.message


def test_a_missing_photo_is_a_failure(tmp_path: Path) -> None:
    assert _failed(str(tmp_path / "gone.jpg")).kind is FailureKind.VANISHED


def test_the_limit_is_the_preparers_own(tmp_path: Path) -> None:
    file = written(tmp_path / "photo", encoded(picture(400, 300), "png"))
    assert _failed(file, limit_px=119_999).kind is FailureKind.TOO_LARGE


@pytest.mark.parametrize("step", ["resize", "crop"])
def test_running_out_of_memory_after_decoding_is_a_failure_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refusing(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Preprocessing, step, refusing)
    assert _failed(written(tmp_path / "photo", encoded(picture(), "png"))).kind is FailureKind.TOO_LARGE


def test_a_raw_and_its_preview_are_prepared(tmp_path: Path) -> None:
    data = dng(300, 200, preview=encoded(smooth(300, 200), "jpeg"), orientation=6)
    outcome, _ = _prepared(written(tmp_path / "photo.dng", data))
    assert outcome.content.format is Format.RAW
    assert (outcome.content.width, outcome.content.height) == (200, 300)


def test_a_preparer_and_what_it_returns_cross_to_another_process(tmp_path: Path) -> None:
    preparer = _preparer("fast")
    assert pickle.loads(pickle.dumps(preparer)) == preparer
    outcome, _ = _prepared(written(tmp_path / "photo", encoded(picture(), "jpeg", exif=exif(3).tobytes())))
    assert pickle.loads(pickle.dumps(outcome)) == outcome


def test_recipes_have_names_of_their_own() -> None:
    assert recipe_id("exact") != recipe_id("fast")
    assert recipe_id("fast").startswith("fast-")


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_AS")
def test_a_started_worker_lives_without_torch_and_within_its_memory(tmp_path: Path) -> None:
    bomb = written(tmp_path / "bomb.png", png_header_of(50_000, 50_000))
    good = written(tmp_path / "good.jpg", encoded(picture(400, 300), "jpeg"))
    child = textwrap.dedent("""
        import resource, sys
        from PIL import Image
        from rali.model.preprocess import Preprocessing
        from rali.prepare import Preparer
        preparer = Preparer(Preprocessing(96, 80, (0.5,) * 3, (0.5,) * 3), "fast", 100_000_000)
        preparer.start()
        assert Image.MAX_IMAGE_PIXELS is None
        assert resource.getrlimit(resource.RLIMIT_AS)[0] == (2 << 30) + 16 * 100_000_000
        buffer = memoryview(bytearray(preparer.result_bytes))
        print(type(preparer(sys.argv[1], buffer)).__name__, type(preparer(sys.argv[2], buffer)).__name__)
        assert "torch" not in sys.modules
    """)
    done = subprocess.run([sys.executable, "-c", child, bomb, good], capture_output=True, text=True, timeout=25)
    assert (done.stdout.split(), done.returncode) == (["Failure", "Prepared"], 0), done.stderr


def test_a_raw_has_one_identity_whatever_model_looks_at_it(tmp_path: Path) -> None:
    """Its preview is enough for one model and too small for another; it is the same photo all the same."""

    preview = encoded(picture(300, 225), "JPEG")
    file = written(tmp_path / "shot.dng", dng(640, 480, preview=preview))
    hashes = set()
    for side_px in (64, 200, 260):
        preparer = Preparer(Preprocessing(side_px, side_px, (0.5,) * 3, (0.5,) * 3), "fast", 10**8)
        prepared = preparer(file, memoryview(bytearray(preparer.result_bytes)))
        assert isinstance(prepared, Prepared)
        hashes.add(prepared.content.hash)
    assert len(hashes) == 1
