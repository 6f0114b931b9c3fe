"""The authors' release as they lay it out on disk, read without running anything from it.

<folder>/ckpt.pt     every weight; overrides what the other files also hold
pca.pkl     the PCA: its mean is nowhere else
basis.npz   prototypes and their scores
best/       a Hugging Face CLIPModel: architecture, preprocessing, weights
"""

from __future__ import annotations

import _codecs
import argparse
import hashlib
import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from numpy._core.multiarray import scalar  # isort: skip

from rali.errors import DamagedModelError, UnknownModelError
from rali.model.bundle import BundleInfo
from rali.model.clip import ClipVision, ClipVisionConfig
from rali.model.preprocess import Preprocessing
from rali.model.sklearn_pca import read_pca

_NEEDED = ("ckpt.pt", "pca.pkl", "basis.npz", "best/config.json", "best/preprocessor_config.json")
_WEIGHTS = ("best/model.safetensors", "best/pytorch_model.bin")
_SMALLEST_SCALE = 1e-10
# What transformers takes for a value that config.json leaves out.
_VISION_DEFAULTS = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
_TEXT_DEFAULTS = {
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "vocab_size": 49408,
    "max_position_embeddings": 77,
}
_PROJECTION_DEFAULT = 512
_MOST_LAYERS = 1000
_RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
# What training loops leave beside the weights: numbers of numpy's and parsed options. None of these runs anything.
_HARMLESS: list[Any] = [
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "u1", "?")),
    *((scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    (_codecs.encode, "_codecs.encode"),
    argparse.Namespace,
]
# Buffers that old versions of transformers saved: they count from zero and hold no weight.
_NO_WEIGHTS = {"clip.vision_model.embeddings.position_ids", "clip.text_model.embeddings.position_ids"}


@dataclass(frozen=True)
class Checkpoint:
    """A release that has been read and found whole.

    Attributes:
        info: it, described as a bundle is; ``path`` is the folder, and it has no golden scores yet.
        tensors: of our :class:`~rali.model.network.RaliModel`.
        text_tensors: of the text tower, which no score needs.
    """

    info: BundleInfo
    tensors: Mapping[str, Tensor]
    text_tensors: Mapping[str, Tensor]


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a release exactly as its authors load it: ``ckpt.pt`` wins, the load is strict, the PCA mean is pca.pkl's.

    Raises:
        UnknownModelError: a file is missing.
        DamagedModelError: a file is truncated, holds a wrong key or shape, or asks for code to be run.
    """
    _require_files(folder)
    config = _read_json(folder / "best" / "config.json")
    vision = _vision_config(config, folder)
    preprocessing = _preprocessing(folder, vision)
    _check_weights_file(folder)
    pca = read_pca(folder / "pca.pkl")
    basis = _read_basis(folder / "basis.npz")
    state = _read_state(folder / "ckpt.pt")
    embedding, (components, prototypes) = vision.projection, (len(pca.components), len(basis["scores"]))
    expected = {
        **{f"clip.{name}": shape for name, shape in _clip_shapes(config, vision).items()},
        "scorer.pca_scale": (embedding,),
        "scorer.pca_components": (components, embedding),
        "scorer.prototypes": (prototypes, components),
        "scorer.proto_scores": (prototypes,),
        "scorer.logit_scale": (),
    }
    _check_state(state, expected, folder / "ckpt.pt")
    for name, found, wanted in (
        ("pca.pkl", pca.components.shape, (components, embedding)),
        ("pca.pkl", pca.mean.shape, (embedding,)),
        ("basis.npz", basis["vectors"].shape, (prototypes, components)),
    ):
        if found != wanted:
            raise DamagedModelError(
                f"{folder / name} holds an array of shape {list(found)} where {list(wanted)} is needed; get it again"
            )
    clip = {name.removeprefix("clip."): tensor for name, tensor in state.items() if name.startswith("clip.")}
    vision_keys = {name for name in clip if name.startswith(("vision_model.", "visual_projection."))}
    tensors = {f"encoder.{name}": clip[name] for name in vision_keys}
    tensors |= {
        f"head.{name}": state[f"scorer.{name}"]
        for name in ("pca_scale", "pca_components", "prototypes", "proto_scores", "logit_scale")
    }
    tensors["head.pca_mean"] = torch.from_numpy(pca.mean.astype(np.float32))
    scores = state["scorer.proto_scores"].float()
    info = BundleInfo(
        name=folder.resolve().name,
        title=f"RALI on CLIP ViT, {vision.layers} layers of {vision.hidden}, patch {vision.patch_px}",
        architecture={
            "encoder": {"kind": "clip-vision", **asdict(vision)},
            "head": {"components": components, "prototypes": prototypes},
        },
        preprocessing=preprocessing,
        score_low=float(scores.min()),
        score_high=float(scores.max()),
        score_meaning="technical quality, on the scale of the checkpoint's own prototypes",
        licence="not stated in the files; see the source",
        source="https://huggingface.co/ByteDance/Q-Insight (folder RALI), or wherever this folder came from",
        training_data="not stated in the files; the paper trains on KonIQ-10k",
        golden_scores=(),
        weights_sha256=_files_sha256(folder),
        parameters=sum(tensor.numel() for tensor in tensors.values()),
        precision="float32",
        size_bytes=sum((folder / name).stat().st_size for name in (*_NEEDED, *_WEIGHTS) if (folder / name).exists()),
        path=folder,
    )
    return Checkpoint(info, tensors, {name: clip[name] for name in clip.keys() - vision_keys})


def _require_files(folder: Path) -> None:
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in _WEIGHTS):
        missing.append(" or ".join(_WEIGHTS))
    if missing:
        raise UnknownModelError(f"{folder} is not a whole RALI release: it lacks {', '.join(missing)}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DamagedModelError(f"{path} is no JSON ({error}); get it again") from error
    if not isinstance(content, dict):
        raise DamagedModelError(f"{path} is no JSON object; get it again")
    return content


def _section(config: Mapping[str, Any], name: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    # Old releases of transformers wrote `vision_config_dict`; what is left out has transformers' default.
    return {**defaults, **(config.get(f"{name}_config_dict") or {}), **(config.get(f"{name}_config") or {})}


def _vision_config(config: Mapping[str, Any], folder: Path) -> ClipVisionConfig:
    try:
        vision = _section(config, "vision", _VISION_DEFAULTS)
        return ClipVisionConfig(
            hidden=int(vision["hidden_size"]),
            mlp=int(vision["intermediate_size"]),
            layers=_layers(vision),
            heads=int(vision["num_attention_heads"]),
            image_px=int(vision["image_size"]),
            patch_px=int(vision["patch_size"]),
            projection=int(config.get("projection_dim", _PROJECTION_DEFAULT)),
            activation=str(vision["hidden_act"]),
            layer_norm_eps=float(vision["layer_norm_eps"]),
        )
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DamagedModelError(
            f"{folder / 'best/config.json'} describes no CLIP that rali can run ({error})"
        ) from error


def _layers(section: Mapping[str, Any]) -> int:
    layers = int(section["num_hidden_layers"])
    if not 0 < layers <= _MOST_LAYERS:
        raise ValueError(f"{layers} layers")
    return layers


def _preprocessing(folder: Path, vision: ClipVisionConfig) -> Preprocessing:
    path = folder / "best" / "preprocessor_config.json"
    config = _read_json(path)
    try:
        size, crop = config["size"], config["crop_size"]
        resize_px = int(size["shortest_edge"] if isinstance(size, dict) else size)
        crop_px = int(crop["height"] if isinstance(crop, dict) else crop)
        if isinstance(crop, dict) and crop["width"] != crop["height"]:
            raise ValueError("its crop is not square")
        if crop_px != vision.image_px:
            raise ValueError(f"it crops {crop_px} pixels for a model that takes {vision.image_px}")
        for step in ("do_resize", "do_center_crop", "do_normalize"):
            if config.get(step, True) is not True:
                raise ValueError(f"{step} is off")
        # Scaling and normalisation are one step here; a factor other than 1/255 goes into mean and spread.
        factor = 255 * float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 255.0
        spec = {
            "resize_px": resize_px,
            "crop_px": crop_px,
            "mean": [float(value) / factor for value in config["image_mean"]],
            "std": [float(value) / factor for value in config["image_std"]],
            "resample": _RESAMPLING[int(config.get("resample", 3))],
            "as_stored": True,  # the authors decode with Pillow's convert("RGB")
        }
        return Preprocessing.from_json(spec)
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedModelError(f"{path} describes a preprocessing that rali does not know ({error})") from error


def _check_weights_file(folder: Path) -> None:
    """Open ``best``'s weights, all of which ckpt.pt overrides, so that a damaged download does not pass for whole."""
    safetensors_path, torch_path = (folder / name for name in _WEIGHTS)
    if safetensors_path.is_file():
        try:
            with safe_open(safetensors_path, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            raise DamagedModelError(f"{safetensors_path} is damaged ({error}); get it again") from error
    else:
        _torch_load(torch_path)


def _read_basis(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {"vectors": np.atleast_2d(file["vectors"]), "scores": np.atleast_1d(file["scores"])}
    except KeyError as error:
        raise DamagedModelError(f"{path} lacks the array {error}; get it again") from error
    # A damaged archive raises whatever its bytes happen to mean: zlib.error, NotImplementedError, TypeError ...
    except Exception as error:
        reason = "it asks for code to be run" if "allow_pickle" in str(error) else type(error).__name__
        raise DamagedModelError(f"{path} is no file of plain arrays ({reason}); get it again") from error


def _read_state(path: Path) -> dict[str, Tensor]:
    content = _torch_load(path)
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DamagedModelError(f"{path} has no state_dict of tensors; get it again")
    return {name: tensor for name, tensor in state.items() if name not in _NO_WEIGHTS}


def _torch_load(path: Path) -> Any:
    """Load a torch file with torch's restricted unpickler, mapped into memory where its format allows."""
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise DamagedModelError(
            f"{path} is damaged, or asks for code to be run, which no weights need: do not use it, get it again"
        ) from error
    # What torch raises on a damaged file depends on where the damage is.
    except Exception as error:
        raise DamagedModelError(f"{path} is damaged ({type(error).__name__}); get it again") from error


def _clip_shapes(config: dict[str, Any], vision: ClipVisionConfig) -> dict[str, tuple[int, ...]]:
    """Return every tensor of a CLIPModel with this configuration, by name."""
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in ClipVision(vision).state_dict().items()}
    try:
        text = _section(config, "text", _TEXT_DEFAULTS)
        hidden, inner, layers = int(text["hidden_size"]), int(text["intermediate_size"]), _layers(text)
        words, positions = int(text["vocab_size"]), int(text["max_position_embeddings"])
    except (TypeError, ValueError, OverflowError) as error:
        raise DamagedModelError(
            f"best/config.json describes no text tower of CLIP's ({error}); get it again"
        ) from error
    linear = {f"self_attn.{name}": (hidden, hidden) for name in ("k_proj", "v_proj", "q_proj", "out_proj")}
    linear |= {"mlp.fc1": (inner, hidden), "mlp.fc2": (hidden, inner)}
    shapes |= {
        "logit_scale": (),
        "text_projection.weight": (vision.projection, hidden),
        "text_model.embeddings.token_embedding.weight": (words, hidden),
        "text_model.embeddings.position_embedding.weight": (positions, hidden),
        "text_model.final_layer_norm.weight": (hidden,),
        "text_model.final_layer_norm.bias": (hidden,),
    }
    for layer in range(layers):
        prefix = f"text_model.encoder.layers.{layer}"
        for name, (outputs, inputs) in linear.items():
            shapes[f"{prefix}.{name}.weight"] = (outputs, inputs)
            shapes[f"{prefix}.{name}.bias"] = (outputs,)
        for name in ("layer_norm1", "layer_norm2"):
            shapes[f"{prefix}.{name}.weight"] = (hidden,)
            shapes[f"{prefix}.{name}.bias"] = (hidden,)
    return shapes


def _check_state(state: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], path: Path) -> None:
    missing, extra = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if missing or extra:
        parts = [f"{what} {_some(names)}" for what, names in (("lacks", missing), ("has unknown", extra)) if names]
        raise DamagedModelError(f"{path} does not fit best/config.json: it {' and '.join(parts)}")
    for name, shape in expected.items():
        if tuple(state[name].shape) != shape:
            raise DamagedModelError(
                f"{path}: {name} has shape {list(state[name].shape)} where the other files need {list(shape)}"
            )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _files_sha256(folder: Path) -> str:
    """Hash the files that decide a score; best's weights do not, for ckpt.pt overrides them all."""
    digest = hashlib.sha256()
    for name in _NEEDED:
        with (folder / name).open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()
