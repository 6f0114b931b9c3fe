"""Which file systems tell of no changes that other machines make: shares, and most that lie behind FUSE."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import NamedTuple

_NETWORK = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "smb2", "ncpfs", "afs", "9p", "ceph", "glusterfs", "lustre", "gfs2"),
        *("afpfs", "webdav", "davfs", "vboxsf", "vmhgfs", "virtiofs", "prl_fs", "drvfs", "beegfs", "coda", "orangefs"),
    }
)
# FUSE file systems that sit on a local disk; of all others the kernel hears only what this machine does.
_LOCAL_FUSE = frozenset({"fuseblk", "fuse.ntfs-3g", "fuse.mergerfs", "fuse.exfat", "fuse.bindfs", "fuse.encfs"})
_MOUNT_TABLE = "/proc/mounts"


def mount_table() -> str:
    """Return the system's mount table; an empty text where there is none to read."""
    try:
        with open(_MOUNT_TABLE, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


class Mount(NamedTuple):
    """One line of the mount table.

    Attributes:
        point: where it is mounted.
        device: what is mounted there, in the words of its file system.
        kind: of file system, such as ``nfs4``.
    """

    point: str
    device: str
    kind: str

    @property
    def is_network(self) -> bool:
        """Whether other machines may change what lies on it without a word to this one."""
        return self.kind in _NETWORK or (self.kind.startswith("fuse.") and self.kind not in _LOCAL_FUSE)


@lru_cache(maxsize=16)  # asked every second about a table that changes once a day
def mounts_of(root: str, table: str) -> tuple[Mount, ...]:
    """Return what is mounted below a folder, by mount point; first of all the mount that the folder itself lies on.

    Args:
        root: absolute, free of symbolic links.
        table: text of ``/proc/mounts``.
    """
    own: Mount | None = None
    below: dict[str, Mount] = {}
    for line in table.splitlines():
        parts = line.split(" ")
        if len(parts) < 3:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), parts[1])
        mount = Mount(point, parts[0], parts[2])
        if root == point or root.startswith(point.rstrip(os.sep) + os.sep):
            if own is None or len(point) >= len(own.point):  # of several at one point, the last lies on top
                own = mount
        elif point.startswith(root.rstrip(os.sep) + os.sep):
            below[point] = mount
    return (own or Mount(os.sep, "", ""), *(below[point] for point in sorted(below)))


def network_type(path: str, table: str) -> str | None:
    """Return the type of the file system that ``path`` lies on if it is one of a network, such as ``nfs4``."""
    own = mounts_of(path, table)[0]
    return own.kind if own.is_network else None


def network_below(root: str, table: str) -> list[Mount]:
    """Return the file systems of a network that are mounted somewhere below a folder."""
    return [mount for mount in mounts_of(root, table)[1:] if mount.is_network]
