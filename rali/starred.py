"""Which photos have these stars, or this label: read from the sidecars that lie beside them now."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping

from rali.catalog.catalog import Catalog
from rali.catalog.work import user_work_of
from rali.photos.photo import PHOTO_SUFFIXES
from rali.photos.shots import shots_in
from rali.photos.stars import Stars, StarsWanted, stars_of
from rali.photos.xmp import MAX_XMP_BYTES
from rali.photos.xmp_document import XmpDocument
from rali.photos.xmp_meaning import UnmergeableError


def is_xmp(name: str) -> bool:
    """Tell an XMP sidecar by its name."""
    return name.lower().endswith(".xmp")


def by_full_name(name: str) -> tuple[bool, str]:
    """Order sidecars: those named after a file in full (``IMG.CR3.xmp``) before those of a stem (``IMG.xmp``)."""
    return os.path.splitext(os.path.splitext(name)[0])[1].lower() not in PHOTO_SUFFIXES, name


def read_sidecar(path: str) -> XmpDocument:
    """Read a sidecar.

    Raises:
        OSError: it cannot be read.
        UnmergeableError: it is no XMP that can be read.
    """
    with open(path, "rb") as file:
        return XmpDocument.read(file.read(MAX_XMP_BYTES + 1))


def with_stars(catalog: Catalog, photo_ids: Iterable[int], wanted: StarsWanted) -> Iterator[int]:
    """Yield those of the photos that have the stars and the label wanted, in order; see :func:`stars_of_each`."""
    return (photo_id for photo_id, found in stars_of_each(catalog, photo_ids) if wanted.fits(found))


def stars_of_each(catalog: Catalog, photo_ids: Iterable[int]) -> Iterator[tuple[int, Stars]]:
    """Yield each photo's id with its stars and its label, in order.

    Sidecars are read now, so that what another program wrote a second ago counts. Of a photo itself the catalog
    knows what it held when it was scored; a reject (-1) inside a photo it does not know.
    """
    shots: dict[str, Mapping[str, tuple[str, ...]]] = {}
    for photo_id, folder, name, user_work in user_work_of(catalog, photo_ids):
        if folder not in shots:
            try:
                shots[folder] = shots_in(folder)
            except OSError:  # a drive that is away: what the photos hold is known all the same
                shots[folder] = {}
        sidecars = sorted(filter(is_xmp, shots[folder].get(name, ())), key=by_full_name)
        documents = _readable(os.path.join(folder, sidecar) for sidecar in sidecars)
        yield photo_id, stars_of(documents, embedded=_embedded(user_work))


def _readable(paths: Iterable[str]) -> Iterator[XmpDocument]:
    for path in paths:
        try:
            yield read_sidecar(path)
        except (OSError, UnmergeableError):  # what cannot be read gives no stars
            continue


def _embedded(user_work: str | None) -> Stars:
    """Read stars and label out of the catalog's note of a photo's own metadata."""
    try:
        work = json.loads(user_work or "{}")
    except ValueError:
        return Stars(0, "")
    stars = re.match(r"(\d)", str(work.get("rating", "")))
    label = str(work.get("label", ""))
    return Stars(int(stars[1]) if stars else 0, label.removeprefix("label ") if label.startswith("label ") else "")
