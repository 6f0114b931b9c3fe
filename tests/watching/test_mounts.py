"""Which file systems tell of no changes that others make."""

from __future__ import annotations

import pytest

from rali.watching.mounts import mount_table, network_type

TABLE = """\
/dev/sda1 / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
nas:/export /mnt/nas nfs4 rw 0 0
//nas/photos /mnt/my\\040photos cifs rw 0 0
/dev/sdb1 /mnt/nas/local ext4 rw 0 0
me@host:/ /home/me/far fuse.sshfs rw 0 0
/dev/sdc1 /media/card fuseblk rw 0 0
systemd-1 /auto autofs rw 0 0
nas:/auto /auto nfs rw 0 0
share /mnt/vm 9p rw 0 0
cut line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/photos", None),
        ("/mnt/nas", "nfs4"),
        ("/mnt/nas/2026", "nfs4"),
        ("/mnt/nasty", None),
        ("/mnt/nas/local/x", None),
        ("/mnt/my photos/x", "cifs"),
        ("/home/me/far", "fuse.sshfs"),
        ("/media/card/DCIM", None),
        ("/auto/x", "nfs"),
        ("/mnt/vm", "9p"),
    ],
)
def test_network_types_are_told_by_the_innermost_mount(path: str, kind: str | None) -> None:
    assert network_type(path, TABLE) == kind


def test_without_a_table_everything_is_local() -> None:
    assert network_type("/mnt/nas", "") is None


def test_this_machines_table_can_be_read() -> None:
    assert network_type("/proc", mount_table()) is None
