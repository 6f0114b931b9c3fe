"""The encoders as OpenVINO graphs, from a bundle's tensors alone: those of rali.model.clip and rali.model.efficientnet.

Written out rather than converted from torch: that took 30 s and 2 GB for a ViT-L/14 and 7 s for mini, had to be kept on
disk, and needed torch. Tests hold both to the same embeddings. A ViT-L/14 starts in 4 s and 1.4 GB.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rali.model.engines.openvino_library import import_openvino
from rali.model.preprocess import Preprocessing

if TYPE_CHECKING:
    import openvino

# A change of what is computed, or how fast, needs a new number: what was measured of it is remembered.
GRAPH_VERSION = 2

Tensors = dict[str, NDArray[np.floating]]


def build_graph(
    architecture: Mapping[str, Any], tensors: Tensors, preprocessing: Preprocessing, *, int8: bool
) -> openvino.Model:
    """Make the encoder that a bundle's ``architecture`` describes: uint8 [1, H, W, 3] to float32 [1, E].

    Args:
        tensors: the encoder's, without the prefix ``encoder.``; they are taken out one by one, so that no two copies of
            all of them are ever in memory.
        int8: a transformer's matrices in 8 bits, each row with a scale of its own; OpenVINO then also rounds what they
            are multiplied with to 8 bits, with scales taken from it as it comes, so that nothing needs calibration.

    Raises:
        KeyError, ValueError, RuntimeError: a tensor is missing or does not fit, or the kind is not known.
    """
    openvino = import_openvino()
    spec = architecture["encoder"]
    pixels = _ops().parameter([1, 3, preprocessing.crop_px, preprocessing.crop_px], np.float32)
    build = {"clip-vision": _clip_vision, "efficientnet-lite": _efficientnet_lite}.get(spec["kind"])
    if build is None:
        raise ValueError(f"unknown encoder kind {spec['kind']!r}")
    weights = _Weights(tensors, int8=int8)
    model = openvino.Model([build(spec, weights, pixels)], [pixels], spec["kind"])
    weights.require_all_used()
    return _with_normalisation(model, preprocessing)


class _Weights:
    """Tensors as nodes, each once: it is copied into OpenVINO's memory and let go here.

    Shared memory would be let go by whichever of OpenVINO's threads comes last, with or without the interpreter's lock.
    """

    def __init__(self, tensors: Tensors, *, int8: bool) -> None:
        self._tensors, self._int8 = tensors, int8

    def __call__(self, name: str, shape: list[int] | None = None) -> Any:
        tensor = self._tensors.pop(name)
        node = _ops().constant(tensor if shape is None else tensor.reshape(shape))
        if tensor.dtype == np.float32:
            return node
        widened = _ops().convert(node, "f32")
        widened.get_rt_info()["decompression_0"] = ""  # keeps it half until it is laid out: 0.6 GB less of a ViT-L/14
        return widened

    def matrix(self, name: str) -> Any:
        if not self._int8:
            return self(name)
        values = self._tensors.pop(name).astype(np.float32)  # [O, I]
        scale = np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-12) / 127  # [O, 1]
        rounded = _ops().constant(np.rint(values / scale).astype(np.int8))
        return _ops().multiply(_ops().convert(rounded, "f32"), _ops().constant(scale))

    def kernel(self, name: str, groups: int) -> Any:
        outputs, *rest = self._tensors[name].shape  # [O, I / groups, k, k]
        return self(name, None if groups == 1 else [groups, outputs // groups, *rest])

    def channels(self, name: str) -> Any:
        return self(name, [1, -1, 1, 1])

    def require_all_used(self) -> None:
        if self._tensors:
            raise ValueError(f"{len(self._tensors)} tensors more than the network has, such as {min(self._tensors)}")


def _clip_vision(spec: Mapping[str, Any], weights: _Weights, pixels: Any) -> Any:
    op = _ops()
    patch, hidden, heads = spec["patch_px"], spec["hidden"], spec["heads"]
    tokens = (spec["image_px"] // patch) ** 2 + 1  # T

    def linear(x: Any, name: str) -> Any:
        return op.add(op.matmul(x, weights.matrix(f"{name}.weight"), False, True), weights(f"{name}.bias"))

    def normalised(x: Any, name: str) -> Any:
        centred = op.mvn(x, [-1], True, spec["layer_norm_eps"], "INSIDE_SQRT")
        return op.add(op.multiply(centred, weights(f"{name}.weight")), weights(f"{name}.bias"))

    def attention(x: Any, name: str) -> Any:
        query, key, value = (
            op.transpose(op.reshape(linear(x, f"{name}.{part}_proj"), [0, 0, heads, -1], True), [0, 2, 1, 3])
            for part in "qkv"
        )  # [1, heads, T, hidden / heads]
        attended = op.transpose(op.scaled_dot_product_attention(query, key, value), [0, 2, 1, 3])
        return linear(op.reshape(attended, [1, tokens, hidden], False), f"{name}.out_proj")  # [1, T, hidden]

    # Swish is x * sigmoid(beta * x): what CLIP calls quick_gelu.
    activate = op.gelu if spec["activation"] == "gelu" else lambda x: op.swish(x, op.constant(np.float32(1.702)))
    stem = weights("vision_model.embeddings.patch_embedding.weight")
    patches = op.convolution(pixels, stem, [patch, patch], [0, 0], [0, 0], [1, 1])  # [1, hidden, H / patch, W / patch]
    patches = op.transpose(op.reshape(patches, [1, hidden, -1], False), [0, 2, 1])  # [1, T - 1, hidden]
    first = weights("vision_model.embeddings.class_embedding", [1, 1, hidden])
    x = op.add(op.concat([first, patches], 1), weights("vision_model.embeddings.position_embedding.weight"))
    x = normalised(x, "vision_model.pre_layrnorm")  # [1, T, hidden]
    for number in range(spec["layers"]):
        name = f"vision_model.encoder.layers.{number}"
        x = op.add(x, attention(normalised(x, f"{name}.layer_norm1"), f"{name}.self_attn"))
        inner = activate(linear(normalised(x, f"{name}.layer_norm2"), f"{name}.mlp.fc1"))  # [1, T, mlp]
        x = op.add(x, linear(inner, f"{name}.mlp.fc2"))
    pooled = normalised(op.gather(x, op.constant(0), op.constant(1)), "vision_model.post_layernorm")  # [1, hidden]
    return op.matmul(pooled, weights("visual_projection.weight"), False, True)  # [1, E]


def _efficientnet_lite(spec: Mapping[str, Any], weights: _Weights, pixels: Any) -> Any:
    op = _ops()

    def convolved(x: Any, name: str, kernel: int, *, stride: int = 1, groups: int = 1, activate: bool = True) -> Any:
        # TensorFlow's SAME padding: for even inputs and stride 2 the odd pixel comes after the picture.
        before = (kernel - stride) // 2
        padding = [before] * 2, [kernel - stride - before] * 2
        run: Callable[..., Any] = op.convolution if groups == 1 else op.group_convolution
        x = run(x, weights.kernel(f"{name}.conv.weight", groups), [stride] * 2, *padding, [1, 1])
        x = op.add(x, weights.channels(f"{name}.conv.bias"))
        return op.clamp(x, 0.0, 6.0) if activate else x

    x = convolved(pixels, "stem", 3, stride=2)  # [1, 32, H/2, W/2]
    inputs = spec["stem_channels"]
    outputs: list[Any] = []
    for at, (kernel, first_stride, expansion, channels, repeats) in enumerate(spec["stages"]):
        for number in range(repeats):
            name, stride = f"stages.{at}.{number}", first_stride if number == 0 else 1
            inner = convolved(x, f"{name}.expand", 1) if expansion > 1 else x
            inner = convolved(inner, f"{name}.depthwise", kernel, stride=stride, groups=inputs * expansion)
            y = convolved(inner, f"{name}.project", 1, activate=False)
            x = op.add(x, y) if stride == 1 and inputs == channels else y  # [1, channels, H/s, W/s]
            inputs = channels
        outputs.append(x)
    cut = spec.get("cut", 4)  # as in rali.model.network
    pooled = [_mean(_middle(output, cut)) for output in outputs]  # [1, channels] each
    pooled += [_mean(output) for output in outputs[-2:]]
    pooled += [_spread(output) for output in (outputs[0], outputs[-2])]
    return op.concat(pooled, 1)  # [1, E]


def _mean(x: Any) -> Any:
    return _ops().reduce_mean(x, [2, 3], False)


def _middle(x: Any, cut: int) -> Any:
    """Cut one part in ``cut`` off each side of ``x`` [1, C, H, W]."""
    height, width = (int(length) for length in x.output(0).get_shape()[2:])
    start, stop = (height // cut, width // cut), (height - height // cut, width - width // cut)
    return _ops().slice(x, list(start), list(stop), [1, 1], [2, 3])


def _spread(x: Any) -> Any:
    """Return each channel's standard deviation: [1, C]."""
    op = _ops()
    centred = op.subtract(x, op.reduce_mean(x, [2, 3], True))
    return op.sqrt(_mean(op.multiply(centred, centred)))


def _with_normalisation(encoder: openvino.Model, preprocessing: Preprocessing) -> openvino.Model:
    """Put the normalisation before an encoder: uint8 [1, H, W, 3] to float32 [1, E]."""
    openvino = import_openvino()
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(encoder)
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    scaled = steps.input().preprocess().convert_element_type(openvino.Type.f32)
    scaled.mean([255 * mean for mean in preprocessing.mean]).scale([255 * std for std in preprocessing.std])
    return steps.build()


def _ops() -> Any:
    """Return OpenVINO's operations; importing it takes a tenth of a second, so it waits until there is a graph."""
    return importlib.import_module("openvino.opset13")
