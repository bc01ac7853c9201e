"""Memory of a process and of its descendants, as the kernel accounts it."""

import os
from contextlib import suppress
from pathlib import Path

import psutil

KIB = 1024


def tree_bytes(pid: int) -> int:
    """Memory of `pid` and its descendants now, in bytes; 0 when it is gone.

    A page that several processes share counts once (proportional set size), so that the server's
    page cache is not counted again for each of its connections. Where the kernel keeps that from
    us, it is what they have of their own and the largest share of one of them.
    """
    try:
        root = psutil.Process(pid)
        members = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    pids = [member.pid for member in members]
    if all(os.access(f"/proc/{pid}/smaps_rollup", os.R_OK) for pid in pids):
        return sum(_field(pid, "smaps_rollup", "Pss:") for pid in pids)
    own = sum(_field(pid, "status", "RssAnon:") for pid in pids)
    return own + max(_field(pid, "status", "RssShmem:") for pid in pids)


def peak_bytes(pid: int) -> int:
    """The most memory that `pid` alone has held at a time, in bytes; 0 when it is gone."""
    return _field(pid, "status", "VmHWM:")


def _field(pid: int, file: str, label: str) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_text(encoding="ascii").splitlines():
            if line.startswith(label):
                return int(line.split()[1]) * KIB
    return 0
