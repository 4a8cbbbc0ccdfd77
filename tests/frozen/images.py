"""Container images without an engine: reads an OCI archive, unpacks it, and runs what it says as containers do."""

from __future__ import annotations

import ctypes
import hashlib
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.helpers import PATIENCE, log_texts

if sys.platform == "linux":
    import fcntl

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
"""Which Windows has not, and this module is imported there, too."""
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_PLACES = ("dev", "proc")
"""What an engine mounts; it makes the folders where an image has none."""
_OWN_NETWORK = 0x40000000
"""CLONE_NEWNET of Linux's sched.h."""
_SIOCSIFFLAGS, _UP_AND_RUNNING = 0x8914, 0x41


class Image:
    """An OCI archive; every blob is what its digest says."""

    def __init__(self, archive: Path) -> None:
        with tarfile.open(archive) as packed:
            # Each name once, so that nothing hides behind another.
            files = {member.name: packed.extractfile(member) for member in packed.getmembers()}
            assert len(files) == len(packed.getnames())
            self.files = {name: content.read() for name, content in files.items() if content is not None}
        assert json.loads(self.files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
        (described,) = json.loads(self.files["index.json"])["manifests"]
        assert described["mediaType"] == MANIFEST
        self.platform: dict[str, str] = described["platform"]
        self.names: dict[str, str] = described["annotations"]
        manifest = json.loads(self._blob(described))
        whole = json.loads(self._blob(manifest["config"]))
        self.settings: dict[str, Any] = whole["config"]
        self.created: str = whole["created"]
        assert (whole["os"], whole["architecture"]) == (self.platform["os"], self.platform["architecture"])
        self.layers = [self._blob(layer) for layer in manifest["layers"]]

    def _blob(self, described: Mapping[str, Any]) -> bytes:
        algorithm, _, digest = described["digest"].partition(":")
        data = self.files[f"blobs/{algorithm}/{digest}"]
        assert (len(data), hashlib.new(algorithm, data).hexdigest()) == (described["size"], digest)
        return data

    def unpack(self, folder: Path) -> None:
        """Apply the layers, with owners and modes; none of them takes anything away."""
        for layer in self.layers:
            with tarfile.open(fileobj=io.BytesIO(layer)) as packed:
                assert not [name for name in packed.getnames() if ".wh." in name]
                # Not as an argument, which Python before 3.11.4 does not know; the others take the sticky bit away.
                packed.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)
                packed.extractall(folder)

    @property
    def variables(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.settings["Env"])


class Container:
    """An image's root file system, to run commands in, as its user, with its variables and others."""

    def __init__(self, image: Image, root: Path) -> None:
        self.image = image
        self.root = root
        root.chmod(0o755)
        image.unpack(root)
        for name in _PLACES:
            (root / name).mkdir()
        self._mounts = ['mount -t proc proc "$0/proc"', 'mount --rbind /dev "$0/dev"']

    def is_read_only(self) -> None:
        """Make everything so but /tmp, which is its own file system."""
        self._mounts = [
            'mount --bind "$0" "$0"',
            'mount -o remount,bind,ro "$0"',
            'mount -t tmpfs -o mode=1777 tmpfs "$0/tmp"',
            *self._mounts,
        ]

    def command(self, *words: str) -> list[str]:
        """These words as process 1 of its processes, in mounts of their own."""
        user = self.image.settings["User"]
        assert isinstance(user, str)
        mounts = " && ".join([*self._mounts, 'exec chroot "--userspec=$1" "$0" "${@:2}"'])
        alone = ["unshare", "--mount", "--pid", "--fork"]
        return [*alone, "bash", "-c", mounts, str(self.root), user, *words]

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """A command in it, until that ends."""
        return subprocess.run(
            self.command(*words),
            env=self.image.variables | variables,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def check_health(self, **variables: str) -> subprocess.CompletedProcess[str]:
        """What its health check says of whatever listens in this network."""
        kind, *words = self.image.settings["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self.run(*words, **variables)

    @contextmanager
    def running(self, *arguments: str, **variables: str) -> Iterator[Running]:
        """Its entry point with these arguments; once it listens."""
        command = self.command(*self.image.settings["Entrypoint"], *arguments)
        env = self.image.variables | variables
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            running = Running(process)
            try:
                yield running
            finally:
                running.kill()


class Running:
    """A container that runs; ``first_line`` is that of its log."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._process = process
        self.first_line = process.stdout.readline().decode()
        self.pid = process_1(process)
        self.root = Path(f"/proc/{self.pid}/root")

    def status(self) -> dict[str, str]:
        """Process 1's, as proc(5) describes it."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return {name: " ".join(value.split()) for name, _, value in (line.partition(":") for line in lines)}

    def kill(self) -> None:
        """End all that runs in the container, unless it has ended; what ends with process 1."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, KILL)
        self._process.communicate(timeout=PATIENCE)

    def stop(self, number: int) -> tuple[int, list[str], list[str]]:
        """Send a signal to process 1, as an engine does; returns exit code and what was not read of the log."""
        os.kill(self.pid, number)
        out, err = self._process.communicate(timeout=PATIENCE)
        return self._process.returncode, log_texts(out), log_texts(err)


def process_1(container: subprocess.Popen[bytes]) -> int:
    """The number, out here, of the first process in a container that has begun."""
    (first,) = Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text().split()
    return int(first)


@contextmanager
def own_network() -> Iterator[None]:
    """Have this thread, and the processes that it starts, in a network of their own that is but loopback.

    :raises OSError: that may not be.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/proc/thread-self/ns/net").open() as before:
            if libc.unshare(_OWN_NETWORK):
                raise OSError(ctypes.get_errno(), "no network of one's own")
            try:
                bring_up_loopback()
                yield
            finally:
                assert libc.setns(before.fileno(), 0) == 0
    else:
        raise OSError("networks of one's own are Linux's")


def bring_up_loopback() -> None:
    if sys.platform == "linux":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _UP_AND_RUNNING))
