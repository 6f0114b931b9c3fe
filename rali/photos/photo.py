"""One photo on disk: which file it is, without opening it."""

from __future__ import annotations

import os
import shlex
import unicodedata
from pathlib import Path
from typing import NamedTuple

# fmt: off
RAW_SUFFIXES = frozenset({
    ".3fr", ".ari", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq", ".k25",
    ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".ori", ".pef", ".raf", ".raw", ".rw2", ".rwl",
    ".sr2", ".srf", ".srw", ".x3f",
})
# fmt: on
JPEG_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
OTHER_SUFFIXES = frozenset({".png", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif", ".avif", ".mpo"})
PHOTO_SUFFIXES = RAW_SUFFIXES | JPEG_SUFFIXES | HEIF_SUFFIXES | OTHER_SUFFIXES
# What belongs to a photo of the same name: edits, ratings, Apple's adjustments, a Live Photo's film, a voice memo.
SIDECAR_SUFFIXES = frozenset({".xmp", ".aae", ".mov", ".thm", ".wav", ".dop", ".pp3", ".on1", ".cos", ".vrd"})


class Photo(NamedTuple):
    """A photo file as a folder listing shows it (a tuple, because a scan makes one for every file).

    Attributes:
        file: absolute path, decoded with ``os.fsdecode`` (may hold surrogates).
        device, inode: which file it is, whatever its name.
        size_bytes, mtime_ns: unchanged means not even opened.
        companions: file names in the same folder that belong to the same shot.
    """

    file: str
    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    companions: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The file as a :class:`~pathlib.Path`."""
        return Path(self.file)


def display_path(path: str | os.PathLike[str]) -> str:
    r"""Return ``path`` so that a terminal shows it on one line and nothing in it acts on the terminal.

    Bytes that are not UTF-8 appear as ``\xe9``; control, formatting and right-to-left characters are escaped.
    """
    return "".join(
        character if character.isprintable() and unicodedata.category(character) != "Cf" else _escape(character)
        for character in os.fspath(path)
    )


def shell_word(text: str) -> str:
    """Quote a word so that a shell reads back the same bytes, whatever they are; it is safe to print."""
    if display_path(text) == text:
        return shlex.quote(text)
    safe = "".join(f"\\{character}" if character in "\\'" else display_path(character) for character in text)
    return f"$'{safe}'"


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that os.fsdecode could not decode
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def is_gone(path: str) -> bool:
    """Tell if there is nothing of this name; a drive that does not answer, or a closed folder, says nothing."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
