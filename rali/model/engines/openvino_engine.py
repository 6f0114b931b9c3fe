"""The engine for CPUs: Intel's OpenVINO, of the extra ``openvino``; the encoder alone, the head is NumPy's.

It starts without torch. One picture a request, and as many requests at once as OpenVINO has streams: a picture's score
cannot depend on its neighbours. mini is faster so than in batches (73 against 19 photos/s in eights; two cores,
float32), and a ViT-L/14 as fast (0.85 s of processor time a picture in bfloat16, alone and in eights; a large matrix
product of as many operations takes 0.79 s).
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rali.config import Precision
from rali.errors import DamagedModelError, DeviceError
from rali.model.bundle import BundleInfo, load_arrays
from rali.model.engines.head import NumpyHead
from rali.model.engines.openvino_graph import build_graph
from rali.model.engines.openvino_library import import_openvino, missing, precisions

_HINTS: dict[Precision, str] = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
# int8 products scale each run of 128 activations of a token by itself. Whole tokens are 3 % faster, and twice as far
# off; runs of 32 are 30 % slower, and as far off (ViT-L/14, random weights).
_ACTIVATIONS_SCALED_TOGETHER = 128


class OpenVinoEngine:
    """A bundle's network on the CPU.

    Args:
        info: the bundle.
        precision: of the encoder; the head runs in float64.

    Attributes:
        batch_size: pictures that keep every stream busy.

    Raises:
        DamagedModelError: the bundle is altered, or does not hold the network that it describes.
        DeviceError: OpenVINO is not installed, or this CPU or this model has not got the precision.
        MemoryError: there is too little memory for the weights.
    """

    def __init__(self, info: BundleInfo, *, precision: Precision) -> None:
        kind = info.architecture["encoder"]["kind"]
        available = precisions(kind)
        if precision not in available:
            raise missing(precision, kind)
        tensors = load_arrays(info)
        try:
            self._head = NumpyHead(tensors)
            names = [name for name in tensors if name.startswith("encoder.")]
            encoder = {name.removeprefix("encoder."): tensors.pop(name) for name in names}
            graph = build_graph(info.architecture, encoder, info.preprocessing, int8=precision == "int8")
        except (KeyError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DamagedModelError(f"{info.path} does not hold the network it describes ({reason})") from error
        try:
            # Streams share the weights; with one stream, two cores wait for each other at every layer.
            compiled = (
                import_openvino()
                .Core()
                .compile_model(graph, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT", **_properties(precision, available)})
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
            # The batch is tried again with fewer pictures, and a request that is still at work cannot be started.
            for request in self._requests:
                with suppress(RuntimeError):
                    request.wait()
            raise _explained(error) from error
        return self._head(embeddings)


def _properties(precision: Precision, available: list[Precision]) -> dict[str, Any]:
    if precision != "int8":
        return {"INFERENCE_PRECISION_HINT": _HINTS[precision]}
    between: Precision = "bfloat16" if "bfloat16" in available else "float32"  # what is no matrix product
    return {
        "INFERENCE_PRECISION_HINT": _HINTS[between],
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": _ACTIVATIONS_SCALED_TOGETHER,
    }


def _explained(error: RuntimeError) -> Exception:
    reason = " ".join(str(error).split())
    if "bad_alloc" in reason or "allocate" in reason:
        return MemoryError(reason)
    return DeviceError(f"OpenVINO failed ({reason[:200]}); try again, or use --engine torch")
