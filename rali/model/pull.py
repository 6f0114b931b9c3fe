"""Fetch a released model from the Hugging Face hub, prove that it is whole, and make it the default."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rali.config import models_folder, set_default_model
from rali.errors import FetchError, ModelError, UnknownModelError
from rali.model.bundle import BundleInfo, load_tensors, read_info
from rali.model.hub import (
    RELEASES,
    Listing,
    by_hand,
    cached_folder,
    cached_listing,
    fetch,
    fetched_bytes,
    is_whole,
    list_release,
)
from rali.model.registry import BUNDLE_SUFFIX, source_path

if TYPE_CHECKING:
    from rali.config import StoredPrecision

_SPARE_BYTES = 64 << 20


@dataclass(frozen=True)
class PullProgress:
    """How far a pull is.

    Attributes:
        stage: ``waiting`` is for another pull to end.
        file: the one that is being downloaded.
        done_bytes, total_bytes: of all files, not of this one.
    """

    stage: Literal["waiting", "listing", "downloading", "importing"]
    file: str = ""
    done_bytes: int = 0
    total_bytes: int = 0


def pull_release(
    *,
    name: str = "rali",
    precision: StoredPrecision = "float16",
    revision: str | None = None,
    on_progress: Callable[[PullProgress], None] = lambda _: None,
) -> BundleInfo:
    """Download the release of this name, check it, import it as a bundle and make that the default.

    What is there is not fetched again: partial downloads, the hub's own cache, or the bundle of this very release.

    Args:
        name: one of :data:`RELEASES`, and what ``--model`` will call the bundle.
        precision: of the encoder's weights on disk.
        revision: branch, tag or commit on the hub; the newest by default. What it stood for is written down.
        on_progress: called from this thread, every ten megabytes.

    Raises:
        UnknownModelError: there is no release of this name.
        FetchError: the hub cannot be reached, or has not got it; the message says what to fetch by hand.
        DamagedModelError: what came is not what the hub announced; that file is deleted, the rest is kept.
        ModelError: the disk is too small or full; what came is kept, the bundle that was there stays in place.
    """
    from filelock import FileLock, Timeout

    if name not in RELEASES:
        raise UnknownModelError(f"there is no release {name!r} to fetch; there are: {', '.join(RELEASES)}")
    downloads = models_folder() / "downloads"
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        lock = FileLock(downloads / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            on_progress(PullProgress("waiting"))
            lock.acquire()
    except OSError as error:
        raise ModelError(f"{downloads} cannot be written ({error}): choose another folder with RALI_MODELS") from error
    try:
        info = _pull(name, precision, revision, downloads / name, on_progress)
        set_default_model(name)
    except OSError as error:  # the network's are FetchErrors by now
        raise _disk_error(error, models_folder()) from error
    finally:
        lock.release()
    return info


def _pull(
    name: str, precision: StoredPrecision, revision: str | None, downloads: Path, report: Callable[[PullProgress], None]
) -> BundleInfo:
    from huggingface_hub import constants

    from rali.model.importer import import_checkpoint

    report(PullProgress("listing"))
    repo, folder = RELEASES[name]
    offline = constants.HF_HUB_OFFLINE
    listing = None if offline else list_release(name, revision)
    if pulled := _pulled(name, precision, listing.commit if listing else revision):
        return pulled
    listing = listing or cached_listing(name, revision)
    cached = cached_folder(name, listing.commit)
    whole = cached is not None and all(is_whole(cached / file.name, file) for file in listing.files)
    if offline and not whole:
        raise FetchError(f"{repo} in the hub's cache is damaged, and HF_HUB_OFFLINE is set: {by_hand(name)}")
    _check_space(listing, precision, None if whole else downloads)
    if cached is None or not whole:
        before = 0
        for file in listing.files:
            fetch(name, listing, file, downloads, _reporter(report, file.name, before, listing.total_bytes))
            before += file.size_bytes
    report(PullProgress("importing", "", listing.total_bytes, listing.total_bytes))
    source = f"{listing.endpoint}/{repo}/tree/{listing.commit}/{folder}"
    origin = {"source": source} | ({"licence": listing.licence} if listing.licence else {})
    info = import_checkpoint(cached if cached and whole else downloads, name=name, precision=precision, origin=origin)
    record = {
        "repo": repo,
        "folder": folder,
        "revision": revision or "main",
        "precision": precision,
        "weights_sha256": info.weights_sha256,
        **asdict(listing),
    }
    partial = source_path(name).with_suffix(".partial")
    partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    partial.replace(source_path(name))
    shutil.rmtree(downloads, ignore_errors=True)  # the bundle needs none of its 3.4 GB
    return info


def _reporter(
    report: Callable[[PullProgress], None], file: str, before: int, total_bytes: int
) -> Callable[[int], None]:
    return lambda done_bytes: report(PullProgress("downloading", file, before + done_bytes, total_bytes))


def _pulled(name: str, precision: StoredPrecision, revision: str | None) -> BundleInfo | None:
    """Return the bundle if it is what a pull of this revision left, whole."""
    try:
        record = json.loads(source_path(name).read_text(encoding="utf-8"))
        info = read_info(models_folder() / f"{name}{BUNDLE_SUFFIX}")
        if (record["weights_sha256"], record["precision"]) != (info.weights_sha256, precision):
            return None
        if revision not in (None, record["commit"], record["revision"]):
            return None
        load_tensors(info)  # checks the hash
    except (OSError, ValueError, KeyError, TypeError, ModelError):
        return None
    return info


def _check_space(listing: Listing, precision: StoredPrecision, downloads: Path | None) -> None:
    """Refuse to start what cannot end: downloads and bundle lie on one disk."""
    weights_bytes = next((file.size_bytes for file in listing.files if file.name == "ckpt.pt"), 0)
    needed = weights_bytes // (1 if precision == "float32" else 2) + _SPARE_BYTES
    if downloads:
        needed += listing.total_bytes
        needed -= sum(fetched_bytes(downloads, file) for file in listing.files)
    free = shutil.disk_usage(models_folder()).free
    if free < needed:
        raise ModelError(
            f"{models_folder()} has {free / 1e6:,.0f} MB free and {needed / 1e6:,.0f} MB are needed for download and "
            "bundle: free some space, or choose another folder with RALI_MODELS"
        )


def _disk_error(error: OSError, folder: Path) -> ModelError:
    return ModelError(
        f"{folder} cannot be written ({error.strerror or error}): free some space and pull again; "
        "it goes on where it stopped"
    )
