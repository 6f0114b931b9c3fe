"""The engine for CPUs: Intel's OpenVINO, of the extra ``openvino``; the encoder alone, the head is NumPy's.

The encoder is converted from our own torch network once and kept on disk, see :mod:`rali.model.engines.cache`; from
then on this engine starts without torch. One picture a request, and as many requests at once as OpenVINO has streams:
a picture's score cannot depend on its neighbours, and mini is faster so than in batches (73 against 19 photos/s in
eights; two cores, float32).
"""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rali.config import Precision
from rali.errors import DeviceError
from rali.model.bundle import BundleInfo, check_weights
from rali.model.engines.cache import cached_or_made, is_there
from rali.model.engines.head import read_head
from rali.model.preprocess import Preprocessing

if TYPE_CHECKING:
    import openvino

# A change of what is converted, or how, needs a new number: converted encoders are kept.
CONVERSION_VERSION = 1
_HINTS: dict[Precision, str] = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
_CAPABILITIES: dict[Precision, str] = {"float32": "FP32", "bfloat16": "BF16", "float16": "FP16"}


class OpenVinoEngine:
    """A bundle's network on the CPU.

    Args:
        info: the bundle.
        precision: of the encoder; the head runs in float64.

    Attributes:
        batch_size: pictures that keep every stream busy.

    Raises:
        DamagedModelError: the bundle is altered, or does not hold the network that it describes.
        DeviceError: OpenVINO is not installed, or this CPU has not got the precision.
        MemoryError: there is too little memory for the weights.
    """

    def __init__(self, info: BundleInfo, *, precision: Precision) -> None:
        if openvino_version() is None:
            raise DeviceError("OpenVINO is not installed: pip install 'rali[openvino]', or use --engine torch")
        if precision not in precisions():
            raise DeviceError(f"OpenVINO computes in {' or '.join(precisions())} on this CPU, not in {precision}")
        openvino = import_openvino()
        check_weights(info)
        self._head = read_head(info)
        folder = cached_or_made(cache_key(info), lambda partial: convert(info, partial))
        try:
            # Streams share the weights; with one stream, two cores wait for each other at every layer.
            compiled = openvino.Core().compile_model(
                _with_normalisation(openvino.Core().read_model(folder / "encoder.xml"), info.preprocessing),
                "CPU",
                {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": _HINTS[precision]},
            )
            streams = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
            # No AsyncInferQueue: its threads drop references to Python's callbacks without holding the interpreter's
            # lock, and on a busy machine that ended in a segmentation fault.
            self._requests = [compiled.create_infer_request() for _ in range(streams)]
        except RuntimeError as error:
            raise _explained(error) from error
        self._embedding_size = int(compiled.output(0).shape[1])
        self.batch_size = 2 * streams

    def run(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Score a batch.

        Args:
            pixels: uint8 [B, H, W, 3], sRGB, of the size that the bundle's preprocessing makes.

        Returns:
            Scores float64 [B] and compressed embeddings float32 [B, D].

        Raises:
            MemoryError: there is too little memory for the batch.
            DeviceError: OpenVINO failed for another reason.
        """
        embeddings = np.empty((len(pixels), self._embedding_size), np.float32)  # [B, E]
        streams = len(self._requests)
        try:
            for at in range(len(pixels) + streams):
                request = self._requests[at % streams]
                if 0 <= at - streams < len(pixels):  # the picture that this request was given a round ago
                    request.wait()
                    embeddings[at - streams] = request.get_output_tensor(0).data[0]
                if at < len(pixels):
                    request.start_async({0: pixels[at : at + 1]})
        except RuntimeError as error:
            raise _explained(error) from error
        return self._head(embeddings)


def import_openvino() -> ModuleType:
    """Import OpenVINO, but keep its package ``openvino_telemetry`` from being found.

    With it, the import alone tells Google Analytics, and writes into ``~/intel``; without it, OpenVINO does neither.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None is Python's word for "not there"
    return importlib.import_module("openvino")


def openvino_version() -> str | None:
    """Return the version of OpenVINO that is installed, without importing it; None if it is not."""
    try:
        return version("openvino")
    except PackageNotFoundError:
        return None


def precisions() -> list[Precision]:
    """Return what OpenVINO computes in on this CPU, float32 first; nothing where it is not installed."""
    if openvino_version() is None:
        return []
    capabilities = import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return [precision for precision, name in _CAPABILITIES.items() if name in capabilities]


def cache_key(info: BundleInfo) -> str:
    """Name what a converted encoder depends on: the model, OpenVINO, and how we convert.

    Precision and CPU are no part of it: what is kept is the network, and compiling it takes a tenth of a second for
    mini and 1.5 s for a ViT-L/14.
    """
    return f"{info.model_id}-openvino-{openvino_version()}-{CONVERSION_VERSION}"


def is_converted(info: BundleInfo) -> bool:
    """Tell if the bundle's encoder has been converted before, so that starting is quick."""
    return is_there(cache_key(info))


def convert(info: BundleInfo, folder: Path) -> None:
    """Write a bundle's encoder as ``encoder.xml`` and ``encoder.bin``: float32 [1, 3, H, W] to float32 [1, E].

    Raises:
        DamagedModelError: the bundle's tensors do not fit the network that its header describes.
    """
    openvino = import_openvino()
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    from rali.model.engines.torch_engine import load_network

    encoder = load_network(info).encoder
    shape = [1, 3, info.preprocessing.crop_px, info.preprocessing.crop_px]
    # Not openvino.convert_model(): that tells Google Analytics about it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about tracing, which is right for a fixed shape
        decoder = TorchScriptPythonDecoder(encoder, example_input=torch.zeros(shape))
    frontend = FrontEndManager().load_by_framework("pytorch")
    model = frontend.convert(frontend.load(decoder))
    parameter = model.inputs[0].get_node()
    parameter.set_element_type(openvino.Type.f32)
    parameter.set_partial_shape(openvino.PartialShape(shape))
    model.validate_nodes_and_infer_types()
    # Weights that are half in the bundle lose nothing by being half here.
    openvino.save_model(model, folder / "encoder.xml", compress_to_fp16=info.precision == "float16")


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


def _explained(error: RuntimeError) -> Exception:
    reason = " ".join(str(error).split())
    if "bad_alloc" in reason or "allocate" in reason:
        return MemoryError(reason)
    return DeviceError(f"OpenVINO failed ({reason[:200]}); try again, or use --engine torch")
