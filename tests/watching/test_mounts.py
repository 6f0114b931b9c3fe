"""Which file systems tell of no changes that others make."""

from __future__ import annotations

import pytest

from rali.watching.mounts import mount_table, mounts_of, network_below, network_type

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


def test_shares_below_a_folder_are_found_and_what_lies_on_top_counts() -> None:
    assert [mount.point for mount in network_below("/mnt", TABLE)] == ["/mnt/my photos", "/mnt/nas", "/mnt/vm"]
    assert network_below("/media", TABLE) == []
    assert network_below("/mnt", TABLE + "/dev/sdd1 /mnt/vm ext4 rw 0 0\n") == network_below("/mnt", TABLE)[:2]


def test_a_mount_elsewhere_changes_nothing_for_a_folder() -> None:
    more = TABLE + "overlay /var/lib/docker/x overlay rw 0 0\n"

    assert mounts_of("/mnt/nas", more) == mounts_of("/mnt/nas", TABLE)
    assert mounts_of("/var/lib", more) != mounts_of("/var/lib", TABLE)
