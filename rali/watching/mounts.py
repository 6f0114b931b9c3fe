"""Which file systems tell of no changes that other machines make: shares, and most that lie behind FUSE."""

from __future__ import annotations

import os
import re

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


def network_type(path: str, table: str) -> str | None:
    """Return the type of the file system that ``path`` lies on if it is one of a network, such as ``nfs4``.

    Args:
        path: absolute, free of symbolic links.
        table: text of ``/proc/mounts``.
    """
    best, kind = -1, ""
    for line in table.splitlines():
        parts = line.split(" ")
        if len(parts) < 3:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), parts[1])
        inside = path == point or path.startswith(point.rstrip(os.sep) + os.sep)
        if inside and len(point) >= best:  # of several at one point, the last lies on top
            best, kind = len(point), parts[2]
    return kind if kind in _NETWORK or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE) else None
