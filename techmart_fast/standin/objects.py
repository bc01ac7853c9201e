"""Objects of Cloud Storage buckets, as far as load jobs need them: files in folders by bucket."""

import hashlib
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from techmart_fast.standin.failure import ServiceError, duplicate, not_found

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
_URI = re.compile(r"gs://([^/]+)/(.+)")
_LONGEST_NAME_BYTES = 1024


class Objects:
    """Buckets in a folder. An object's file is named by a digest of its name. Blocking."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make_bucket(self, bucket: str) -> None:
        """Make a bucket.

        Raises:
            ServiceError: the name is impossible, or taken.
        """
        if not _BUCKET.fullmatch(bucket):
            raise ServiceError("invalid", f"Invalid bucket name: '{bucket[:80]}'.")
        try:
            (self._folder / bucket).mkdir(mode=0o700, parents=True)
        except FileExistsError:
            raise duplicate("Bucket", bucket) from None

    def bucket(self, bucket: str) -> Path:
        """A bucket's folder.

        Raises:
            ServiceError: there is no such bucket.
        """
        folder = self._folder / bucket
        if not _BUCKET.fullmatch(bucket) or not folder.is_dir():
            raise not_found("Bucket", bucket)
        return folder

    def path(self, bucket: str, name: str) -> Path:
        """Where an object is, or would be.

        Raises:
            ServiceError: there is no such bucket, or the name is impossible.
        """
        if not name or len(name.encode()) > _LONGEST_NAME_BYTES:
            raise ServiceError("invalid", "Invalid object name.")
        return self.bucket(bucket) / hashlib.sha256(name.encode()).hexdigest()

    def existing(self, bucket: str, name: str) -> Path:
        """An object's file.

        Raises:
            ServiceError: there is no such object.
        """
        path = self.path(bucket, name)
        if not path.is_file():
            raise not_found("Object", f"{bucket}/{name}")
        return path

    def put(self, bucket: str, name: str, file: Path) -> Path:
        """Make a file an object, in place of one of its name."""
        path = self.path(bucket, name)
        file.replace(path)
        return path

    def linked(self, uris: Sequence[object], folder: Path) -> list[Path]:
        """Files of the objects at `uris` for a load job to use up, in `folder`.

        Raises:
            ServiceError: an address is none, or there is no such object.
        """
        files = []
        for uri in uris:
            found = _URI.fullmatch(str(uri))
            if found is None or "*" in str(uri):
                raise ServiceError("invalid", f"Invalid source URI: {str(uri)[:200]}")
            try:
                stored = self.existing(found[1], found[2])
            except ServiceError:
                raise not_found("URI", str(uri)) from None
            files.append(folder / f"{secrets.token_hex(12)}.upload")
            os.link(stored, files[-1])
        return files
