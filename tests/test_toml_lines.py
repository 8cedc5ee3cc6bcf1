"""A key is found on the line where it stands."""

from wrrtun.toml_lines import line_of

TEXT = """\
# mtu = 1
listen = 5
"nat"=true  # yes

[[peer]]
name = "one"
address = [
  "mtu = 5",
]

[limits] # here
rekey_seconds = 9
[[peer]]
name = 'two'
[gateways]
eth0:1 = "x"
"""


def test_a_key_is_found_in_its_own_table() -> None:
    assert line_of(TEXT, "listen") == 2
    assert line_of(TEXT, "nat") == 3
    assert line_of(TEXT, "name", "peer", 0) == 6
    assert line_of(TEXT, "rekey_seconds", "limits") == 12
    assert line_of(TEXT, "name", "peer", 1) == 14
    assert line_of(TEXT, None, "peer", 1) == 13
    assert line_of(TEXT, "eth0:1", "gateways") == 16


def test_a_key_that_is_not_there_has_no_line() -> None:
    assert line_of(TEXT, "mtu") is None
    assert line_of(TEXT, "name") is None
    assert line_of(TEXT, "name", "peer", 2) is None
    assert line_of("", "name") is None
