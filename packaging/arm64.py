"""arm64 on a machine that is none: makes the archive for it in a small arm64 system, by emulation, and tests it.

    python packaging/arm64.py build             makes dist/smtpmock_Linux_arm64.tar.gz
    python packaging/arm64.py update            makes it where it is outdated
    python packaging/arm64.py test ARGUMENT…    as well, and runs the frozen tests on it; pytest has the arguments
    python packaging/arm64.py obstacle          prints why none of these can be done here, if so

``build/arm64/system`` is this machine's own Debian or Ubuntu, for arm64, from where its packages come from. They are
unpacked and not installed, because under emulation their own scripts take longer than all the rest. pip runs on this
machine, too, and fetches the packages for the other. What is left to emulate is PyInstaller and the compiler.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import build
from lock import alone

assert sys.platform == "linux", "arm64 is emulated on Linux only"

ROOT = Path(__file__).parent.parent
HOME = ROOT / "build" / "arm64"
SYSTEM = HOME / "system"
VENV = SYSTEM / "venv"
SOURCE = SYSTEM / "source"
PROGRAM = HOME / "program" / "smtpmock"
ARCHIVE = ROOT / "dist" / "smtpmock_Linux_arm64.tar.gz"
SOURCES = "packaging", "smtpmock_cli", "pyproject.toml", "LICENSE"
"""What a build reads."""

PACKAGES = (
    "python3",
    "libc-bin",
    "bash",
    "dash",
    "coreutils",
    "sed",
    "binutils",
    "gcc",
    "libc6-dev",
    "dpkg",
    "base-files",
)
SHARED_PYTHON = r"~n^libpython3\.[0-9]+$"
"""What PyInstaller also needs of Python, as a pattern of apt's, because its name has the version."""
WHEELS = "manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in range(17, 37))
"""Those for the glibc of Debian 12, the oldest that has Python 3.11."""

BINFMT = Path("/proc/sys/fs/binfmt_misc")
HANDLER = BINFMT / "qemu-aarch64"
MISSING = "script/tools installs it on Debian and Ubuntu, as does: apt-get install mmdebstrap qemu-user-static"


class Arm64Error(Exception):
    """There is no arm64 here; the text says why."""


def main(command: str, *arguments: str) -> None:
    try:
        if command == "obstacle":
            sys.stdout.write(obstacle())
            return
        if command == "build" or outdated():
            make()
        if command == "test":
            test(arguments)
    except Arm64Error as error:
        sys.exit(str(error))


def obstacle() -> str:
    """Why the archive cannot be made here, or nothing."""
    try:
        need_tools()
        register()
        sources()
    except Arm64Error as error:
        return str(error)
    return ""


def outdated() -> bool:
    """Whether there is no archive, or a source that is newer."""
    files = [ROOT / "pyproject.toml", *(ROOT / "packaging").iterdir(), *(ROOT / "smtpmock_cli").rglob("*.py")]
    newest = max(path.stat().st_mtime for path in files if path.is_file())
    return not ARCHIVE.is_file() or ARCHIVE.stat().st_mtime < newest


def make() -> None:
    """Make the archive, and before it whatever it takes that is not there yet.

    :raises Arm64Error: that failed.
    """
    need_tools()
    with alone(HOME):
        register()
        this = Path(__file__).read_text()
        make_once(SYSTEM, make_system, this, sources())
        make_once(VENV, make_venv, this, (ROOT / "pyproject.toml").read_text())
        freeze()


def need_tools() -> None:
    """See that a system can be made here.

    :raises Arm64Error: something is missing for it.
    """
    for tool in ("apt-get", "mmdebstrap", "unshare", "setpriv"):
        if shutil.which(tool) is None:
            raise Arm64Error(f"{tool} is missing; {MISSING}")
    if os.geteuid() != 0:
        raise Arm64Error("root is needed, for another system in a folder")
    call("unshare", "--mount", "--pid", "--fork", "true")


def call(*command: str | Path, text: str = "") -> str:
    """Run a command, whose output is only of interest where it fails; returns its standard output.

    :raises Arm64Error: it failed.
    """
    done = subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        said = f"{done.stdout}{done.stderr}".rstrip()
        raise Arm64Error(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{said}")
    return done.stdout


def register() -> None:
    """Have the kernel run arm64's programs by qemu, unless it does.

    :raises Arm64Error: it does not.
    """
    if platform.machine() in ("aarch64", "arm64"):
        return
    if not (BINFMT / "register").exists():
        call("mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT)
    if not HANDLER.exists():
        settings = Path("/usr/lib/binfmt.d", f"{HANDLER.name}.conf")
        if not settings.is_file():
            raise Arm64Error(f"qemu-user-static is missing; {MISSING}")
        (BINFMT / "register").write_bytes(settings.read_bytes())
    enabled, _, *rest = HANDLER.read_text().splitlines()
    # F: qemu is open already, and need not be in the other system.
    if enabled != "enabled" or not any(line.startswith("flags:") and "F" in line for line in rest):
        raise Arm64Error(f"{HANDLER} is not enabled, or not with the flag F")


def sources() -> str:
    """Where apt finds packages for arm64: as this machine does, by the lines of a sources.list.

    :raises Arm64Error: nowhere.
    """
    system = platform.freedesktop_os_release()
    codename = system.get("VERSION_CODENAME")
    if not codename:
        raise Arm64Error("/etc/os-release names no release of Debian or Ubuntu")
    key = Path(f"/usr/share/keyrings/{system['ID']}-archive-keyring.gpg")
    options = f"arch=arm64 signed-by={key}" if key.is_file() else "arch=arm64"
    mirror = os.environ.get("ARM64_MIRROR")
    if mirror:
        return f"deb [{options}] {mirror} {codename} main\n"
    wanted = "$(ARCHITECTURE) $(REPO_URI) $(RELEASE) $(COMPONENT)"
    targets = [
        line.split()
        for line in call("apt-get", "indextargets", "--format", wanted, "Created-By: Packages").splitlines()
    ]
    ours = [target for target in targets if target[2].startswith(codename) and target[3] == "main"]
    # A mirror of Debian's has every processor; Ubuntu's is another one.
    found = [target for target in ours if target[0] == "arm64" or system["ID"] == "debian"]
    if not found:
        raise Arm64Error("apt has no source of packages for arm64 here; ARM64_MIRROR=URL may name one")
    return "".join(sorted({f"deb [{options}] {' '.join(target[1:])}\n" for target in found}))


def make_once(folder: Path, maker: Callable[[], None], *made_of: str) -> None:
    """Make a folder, unless it has been made of the same."""
    mark = HOME / f"{folder.name}-made-of"
    wanted = hashlib.sha256("\0".join(made_of).encode()).hexdigest()
    if folder.is_dir() and mark.is_file() and mark.read_text() == wanted:
        return
    mark.unlink(missing_ok=True)
    # Nothing is ever mounted in it but in a namespace that ends with its processes. Still, not: shutil.rmtree.
    call("rm", "-rf", "--one-file-system", folder)
    maker()
    mark.write_text(wanted)


def make_system() -> None:
    settings = HOME / "apt.conf"
    settings.write_text(call("apt-config", "dump", "Acquire") + 'APT::Sandbox::User "root";\n')
    call(
        *("mmdebstrap", "--mode=root", "--variant=extract", "--format=directory", "--architectures=arm64"),
        *(
            "--skip=check/qemu",
            "--skip=cleanup/apt/cache",
            "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
            f"--aptopt={settings}",
        ),
        *(f"--include={SHARED_PYTHON}", f"--include={','.join(PACKAGES)}"),
        *(platform.freedesktop_os_release()["VERSION_CODENAME"], SYSTEM, "-"),
        text=sources(),
    )
    for name in ("dev", "proc", "tmp", "root"):
        (SYSTEM / name).mkdir(exist_ok=True)
    # What installing them would have done.
    (SYSTEM / "usr/bin/cc").symlink_to("gcc")
    call(*inside("ldconfig"))
    record_packages(SYSTEM / "var/lib/dpkg", SYSTEM / "var/cache/apt/archives")


def record_packages(database: Path, archives: Path) -> None:
    """Have dpkg-query know whose each file is, in dpkg's own format: the licences are found by it."""
    (database / "info" / "format").write_text("1\n")
    with (database / "status").open("a") as status:
        for archive in sorted(archives.glob("*.deb")):
            fields = call("dpkg-deb", "--field", archive).strip()
            (name,) = re.findall(r"^Package: (\S+)$", fields, re.MULTILINE)
            owner = f"{name}:arm64" if "\nMulti-Arch: same" in fields else name
            status.write(f"{fields}\nStatus: install ok installed\n\n")
            with (
                subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as unpacking,
                tarfile.open(fileobj=unpacking.stdout, mode="r|") as files,
            ):
                paths = [path.removeprefix(".").rstrip("/") or "/." for path in files.getnames()]
            (database / "info" / f"{owner}.list").write_text("".join(f"{path}\n" for path in paths))
            archive.unlink()


def inside(*command: str) -> Sequence[str | Path]:
    """A command in the arm64 system, as the words of one of this system.

    Its processes and mounts are in namespaces of their own, which end with it; and it ends with whoever starts it.
    """
    bind = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" env -i "$@"'
    alone = ("setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child")
    variables = ("PATH=/usr/sbin:/usr/bin", "HOME=/root", "LC_ALL=C.UTF-8")
    return *alone, "sh", "-c", bind, SYSTEM, *variables, *command


def make_venv() -> None:
    """Where script/build has its environment in .venv."""
    call(*inside("python3", "-m", "venv", "--without-pip", f"/{VENV.name}"))
    (folder,) = VENV.glob("lib/python3.*/site-packages")
    call(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"),
        *(f"--target={folder}", f"--python-version={folder.parent.name.removeprefix('python')}"),
        *("--only-binary=:all:", *(f"--platform={wheels}" for wheels in WHEELS)),
        ".[build]",
    )
    # What is frozen is the source itself.
    shutil.rmtree(folder / "smtpmock_cli")


def freeze() -> None:
    call("rm", "-rf", "--one-file-system", SOURCE)
    SOURCE.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, SOURCE / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, SOURCE)
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or build.git("log", "-1", "--format=%ct") or "0"
    built_of = (f"SOURCE_COMMIT={build.commit()}", f"SOURCE_DATE_EPOCH={epoch}")
    command = inside(*built_of, "sh", "-c", f"cd /{SOURCE.name} && exec /{VENV.name}/bin/python packaging/build.py")
    if subprocess.run(command, check=False).returncode:
        raise Arm64Error("the build for arm64 failed")
    ARCHIVE.parent.mkdir(exist_ok=True)
    (SOURCE / "dist" / ARCHIVE.name).replace(ARCHIVE)


def test(arguments: Sequence[str]) -> None:
    """Become pytest on the archive's program.

    :raises Arm64Error: it cannot be run.
    """
    register()
    shutil.rmtree(PROGRAM.parent, ignore_errors=True)
    with tarfile.open(ARCHIVE) as packed:
        # Not as an argument, which Python before 3.11.4 does not know.
        packed.extraction_filter = getattr(tarfile, "data_filter", None)
        packed.extractall(PROGRAM.parent)
    shutil.copy(ARCHIVE, PROGRAM.parent)
    os.environ["SMTPMOCK_PROGRAM"] = str(PROGRAM)
    # By this machine's Python: all that is emulated is the program.
    frozen = ("-o", "testpaths=tests/frozen", "-m", "not native")
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *frozen, *arguments])


if __name__ == "__main__":
    main(*sys.argv[1:])
