"""The Hugging Face hub, as far as a release needs it: which files, how large, with which hash; and their bytes.

huggingface_hub finds the files and speaks to the server: proxies, tokens, ``HF_ENDPOINT``, ``HF_HUB_OFFLINE``. Where
the bytes are kept is ours, because its own downloads start again after a kill since version 1.0 (each attempt has a
temporary file of its own, to survive file systems without locks); a partial file here is named by the hash it must get.
"""

from __future__ import annotations

import errno
import hashlib
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rali.errors import DamagedModelError, FetchError, UsageError

# Name: repository on the hub, and folder in it.
RELEASES = {"rali": ("ByteDance/Q-Insight", "RALI")}
_FILES = re.compile(r"ckpt\.pt|pca\.pkl|basis\.npz|best/([\w-]+\.(json|txt)|model\.safetensors|pytorch_model\.bin)")
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO)
_ATTEMPTS = 100


@dataclass(frozen=True)
class File:
    """One file as the hub announces it."""

    name: str
    size_bytes: int
    digest: str  # 64 hex digits: SHA-256 of a large file; 40: git's SHA-1 of a small one


@dataclass(frozen=True)
class Listing:
    """A release at one commit; ``endpoint`` is who said so."""

    endpoint: str
    commit: str
    licence: str | None
    files: tuple[File, ...]

    @property
    def total_bytes(self) -> int:
        """Of all files."""
        return sum(file.size_bytes for file in self.files)


def list_release(name: str, revision: str | None) -> Listing:
    """Ask the hub which files there are, how large, and with which hash."""
    _no_telemetry()
    from huggingface_hub import HfApi, constants

    repo, folder = RELEASES[name]
    # The library reads the variable when it is imported; here its value of now counts.
    endpoint = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT or "https://huggingface.co").rstrip("/")
    if urlsplit(endpoint).scheme not in ("http", "https"):
        raise UsageError(f"HF_ENDPOINT: {endpoint!r} is no http address; correct it or unset it")
    api, timeout_s = HfApi(endpoint=endpoint, library_name="rali"), constants.HF_HUB_ETAG_TIMEOUT
    with _hub_errors(name, endpoint):
        found = api.model_info(repo, revision=revision, files_metadata=True, timeout=timeout_s)
        files = []
        for sibling in found.siblings or ():
            inside = sibling.rfilename.removeprefix(f"{folder}/")
            if inside != sibling.rfilename and _FILES.fullmatch(inside):
                digest = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
                files.append(File(inside, int(sibling.size or 0), str(digest)))
        names = {file.name for file in files}
        if not found.sha or not {"ckpt.pt", "pca.pkl", "basis.npz", "best/config.json"} <= names:
            raise ValueError(f"folder {folder} of {repo} is not, or no longer, a RALI release there")
        if "best/model.safetensors" in names:  # the same weights once more
            files = [file for file in files if file.name != "best/pytorch_model.bin"]
        licence = getattr(found.card_data, "license", None)
        files.sort(key=lambda file: file.size_bytes)  # what is wrong shows early
        return Listing(endpoint, found.sha, str(licence) if licence else None, tuple(files))


def cached_listing(name: str, revision: str | None) -> Listing:
    """Read from the hub's cache what the hub would say: its files are links to blobs named by their hash."""
    folder = cached_folder(name, revision)
    if folder is None:
        raise FetchError(
            f"{name} is not in the hub's cache, and HF_HUB_OFFLINE forbids to fetch it: unset it, {by_hand(name)}"
        )
    paths = [path for path in sorted(folder.rglob("*")) if _FILES.fullmatch(path.relative_to(folder).as_posix())]
    files = [File(path.relative_to(folder).as_posix(), _size(path), path.resolve().name) for path in paths]
    return Listing("https://huggingface.co", folder.parent.name, None, tuple(files))


def cached_folder(name: str, revision: str | None) -> Path | None:
    """Return the release's folder in huggingface_hub's own cache, whole or not, if another program put one there."""
    _no_telemetry()
    from huggingface_hub import try_to_load_from_cache

    repo, folder = RELEASES[name]
    found = try_to_load_from_cache(repo, f"{folder}/ckpt.pt", revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def fetch(name: str, listing: Listing, file: File, downloads: Path, report: Callable[[int], None]) -> None:
    """Bring one file into ``downloads``, going on where an earlier attempt stopped.

    Args:
        report: told how many bytes of the file are there.

    Raises:
        FetchError: the hub did not send it to its end; what came is kept.
        DamagedModelError: what came is not what the hub announced; it is deleted.
        OSError: the disk is full.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    target, partial = downloads / file.name, _partial(downloads, file)
    target.parent.mkdir(parents=True, exist_ok=True)
    if is_whole(target, file):
        return
    repo, folder = RELEASES[name]
    url = hf_hub_url(repo, f"{folder}/{file.name}", revision=listing.commit, endpoint=listing.endpoint)
    headers = {**build_hf_headers(library_name="rali"), "Accept-Encoding": "identity"}  # ranges count plain bytes
    for _ in range(_ATTEMPTS):
        if _size(partial) > file.size_bytes:
            partial.unlink()
        before = _size(partial)
        try:
            with _hub_errors(name, listing.endpoint), _CountedFile(partial, report) as out:
                http_get(url, out, resume_size=before, headers=headers, expected_size=file.size_bytes)
        except FetchError:
            if _size(partial) <= before:
                raise
            if before or _size(partial) < file.size_bytes:
                continue  # the connection broke, and had brought something
        if is_whole(partial, file):
            partial.replace(target)
            return
        partial.unlink()
        if not before:
            break
        # a resumed file may have begun wrongly: once more from its start
    raise DamagedModelError(
        f"{url} is not what the hub announced (its size or checksum differs), so it was deleted: "
        f"pull again later, {by_hand(name)}"
    )


def fetched_bytes(downloads: Path, file: File) -> int:
    """Return how much of a file lies in ``downloads``."""
    return max(_size(downloads / file.name), _size(_partial(downloads, file)))


def _partial(downloads: Path, file: File) -> Path:
    return downloads / f"{file.name}.{file.digest[:16]}.partial"


def is_whole(path: Path, file: File) -> bool:
    """Tell if the file at this path has the size and the hash that the hub announces."""
    if not path.is_file() or path.stat().st_size != file.size_bytes:
        return False
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", file.digest):
        return True  # a cache without links: the importer still reads every file
    digest = hashlib.sha256() if len(file.digest) == 64 else hashlib.sha1(b"blob %d\0" % file.size_bytes)  # noqa: S324
    with path.open("rb") as content:
        hashlib.file_digest(content, lambda: digest)
    return digest.hexdigest() == file.digest


def _no_telemetry() -> None:
    """Keep huggingface_hub from telling its maker what runs it; it reads the variable when it is imported."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


class _CountedFile(io.BufferedWriter):
    """A file to append to, which tells how long it has become."""

    def __init__(self, path: Path, report: Callable[[int], None]) -> None:
        super().__init__(io.FileIO(path, "ab"))
        self._report = report

    def write(self, data: Any) -> int:
        written = super().write(data)
        self._report(self.tell())
        return written


@contextmanager
def _hub_errors(name: str, endpoint: str) -> Iterator[None]:
    """Turn what the hub and the network raise into one line, and keep huggingface_hub off the terminal."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    # The library stands on requests, httpx or httpx2, as its version goes; they are this class's bases.
    client: tuple[Any, ...] = HfHubHTTPError.__bases__
    bad_url = getattr(sys.modules[client[0].__module__.partition(".")[0]], "InvalidURL", OSError)
    expected: tuple[type[Exception], ...] = (OSError, ValueError, KeyError, TypeError, bad_url, *client)
    bars, log = "huggingface_hub.http_get", logging.getLogger("huggingface_hub")
    level = log.level
    ours = constants.HF_HUB_DISABLE_PROGRESS_BARS is None and not are_progress_bars_disabled(bars)
    log.setLevel(logging.ERROR)
    if ours:
        disable_progress_bars(bars)
    try:
        yield
    except RevisionNotFoundError as error:
        raise FetchError(f"{RELEASES[name][0]} has no such revision on {endpoint}: give another") from error
    except expected as error:
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            raise  # not the network's
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise FetchError(f"{name} cannot be fetched from {endpoint} ({reason}): try again, {by_hand(name)}") from error
    finally:
        log.setLevel(level)
        if ours:
            enable_progress_bars(bars)


def by_hand(name: str) -> str:
    """Return the end of a message: what to do where there is no network."""
    repo, folder = RELEASES[name]
    return (
        "or fetch ckpt.pt, pca.pkl, basis.npz and best/* by hand from "
        f"https://huggingface.co/{repo}/tree/main/{folder} into a folder, then: rali model import FOLDER --name {name}"
    )
