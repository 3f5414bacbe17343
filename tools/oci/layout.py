# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions that write OCI images, shared by make and content."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def encode(document: dict) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


class Layout:
    """A folder in the form of the OCI image layout: blobs and an index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, descriptor: dict) -> Path:
        return self.folder / "blobs" / descriptor["digest"].replace(":", "/")

    def read(self, descriptor: dict) -> dict:
        return json.loads(self.path(descriptor).read_bytes())

    def write(self, media_type: str, content: bytes) -> dict:
        descriptor = {
            "mediaType": media_type,
            "digest": "sha256:" + hashlib.sha256(content).hexdigest(),
            "size": len(content),
        }
        self.path(descriptor).write_bytes(content)
        return descriptor

    def only(self) -> dict:
        """Returns the descriptor of the only image."""
        (descriptor,) = json.loads((self.folder / "index.json").read_bytes())["manifests"]
        return {key: descriptor[key] for key in ("mediaType", "digest", "size")}


def fixed_date() -> tuple[str, str]:
    """Returns the fixed time for everything in an image: in seconds since 1970, and as ISO 8601."""
    date = subprocess.run(["tools/fixed", "date"], check=True, capture_output=True, text=True).stdout.strip()
    time = subprocess.run(
        ["date", "--utc", f"--date=@{date}", "+%Y-%m-%dT%H:%M:%SZ"], check=True, capture_output=True, text=True
    ).stdout.strip()
    return date, time


def begin(folder: Path) -> Layout:
    (folder / "blobs/sha256").mkdir(parents=True)
    (folder / "oci-layout").write_bytes(encode({"imageLayoutVersion": "1.0.0"}))
    return Layout(folder)


def finish(target: Layout, manifests: list[dict], name: str, archive: Path, date: str) -> None:
    """Writes the archive: it appears completely or not at all. The same manifests give the same bytes."""
    # There is one entry, with a name that podman and containerd use, so that "podman load" needs no arguments.
    entry = target.write(INDEX, encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}))
    entry["annotations"] = {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
    (target.folder / "index.json").write_bytes(encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}))
    new = archive.with_name(archive.name + ".new")
    run(
        "tar", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=u=rw,go=r,a+X", f"--mtime=@{date}",
        f"--directory={target.folder}", "--create", f"--file={new}", "blobs", "index.json", "oci-layout",
    )  # fmt: skip
    os.replace(new, archive)
    print(f"oci: {archive.name}: {archive.stat().st_size} bytes, {entry['digest']}", file=sys.stderr)
