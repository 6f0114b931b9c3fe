"""Write a small release in the authors' layout with seeded random weights, without transformers.

After ../shared/reference/make_official.py; the scores mean nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from rali.model.checkpoint import _clip_shapes, _vision_config
from rali.model.clip import ClipVision


def make_release(
    folder: Path,
    *,
    seed: int = 1,
    size: int = 32,
    patch: int = 8,
    hidden: int = 32,
    layers: int = 2,
    heads: int = 2,
    proj: int = 16,
    pca: int = 8,
    prototypes: int = 12,
    plain_pca: bool = False,
    torch_bin: bool = False,
    drift: bool = True,
) -> Path:
    """Write a release into ``folder`` and return it.

    Args:
        plain_pca: a PCA without ``var_``, so the scale starts as ones.
        torch_bin: ``pytorch_model.bin`` instead of ``model.safetensors`` in ``best/``.
        drift: let ``ckpt.pt`` differ from the other files.
    """
    import joblib
    from sklearn.decomposition import PCA, IncrementalPCA

    best = folder / "best"
    best.mkdir(parents=True, exist_ok=True)
    random, torch_random = np.random.RandomState(seed), torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=torch_random)

    config = _config(size=size, patch=patch, hidden=hidden, layers=layers, heads=heads, proj=proj)
    _write_json(best / "config.json", config)
    _write_json(best / "preprocessor_config.json", _preprocessor(size))
    vision = _vision_config(config, folder)
    clip: dict[str, Tensor] = {}
    for name, shape in _clip_shapes(config, vision).items():
        is_norm = name.endswith("norm.weight") or ".layer_norm" in name or "layrnorm" in name or "layernorm" in name
        scale = 0.1 if len(shape) > 1 else 0.02
        clip[name] = scale * noise(*shape) + (1.0 if is_norm and name.endswith(".weight") else 0.0)
    if torch_bin:
        torch.save(clip, best / "pytorch_model.bin")
    else:
        save_file(clip, best / "model.safetensors", metadata={"format": "pt"})
    encoder = ClipVision(vision).eval()
    encoder.load_state_dict({k: v for k, v in clip.items() if k.startswith(("vision_model.", "visual_projection."))})
    features = []
    with torch.no_grad():
        for _ in range(max(2 * pca, 128) // 16):
            small = noise(16, 3, int(random.randint(2, 40)), int(random.randint(2, 40)))
            pictures = functional.interpolate(small, (size, size), mode="bicubic")
            features.append(encoder(pictures + float(random.rand()) * noise(16, 3, size, size)))
    embeddings = torch.cat(features).numpy()
    fitted = (PCA(pca) if plain_pca else IncrementalPCA(pca)).fit(embeddings)
    joblib.dump(fitted, folder / "pca.pkl")
    scale_of = np.ones(proj) if plain_pca else np.sqrt(fitted.var_)
    compressed = ((embeddings - fitted.mean_) / scale_of) @ fitted.components_.T
    centres = compressed[random.choice(len(compressed), prototypes)]
    scores = random.uniform(0.05, 0.95, prototypes)
    np.savez(folder / "basis.npz", vectors=centres.astype("float32"), scores=scores.astype("float32"))

    amount = 1.0 if drift else 0.0
    state = {
        f"clip.{name}": tensor + (amount * 0.01 * noise(*tensor.shape) if "vis" in name else 0)
        for name, tensor in clip.items()
    }
    state["scorer.pca_scale"] = _float32(scale_of) * (1 + 0.1 * amount * noise(proj))
    state["scorer.pca_scale"][0] *= -1  # the score takes the absolute value
    state["scorer.pca_components"] = _float32(fitted.components_) + 0.01 * amount * noise(pca, proj)
    state["scorer.prototypes"] = _float32(centres) + 0.1 * amount * noise(prototypes, pca)
    state["scorer.proto_scores"] = _float32(scores)
    state["scorer.logit_scale"] = torch.tensor(1 / 0.07 + 3.7 * amount)
    torch.save({"state_dict": state, "epoch": 7}, folder / "ckpt.pt")
    return folder


def _config(*, size: int, patch: int, hidden: int, layers: int, heads: int, proj: int) -> dict[str, Any]:
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {"hidden_size": hidden, "intermediate_size": 4 * hidden, "num_hidden_layers": layers}
    vision |= {"num_attention_heads": heads, "image_size": size, "patch_size": patch, "projection_dim": proj}
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": proj,
        "text_config": text | {"vocab_size": 514, "projection_dim": proj},
        "vision_config": vision,
    }


def _preprocessor(size: int) -> dict[str, Any]:
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": size},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _float32(values: Any) -> Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float32)
