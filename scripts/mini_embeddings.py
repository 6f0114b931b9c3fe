"""Embeddings of the embedded model's views, kept from run to run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mini_views import PREPROCESSING, Role, View
from rali.model.engines.openvino_graph import build_graph
from rali.model.engines.openvino_library import import_openvino
from rali.training.kept import load_checkpoint, save_checkpoint
from rali.training.score import Views
from rali.training.words import DESCRIPTIONS


class Pictures(NamedTuple):
    """Embedded views, with the role of each [N], and which description holds of it [N], -1 where none is known."""

    views: Views
    roles: NDArray[np.int64]
    said: NDArray[np.int64]

    def of(self, *roles: Role) -> NDArray[np.bool_]:
        """Tell which views have one of these roles [N]."""
        return np.isin(self.roles, roles)

    def only(self, chosen: NDArray[np.bool_]) -> Pictures:
        """Keep the views where ``chosen`` [N] holds."""
        return Pictures(self.views.only(chosen), self.roles[chosen], self.said[chosen])


def embed_all(
    encoder: nn.Module, architecture: Mapping[str, Any], pictures: Iterable[NDArray[np.uint8]], precision: str = "f32"
) -> Iterator[NDArray[np.float32]]:
    """Embed pictures [H, W, 3] by OpenVINO: in float32 torch's embeddings within rounding, in a third of the time.

    Args:
        precision: "f32", or "bf16", which is float32 on a processor that has none.
    """
    tensors = {name: tensor.numpy().copy() for name, tensor in encoder.state_dict().items()}
    graph = build_graph({"encoder": architecture}, tensors, PREPROCESSING, int8=False)
    hints = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": precision}
    compiled = import_openvino().Core().compile_model(graph, "CPU", hints)
    count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    requests = [compiled.create_infer_request() for _ in range(count)]  # why no queue: see OpenVinoEngine

    def embedding_of(request: Any) -> NDArray[np.float32]:
        request.wait()
        return request.get_output_tensor(0).data[0].copy()  # type: ignore[no-any-return]

    busy: deque[Any] = deque()
    for request, pixels in zip(cycle(requests), pictures, strict=False):
        if len(busy) == len(requests):
            yield embedding_of(busy.popleft())  # which is this very request
        request.start_async({0: np.ascontiguousarray(pixels[None])})
        busy.append(request)
    while busy:
        yield embedding_of(busy.popleft())


def embedded(
    encoder: nn.Module,
    architecture: Mapping[str, Any],
    pictures: Callable[[], Iterable[View]],
    path: Path,
    log: Callable[[str], None],
) -> Pictures:
    """Embed views, or return what ``path`` holds of them."""
    names = ("embeddings", "scores", "weights", "photos", "roles", "said")
    found = load_checkpoint(path)
    if found is None:
        rest: list[tuple[float, ...]] = []

        def shown() -> Iterator[NDArray[np.uint8]]:
            for pixels, score, weight, photo, role, said in pictures():
                rest.append((score, weight, photo, int(role), -1 if said is None else DESCRIPTIONS.index(said)))
                if len(rest) % 1000 == 0:
                    log(f"{len(rest)} views")
                yield pixels

        embeddings = np.stack(list(embed_all(encoder, architecture, shown())))
        columns = [np.array(column) for column in zip(*rest, strict=True)]
        found = {name: torch.from_numpy(value) for name, value in zip(names, [embeddings, *columns], strict=True)}
        save_checkpoint(path, found)
    *arrays, roles, said = (found[name].numpy() for name in names)
    return Pictures(Views(*arrays), roles, said)
