"""Makes the container image of each Linux archive in ``dist/``, by packaging/Dockerfile and Buildah.

    python packaging/image.py              makes dist/smtpmock_image_PROCESSOR.oci.tar, with Buildah
    python packaging/image.py --context    prints what the Dockerfile is built from, as a tar, for another engine

An image is one file: OCI's layout, and beside it what ``docker load`` reads. Two of one archive are the same, byte for
byte: times are those of the archive.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import build

sys.path.insert(0, str(build.ROOT))

from smtpmock_cli.version import VERSION

HOME = build.ROOT / "build" / "image"
CONTEXT = HOME / "context"
DOCKERFILE = build.ROOT / "packaging" / "Dockerfile"
PROCESSORS = {"amd64": "x86_64", "arm64": "arm64"}
"""Names in images, and in archives."""
NAME = f"smtpmock:{VERSION}"
USER = "nobody:x:65534:65534:nobody:/tmp:/bin/smtpmock\n"
FILES = {"etc/passwd": "root:x:0:0:root:/:/bin/smtpmock\n" + USER, "etc/group": "root:x:0:\nnobody:x:65534:\n"}
PLACES = {"smtpmock": "bin/", "smtpmock-files": "lib/"}
"""Where what is in an archive goes."""
WITHOUT_BUILDAH = """buildah is missing; script/tools installs it on Debian and Ubuntu, as does: apt-get install buildah
With another engine: script/image --context | docker build -t smtpmock -f packaging/Dockerfile -"""


def main(*arguments: str) -> None:
    if arguments not in ((), ("--context",)):
        sys.exit("script/image takes no argument but --context")
    archives = {
        processor: path
        for processor, name in PROCESSORS.items()
        if (path := build.DIST / f"smtpmock_Linux_{name}.tar.gz").is_file()
    }
    if not archives:
        sys.exit("dist/ has no archive for Linux; script/build makes one")
    if not arguments and shutil.which("buildah") is None:
        sys.exit(WITHOUT_BUILDAH)
    shutil.rmtree(CONTEXT, ignore_errors=True)
    CONTEXT.mkdir(parents=True)
    for processor, path in archives.items():
        epoch = write_root(CONTEXT / f"{processor}.tar", path)
        if not arguments:
            made = make(processor, epoch)
            sys.stdout.write(f"dist/{made.name}: {made.stat().st_size / 1e6:.1f} MB\n")
    if arguments:
        print_context()


def print_context() -> None:
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as tar:
        tar.add(DOCKERFILE, "packaging/Dockerfile")
        for path in sorted(CONTEXT.iterdir()):
            tar.add(path, path.name)


def write_root(root: Path, archive: Path) -> int:
    """Write the root file system with the archive's program as a tar; returns the archive's time."""
    with tarfile.open(archive) as packed, tarfile.open(root, "w", format=tarfile.PAX_FORMAT) as tar:
        members = packed.getmembers()
        epoch = int(members[0].mtime)
        for name in ("bin", "etc", "lib", "tmp"):
            add(tar, directory(name), epoch)
        for name, text in FILES.items():
            add(tar, tarfile.TarInfo(name), epoch, text.encode())
        made = set()
        for member in members:
            content = packed.extractfile(member)
            assert content is not None, member.name
            data = content.read()
            member.name = PLACES[member.name.partition("/")[0]] + member.name
            for parent in reversed(Path(member.name).parents[:-2]):
                if parent not in made:
                    made.add(parent)
                    add(tar, directory(parent.as_posix()), epoch)
            add(tar, member, epoch, data)
    return epoch


def directory(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.DIRTYPE
    entry.mode = 0o1777 if name == "tmp" else 0o755
    return entry


def add(tar: tarfile.TarFile, entry: tarfile.TarInfo, epoch: int, data: bytes = b"") -> None:
    entry.mtime = epoch
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def make(processor: str, epoch: int) -> Path:
    """Have Buildah make the image, and complete it."""
    settings = {"org.opencontainers.image.created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))}
    settings |= {"org.opencontainers.image.version": VERSION, "org.opencontainers.image.revision": build.commit()}
    # Not: OCI's format, which does not know HEALTHCHECK.
    buildah(
        *("bud", "--isolation=chroot", "--format=docker", "--layers=false", "--identity-label=false"),
        *("--pull-never", f"--arch={processor}", f"--build-arg=TARGETARCH={processor}", f"--timestamp={epoch}"),
        *(f"--label={name}={value}" for name, value in settings.items()),
        *(f"--tag={NAME}", f"--file={DOCKERFILE}", str(CONTEXT)),
    )
    inspected = json.loads(buildah("inspect", "--type=image", NAME))
    layout = HOME / "layout"
    shutil.rmtree(layout, ignore_errors=True)
    buildah("push", "--format=oci", NAME, f"oci:{layout}:{VERSION}")
    buildah("rmi", NAME)
    made = build.DIST / f"smtpmock_image_{PROCESSORS[processor]}.oci.tar"
    complete(layout, inspected["Docker"]["config"]["Healthcheck"], made, epoch)
    return made


def buildah(*arguments: str) -> str:
    # Its own storage, and plain copies in it, which no file system refuses; the layer is one.
    storage = (f"--root={HOME / 'storage'}", f"--runroot={HOME / 'run'}", "--storage-driver=vfs")
    done = subprocess.run(["buildah", *storage, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"buildah {arguments[0]}: exit code {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def complete(layout: Path, health_check: Mapping[str, Any], made: Path, epoch: int) -> None:
    """Pack an OCI layout, with the health check, which Docker reads in OCI's format too, and what it loads it by."""
    blobs = Blobs(layout)
    index = json.loads((layout / "index.json").read_text())
    manifest = blobs.take(index["manifests"][0])
    config = blobs.take(manifest["config"])
    config["config"]["Healthcheck"] = health_check
    manifest["config"] |= blobs.add(config)
    index["manifests"][0] |= blobs.add(manifest)
    names = {"org.opencontainers.image.ref.name": VERSION}  # Podman's tag for it
    platform = {"os": config["os"], "architecture": config["architecture"]}
    index["manifests"][0] |= {"annotations": names, "platform": platform}
    layers = [blob_path(layer["digest"]) for layer in manifest["layers"]]
    for_docker = [{"Config": blob_path(manifest["config"]["digest"]), "RepoTags": [NAME], "Layers": layers}]
    files = {"oci-layout": (layout / "oci-layout").read_bytes(), **blobs.files}
    files |= {"index.json": as_json(index), "manifest.json": as_json(for_docker)}
    with tarfile.open(made, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in sorted(files.items()):
            add(tar, tarfile.TarInfo(name), epoch, data)


class Blobs:
    """The files of a layout, by their paths."""

    def __init__(self, layout: Path) -> None:
        folder = layout / "blobs" / "sha256"
        self.files = {f"blobs/sha256/{path.name}": path.read_bytes() for path in folder.iterdir()}

    def take(self, descriptor: Mapping[str, Any]) -> Any:
        """The JSON that a descriptor is of, which is to be replaced."""
        return json.loads(self.files.pop(blob_path(descriptor["digest"])))

    def add(self, value: Any) -> dict[str, Any]:
        """What describes the JSON of a value, which is added."""
        data = as_json(value)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.files[blob_path(digest)] = data
        return {"digest": digest, "size": len(data)}


def blob_path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def as_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


if __name__ == "__main__":
    main(*sys.argv[1:])
