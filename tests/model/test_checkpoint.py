"""A release is read as its authors read it, and nothing in it is run."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from make_release import make_release

from rali.errors import DamagedModelError, ModelError, UnknownModelError
from rali.model.checkpoint import read_checkpoint
from rali.model.registry import find_model
from rali.model.scorer import Scorer
from rali.prepare import Prepared, Preparer

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_release(tmp_path_factory.mktemp("release") / "whole")


@pytest.fixture
def folder(release: Path, tmp_path: Path) -> Path:
    """Give a copy of the release that a test may spoil."""
    return Path(shutil.copytree(release, tmp_path / "release"))


def scores_of(model: Path, images: list[Path]) -> dict[str, float]:
    info = find_model(str(model))
    scorer = Scorer(info, device="cpu")
    preparer = Preparer(info.preprocessing, "exact", 500_000_000)
    buffer = bytearray(preparer.result_bytes)
    found = {}
    for image in images:
        assert isinstance(preparer(str(image), memoryview(buffer)), Prepared)
        pixels = np.frombuffer(buffer, dtype=np.uint8).reshape(1, *info.preprocessing.input_shape)
        found[image.name] = float(scorer.score(pixels).scores[0])
    return found


def test_exact_scores_are_those_of_the_authors_own_code() -> None:
    wanted = json.loads((GOLDEN / "scores.json").read_text())["scores"]
    found = scores_of(GOLDEN / "official-tiny", [GOLDEN / "images" / name for name in wanted])
    assert found == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    "shape",
    [
        {"size": 42, "patch": 14},
        {"size": 64, "patch": 32, "hidden": 48, "heads": 3, "layers": 1},
        {"plain_pca": True, "prototypes": 250},
        {"torch_bin": True},
        {"drift": False},
    ],
    ids=str,
)
def test_other_releases_score_as_transformers_and_numpy_compute_it(shape: dict[str, Any], tmp_path: Path) -> None:
    """Every size, preprocessing and layout comes from the files."""
    folder = make_release(tmp_path / "release", seed=3, **shape)
    image = GOLDEN / "images" / "sharp.jpg"
    assert scores_of(folder, [image])["sharp.jpg"] == pytest.approx(by_the_formula(folder, image), abs=1e-5)


def by_the_formula(folder: Path, image: Path) -> float:
    """Score in the plainest way: torch for the tower, numpy for the head, straight from ckpt.pt and pca.pkl."""
    import joblib
    from PIL import Image
    from torch.nn import functional

    state = torch.load(folder / "ckpt.pt", weights_only=True)["state_dict"]
    config = json.loads((folder / "best/config.json").read_text())["vision_config"]
    side = config["image_size"]
    with Image.open(image) as opened:
        picture = opened.convert("RGB")
        short = min(picture.size)
        width, height = (side if edge == short else int(side * edge / short) for edge in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - side) // 2, (height - side) // 2
    pixels = np.asarray(picture.crop((left, top, left + side, top + side)), dtype=np.float32) / 255
    preprocessor = json.loads((folder / "best/preprocessor_config.json").read_text())
    pixels = (pixels - np.float32(preprocessor["image_mean"])) / np.float32(preprocessor["image_std"])

    def weight(name: str) -> torch.Tensor:
        return state[f"clip.vision_model.{name}"].double()

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.layer_norm(x, x.shape[-1:], weight(f"{name}.weight"), weight(f"{name}.bias"), 1e-5)

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.linear(x, weight(f"{name}.weight"), weight(f"{name}.bias"))

    x = torch.from_numpy(pixels).double().permute(2, 0, 1)[None]
    patches = functional.conv2d(x, weight("embeddings.patch_embedding.weight"), stride=config["patch_size"])
    tokens = torch.cat([weight("embeddings.class_embedding")[None], patches[0].flatten(1).T])
    tokens = norm(tokens + weight("embeddings.position_embedding.weight"), "pre_layrnorm")
    for layer in range(config["num_hidden_layers"]):
        prefix = f"encoder.layers.{layer}"
        y = norm(tokens, f"{prefix}.layer_norm1")
        heads = config["num_attention_heads"]
        q, k, v = (linear(y, f"{prefix}.self_attn.{n}_proj").unflatten(1, (heads, -1)).transpose(0, 1) for n in "qkv")
        attention = torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1) @ v
        tokens = tokens + linear(attention.transpose(0, 1).flatten(1), f"{prefix}.self_attn.out_proj")
        y = linear(norm(tokens, f"{prefix}.layer_norm2"), f"{prefix}.mlp.fc1")
        tokens = tokens + linear(y * torch.sigmoid(1.702 * y), f"{prefix}.mlp.fc2")
    embedding = norm(tokens[0], "post_layernorm") @ state["clip.visual_projection.weight"].double().T
    mean = joblib.load(folder / "pca.pkl").mean_
    head = {name: state[f"scorer.{name}"].double().numpy() for name in ("pca_scale", "pca_components", "prototypes")}
    z = ((embedding.numpy() - mean) / np.abs(head["pca_scale"])) @ head["pca_components"].T
    cosines = head["prototypes"] @ z / np.linalg.norm(head["prototypes"], axis=1) / np.linalg.norm(z)
    logits = cosines * float(state["scorer.logit_scale"])
    weights = np.exp(logits - logits.max())
    return float(weights / weights.sum() @ state["scorer.proto_scores"].double().numpy())


def test_the_score_range_is_that_of_the_checkpoints_own_prototypes(release: Path) -> None:
    scores = torch.load(release / "ckpt.pt", weights_only=True)["state_dict"]["scorer.proto_scores"]
    info = read_checkpoint(release).info
    assert (info.score_low, info.score_high) == (float(scores.min()), float(scores.max()))


def test_the_text_tower_is_read_apart_from_what_a_score_needs(release: Path) -> None:
    checkpoint = read_checkpoint(release)
    assert not [name for name in checkpoint.tensors if "text" in name]
    assert "text_projection.weight" in checkpoint.text_tensors


@pytest.mark.parametrize(
    "name", ["ckpt.pt", "pca.pkl", "basis.npz", "best/config.json", "best/preprocessor_config.json"]
)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UnknownModelError, match=name):
        find_model(str(folder))


@pytest.mark.parametrize("torch_bin", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("name", ["ckpt.pt", "pca.pkl", "basis.npz", "best/weights"])
def test_a_truncated_file_is_one_clear_line(name: str, share: float, torch_bin: bool, tmp_path: Path) -> None:
    folder = make_release(tmp_path / "release", torch_bin=torch_bin)
    weights = "best/pytorch_model.bin" if torch_bin else "best/model.safetensors"
    path = folder / name.replace("best/weights", weights)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DamagedModelError, match=path.name) as caught:
        find_model(str(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda state: state.pop("clip.visual_projection.weight"), "lacks clip.visual_projection.weight"),
        (lambda state: state.pop("clip.text_projection.weight"), "lacks clip.text_projection.weight"),
        (lambda state: state.update({"clip.more": torch.zeros(1)}), "unknown clip.more"),
        (lambda state: state.update({"scorer.pca_mean": torch.zeros(16)}), "unknown scorer.pca_mean"),
        (
            lambda state: state.update({"scorer.prototypes": torch.zeros(12, 9)}),
            r"scorer.prototypes has shape \[12, 9\]",
        ),
        (lambda state: state.update({"scorer.pca_scale": torch.zeros(1)}), "scorer.pca_scale has shape"),
    ],
)
def test_a_wrong_key_or_shape_is_one_clear_line(
    folder: Path, change: Callable[[dict[str, torch.Tensor]], object], complaint: str
) -> None:
    content = torch.load(folder / "ckpt.pt", weights_only=True)
    change(content["state_dict"])
    torch.save(content, folder / "ckpt.pt")
    with pytest.raises(DamagedModelError, match=complaint) as caught:
        find_model(str(folder))
    assert "\n" not in str(caught.value)


class Bomb:
    """A pickle that makes a file when it is loaded carelessly."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("name", ["pca.pkl", "ckpt.pt", "basis.npz", "best/pytorch_model.bin"])
def test_a_pickle_that_runs_a_command_is_refused_and_runs_nothing(name: str, tmp_path: Path) -> None:
    folder = make_release(tmp_path / "release", torch_bin=True)
    target = tmp_path / "harm"
    bomb = Bomb(target)
    if name.endswith(".npz"):
        scores = np.array([bomb] * 12, dtype=object)
        np.savez(folder / name, vectors=np.zeros((12, 8), np.float32), scores=scores)
    elif name == "ckpt.pt":
        content = torch.load(folder / name, weights_only=True)
        torch.save(content | {"extra": bomb}, folder / name)
    elif name.endswith(".bin"):
        torch.save({"weight": bomb}, folder / name)
    else:
        (folder / name).write_bytes(pickle.dumps(bomb))
    with pytest.raises(ModelError, match=Path(name).name) as caught:
        find_model(str(folder))
    assert "\n" not in str(caught.value)
    assert not target.exists()


def test_other_keys_beside_the_state_dict_do_no_harm(folder: Path) -> None:
    content = torch.load(folder / "ckpt.pt", weights_only=True)
    more = {"epoch": 12, "best": 0.9, "lr": np.float64(1e-4), "history": [{"loss": 0.1}], "optimizer": {"state": {}}}
    torch.save(content | more, folder / "ckpt.pt")
    assert find_model(str(folder)).architecture["head"]["prototypes"] == 12


def test_values_that_config_json_leaves_out_have_transformers_defaults(folder: Path) -> None:
    path = folder / "best/config.json"
    config = json.loads(path.read_text())
    del config["vision_config"]["patch_size"]
    path.write_text(json.dumps(config))
    # The default patch is 32 pixels, which this checkpoint's weights do not have.
    with pytest.raises(DamagedModelError, match=r"position_embedding|patch_embedding"):
        find_model(str(folder))


@pytest.mark.parametrize(
    ("key", "value"),
    [("size", 32), ("crop_size", 32), ("resample", 2), ("rescale_factor", 0.00392156862745098)],
)
def test_older_and_other_preprocessor_files_are_understood(folder: Path, key: str, value: object) -> None:
    path = folder / "best/preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    preprocessing = find_model(str(folder)).preprocessing
    assert preprocessing.resize_px == preprocessing.crop_px == 32
    assert preprocessing.resample == ("bilinear" if key == "resample" else "bicubic")


@pytest.mark.parametrize(
    "change", [{"do_center_crop": False}, {"crop_size": {"height": 32, "width": 16}}, {"crop_size": 16}, {"size": {}}]
)
def test_a_preprocessing_that_rali_does_not_know_is_refused(folder: Path, change: dict[str, object]) -> None:
    path = folder / "best/preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DamagedModelError, match="preprocessor_config"):
        find_model(str(folder))


def test_another_pca_mean_is_another_model(folder: Path) -> None:
    """The mean is in pca.pkl alone, and decides scores."""
    import joblib

    before = find_model(str(folder)).model_id
    fitted = joblib.load(folder / "pca.pkl")
    fitted.mean_ = fitted.mean_ + 1
    joblib.dump(fitted, folder / "pca.pkl")
    assert find_model(str(folder)).model_id != before
