"""OpenVINO gives what torch gives, from a graph of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fakes import TINY_ARCHITECTURE, write_changed, write_tiny_bundle
from make_release import make_release
from safetensors import safe_open

from rali.config import Settings
from rali.errors import DamagedModelError, DeviceError
from rali.model.bundle import read_info
from rali.model.choice import best_way, measured_here, open_scorer, remembered
from rali.model.engines.openvino_engine import OpenVinoEngine
from rali.model.engines.openvino_graph import build_graph
from rali.model.engines.openvino_library import precisions
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


@pytest.mark.parametrize("middle", [{}, {"cut": 8}])
def test_float32_gives_what_torch_gives(tmp_path: Path, middle: dict[str, int]) -> None:
    pixels = some_pixels(32)
    architecture = TINY_ARCHITECTURE | {"encoder": TINY_ARCHITECTURE["encoder"] | middle}
    info = write_tiny_bundle(tmp_path / "tiny.safetensors", architecture=architecture)

    found, wanted = (Scorer(info, engine=engine, device="cpu").score(pixels) for engine in ("openvino", "torch"))

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


class FakeRequest:
    """A request that is busy from its start until it is waited for; it may have no memory for its first picture."""

    def __init__(self, size: int, *, fails: bool) -> None:
        self.size, self.fails, self.busy = size, fails, False

    def start_async(self, inputs: dict[int, np.ndarray]) -> None:
        if self.busy:
            raise RuntimeError("Infer Request is busy")
        if self.fails:
            self.fails = False
            raise RuntimeError("std::bad_alloc")
        self.busy, self.mean = True, float(inputs[0].mean())

    def wait(self) -> None:
        self.busy = False

    def get_output_tensor(self, _: int) -> Any:
        return SimpleNamespace(data=np.full((1, self.size), self.mean, np.float32))


def test_pictures_in_flight_are_waited_for_before_a_smaller_batch(tiny_bundle: Path) -> None:
    def scores(*, fails: bool) -> tuple[list[float], list[str]]:
        engine = OpenVinoEngine(read_info(tiny_bundle), precision="float32")
        size, notices = engine._embedding_size, []
        engine._requests = [FakeRequest(size, fails=False), FakeRequest(size, fails=fails)]
        engine.batch_size = 4
        scorer = Scorer(read_info(tiny_bundle), load_engine=lambda *_: engine, on_notice=notices.append, device="cpu")
        return scorer.score(some_pixels(32, 4)).scores.tolist(), notices

    found, notices = scores(fails=True)
    assert found == pytest.approx(scores(fails=False)[0])
    assert notices == ["cpu has too little memory: going on with 2 photos at once"]


def test_it_starts_without_torch_and_without_the_network(tiny_bundle: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()

    score, torch_loaded, connections = start(tiny_bundle, HOME=str(home)).communicate()[0].split(maxsplit=2)

    assert np.isfinite(float(score))
    assert torch_loaded == "False"
    assert connections.strip() == "[]"  # by itself OpenVINO tells Google of each import
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("stored", ["float16", "bfloat16"])
def test_half_weights_give_what_torch_gives(tmp_path: Path, stored: Any) -> None:
    info = import_checkpoint(make_release(tmp_path / "tiny-rali"), precision=stored)
    pixels = some_pixels(info.preprocessing.crop_px)

    found, wanted = (Scorer(info, engine=engine, device="cpu").score(pixels).scores for engine in ("openvino", "torch"))

    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_int8_is_near_for_a_transformer_and_refused_for_a_convolutional_network(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    info = import_checkpoint(make_release(tmp_path / "tiny-rali"), precision="float32")
    pixels = some_pixels(info.preprocessing.crop_px)

    found = Scorer(info, engine="openvino", device="cpu", precision="int8").score(pixels).embeddings
    wanted = Scorer(info, device="cpu").score(pixels).embeddings

    assert not np.array_equal(found, wanted)
    for one, other in zip(found.astype(float), wanted.astype(float), strict=True):
        assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.98
    with pytest.raises(DeviceError, match="not in int8"):
        Scorer(read_info(tiny_bundle), engine="openvino", device="cpu", precision="int8")


@pytest.mark.parametrize("change", ["missing", "left over", "misshapen"])
def test_tensors_that_do_not_fit_are_named(tiny_bundle: Path, change: str) -> None:
    info = read_info(tiny_bundle)
    with safe_open(tiny_bundle, framework="numpy") as file:
        tensors = {name[8:]: file.get_tensor(name) for name in file.keys() if name.startswith("encoder.")}  # noqa: SIM118
    build_graph(info.architecture, dict(tensors), info.preprocessing, int8=False)
    bias = tensors.pop("stem.conv.bias")
    if change != "missing":
        tensors["stem.conv.bias"] = bias if change == "left over" else bias[:-1]
    if change == "left over":
        tensors["stem.conv.more"] = bias

    with pytest.raises((KeyError, ValueError, RuntimeError), match=r"stem\.conv|[Ii]ncompatible|[Ss]hape"):
        build_graph(info.architecture, tensors, info.preprocessing, int8=False)


def test_an_altered_bundle_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    def alter(header: object, tensors: dict[str, np.ndarray]) -> None:
        tensors["head.proto_scores"] = tensors["head.proto_scores"] + 1

    with pytest.raises(DamagedModelError, match="altered"):
        with_openvino(write_changed(tiny_bundle, tmp_path / "altered.safetensors", alter))


def test_what_is_measured_is_chosen_remembered_and_good_enough(tmp_path: Path) -> None:
    info = write_tiny_bundle(tmp_path / "model.safetensors", score=50.0)  # whatever the precision, the score is 50
    settings = Settings(device="cpu")
    results = measured_here(info, settings)

    assert remembered(info) == results
    chosen = best_way(info, settings, results)
    assert all(result.photos_per_s <= next(r for r in results if r.way == chosen).photos_per_s for result in results)
    scorer = open_scorer(info, settings)
    assert Way(scorer.engine, scorer.device, scorer.precision) == chosen


def test_a_precision_that_this_cpu_has_not_got_is_refused_with_those_that_it_has(tiny_bundle: Path) -> None:
    missing = next((p for p in ("float16", "bfloat16") if p not in precisions("efficientnet-lite")), None)
    if missing is None:
        pytest.skip("this CPU has them all")

    with pytest.raises(DeviceError, match=rf"float32.* on this CPU, not in {missing}"):
        open_scorer(read_info(tiny_bundle), Settings(engine="openvino", precision=missing))  # type: ignore[arg-type]
