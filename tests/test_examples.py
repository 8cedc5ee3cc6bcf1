"""The files that the documentation shows are read as the daemons would read them."""

import re
from pathlib import Path

import pytest

from wrrtun.cli import check_file
from wrrtun.keys import encode_key, public_key_of

ROOT = Path(__file__).parents[1]
KEY, OTHER_KEY = bytes([1] * 32), bytes([2] * 32)


def files() -> list[tuple[str, str, str]]:
    """Return page, name and text of each TOML block that begins with its file's name."""
    found = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for text in re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL):
            name = re.match(r"# /etc/wrrtun/(\w+\.toml)", text)
            if name is not None:
                found.append((page.name, name[1], text))
    return found


FILES = files()


@pytest.mark.parametrize(("page", "name", "text"), FILES)
def test_a_file_in_the_documentation_has_no_mistake(
    tmp_path: Path, page: str, name: str, text: str
) -> None:
    for word in ("SERVER_PUBLIC_KEY", "CLIENT_PUBLIC_KEY"):
        text = text.replace(word, encode_key(public_key_of(OTHER_KEY)))
    for key_file in ("client.key", "client.psk", "server.key"):
        (tmp_path / key_file).write_text(encode_key(KEY) + "\n")
        (tmp_path / key_file).chmod(0o600)
    (tmp_path / name).write_text(text)
    assert "no mistake found" in check_file(tmp_path / name)


def test_the_examples_are_among_them() -> None:
    assert sum(page == "EXAMPLES.md" for page, _name, _text in FILES) == 5
    assert sum(page == "README.md" for page, _name, _text in FILES) == 2


@pytest.mark.parametrize(
    "page", ["README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_every_link_within_the_documentation_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        where = (ROOT / page).parent / name if name else ROOT / page
        assert where.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", where.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
            assert anchor in slugs, target
