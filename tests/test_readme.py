"""The README says what the program does: its flag table, its code, its commands.

``python -m tests.test_readme`` writes the flag table anew.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from smtpmock_cli import Message
from smtpmock_cli.control.openapi import document
from smtpmock_cli.flags import GoOption, options
from tests.helpers import PATIENCE, ROOT

README = ROOT / "README.md"
TABLE = re.compile(r"(?<=Configuration -->\n).*(?=<!-- end of flags -->)", re.DOTALL)


def flag_table() -> str:
    """The flags as the README shows them, from what the usage text is made of."""
    rows = [row(option) for option in options() if option.settings]
    return "\n".join(["| flag | type | default | meaning | field | variable |", "| --- " * 6 + "|", *rows]) + "\n"


def row(option: GoOption) -> str:
    default = option.default_text().strip('"')
    shown = f"`{default}`" if option.default_text().startswith('"') else default
    fields = ", ".join(f"`{known.field}`" for known in option.settings)
    names = f"{fields} | `{option.envvar}`"
    return f"| `{option.opts[0]}` | {option.type.name or 'bool'} | {shown} | {option.help} | {names} |"


def test_flag_table_is_that_of_the_settings() -> None:
    found = TABLE.search(README.read_text("utf-8"))
    assert found is not None
    assert found[0] == flag_table(), "write it anew: python -m tests.test_readme"


def message_fields() -> set[str]:
    """The fields of a message that the README lists."""
    _, _, behind = README.read_text("utf-8").partition("A message has these fields")
    return set(re.findall("`([a-z_]+)`", behind.partition("\n## ")[0]))


def test_a_message_has_its_documented_fields_everywhere() -> None:
    message = Message()
    fields = message_fields()
    assert {"helo_request", "chunks", "rules"} <= fields
    assert {name for name in fields if not hasattr(message, name)} == set()
    assert {*message.as_json()} == fields | {"msg_request_encoding"}
    schemas = document()["components"]["schemas"]
    assert {*schemas["Message"]["properties"]} == {*message.as_json()}
    assert {*schemas["Session"]["properties"]["message"]["properties"]} == {*message.record_as_json(with_body=False)}
    assert {*Message.__slots__} - {"__weakref__"} | {"is_consistent"} == fields


def test_python_examples_run() -> None:
    for example in re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL):
        subprocess.run([sys.executable, "-W", "error", "-c", example], check=True, timeout=PATIENCE)


def test_pytest_example_passes(tmp_path: Path) -> None:
    (example,) = (
        text for text in re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL) if "def test" in text
    )
    test = tmp_path / "test_readme_example.py"
    test.write_text(example)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-W",
        "error",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
    ]
    done = subprocess.run([*command, str(test)], cwd=tmp_path, capture_output=True, text=True, timeout=3 * PATIENCE)
    assert "1 passed" in done.stdout


def test_links_lead_somewhere() -> None:
    text = README.read_text("utf-8")
    sections = {"#" + title.lower().replace(" ", "-") for title in re.findall(r"^##+ (.*)$", text, re.MULTILINE)}
    targets = set(re.findall(r"\]\((?!http)([^)]+)\)", text)) - sections
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_scripts_are_explained() -> None:
    """Those for users in the README, those for contributors in their guide."""
    text = README.read_text("utf-8") + (ROOT / ".github/CONTRIBUTING.md").read_text("utf-8")
    scripts = {path.name for path in (ROOT / "script").iterdir()} - {"environment"}
    assert {name for name in scripts if not re.search(rf"\bscript/{name}(?![\w-])", text)} == set()


if __name__ == "__main__":
    README.write_text(TABLE.sub(lambda _: flag_table(), README.read_text("utf-8")), "utf-8")
