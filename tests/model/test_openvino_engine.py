"""OpenVINO gives what torch gives, from a converted encoder that is made once and kept."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fakes import write_changed, write_tiny_bundle
from make_release import make_release

from rali.config import Settings
from rali.errors import DamagedModelError, DeviceError
from rali.model.bundle import read_info
from rali.model.choice import best_way, measured_here, open_scorer, remembered
from rali.model.engines.cache import cached, entries_folder
from rali.model.engines.openvino_engine import cache_key, precisions
from rali.model.gate import Measured
from rali.model.importer import import_checkpoint
from rali.model.registry import find_model
from rali.model.scorer import Scorer
from rali.model.ways import Way

pytest.importorskip("openvino", reason="needs the extra openvino")

# What each process below does: score one picture with a bundle, and say how, and what was loaded for it.
SCORE_ONE = """
import sys
connections = []
sys.addaudithook(lambda event, _: connections.append(event) if event in ("socket.connect", "socket.getaddrinfo") else 0)
import numpy as np
from rali.model.registry import find_model
from rali.model.scorer import Scorer
info = find_model(sys.argv[1])
pixels = np.random.default_rng(0).integers(0, 256, (1, *info.preprocessing.input_shape), dtype=np.uint8)
found = Scorer(info, engine="openvino", device="cpu").score(pixels)
print(repr(float(found.scores[0])), "torch" in sys.modules, connections)
"""


def some_pixels(side_px: int, count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side_px, side_px, 3), dtype=np.uint8)


def with_openvino(bundle: Path) -> Scorer:
    return Scorer(read_info(bundle), engine="openvino", device="cpu")


def start(bundle: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCORE_ONE, str(bundle)],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_float32_gives_what_torch_gives(tiny_bundle: Path) -> None:
    pixels = some_pixels(32)

    found, wanted = (
        Scorer(read_info(tiny_bundle), engine=e, device="cpu").score(pixels) for e in ("openvino", "torch")
    )

    np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-3)
    np.testing.assert_allclose(found.embeddings, wanted.embeddings, rtol=1e-2, atol=1e-2)


def test_a_clip_tower_gives_what_torch_gives(tmp_path: Path) -> None:
    info = import_checkpoint(make_release(tmp_path / "tiny-rali"), precision="float32")
    pixels = some_pixels(info.preprocessing.crop_px)

    found, wanted = (Scorer(info, engine=engine, device="cpu").score(pixels).scores for engine in ("openvino", "torch"))

    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.slow
def test_mini_gives_its_golden_scores_with_openvino() -> None:
    info = find_model("mini")

    found = Scorer(info, engine="openvino", device="cpu").golden_scores()

    assert found == pytest.approx(info.golden_scores, abs=1e-2)


def test_a_score_depends_on_the_picture_alone(tiny_bundle: Path) -> None:
    scorer, pixels = with_openvino(tiny_bundle), some_pixels(32, 9)
    together = scorer.score(pixels).scores

    alone = [float(scorer.score(pixels[at : at + 1]).scores[0]) for at in range(9)]
    np.testing.assert_allclose(alone, together, atol=1e-9)


@pytest.mark.timeout(120)  # processes that import torch, on a busy machine
def test_an_encoder_is_converted_once_and_then_needs_neither_torch_nor_the_network(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    both = [start(tiny_bundle, HOME=str(home)) for _ in range(2)]  # at once
    answers = [process.communicate()[0].split(maxsplit=2) for process in both]
    later = start(tiny_bundle, HOME=str(home)).communicate()[0].split(maxsplit=2)

    assert answers[0][0] == answers[1][0] == later[0]
    assert later[1] == "False"  # whether torch was loaded
    # No connection: by itself OpenVINO tells Google of each import.
    assert {connections.strip() for _, _, connections in (*answers, later)} == {"[]"}
    assert list(home.iterdir()) == []
    assert [entry.name for entry in entries_folder().iterdir()] == [cache_key(read_info(tiny_bundle))]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("encoder.bin", lambda content: bytes([content[0] ^ 1]) + content[1:]),
        ("encoder.xml", lambda content: content[:-100]),
        ("entry.json", lambda _: b"[]"),
    ],
)
def test_a_damaged_entry_is_made_again(tiny_bundle: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    pixels = some_pixels(32)
    wanted = with_openvino(tiny_bundle).score(pixels).scores
    key = cache_key(read_info(tiny_bundle))
    file = entries_folder() / key / name
    content = file.read_bytes()
    file.unlink()  # the old content may still be mapped into memory
    file.write_bytes(damage(content))
    assert cached(key) is None

    assert list(with_openvino(tiny_bundle).score(pixels).scores) == list(wanted)
    assert cached(key) is not None
    assert len(list(entries_folder().iterdir())) == 1


def test_other_weights_have_an_entry_of_their_own(tmp_path: Path) -> None:
    bundles = [write_tiny_bundle(tmp_path / f"{seed}.safetensors", seed=seed).path for seed in (1, 2)]

    scores = [with_openvino(bundle).score(some_pixels(32)).scores for bundle in bundles]

    assert not np.allclose(*scores)
    assert len(list(entries_folder().iterdir())) == 2


def test_an_altered_bundle_is_refused_though_its_encoder_is_kept(tiny_bundle: Path, tmp_path: Path) -> None:
    with_openvino(tiny_bundle)

    def alter(header: object, tensors: dict[str, np.ndarray]) -> None:
        tensors["head.proto_scores"] = tensors["head.proto_scores"] + 1

    with pytest.raises(DamagedModelError, match="altered"):
        with_openvino(write_changed(tiny_bundle, tmp_path / "altered.safetensors", alter))


def test_a_cache_that_cannot_be_written_is_an_error_or_torch_takes_over(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    info = read_info(tiny_bundle)
    measured = [Measured(Way("openvino", "cpu", "float32"), 16, 0.0, 0.0, None, 99.0, True)]
    monkeypatch.setenv("RALI_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr("rali.model.choice.remembered", lambda _: measured)
    notices: list[str] = []

    with pytest.raises(DeviceError, match="RALI_CACHE"):
        open_scorer(info, Settings(engine="openvino", device="cpu"))
    assert open_scorer(info, Settings(device="cpu"), on_notice=notices.append).engine == "torch"
    assert "going on with torch" in notices[0]


def test_what_is_measured_is_chosen_remembered_and_good_enough(tmp_path: Path) -> None:
    info = write_tiny_bundle(tmp_path / "model.safetensors", score=50.0)  # whatever the precision, the score is 50
    settings = Settings(device="cpu")
    assert open_scorer(info, settings).engine == "torch"

    results = measured_here(info, settings)

    assert remembered(info) == results
    chosen = best_way(settings, results)
    assert all(result.photos_per_s <= next(r for r in results if r.way == chosen).photos_per_s for result in results)
    scorer = open_scorer(info, settings)
    assert Way(scorer.engine, scorer.device, scorer.precision) == chosen


def test_a_precision_that_this_cpu_has_not_got_is_refused_with_those_that_it_has(tiny_bundle: Path) -> None:
    missing = next((p for p in ("float16", "bfloat16") if p not in precisions()), None)
    if missing is None:
        pytest.skip("this CPU has them all")

    with pytest.raises(DeviceError, match=rf"float32.* on this CPU, not in {missing}"):
        open_scorer(read_info(tiny_bundle), Settings(engine="openvino", precision=missing))  # type: ignore[arg-type]
