"""A model that is ready to score: bundle, device, precision, engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from rali.config import Device, Engine, Precision
from rali.errors import DeviceError
from rali.model.bundle import BundleInfo, load_tensors
from rali.model.golden import golden_pixels
from rali.model.ways import Way, available_device

if TYPE_CHECKING:
    from torch import Tensor


class RunningEngine(Protocol):
    """What runs a bundle's network; ``batch_size`` is how many pictures at once suit it."""

    batch_size: int

    def run(self, pixels: NDArray[np.uint8], /) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Score uint8 [B, H, W, 3]: scores [B] and compressed embeddings [B, D].

        Raises:
            MemoryError: the device has too little memory for the batch; it can be asked again with less.
        """


@dataclass(frozen=True)
class Scores:
    """What the model says of a batch.

    Attributes:
        scores: float64 [B], on the bundle's scale; higher is better.
        embeddings: float16 [B, D], after the PCA.
    """

    scores: NDArray[np.float64]
    embeddings: NDArray[np.float16]

    @classmethod
    def of(cls, scores: NDArray[np.float64], compressed: NDArray[np.float32]) -> Scores:
        """Make them of what an engine returns."""
        with np.errstate(over="ignore"):  # what is too large for float16 becomes inf; the score itself is not touched
            return cls(scores, compressed.astype(np.float16))


class Scorer:
    """Scores pictures with one bundle on one device. Loading takes a second; keep it.

    A picture's score does not depend on the batch that it is in. Where the device has too little memory for a batch it
    is halved; where it has too little for one picture, the CPU takes over.

    Args:
        info: the bundle.
        engine: what runs the network.
        device: ``auto`` takes the fastest that there is.
        precision: of the encoder.
        on_notice: told in a line what was changed to go on.
        load_engine: makes an engine for a device and a precision; ``engine``'s by default.

    Attributes:
        batch_size: how many pictures are run at once.
        reconsider: if set, asked once, between the first batch and the second, which way to go on in; None: as before.

    Raises:
        DeviceError: the device is not on this machine.
        DamagedModelError: the bundle is altered, or not what it says.
    """

    def __init__(
        self,
        info: BundleInfo,
        *,
        engine: Engine = "torch",
        device: Device = "auto",
        precision: Precision = "float32",
        on_notice: Callable[[str], None] = lambda _: None,
        load_engine: Callable[[Device, Precision], RunningEngine] | None = None,
    ) -> None:
        self.info = info
        self.engine = engine
        self.device = available_device(device)
        self.precision = precision
        self.reconsider: Callable[[], Way | None] | None = None
        self._began = False
        self._on_notice = on_notice
        self._load_engine = load_engine or self._load_own_engine
        try:
            self._start()
        except MemoryError as error:
            self.batch_size = 1  # the weights alone are too large, so no smaller batch would help
            self._make_do(error)

    def _start(self) -> None:
        self._engine = self._load_engine(self.device, self.precision)
        self.batch_size = self._engine.batch_size

    def score(self, pixels: NDArray[np.uint8]) -> Scores:
        """Score a batch of any size: uint8 [B, H, W, 3], as :class:`Preprocessing` makes them."""
        if self._began and self.reconsider:
            self._change_to(self.reconsider())
            self.reconsider = None
        self._began = True
        done: list[Scores] = []
        at = 0
        while at < len(pixels):
            batch = pixels[at : at + self.batch_size]
            try:
                done.append(Scores.of(*self._engine.run(batch)))
                at += len(batch)
            except MemoryError as error:
                self._make_do(error)
        return Scores(*(np.concatenate(parts) for parts in zip(*((s.scores, s.embeddings) for s in done), strict=True)))

    def _make_do(self, error: MemoryError) -> None:
        """Go on with less memory: half the batch, and in the end the CPU."""
        if self.batch_size > 1:
            self.batch_size //= 2
            self._on_notice(f"{self.device} has too little memory: going on with {self.batch_size} photos at once")
        elif self.device != "cpu":
            self._on_notice(f"{self.device} has too little memory for one photo: going on with the CPU, slower")
            self.device, self.precision = "cpu", "float32"
            self._start()
        else:
            raise DeviceError(
                "too little memory to score one photo: close other programs, or use --model mini"
            ) from error

    def _change_to(self, way: Way | None) -> None:
        """Go on in another way, if it is one and can be started."""
        before = Way(self.engine, self.device, self.precision)
        if way is None or way == before:
            return
        try:
            self.engine, self.device, self.precision = way.engine, way.device, way.precision
            self._start()
        except (DeviceError, MemoryError):  # it could when it was measured; the engine from before is still there
            self.engine, self.device, self.precision = before.engine, before.device, before.precision

    def _load_own_engine(self, device: Device, precision: Precision) -> RunningEngine:
        if self.engine == "openvino":
            from rali.model.engines.openvino_engine import OpenVinoEngine

            return OpenVinoEngine(self.info, precision=precision)
        from rali.model.engines.torch_engine import TorchEngine

        return TorchEngine(self.info, load_tensors(self.info), device=device, precision=precision)

    def golden_scores(self) -> NDArray[np.float64]:
        """Score the golden pictures: float64 [16]; a sound model gives what ``info.golden_scores`` holds."""
        return _golden_scores(self.score, self.info)


def golden_scores(info: BundleInfo, tensors: Mapping[str, Tensor]) -> list[float]:
    """Score the golden pictures with weights that are not in a bundle yet, on the CPU in float32."""
    from rali.model.engines.torch_engine import TorchEngine

    engine = TorchEngine(info, tensors, device="cpu", precision="float32")
    return [float(score) for score in _golden_scores(lambda pixels: Scores.of(*engine.run(pixels)), info)]


def _golden_scores(score: Callable[[NDArray[np.uint8]], Scores], info: BundleInfo) -> NDArray[np.float64]:
    pixels = golden_pixels(info.preprocessing.crop_px)
    return np.concatenate([score(pixels[at : at + 2]).scores for at in range(0, len(pixels), 2)])
