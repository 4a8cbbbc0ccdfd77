"""The container image, which is the Linux archive and next to nothing: what it says, and what runs of it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import smtplib
import ssl
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from smtpmock_cli.version import VERSION
from tests.helpers import PATIENCE, ROOT, Client
from tests.packaging import manifests
from tests.test_cli import SHUTDOWN, STOPPED

from . import building, chroots
from .archives import archive_of
from .images import Container, Image, own_network, process_1

SMTP_PORT, HTTP_PORT = 2525, 8025
BODY = "Subject: hi\r\n\r\nHello\r\n"
SCRIPT = ROOT / "script/image"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux's archives are made into images")
needs_buildah = pytest.mark.skipif(
    shutil.which("buildah") is None, reason="buildah is missing: script/tools installs it"
)


def run_script(*arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["sh", SCRIPT, *arguments],
        env=os.environ | {"PYTHON": sys.executable} | variables,
        capture_output=True,
        timeout=6 * PATIENCE,
        check=False,
    )


@pytest.fixture(scope="module")
def archive(program: Path) -> Path:
    """The program's, in ``dist/``, from where it gets into the image."""
    path = building.DIST / archive_of(program)
    if not path.is_file():
        pytest.skip(f"{path.name} is not in dist/, though SMTPMOCK_PROGRAM names a program for it")
    return path


@pytest.fixture(scope="module")
def made(archive: Path) -> Path:
    """The image's file."""
    done = run_script()
    assert done.returncode == 0, done.stderr.decode()
    return archive.with_name(archive.name.replace("_Linux_", "_image_").replace(".tar.gz", ".oci.tar"))


@pytest.fixture(scope="module")
def image(made: Path) -> Image:
    return Image(made)


@pytest.fixture
def container(image: Image, tmp_path: Path) -> Iterator[Container]:
    """In its own network, of which this test is a part: the ports are those that the image says."""
    if obstacle := chroots.obstacle():
        pytest.skip(obstacle)
    root = tmp_path / "root"
    root.mkdir()
    with ExitStack() as stack:
        try:
            stack.enter_context(own_network())
        except OSError as error:
            pytest.skip(f"no separate network is allowed here: {error}")
        yield Container(image, root)


# What it says


@needs_buildah
def test_settings(image: Image, archive: Path) -> None:
    assert image.settings["Entrypoint"] == ["/bin/smtpmock"]
    assert "Cmd" not in image.settings
    assert image.settings["User"] == "65534:65534"
    assert image.settings["StopSignal"] == "SIGTERM"
    assert set(image.settings["ExposedPorts"]) == {f"{SMTP_PORT}/tcp", f"{HTTP_PORT}/tcp"}
    assert image.settings["Healthcheck"]["Test"] == ["CMD", "/bin/smtpmock", "-ready"]
    assert {name: value for name, value in image.variables.items() if name != "PATH"} == {
        "SMTPMOCK_HOST": "0.0.0.0",
        "SMTPMOCK_PORT": str(SMTP_PORT),
        "SMTPMOCK_HTTP_HOST": "0.0.0.0",
        "SMTPMOCK_HTTP_PORT": str(HTTP_PORT),
        "SMTPMOCK_HTTP_NAMES": "smtpmock",
        "SMTPMOCK_LOG": "true",
    }
    assert image.platform == {"os": "linux", "architecture": "arm64" if "arm64" in archive.name else "amd64"}


@needs_buildah
def test_labels(image: Image, archive: Path) -> None:
    with tarfile.open(archive) as packed:
        built_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(packed.getmembers()[0].mtime))
    named = {name.removeprefix("org.opencontainers.image."): value for name, value in image.settings["Labels"].items()}
    assert set(named) == {"title", "description", "source", "licenses", "version", "revision", "created"}
    assert (named["title"], named["licenses"], named["version"]) == ("smtpmock", "MIT", VERSION)
    assert (named["created"], image.created) == (built_at, built_at)
    assert len(named["revision"].removesuffix("-dirty")) == 40 or not (ROOT / ".git").exists()


@needs_buildah
def test_files(image: Image, archive: Path) -> None:
    """The archive's, the user's two, /tmp: nothing else, root's, with one time."""
    (layer,) = image.layers
    with tarfile.open(fileobj=io.BytesIO(layer)) as packed:
        members = {member.name.rstrip("/"): member for member in packed.getmembers()}
    with tarfile.open(archive) as packed:
        ours = {("bin/" if name == "smtpmock" else "lib/") + name for name in packed.getnames()}
    files = {name for name, member in members.items() if not member.isdir()}
    assert files == ours | {"etc/passwd", "etc/group"}
    assert {name for name in members if "/" not in name} == {"bin", "etc", "lib", "tmp"}
    assert {(member.uid, member.gid) for member in members.values()} == {(0, 0)}
    assert len({member.mtime for member in members.values()}) == 1
    modes = {name: member.mode & 0o7777 for name, member in members.items()}
    assert (modes.pop("tmp"), modes["bin/smtpmock"]) == (0o1777, 0o755)
    assert set(modes.values()) == {0o755, 0o644}


@needs_buildah
def test_two_images_of_one_archive_are_the_same(made: Path) -> None:
    before = hashlib.sha256(made.read_bytes()).hexdigest()
    assert run_script().returncode == 0
    assert hashlib.sha256(made.read_bytes()).hexdigest() == before


@needs_buildah
@pytest.mark.parametrize("transport", ["oci-archive", "docker-archive"])
def test_engines_load_it(made: Path, tmp_path: Path, transport: str) -> None:
    """Docker by what ``docker save`` writes, the others by OCI's layout."""
    buildah = ["buildah", f"--root={tmp_path / 'storage'}", f"--runroot={tmp_path / 'run'}", "--storage-driver=vfs"]
    processor = "arm64" if "arm64" in made.name else "amd64"
    pull = [*buildah, "pull", "--quiet", f"--arch={processor}", f"{transport}:{made}"]
    done = subprocess.run(pull, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    inspect = [*buildah, "inspect", "--type=image", done.stdout.strip()]
    told = json.loads(subprocess.run(inspect, capture_output=True, timeout=PATIENCE, check=True).stdout)
    assert told["OCIv1"]["config"]["Entrypoint"] == ["/bin/smtpmock"]


def test_context_for_another_engine(archive: Path, tmp_path: Path) -> None:
    done = run_without_tools("--context", folder=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    with tarfile.open(fileobj=io.BytesIO(done.stdout), mode="r|") as packed:
        names = set(packed.getnames())
    assert names <= {"packaging/Dockerfile", "amd64.tar", "arm64.tar"}
    assert {"packaging/Dockerfile", "arm64.tar" if "arm64" in archive.name else "amd64.tar"} <= names


def test_without_buildah_it_says_what_to_do(archive: Path, tmp_path: Path) -> None:
    done = run_without_tools(folder=tmp_path)
    assert archive.is_file()
    assert (done.returncode, done.stdout) == (1, b"")
    first, second = done.stderr.decode().splitlines()
    assert first.startswith("buildah is missing; script/tools installs it on Debian and Ubuntu")
    assert "script/image --context | docker build" in second


def run_without_tools(*arguments: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    """What the script runs, where the folder is all that the PATH has."""
    command = [sys.executable, str(ROOT / "packaging/image.py"), *arguments]
    return subprocess.run(command, env=os.environ | {"PATH": str(folder)}, capture_output=True, timeout=PATIENCE)


# What runs of it


def messages(port: int = HTTP_PORT) -> list[dict[str, Any]]:
    """Those of all messages, once there is one."""
    url = f"http://127.0.0.1:{port}/smtpmock/messages?count=1&timeout={PATIENCE:.0f}"
    with urllib.request.urlopen(url, timeout=2 * PATIENCE) as answer:
        found: list[dict[str, Any]] = json.load(answer)["messages"]
    return found


def send(port: int = SMTP_PORT) -> None:
    with smtplib.SMTP("127.0.0.1", port, "example.com", timeout=PATIENCE) as client:
        assert client.sendmail("a@example.com", ["b@example.com"], BODY) == {}


@needs_buildah
def test_mail_in_and_mail_out(container: Container) -> None:
    with container.running() as running:
        assert running.first_line.endswith(f"SMTP mock server started on port: {SMTP_PORT}\n")
        send()
        assert [message["msg_request"] for message in messages()] == [BODY]


@needs_buildah
def test_its_user_is_nobody_and_process_1(container: Container) -> None:
    with container.running() as running:
        status = running.status()
        assert status["Uid"] == status["Gid"] == "65534 65534 65534 65534"
        assert (status["Groups"], status["CapEff"]) == ("65534", "0" * 16)
        assert status["NSpid"].split()[-1] == "1"


@needs_buildah
def test_variables_override_the_images(container: Container) -> None:
    with container.running(SMTPMOCK_PORT="3025", SMTPMOCK_MSG_GREETING="220 by variable") as running:
        assert running.first_line.endswith("started on port: 3025\n")
        with Client(3025, greeted=False) as client:
            assert client.read() == "220 by variable"


@needs_buildah
def test_arguments_override_variables(container: Container) -> None:
    with container.running("-port=3026", "-httpPort=8026", SMTPMOCK_PORT="3025") as running:
        assert running.first_line.endswith("started on port: 3026\n")
        send(3026)
        assert len(messages(port=8026)) == 1


@needs_buildah
def test_names_that_may_call_it(container: Container) -> None:
    """Another container calls it by its name."""
    with container.running():
        send()
        for name, code in {"smtpmock": 200, "smtpmock:8025": 200, "mail.example.com": 403}.items():
            url = f"http://127.0.0.1:{HTTP_PORT}/smtpmock/messages"
            assert answer_code(urllib.request.Request(url, headers={"Host": name})) == code, name


def answer_code(request: urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            code: int = answer.status
    except urllib.error.HTTPError as error:
        with error:
            code = error.code
    return code


@needs_buildah
@pytest.mark.parametrize(
    "variables", [{}, {"SMTPMOCK_HTTP_PORT": "8026"}, {"SMTPMOCK_HTTP_HOST": "127.0.0.1"}], ids=str
)
def test_health_check(container: Container, variables: dict[str, str]) -> None:
    assert container.check_health(**variables).returncode == 1
    with container.running(**variables):
        # As an engine does, because a busy machine may take longer for one than it may take.
        attempts = (
            container.check_health(**variables) for _ in range(container.image.settings["Healthcheck"]["Retries"])
        )
        done = next((done for done in attempts if done.returncode == 0), None)
    assert done is not None
    assert done.stderr == ""
    assert done.stdout.startswith("ready: http://127.0.0.1:")


@needs_buildah
def test_a_signal_stops_it_gracefully(container: Container) -> None:
    """As process 1, for which a signal without a handler does nothing."""
    with container.running() as running:
        code, out, err = running.stop(getattr(signal, container.image.settings["StopSignal"]))
    assert (code, out[-2:], err) == (0, [SHUTDOWN, STOPPED], [])


@needs_buildah
def test_on_a_read_only_root(container: Container) -> None:
    """Kubernetes' readOnlyRootFilesystem; /tmp is what can be written to."""
    container.is_read_only()
    with container.running("-messagesFile=/tmp/messages.jsonl", "-portFile=/tmp/ports.json") as running:
        send()
        assert len(messages()) == 1
        kept = running.root / "tmp"
        assert json.loads((kept / "ports.json").read_text()) == {"smtp": SMTP_PORT, "http": HTTP_PORT}
        assert json.loads((kept / "messages.jsonl").read_text())["msg_request"] == BODY
        assert list((container.root / "tmp").iterdir()) == []
    done = container.run("/bin/smtpmock", "-portFile=/ports.json")
    assert done.returncode == 1
    assert "Failed to write port file /ports.json: read-only file system" in done.stderr


@needs_buildah
def test_tls_by_a_certificate_of_its_own_on_a_read_only_root(container: Container) -> None:
    container.is_read_only()
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with container.running(SMTPMOCK_TLS_SELF_SIGNED="true"):
        with smtplib.SMTP("127.0.0.1", SMTP_PORT, "example.com", timeout=PATIENCE) as client:
            client.starttls(context=context)
            assert client.sendmail("a@example.com", ["b@example.com"], BODY) == {}
        assert [message["tls"] for message in messages()] == ["TLSv1.3"]


@needs_buildah
def test_a_replica_of_packaging_kubernetes(container: Container) -> None:
    """As a kubelet runs it: probes by the pod's address, and stdout is what its log pipeline reads."""
    container.is_read_only()
    variables = container.image.variables | manifests.variables("shop")
    command = container.command(*container.image.settings["Entrypoint"])
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=variables, stdout=pipe, stderr=pipe) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while container.check_health().returncode:
                assert time.monotonic() < deadline
            for probe in ("readinessProbe", "livenessProbe"):
                assert answer_code(replica(manifests.container()[probe]["httpGet"]["path"])) == 200
            send()
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["msg_request"] == BODY
            for name, code in {"smtpmock": 200, "smtpmock.shop.svc.cluster.local": 200, "smtpmock.test": 403}.items():
                assert answer_code(replica("/smtpmock/messages", name)) == code, name
        finally:
            os.kill(process_1(process), signal.SIGTERM)
        assert (process.communicate(timeout=PATIENCE), process.returncode) == ((b"", b""), 0)


def replica(path: str, name: str = f"127.0.0.1:{HTTP_PORT}") -> urllib.request.Request:
    return urllib.request.Request(f"http://127.0.0.1:{HTTP_PORT}{path}", headers={"Host": name})
