"""Which engine and precision is taken: what is asked for, or the fastest that passed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import write_tiny_bundle
from make_release import make_release

from rali.config import Settings, load_settings
from rali.errors import DamagedModelError, DeviceError, UsageError
from rali.model import choice
from rali.model.bundle import BundleInfo, read_info
from rali.model.choice import WORTH_MEASURING_PHOTOS, best_way, measured_here, open_scorer, remember, remembered
from rali.model.gate import Interrupted, Measured, compare, measure
from rali.model.importer import import_checkpoint
from rali.model.verify import is_sound, verify_model
from rali.model.ways import Way

WORTH = WORTH_MEASURING_PHOTOS["efficientnet-lite"]
TORCH = Way("torch", "cpu", "float32")
HALF = Way("torch", "cpu", "bfloat16")
CPU = Settings(device="cpu", engine="torch")


def measured(way: Way, photos_per_s: float, *, share: float = 0.001, passed: bool = True) -> Measured:
    return Measured(way, 16, share * 100, share, None, photos_per_s, passed)


@pytest.fixture
def info(tmp_path: Path) -> BundleInfo:
    return write_tiny_bundle(tmp_path / "model.safetensors", score=50.0)


def test_the_fastest_that_passed_is_taken(info: BundleInfo) -> None:
    assert best_way(info, CPU, [measured(TORCH, 10), measured(HALF, 20)]) == HALF
    assert best_way(info, CPU, [measured(TORCH, 30), measured(HALF, 20)]) == TORCH


def test_what_failed_the_gate_is_not_taken_however_fast(info: BundleInfo) -> None:
    assert best_way(info, CPU, [measured(TORCH, 10), measured(HALF, 99, passed=False)]) == TORCH


def test_nothing_measured_means_float32_of_openvino_where_that_is_at_home(
    info: BundleInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="needs the extra openvino")

    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert best_way(info, Settings(device="cpu"), []) == Way("openvino", "cpu", "float32")
    assert best_way(info, CPU, []) == TORCH  # asked for
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert best_way(info, Settings(device="cpu"), []) == TORCH


def test_an_explicit_precision_is_taken_whatever_was_measured(info: BundleInfo) -> None:
    remember(info, [measured(TORCH, 99), measured(HALF, 1, passed=False)])

    assert open_scorer(info, replace(CPU, precision="bfloat16")).precision == "bfloat16"


def test_the_recipe_exact_is_torchs_float32_whatever_was_measured(info: BundleInfo) -> None:
    remember(info, [measured(TORCH, 10), measured(HALF, 20)])

    scorer = open_scorer(info, replace(CPU, engine="auto", recipe="exact"), expected=10_000)

    assert (scorer.engine, scorer.precision, scorer.reconsider) == ("torch", "float32", None)


def test_what_was_measured_is_remembered_for_that_model_alone(info: BundleInfo, tmp_path: Path) -> None:
    other = write_tiny_bundle(tmp_path / "other.safetensors", seed=7)
    remember(info, [measured(TORCH, 10), measured(HALF, 20)])

    assert [result.way for result in remembered(info)] == [TORCH, HALF]
    assert remembered(other) == []


@pytest.mark.parametrize("content", ["", "{}", "[1]", '[{"way": {}}]', '[{"way": {"engine": "x"}}]', "\x00"])
def test_a_damaged_memory_counts_as_none(info: BundleInfo, own_world: Path, content: str) -> None:
    remember(info, [measured(HALF, 20)])
    (file,) = (own_world / "cache" / "measured").iterdir()
    file.write_text(content)

    assert remembered(info) == []


def test_a_long_run_measures_once_between_its_first_batches(info: BundleInfo) -> None:
    scorer = open_scorer(info, CPU, expected=WORTH)
    pixels = np.zeros((1, *info.preprocessing.input_shape), dtype=np.uint8)
    scorer.score(pixels)
    assert remembered(info) == []  # the first score does not wait

    scorer.score(pixels)

    known = remembered(info)
    assert {TORCH, HALF} <= {result.way for result in known}
    assert Way(scorer.engine, scorer.device, scorer.precision) == best_way(info, CPU, known)
    assert open_scorer(info, CPU, expected=10**6).reconsider is None


def test_an_encoder_of_an_unknown_kind_is_told_in_a_line(info: BundleInfo) -> None:
    odd = replace(info, architecture={**info.architecture, "encoder": {"kind": "from-tomorrow"}})

    for settings in (CPU, Settings(device="cpu")):
        with pytest.raises(DamagedModelError, match="from-tomorrow"):
            open_scorer(odd, settings, expected=10**6)


def test_a_short_run_does_not_measure(info: BundleInfo) -> None:
    assert open_scorer(info, CPU, expected=WORTH - 1).reconsider is None


def test_a_measurement_that_is_stopped_remembers_nothing(info: BundleInfo) -> None:
    scorer = open_scorer(info, CPU, expected=WORTH, stop=lambda: True)
    pixels = np.zeros((1, *info.preprocessing.input_shape), dtype=np.uint8)

    assert [float(scorer.score(pixels).scores[0]) for _ in range(2)] == [50.0, 50.0]
    assert remembered(info) == []
    assert scorer.precision == "float32"


def test_a_way_that_is_far_slower_is_not_measured_to_the_end(info: BundleInfo) -> None:
    pixels = np.zeros((16, *info.preprocessing.input_shape), dtype=np.uint8)

    result = measure(info, TORCH, pixels, np.full(16, 50.0), least_per_s=1e12)

    assert (result.problem, result.passed) == ("slower", False)
    with pytest.raises(Interrupted):
        measure(info, TORCH, pixels, np.full(16, 50.0), stop=lambda: True)


@pytest.mark.parametrize(
    ("change", "passed"), [(0.0, True), (0.99, True), (1.01, False), (float("nan"), False), (float("inf"), False)]
)
def test_the_gate_lets_one_hundredth_of_the_scale_pass(info: BundleInfo, change: float, passed: bool) -> None:
    reference = np.linspace(0, 100, 200)
    found = reference.copy()
    found[77] += change

    assert compare(info, TORCH, found, reference, photos_per_s=1).passed is passed


def test_the_gate_wants_the_ranks_too(info: BundleInfo) -> None:
    reference = np.linspace(50, 50.5, 200)

    result = compare(info, TORCH, reference[::-1].copy(), reference, photos_per_s=1)

    assert (result.passed, result.srcc) == (False, pytest.approx(-1))


def test_int8_passes_on_real_photos_alone(info: BundleInfo) -> None:
    int8, reference = Way("openvino", "cpu", "int8"), np.linspace(0, 100, 200)

    few = compare(info, int8, reference[:16], reference[:16], photos_per_s=1)

    assert (few.passed, few.verdict) == (False, "needs 100 photos")
    assert compare(info, int8, reference, reference, photos_per_s=1).passed


def test_what_real_photos_said_of_int8_outlives_a_quick_measurement(info: BundleInfo) -> None:
    int8 = measured(Way("openvino", "cpu", "int8"), 1e9)
    remember(info, [int8])

    measured_here(info, CPU)

    known = remembered(info)
    assert int8 in known
    assert TORCH in {result.way for result in known}


def test_what_real_photos_said_of_int8_outlives_the_golden_pictures(tmp_path: Path) -> None:
    info = import_checkpoint(make_release(tmp_path / "tiny-rali"), precision="float32")
    int8 = measured(Way("openvino", "cpu", "int8"), 1e9)
    remember(info, [int8])

    seen = list(verify_model(info))
    assert [result for result in remembered(info) if result.way == int8.way] == [int8]
    assert {result.way for result in seen if result.way.device == "cpu"} <= {r.way for r in remembered(info)}

    list(verify_model(info, np.zeros((2, *info.preprocessing.input_shape), dtype=np.uint8)))
    assert int8 not in remembered(info)  # these are photos


def test_float32_is_called_wrong_only_where_it_was_measured() -> None:
    assert not is_sound(measured(TORCH, 10.0, share=0.1))
    assert is_sound(measured(TORCH, 10.0, share=1e-6))
    assert is_sound(Measured(TORCH, 2, problem="slower"))  # a busy machine is no wrong one
    assert not is_sound(Measured(TORCH, problem="out of memory"))


def test_the_fastest_of_torch_is_found_beside_an_engine_that_is_far_faster(
    info: BundleInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    openvino = Way("openvino", "cpu", "float32")
    speeds = {openvino: 100.0, TORCH: 10.0, HALF: 20.0}

    def fake(_: BundleInfo, way: Way, *__: object, least_per_s: float, **___: object) -> Measured:
        slow = speeds[way] < least_per_s
        return Measured(way, 2, problem="slower") if slow else measured(way, speeds[way])

    monkeypatch.setattr(choice, "candidates", lambda *_: list(speeds))
    monkeypatch.setattr(choice, "measure", fake)
    results = measured_here(info, CPU)
    monkeypatch.undo()

    assert best_way(info, CPU, results) == HALF


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"recipe": "exact", "precision": "bfloat16"}, "exact is float32"),
        ({"recipe": "exact", "engine": "openvino"}, "use --engine torch"),
        ({"engine": "openvino", "device": "cuda"}, "OpenVINO runs on the CPU"),
        ({"engine": "tensorrt"}, "--engine: 'tensorrt' is no good value"),
        ({"engine": "torch", "precision": "int8"}, "use --engine openvino"),
        ({"device": "cuda", "precision": "int8"}, "int8 is for the CPU"),
        ({"precision": "int4"}, "--precision: 'int4' is no good value"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        load_settings(settings)


def test_openvino_that_is_not_installed_is_refused_in_a_line(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("rali.model.engines.openvino_library", "rali.model.ways"):
        monkeypatch.setattr(f"{module}.openvino_version", lambda: None)

    with pytest.raises(DeviceError, match=r"pip install 'rali\[openvino\]'"):
        open_scorer(read_info(tiny_bundle), Settings(engine="openvino"))
    assert open_scorer(read_info(tiny_bundle), Settings(device="cpu")).engine == "torch"
    assert all(way.engine == "torch" for way in choice.candidates(read_info(tiny_bundle), Settings(device="cpu")))
