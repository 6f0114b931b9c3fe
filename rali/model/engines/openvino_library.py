"""OpenVINO itself: whether it is installed, and what it can do on this CPU."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from rali.config import AskedPrecision, Precision
from rali.errors import DeviceError

_CAPABILITIES: dict[Precision, str] = {"float32": "FP32", "bfloat16": "BF16", "float16": "FP16", "int8": "INT8"}


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


def precisions(encoder_kind: str) -> list[Precision]:
    """Return what OpenVINO computes in on this CPU, float32 first; nothing where it is not installed.

    Args:
        encoder_kind: of the bundle's architecture; int8 is for transformers, see openvino_graph.py.
    """
    if openvino_version() is None:
        return []
    capabilities = import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    found = [precision for precision, name in _CAPABILITIES.items() if name in capabilities]
    return [precision for precision in found if precision != "int8" or encoder_kind == "clip-vision"]


def missing(precision: AskedPrecision, encoder_kind: str) -> DeviceError:
    """Explain why OpenVINO cannot be taken, or not in ``precision``."""
    there = precisions(encoder_kind)
    if not there:
        return DeviceError("OpenVINO is not installed: pip install 'rali[openvino]', or use --engine torch")
    return DeviceError(f"OpenVINO computes this model in {' or '.join(there)} on this CPU, not in {precision}")
