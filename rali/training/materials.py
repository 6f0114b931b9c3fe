"""What training works with: the rated photos' embeddings and pixels, gathered once and remembered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rali.config import Settings
from rali.model.bundle import BundleInfo
from rali.prepare import Failure, recipe_id
from rali.training.kept import EmbeddingCache, Log, PixelStore, Stopped, name_of, remove
from rali.training.rated import SQUARES, VIEWS, VIEWS_VERSION, Pixels, RatedPhoto, read_squares, views_of

if TYPE_CHECKING:
    from torch import nn

    from rali.model.network import RaliModel
    from rali.training.encoder import Load
    from rali.training.score import Views

_PHOTOS_AT_ONCE_ON_GPU = 16

Floats = NDArray[np.float64]
Chosen = NDArray[np.bool_]


@dataclass(frozen=True)
class Step:
    """How far training is: what it does, in words, and how much of that is done."""

    name: str
    done: int
    total: int


@dataclass(frozen=True)
class Watched:
    """Who is told how far training is, and who may stop it."""

    on_step: Callable[[Step], None]
    stop: Callable[[], bool]
    log: Log

    def told(self, name: str, total: int, *, done: int = 0) -> Callable[[int], None]:
        """Return what to tell how much of ``total`` is done; it raises Stopped where that was asked for."""

        def tell(done: int) -> None:
            self.on_step(Step(name, done, total))
            if self.stop():
                raise Stopped

        tell(done)
        return tell


class Materials:
    """Embeddings of photos' views by one encoder and, for fine-tuning it, their pixels.

    Args:
        folder: where they are remembered.
        with_pixels: keep the pixels, too; 1.8 MB a photo at 448 x 448.
    """

    def __init__(
        self, model: RaliModel, base: BundleInfo, settings: Settings, folder: Path, device: str, *, with_pixels: bool
    ) -> None:
        self.encoder: nn.Module = model.encoder
        self.device = device
        self.checkpoint = folder / "encoder.checkpoint"
        self.preprocessing = base.preprocessing
        self._settings = settings
        seen = {
            "preprocessing": base.preprocessing.to_json(),
            "recipe": recipe_id(settings.recipe),
            "views": VIEWS_VERSION,
        }
        # Devices differ in the last digits.
        self.made_by = name_of(model=base.model_id, device=device, **seen)
        self._path = folder / f"embeddings-{self.made_by}.bin"
        self._width = model.head.pca_mean.shape[0]
        self._embeddings: dict[bytes, NDArray[np.float32]] = {}
        shape = (SQUARES, *base.preprocessing.input_shape)
        self._store = PixelStore(folder / f"pixels-{name_of(**seen)}", shape) if with_pixels else None

    def gather(
        self, photos: Sequence[RatedPhoto], failed: list[tuple[str, Failure]], watched: Watched
    ) -> list[RatedPhoto]:
        """Decode and embed what is not remembered; return the photos that can be used, in their order.

        Args:
            failed: photos that cannot be used are added.

        Raises:
            Stopped: as asked for; what is done is remembered.
        """
        from rali.training.embed import embed_photos

        with EmbeddingCache(self._path, views=len(VIEWS), width=self._width) as cache:
            waiting = [
                p for p in photos if p.key not in cache or (self._store is not None and p.key not in self._store)
            ]
            done = [len(photos) - len(waiting)]
            tell = watched.told("Reading photos", len(photos), done=done[0])

            def on_photo() -> None:
                done[0] += 1
                tell(done[0])

            def on_failure(photo: RatedPhoto, failure: Failure) -> None:
                failed.append((photo.image, failure))
                on_photo()

            cuts = read_squares(waiting, self.preprocessing, self._settings, on_failure=on_failure, stop=watched.stop)
            embed_photos(
                self.encoder,
                self.preprocessing,
                self._stored(cuts),
                cache,
                device=self.device,
                photos_at_once=1 if self.device == "cpu" else _PHOTOS_AT_ONCE_ON_GPU,
                on_photo=on_photo,
                stop=watched.stop,
            )
            if watched.stop():  # the photos may have ended for that reason
                raise Stopped
            usable = [photo for photo in photos if photo.key in cache and photo.image not in dict(failed)]
            self._embeddings = {photo.key: cache.get(photo.key) for photo in usable}
        return usable

    def _stored(self, cuts: Iterable[tuple[bytes, Pixels]]) -> Iterator[tuple[bytes, Pixels]]:
        for key, cut in cuts:
            if self._store is not None:
                self._store.put(key, cut)
            yield key, views_of(cut)

    def views(self, photos: Sequence[RatedPhoto], scores: Floats, chosen: Chosen) -> Views:
        """Return all views of the ``chosen`` of ``photos`` [P] with ``scores`` [P] of 0 to 100."""
        from rali.training.score import Views

        numbers = np.flatnonzero(chosen)
        weights, _, _ = view_table()
        return Views(
            np.concatenate([self._embeddings[photos[number].key] for number in numbers.tolist()]),
            np.repeat(scores[numbers], len(VIEWS)),
            np.tile(weights, len(numbers)),
            np.repeat(numbers, len(VIEWS)),
        )

    def plain(self, photos: Sequence[RatedPhoto], chosen: Chosen) -> NDArray[np.float32]:
        """Return the embeddings of the ``chosen`` photos as they are scored: [T, E]."""
        return np.stack([self._embeddings[photos[number].key][0] for number in np.flatnonzero(chosen).tolist()])

    def loader(self, photos: Sequence[RatedPhoto], chosen: Chosen) -> Load:
        """Return what gives pixels of the views that :meth:`views` returns, by their place there."""
        from rali.training.encoder import view_loader

        store = self._pixels()
        numbers = np.flatnonzero(chosen)
        _, squares, mirrored = view_table()
        return view_loader(
            lambda number: store.get(photos[number].key),
            np.tile(squares, len(numbers)),
            np.tile(mirrored, len(numbers)),
            np.repeat(numbers, len(VIEWS)),
        )

    def embed_plain(self, encoder: nn.Module, photos: Sequence[RatedPhoto], chosen: Chosen) -> NDArray[np.float32]:
        """Embed the ``chosen`` photos as they are scored, with another encoder: [T, E]."""
        from rali.training.embed import embed

        store, size = self._pixels(), 2 if self.device == "cpu" else 64
        numbers = np.flatnonzero(chosen)
        batches = np.array_split(numbers, -(-len(numbers) // size))
        found = [
            embed(
                encoder,
                np.stack([store.get(photos[n].key)[0] for n in batch.tolist()]),
                self.preprocessing,
                device=self.device,
            )
            for batch in batches
        ]
        return np.concatenate(found)

    def clear(self) -> None:
        """Delete pixels and checkpoint; embeddings stay for the next time."""
        if self._store is not None:
            self._store.clear()
            remove(self.checkpoint)

    def _pixels(self) -> PixelStore:
        if self._store is None:
            raise ValueError("these materials were gathered without pixels")
        return self._store


def view_table() -> tuple[Floats, NDArray[np.int64], Chosen]:
    """Return weights, squares and mirrorings of a photo's views: [V] each."""
    return (
        np.array([view.weight for view in VIEWS]),
        np.array([view.square for view in VIEWS]),
        np.array([view.mirrored for view in VIEWS]),
    )
