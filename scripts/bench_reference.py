"""What rali is measured against: the authors' way of scoring, libjpeg-turbo alone, a large matrix product."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rali.model.bundle import BundleInfo, load_tensors, write_bundle
from rali.model.network import RaliHead, build_model

# OpenAI's numbers, which every CLIP is normalised with.
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_VIT_L_14 = {
    "hidden": 1024,
    "mlp": 4096,
    "layers": 24,
    "heads": 16,
    "image_px": 224,
    "patch_px": 14,
    "projection": 768,
    "activation": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
_PRODUCT_SIZE = 4096


def write_vit_l(path: Path) -> BundleInfo:
    """Write a bundle of the size of the authors' release, in half precision, with random weights: 0.6 GB.

    Speed does not depend on what the weights are. What comes out of them means nothing.
    """
    architecture = {
        "encoder": {"kind": "clip-vision", **_VIT_L_14},
        "head": {"components": 512, "prototypes": 250},
    }
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in build_model(architecture).state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    tensors: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        values = 0.02 * torch.randn(shape, generator=generator)
        if name.endswith(("norm.weight", "norm1.weight", "norm2.weight", "layrnorm.weight", "pca_scale")):
            values += 1
        tensors[name] = values.half() if name.startswith("encoder.") else values
    tensors["head.logit_scale"] = torch.tensor(15.0)
    tensors["head.proto_scores"] = torch.rand(shapes["head.proto_scores"], generator=generator)
    header = {
        "name": "vit-l",
        "title": "CLIP ViT-L/14 with random weights",
        "architecture": architecture,
        "preprocessing": {"resize_px": 224, "crop_px": 224, "mean": _MEAN, "std": _STD, "as_stored": True},
        "score_low": 0.0,
        "score_high": 1.0,
        "score_meaning": "nothing: the weights are random",
        "licence": "none",
        "source": "scripts/bench_reference.py",
        "training_data": "none",
        "golden_scores": [],
    }
    return write_bundle(path, tensors, header)


class AuthorsWay:
    """One photo at a time through transformers' CLIPModel in float32, opened and prepared by Pillow's processor.

    After https://huggingface.co/ByteDance/Q-Insight, written afresh: open, convert to RGB, preprocess,
    ``get_image_features``, PCA, cosines to the prototypes, softmax.

    Args:
        info: a bundle with CLIP's encoder; its weights are used, so that the scores can be compared.
    """

    def __init__(self, info: BundleInfo) -> None:
        import transformers
        from transformers import CLIPConfig, CLIPModel

        spec = info.architecture["encoder"]
        vision = {
            "hidden_size": spec["hidden"],
            "intermediate_size": spec["mlp"],
            "num_hidden_layers": spec["layers"],
            "num_attention_heads": spec["heads"],
            "image_size": spec["image_px"],
            "patch_size": spec["patch_px"],
        }
        text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = CLIPConfig(vision_config=vision, text_config=text, projection_dim=spec["projection"])
        tensors = {name: tensor.float() for name, tensor in load_tensors(info).items()}
        self._clip = CLIPModel(config).eval()
        encoder = {name.removeprefix("encoder."): value for name, value in tensors.items() if "encoder." in name[:8]}
        missing, unexpected = self._clip.load_state_dict(encoder, strict=False)
        if unexpected or any(name.startswith("vision") for name in missing):
            raise SystemExit("this transformers names CLIP's weights otherwise: use one that pyproject.toml allows")
        self._head = RaliHead(embedding=spec["projection"], **info.architecture["head"])
        self._head.load_state_dict(
            {name.removeprefix("head."): value for name, value in tensors.items() if name.startswith("head.")}
        )
        size = spec["image_px"]
        # Before transformers 5 Pillow's was the only one, and had no name of its own.
        processor = getattr(transformers, "CLIPImageProcessorPil", None) or transformers.CLIPImageProcessor
        self._processor = processor(size={"shortest_edge": size}, crop_size={"height": size, "width": size})

    def score(self, file: str) -> float:
        """Score one photo."""
        with Image.open(file) as image:
            pixels = self._processor(images=image.convert("RGB"), return_tensors="pt")["pixel_values"]
        return float(self.score_pixels(pixels))

    def score_pixels(self, pixels: Tensor) -> Tensor:
        """Score normalised pixels, float32 [1, 3, H, W]: [1]."""
        with torch.no_grad():
            found = self._clip.get_image_features(pixel_values=pixels)
            embedding = found if isinstance(found, Tensor) else found.pooler_output
            score: Tensor = self._head.score(self._head.compress(embedding))
            return score


class JpegAlone:
    """libjpeg-turbo in as many processes as given, and nothing else: files in, pixels thrown away.

    Args:
        short_edge_px: decode at 1/2, 1/4 or 1/8 if the short edge keeps this many pixels.
    """

    def __init__(self, *, processes: int, short_edge_px: int) -> None:
        self._processes, self._short_edge_px = processes, short_edge_px
        self._pool = ProcessPoolExecutor(processes, get_context("spawn"))

    def __enter__(self) -> JpegAlone:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def rate(self, files: Sequence[str]) -> float:
        """Return photos per second."""
        started_s = time.perf_counter()
        # Dealt out beforehand: no process waits for another.
        shares = [files[start :: self._processes] for start in range(self._processes)]
        done = sum(self._pool.map(_decode_all, shares, [self._short_edge_px] * self._processes))
        return done / (time.perf_counter() - started_s)


def _decode_all(files: Sequence[str], short_edge_px: int) -> int:
    for file in files:
        with Image.open(file, formats=("JPEG", "MPO")) as image:
            image.draft(None, (short_edge_px, short_edge_px))
            image.load()
    return len(files)


def product_gflops(precision: str) -> float:
    """Return what a large matrix product reaches on all cores with torch, in billions of operations a second."""
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
    size = _PRODUCT_SIZE
    left, right = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    with torch.inference_mode():
        started_s = time.perf_counter()
        torch.mm(left, right)
    return 2 * size**3 / (time.perf_counter() - started_s) / 1e9


def network_gflop(info: BundleInfo) -> float:
    """Return how many billion operations one picture takes, a multiplication and an addition counted as two."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model = build_model(info.architecture).eval()
        pixels = torch.zeros(1, 3, info.preprocessing.crop_px, info.preprocessing.crop_px)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(pixels)
    return float(counter.get_total_flops()) / 1e9


def random_pixels(info: BundleInfo, count: int) -> np.ndarray:
    """Make input for a model: uint8 [count, H, W, 3]."""
    shape = (count, *info.preprocessing.input_shape)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
