"""The mail clients and servers that tests and benchmarks run: found on the PATH, or fetched.

Invariants: nothing is installed; what is fetched lies whole in ``.cache/tools``, or not at all, and is
fetched once. A tool that cannot be had is a :class:`ToolMissing` that says how to get it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests import unix

CACHE = Path(__file__).parent.parent.parent / ".cache" / "tools"
FETCH_TIMEOUT = 120.0
"""Seconds that one step of a download may take."""


class Tool(NamedTuple):
    """How to run a program: ``subprocess.run([*tool.argv, ...], env=tool.env)``."""

    argv: list[str]
    env: dict[str, str]


class ToolMissing(Exception):  # noqa: N818 - a reason to skip a test, no mistake
    """A tool is not here and cannot be fetched; the text names it and how to install it."""


def curl() -> Tool:
    return Tool([_on_path("curl", "Debian: apt-get install curl")], dict(os.environ))


def swaks() -> Tool:
    installed = shutil.which("swaks")
    if installed:
        return Tool([installed], dict(os.environ))
    perl = _on_path("perl", "Debian: apt-get install perl")
    return Tool([perl, str(_unpacked("swaks", "swaks") / "usr/bin/swaks")], dict(os.environ))


def swaks_with_tls() -> Tool:
    """swaks, whose Perl finds the module that it needs for TLS."""
    tool = swaks()
    perl = tool._replace(argv=[_on_path("perl", "Debian: apt-get install perl"), "-MNet::SSLeay", "-e", "1"])
    if _exit_code(perl) == 0:
        return tool
    tree = _unpacked("libnet-ssleay-perl", "Perl's Net::SSLeay")
    modules = os.pathsep.join(map(str, tree.glob("usr/lib/*/perl5/*")))
    found = tool._replace(env={**tool.env, "PERL5LIB": modules})
    if _exit_code(perl._replace(env=found.env)) != 0:
        raise _missing("Perl's Net::SSLeay", "Debian: apt-get install libnet-ssleay-perl")
    return found


def openssl() -> Tool:
    return Tool([_on_path("openssl", "Debian: apt-get install openssl")], dict(os.environ))


def libfaketime() -> Path:
    """The library that, loaded first, gives a program another clock."""
    name = "faketime/libfaketime.so.1"
    installed = [*Path("/usr/lib").glob(f"*/{name}")]
    return (installed or [*_unpacked("libfaketime", "libfaketime").glob(f"usr/lib/*/{name}")])[0]


def node_with_nodemailer() -> Tool:
    return _node_with("nodemailer")


def node_with_mailpit_api() -> Tool:
    return _node_with("mailpit-api")


def _node_with(package: str) -> Tool:
    """Node, for which ``require`` finds the package."""

    def install(folder: Path) -> None:
        npm = _on_path("npm", "Debian: apt-get install npm")
        quiet = ["--silent", "--no-audit", "--no-fund", "--no-update-notifier", "--ignore-scripts"]
        _run([npm, "install", "--prefix", str(folder), *quiet, package], folder)

    node = _on_path("node", "Debian: apt-get install nodejs")
    installed = _fetched(f"node-{package}", install, package, f"npm install {package}")
    return Tool([node], {**os.environ, "NODE_PATH": str(installed / "node_modules")})


def ruby_with_net_smtp() -> Tool:
    """Ruby, for which ``require "net/smtp"`` works; a gem of its own since Ruby 3.1."""
    installed = shutil.which("ruby")
    tool = Tool([installed], dict(os.environ)) if installed else _debians_ruby()
    if _exit_code(tool._replace(argv=[*tool.argv, "-e", 'require "net/smtp"'])) != 0:
        raise ToolMissing("Ruby's net/smtp is missing: install it (gem install net-smtp)")
    return tool


def _debians_ruby() -> Tool:
    """Unpacked, so that it has to be told where its own libraries are."""

    def download(into: Path) -> None:
        # The package ruby is empty, and named after no version; what it depends on has the program.
        control = ["dpkg-deb", "-f", str(_downloaded("ruby", into.parent)), "Depends"]
        depends = subprocess.run(control, stdout=subprocess.PIPE, text=True, check=True, timeout=FETCH_TIMEOUT).stdout
        ruby = depends.split()[0].rstrip(",")
        for package in (ruby, f"lib{ruby}", "libyaml-0-2"):
            _run(["dpkg-deb", "-x", str(_downloaded(package, into.parent)), str(into)], into)

    _need_apt("ruby", "ruby", "ruby")
    tree = _fetched("ruby", download, "ruby", "Debian: apt-get install ruby") / "usr"
    libraries = [*tree.glob("lib/ruby/*.0"), *tree.glob("lib/*-linux-gnu*/ruby/*.0")]
    libraries += [*tree.glob("lib/ruby/vendor_ruby"), *tree.glob("lib/ruby/gems/*/gems/*/lib")]
    env = {
        **os.environ,
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, tree.glob("lib/*-linux-gnu*"))),
        "RUBYLIB": os.pathsep.join(map(str, libraries)),
        "RUBYOPT": "--disable-gems",
    }
    return Tool([str(next(tree.glob("bin/ruby[0-9]*")))], env)


def smtp_source() -> Tool:
    """Postfix's load generator."""
    return _of_postfix("smtp-source")


def smtp_sink() -> Tool:
    """Postfix's fake server; started by root it wants ``-u`` and a user."""
    return _of_postfix("smtp-sink")


def _of_postfix(name: str) -> Tool:
    # Not on every user's PATH: the directory of the system's own programs.
    installed = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    if installed:
        return Tool([installed], dict(os.environ))
    tree = _unpacked("postfix", name)
    tool = Tool([str(tree / "usr/sbin" / name)], {**os.environ, "LD_LIBRARY_PATH": str(tree / "usr/lib/postfix")})
    # Without arguments it tells its usage, and fails.
    if _exit_code(tool) == _LIBRARY_MISSING:
        raise ToolMissing(f"{name} lacks a shared library: install it (Debian: apt-get install postfix)")
    return tool


def kubectl() -> Tool:
    """Kubernetes' client, of which ``kubectl kustomize`` needs no cluster."""
    found = shutil.which("kubectl")
    program = found or str(_unpacked("kubernetes-client", "kubectl") / "usr/bin/kubectl")
    return Tool([program], dict(os.environ))


def exim() -> Tool:
    """Exim, whose user is this one, or nobody for root; it has to be told its configuration."""
    if shutil.which("dpkg-deb") is None:
        raise _missing("exim4", "Debian: apt-get install exim4-daemon-light")
    tree = _unpacked("exim4-daemon-light", "exim4", "libidn12", "libnss-wrapper")
    program = tree / "usr/sbin/exim4"
    program.chmod(0o755)  # with its set-uid bit, it would be refused its libraries
    user, group = (_NOBODY, _NOBODY) if unix.os.geteuid() == 0 else (unix.os.geteuid(), unix.os.getegid())
    (tree / "passwd").write_text(f"root:x:0:0::/:/bin/sh\nDebian-exim:x:{user}:{group}::/:/bin/sh\n")
    (tree / "group").write_text(f"root:x:0:\nDebian-exim:x:{group}:\n")
    (libraries,) = (tree / "usr/lib").glob("*-linux-gnu*")
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(libraries),
        "LD_PRELOAD": str(libraries / "libnss_wrapper.so"),
        "NSS_WRAPPER_PASSWD": str(tree / "passwd"),
        "NSS_WRAPPER_GROUP": str(tree / "group"),
    }
    tool = Tool([str(program)], environment)
    if _exit_code(tool._replace(argv=[*tool.argv, "-bV", "-C", "/dev/null"])) == _LIBRARY_MISSING:
        raise ToolMissing("exim4 lacks a shared library: install it (Debian: apt-get install exim4-daemon-light)")
    return tool


_NOBODY = 65534
_LIBRARY_MISSING = 127
"""The exit code of the dynamic linker."""


def _on_path(name: str, how: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise _missing(name, how)
    return found


def _missing(name: str, how: str) -> ToolMissing:
    return ToolMissing(f"{name} is missing: install it ({how})")


def _exit_code(tool: Tool) -> int:
    return subprocess.run(tool.argv, env=tool.env, capture_output=True, timeout=FETCH_TIMEOUT).returncode


def _fetched(folder: str, fetch_into: Callable[[Path], None], name: str, how: str) -> Path:
    """The cache's folder, which ``fetch_into`` fills if it is not there yet."""
    kept = CACHE / folder
    if kept.is_dir():
        return kept
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=f"{folder}.") as work:
        made = Path(work) / "made"
        made.mkdir()
        try:
            fetch_into(made)
        except (OSError, subprocess.SubprocessError) as error:
            raise _missing(name, how) from error
        _move(made, kept)
    return kept


def _move(made: Path, kept: Path) -> None:
    try:
        made.rename(kept)
    except OSError:
        if not kept.is_dir():  # else another run was first, and its folder is as good
            raise


def _unpacked(package: str, name: str, *others: str) -> Path:
    """The files of the Debian package that a tool is in, and of others that it needs."""

    def download(into: Path) -> None:
        for each in (package, *others):
            _run(["dpkg-deb", "-x", str(_downloaded(each, into.parent)), str(into)], into)

    _need_apt(package, name, package)
    return _fetched(package, download, name, f"Debian: apt-get install {package}")


def _need_apt(package: str, name: str, folder: str) -> None:
    if shutil.which("apt-get") is None and not (CACHE / folder).is_dir():
        raise _missing(name, f"Debian: apt-get install {package}")


def _downloaded(package: str, folder: Path) -> Path:
    command = ["apt-get", "download", package]
    try:
        _run(command, folder)
    except subprocess.CalledProcessError:
        if unix.os.geteuid() != 0:
            raise
        # Without package lists, as in a fresh container, there is nothing to choose from.
        _run(["apt-get", "update"], folder)
        _run(command, folder)
    return next(folder.glob(f"{package}_*.deb"))


def _run(command: list[str], folder: Path) -> None:
    # Not: capture_output, because a child that outlives the timeout would hold the pipes open.
    null = subprocess.DEVNULL
    subprocess.run(command, cwd=folder, check=True, stdin=null, stdout=null, stderr=null, timeout=FETCH_TIMEOUT)
