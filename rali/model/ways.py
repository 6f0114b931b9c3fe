"""The ways in which this machine can run a model: engine, device and precision. Free of torch until it is needed."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import get_args

from rali.config import Device, Engine, Precision, Recipe, Settings, StoredPrecision
from rali.errors import DeviceError
from rali.model.bundle import BundleInfo
from rali.model.engines.openvino_library import missing, openvino_version, precisions


@dataclass(frozen=True)
class Way:
    """One way to run a model.

    Attributes:
        device: resolved, never ``auto``.
        precision: of the encoder.
    """

    engine: Engine
    device: Device
    precision: Precision

    def __str__(self) -> str:
        """Return it for people: ``openvino float32 on cpu``."""
        return f"{self.engine} {self.precision} on {self.device}"


def asked_way(settings: Settings) -> Way | None:
    """Return the one way that the settings leave, or None if there is a choice to make.

    The recipe ``exact`` is torch's float32, and a GPU runs torch's float16; on the CPU the fast recipe has a choice.

    Raises:
        DeviceError: the device is not on this machine.
    """
    if settings.recipe == "exact":
        return Way("torch", available_device(settings.device), "float32")
    # OpenVINO, which alone has int8, runs on the CPU, whatever else there is.
    on_cpu = settings.engine == "openvino" or settings.precision == "int8"
    device = "cpu" if on_cpu else available_device(settings.device)
    if device != "cpu":
        precision = precision_for(settings.recipe, device) if settings.precision == "auto" else settings.precision
        return Way("torch", device, precision)
    if settings.engine == "auto" or settings.precision == "auto":
        return None
    return Way(settings.engine, device, settings.precision)


def precision_for(recipe: Recipe, device: Device) -> Precision:
    """Choose torch's precision: half where the device is fast at it and the recipe allows, else float32."""
    half = recipe == "fast" and available_device(device) in ("cuda", "mps")
    return "float16" if half else "float32"


def possible_ways(info: BundleInfo) -> Iterator[Way]:
    """Yield every way that this machine has to run a model, torch's float32 on the CPU first."""
    for device in reversed(devices_present()):
        for precision in get_args(StoredPrecision):
            yield Way("torch", device, precision)
        if device == "cpu":
            for precision in precisions(info.architecture["encoder"]["kind"]):
                yield Way("openvino", "cpu", precision)


def candidates(info: BundleInfo, settings: Settings) -> list[Way]:
    """Return the ways on the CPU that may be chosen under ``settings``, first the one that needs no measurement.

    That is float32: OpenVINO's on a processor of the kind that it is made for, else torch's.

    Raises:
        DeviceError: the engine that is asked for is not installed, or has not got the precision.
    """
    ways: list[Way] = []
    kind = info.architecture["encoder"]["kind"]
    if settings.engine != "openvino":
        # A CPU that multiplies half floats as such is rare, and one that does not takes ten times as long.
        own: tuple[Precision, ...] = ("float32", "bfloat16")
        ways += [Way("torch", "cpu", precision) for precision in own]
        if settings.precision == "float16":
            ways.append(Way("torch", "cpu", "float16"))
    if settings.engine != "torch":
        others = [Way("openvino", "cpu", precision) for precision in precisions(kind)]
        ways = [*others, *ways] if is_x86() else [*ways, *others]
    ways = [way for way in ways if settings.precision in ("auto", way.precision)]
    if not ways:
        raise missing(settings.precision, kind)
    return ways


def is_x86() -> bool:
    """Tell if this is the kind of processor that OpenVINO is made for: there it is several times as fast as torch."""
    return platform.machine().lower() in ("x86_64", "amd64")


def available_device(device: Device) -> Device:
    """Resolve ``auto`` and check any other.

    Raises:
        DeviceError: the device is not on this machine.
    """
    if device == "cpu":
        return device
    present = devices_present()
    if device == "auto":
        return present[0]
    if device not in present:
        raise DeviceError(f"there is no {device} device on this machine; use --device {' or '.join(present)}")
    return device


def devices_present() -> list[Device]:
    """Return the devices of this machine, the fastest first."""
    if not _may_have_gpu():
        return ["cpu"]
    import torch

    present: list[Device] = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if torch.cuda.is_available():
        present.insert(0, "cuda")
    return present


def _may_have_gpu() -> bool:
    """Tell without importing torch, which takes more than a second, if asking it for a GPU is worth while."""
    if "torch" in sys.modules or not sys.platform.startswith("linux"):
        return True
    # Drivers of NVIDIA, of AMD, and of Windows below Linux. torch finds no GPU without one.
    drivers = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
    return not version("torch").endswith("+cpu") and any(map(os.path.exists, drivers))


def machine_id() -> str:
    """Identify what measured speeds hold for, processor and libraries: 16 hex digits."""
    from rali.model.engines.openvino_graph import GRAPH_VERSION

    libraries = [version("torch"), openvino_version(), GRAPH_VERSION]
    described = [platform.machine(), cpu_name(), _cpu_lines("flags"), os.cpu_count(), *libraries]
    return hashlib.sha256(repr(described).encode()).hexdigest()[:16]


def cpu_name() -> str:
    """Return the processor's name as the system has it."""
    return _cpu_lines("model name") or platform.processor() or platform.machine()


def _cpu_lines(name: str) -> str:
    """Return what Linux says of the first processor under ``name``; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
