"""The walls of the house, each with its reason in the message that a breach prints."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import wrrtun

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "wrrtun"
FILES = sorted(PACKAGE.rglob("*.py"))

MAX_LINES = 300

CORE_MAY_IMPORT = {
    *("bisect", "collections", "dataclasses", "enum", "heapq", "itertools", "math", "typing"),
    *("operator", "struct", "ipaddress", "hashlib", "hmac"),
    *("numpy", "cryptography", "construct"),
}

# What a caller needs to name what it hands over, and nothing that decides.
CORE_TYPES = {f"wrrtun.core.{room}" for room in ("counters", "errors", "events", "headers", "wire")}

# Who may not know of whom: importer, imported, why. A folder or a room stands for all within it.
WALLS = [
    ("core", "linux", "the protocol runs on a simulated network, so it makes no system call"),
    ("linux", "config", "linux/ is told what to do: what was configured is not its business"),
    ("linux", "status", "linux/ reports to the daemon; the daemon makes the snapshot"),
    ("status", "linux", "the snapshot is plain values, read in another process"),
    ("status", "core.tunnel", "the snapshot is plain values: the daemon fills it in"),
    ("config", "linux", "a configuration is read and checked without touching the system"),
    ("routing", "linux.netlink", "what a machine needs is decided on plain values"),
    ("options", "linux", "a configuration is read and checked without touching the system"),
    ("config_file", "linux", "a configuration is read and checked without touching the system"),
    ("config_values", "linux", "a configuration is read and checked without touching the system"),
]
# From the top down. A room knows only what lies below it: else nothing can be tested alone.
LAYERS = [
    {"__main__", "manual"},
    {"cli"},
    {"cli_speedtest"},
    {"cli_enrol", "cli_watch"},
    {"daemon"},
    {"client_daemon", "server_daemon"},
    {"doctor", "speedtest"},
    {"path_check"},
    {"client_links"},
    {"server_name"},
    {"report", "link_socket", "route_keeper", "meter_keeper"},
    {"router"},
    {"routing"},
    {"loop"},
    {"inbox"},
    {"device", "drain"},
    {"enrol"},
    {"watch"},
    {"linux", "load", "reload", "status", "config_edit", "cli_options", "reference"},
    {"config_values", "invitation", "link_modes", "metering"},
    {"config_file", "config_tables", "toml_lines"},
    {"config_keys", "options"},
    {"config_watch_keys"},
    {"config_key"},
    {"clocks", "config", "keys"},
    {"core"},
    {"put_off"},
]


def room_of(file: Path) -> str:
    """The dotted name below the package: `core.wire`."""
    return ".".join(file.relative_to(PACKAGE).with_suffix("").parts)


def imports_of(file: Path) -> Iterator[str]:
    """Every module that a file imports, as an absolute dotted name."""
    package = ["wrrtun", *file.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def is_within(module: str, place: str) -> bool:
    return module == place or module.startswith(place + ".")


IN_CORE = [file for file in FILES if is_within(room_of(file), "core")]
IN_LINUX = [file for file in FILES if is_within(room_of(file), "linux")]


def test_the_core_imports_no_io_clock_or_randomness() -> None:
    for file in IN_CORE:
        names = {name.partition(".")[0] for name in imports_of(file)} - {"wrrtun"}
        assert names <= CORE_MAY_IMPORT, (
            f"{room_of(file)} imports {names - CORE_MAY_IMPORT}: the core gets bytes, `now` and "
            "randomness handed in, so that a simulator can run it and a seed repeats it"
        )


def test_the_core_reads_and_writes_nothing() -> None:
    for file in IN_CORE:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "id", None)
                assert called not in {"open", "print", "input", "exec", "eval"}, (
                    f"{room_of(file)}:{node.lineno} calls {called}(): the core does no I/O"
                )
                assert getattr(node.func, "attr", None) != "generate", (
                    f"{room_of(file)}:{node.lineno}: keys are made of randomness that is handed in"
                )


def test_linux_knows_the_cores_types_and_none_of_its_decisions() -> None:
    for file in IN_LINUX:
        for module in imports_of(file):
            if is_within(module, "wrrtun.core") and module != "wrrtun.core":
                assert any(is_within(module, room) for room in CORE_TYPES), (
                    f"{room_of(file)} imports {module}: linux/ does what it is told"
                )


@pytest.mark.parametrize(("importer", "imported", "reason"), WALLS)
def test_a_wall_stands(importer: str, imported: str, reason: str) -> None:
    for file in FILES:
        if is_within(room_of(file), importer):
            for module in imports_of(file):
                assert not is_within(module, f"wrrtun.{imported}"), (
                    f"{room_of(file)} imports {module}, but {reason}"
                )


def test_imports_point_downwards() -> None:
    height = {room: -depth for depth, layer in enumerate(LAYERS) for room in layer}
    for file in FILES:
        room = room_of(file).partition(".")[0]
        if room == "__init__":
            continue
        assert room in height, f"{room} has no place in LAYERS: say what it may know"
        for module in imports_of(file):
            _, _, other = module.partition("wrrtun.")
            other = other.partition(".")[0]
            assert other not in height or height[other] <= height[room], (
                f"{room_of(file)} imports {module}, which lies above it"
            )


@pytest.mark.parametrize("file", FILES, ids=room_of)
def test_a_file_is_short_enough_to_be_read_at_once(file: Path) -> None:
    lines = len(file.read_text().splitlines())
    assert lines <= MAX_LINES, f"{room_of(file)} has {lines} lines: it wants a wall in it"


@pytest.mark.parametrize("file", FILES, ids=room_of)
def test_a_room_says_at_its_door_what_it_does(file: Path) -> None:
    text = file.read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text)), f"{room_of(file)}: no head"


def test_the_changelogs_newest_version_is_the_packages() -> None:
    changelog = ROOT / "CHANGELOG.md"
    if not changelog.exists():
        pytest.skip("there is no changelog yet")
    newest = re.search(r"^## \[?v?(\d+\.\d+\.\d+)", changelog.read_text(), re.MULTILINE)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert newest is not None
    assert newest[1] == version == wrrtun.__version__
