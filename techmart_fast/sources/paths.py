"""Turns what a user names (files, globs, folders) into a sorted list of regular files."""

import errno
import glob
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from techmart_fast.errors import SourceNotFoundError

_NO_SUCH_PATH = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}


def expand(specs: Sequence[str]) -> list[Path]:
    """Regular files that `specs` name, sorted by name as given, each file once.

    A spec is a file, a glob (`**` crosses folders) or a folder, which stands for every regular
    file below it; hidden files and folders count only when they are named.

    Raises:
        SourceNotFoundError: a spec names nothing, or something that is not a file or a folder.
    """
    chosen: dict[Path, str] = {}
    for name in sorted({name for spec in specs for name in _names(spec)}):
        chosen.setdefault(Path(name).resolve(), name)
    return [Path(name) for name in chosen.values()]


def _names(spec: str) -> Iterator[str]:
    # A file that really has a bracket or a star in its name wins over the pattern it looks like.
    matches = [spec] if os.path.lexists(spec) else sorted(glob.glob(spec, recursive=True))  # noqa: PTH207 - names must stay as the user wrote them
    if not matches:
        raise SourceNotFoundError(f"{spec or 'An empty name'}: there is no such file or folder.")
    found = False
    for match in matches:
        path = Path(match)
        mode = _mode(path)
        if stat.S_ISDIR(mode):
            for name in _below(path):
                found = True
                yield name
        elif stat.S_ISREG(mode):
            found = True
            yield match
        else:
            raise SourceNotFoundError(
                f"{match} is not a file or a folder (a device, a pipe or a socket).",
                hint="Pipe it in and name it '-'.",
            )
    if not found:
        raise SourceNotFoundError(f"{spec}: there is no file in it.")


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError as error:
        raise _unreadable(path, error) from None
    except ValueError:
        raise SourceNotFoundError(f"{str(path)!r} can't be the name of a file.") from None


def _below(folder: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder, onerror=_raise_unreadable):
        folders[:] = _visible(folders)
        for name in _visible(files):
            path = Path(parent, name)
            if path.is_file():
                yield str(path)


def _visible(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if not name.startswith("."))


def _raise_unreadable(error: OSError) -> None:
    raise _unreadable(Path(str(error.filename)), error) from None


def _unreadable(path: Path, error: OSError) -> SourceNotFoundError:
    if error.errno in _NO_SUCH_PATH:
        return SourceNotFoundError(f"{path}: there is no such file or folder.")
    return SourceNotFoundError(f"Can't read {path}: {error.strerror}.")
