"""The man pages say all that the commands and the configuration know, and man can show them."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from wrrtun.cli import main
from wrrtun.config_keys import TABLES
from wrrtun.manual import commands_page, files_page, write

needs_man = pytest.mark.skipif(
    not (shutil.which("man") and shutil.which("groff")), reason="needs man and groff"
)
NAMES = ["man8/wrrtun.8", "man5/wrrtun.toml.5"]


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    write(tmp_path)
    return tmp_path


def shown(page: Path) -> str:
    """Return what man makes of a page, which must have no complaint."""
    settings = os.environ | {"MANWIDTH": "200", "LC_ALL": "C.UTF-8"}
    argv = ["man", "--warnings", "-l", str(page)]
    done = subprocess.run(argv, env=settings, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def every(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from every(inner, f"{path} {name}")


@needs_man
def test_man_shows_every_command_with_its_options(pages: Path) -> None:
    text = shown(pages / NAMES[0])
    for path, command in every(main, "wrrtun"):
        assert path in text
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.opts[0] in text
    assert "wrrtun client --server vps.example.net:51820 --server-key PUBKEY \\\n" in text
    assert "today's traffic" in text


@needs_man
def test_man_shows_every_key_with_what_it_may_be(pages: Path) -> None:
    text = shown(pages / NAMES[1])
    for keys in TABLES.values():
        for key in keys:
            assert re.search(rf"^ +{key.name}\b", text, re.MULTILINE), key.name
            assert " ".join(key.allowed.split()) in " ".join(text.split())
    assert "Option: --rekey-seconds" not in text  # of the file only


def test_no_line_of_text_is_taken_for_a_command_of_roff() -> None:
    for page in (commands_page(), files_page()):
        for line in page.splitlines():
            if line.startswith((".", "'")):
                assert re.match(r"\.(\\\"|TH|SH|SS|PP|TP|RS|RE|nf|fi|nh|ad|br|B|I|BR) ?", line), (
                    line
                )
