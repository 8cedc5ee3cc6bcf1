"""The text of one value, as a configuration file or the command line has it, becomes a value.

    --link   WHERE[:DOWN[/UP]]   eth0   eth0:10   eth0:0:10mbit/1mbit   [2001:db8::7]:3
    --listen [ADDRESS:]PORT      51820     192.0.2.1:51820       [::]:51820
    --server HOST:PORT           vps.example.net:51820
    --peer   NAME=PUBKEY

Each function raises ConfigError with a sentence that quotes the text and says what is allowed; the
caller puts the option's name before it. Text that may be a key is never quoted.
"""

import re
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    ip_interface,
    ip_network,
)
from typing import Final

from .config import (
    MAX_DEVICE_NAME_BYTES,
    MAX_PEER_NAME_CHARACTERS,
    MAX_PORT,
    MAX_WEIGHT,
    MIN_WEIGHT,
    RATE_UNITS,
    IPAddress,
    IPInterface,
    IPNetwork,
    LinkConfig,
)
from .core.errors import ConfigError
from .keys import parse_public_key

# "[inside]:rest" or "bare:rest"; the last colon divides.
_PLACE_AND_REST: Final = re.compile(r"(?:\[([^\[\]]*)\]|([^\[\]]*)):([^:\[\]]*)")
_NUMBER_AND_UNIT: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?|\.[0-9]{1,15})([A-Za-z]*)")
# The kernel wants a name without blanks, "/" and ":" (dev_valid_name), and fills in a "%d".
_DEVICE: Final = re.compile(r"(?!\.{1,2}$)[!-$&-.0-9;-~]+")
_DEVICE_NUMBER: Final = re.compile(r"(.*?)([0-9]{0,9})")
_HOST: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.(?!-)[A-Za-z0-9_-]{1,63})*\.?")
_ONLY_DIGITS_AND_DOTS: Final = re.compile(r"[0-9][0-9.]*")
_PEER_NAME: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_PEER_NAME_CHARACTERS - 1}}}")
_MAX_QUOTED_CHARACTERS: Final = 80
AUTO: Final = "auto"  # the rate is found, and is the weight


def quoted(value: object) -> str:
    """Show a value in a message: quoted, on one line, cut when long."""
    text = repr(value)
    return (
        text
        if len(text) <= _MAX_QUOTED_CHARACTERS
        else text[:_MAX_QUOTED_CHARACTERS] + "…" + text[-1]
    )


def parse_link(text: str) -> LinkConfig:
    """Read WHERE[:DOWN[/UP]]; one number counts for both directions, none is `auto`."""
    match = _PLACE_AND_REST.fullmatch(text) or _PLACE_AND_REST.fullmatch(f"{text}:{AUTO}")
    if match is None or not text:
        raise ConfigError(
            f"{quoted(text)} names no interface or address; write eth0, "
            "or eth0:10mbit/1mbit to give rates"
        )
    inside, bare, weights = match.groups()
    address = _parse_place(inside, bare, text)
    device = parse_link_device(bare) if address is None else None
    if device and weights == "0":
        raise ConfigError(
            f"{quoted(text)} has weight 0; as an alias label it needs a weight too: {text}:10"
        )
    down, slash, up = weights.partition("/")
    weight_down, rate_down = _parse_weight(down, text)
    weight_up, rate_up = _parse_weight(up, text) if slash else (weight_down, rate_down)
    return LinkConfig(
        where=bare if address is None else str(address),
        device=device,
        address=address,
        weight_down=weight_down,
        weight_up=weight_up,
        rate_down_bits_per_second=rate_down,
        rate_up_bits_per_second=rate_up,
    )


def parse_link_device(text: str) -> str:
    """Read the name of an interface, or an alias label such as eth0:0."""
    name, colon, label = text.partition(":")
    if len(text) > MAX_DEVICE_NAME_BYTES or not _DEVICE.fullmatch(name):
        raise ConfigError(_bad_device(text))
    if colon and not _DEVICE.fullmatch(label):
        raise ConfigError(
            f"{quoted(text)} is neither an interface nor an alias label such as eth0:0 "
            "(an IPv6 address needs brackets: [2001:db8::7])"
        )
    return text


def parse_device(text: str) -> str:
    """Read the name of a network device or bridge."""
    if len(text) > MAX_DEVICE_NAME_BYTES or not _DEVICE.fullmatch(text):
        raise ConfigError(_bad_device(text))
    return text


def count_up(device: str, count: int) -> list[str]:
    """Name `count` devices, counting up from `device`: wrr0, wrr1, ...; wrr alone begins at 0."""
    if count == 1:
        return [device]
    match = _DEVICE_NUMBER.fullmatch(device)
    assert match is not None  # the expression fits any text
    prefix, number = match.groups()
    return [parse_device(f"{prefix}{int(number or 0) + index}") for index in range(count)]


def parse_server(text: str) -> tuple[str, int]:
    """Read HOST:PORT; an IPv6 address comes out without its brackets."""
    match = _PLACE_AND_REST.fullmatch(text)
    if match is None:
        raise ConfigError(f"{quoted(text)} has no port; write HOST:PORT")
    inside, bare, port = match.groups()
    address = _parse_place(inside, bare, text)
    if address is None and not (len(bare) <= 253 and _HOST.fullmatch(bare)):
        raise ConfigError(
            f"{quoted(text)} names no host; write HOST:PORT, or [IPV6-ADDRESS]:PORT with brackets"
        )
    return (bare if address is None else str(address)), parse_port(port)


def is_address(host: str) -> bool:
    """Tell whether a host is an address, as `parse_server` returns it, and not a name."""
    return ":" in host or bool(_ONLY_DIGITS_AND_DOTS.fullmatch(host))


def parse_listen(text: str) -> tuple[IPAddress | None, int]:
    """Read [ADDRESS:]PORT; no address means any, of both families."""
    if ":" not in text:
        return None, parse_port(text)
    match = _PLACE_AND_REST.fullmatch(text)
    if match is None:
        raise ConfigError(f"{quoted(text)} has no port; write PORT, ADDRESS:PORT or [IPV6]:PORT")
    inside, bare, port = match.groups()
    address = _parse_place(inside, bare, text, unspecified=True)
    if address is None:
        raise ConfigError(
            f"{quoted(text)} has no address of this machine before the port; write PORT, "
            "ADDRESS:PORT or [IPV6]:PORT"
        )
    return address, parse_port(port)


def parse_port(text: str) -> int:
    """Read a UDP port, 1 to 65535."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 0 < int(text) <= MAX_PORT):
        raise ConfigError(f"{quoted(text)} is not a port; a port is a number from 1 to {MAX_PORT}")
    return int(text)


def parse_interface_address(text: str) -> IPInterface:
    """Read an address with its prefix length, such as 10.9.0.1/24 or fd00::1/64."""
    try:
        interface = ip_interface(text)
    except ValueError:
        interface = None
    if interface is None or "/" not in text or "%" in text:
        raise ConfigError(
            f"{quoted(text)} is not an address with a prefix length, such as 10.9.0.1/24 "
            "or fd00::1/64"
        )
    ip, network = interface.ip, interface.network
    if ip.is_multicast or ip.is_unspecified or ip.is_loopback:
        raise ConfigError(f"{quoted(text)} is not an address that a device can have")
    if isinstance(interface, IPv4Interface) and network.prefixlen < 31:  # RFC 3021
        if ip == network.network_address:
            raise ConfigError(f"{quoted(text)} is a network; give an address in it")
        if ip == network.broadcast_address:
            raise ConfigError(f"{quoted(text)} is the broadcast address of its network")
    return interface


def parse_network(text: str) -> IPNetwork:
    """Read a network, such as 192.168.50.0/24 or fd00:1::/64; its own bits only."""
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        nearest = ip_network(text, strict=False)
    except ValueError:
        raise ConfigError(
            f"{quoted(text)} is not a network, such as 192.168.50.0/24 or fd00:1::/64"
        ) from None
    raise ConfigError(f"{quoted(text)} has bits of a host set; the network is {nearest}")


def parse_peer_name(text: str) -> str:
    """Read the name of a peer. It is not quoted: it may be a key without its name."""
    if not _PEER_NAME.fullmatch(text):
        raise ConfigError(
            f"a peer's name is 1 to {MAX_PEER_NAME_CHARACTERS} letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit"
        )
    return text


def parse_peer(text: str) -> tuple[str, bytes]:
    """Read NAME=PUBKEY. The key is not quoted: it may be a private one, given by mistake."""
    name, equals, key = text.partition("=")
    if not (equals and key):
        raise ConfigError("a peer is written NAME=PUBKEY")
    parse_peer_name(name)
    try:
        return name, parse_public_key(key)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def _parse_place(
    inside: str | None, bare: str | None, text: str, *, unspecified: bool = False
) -> IPAddress | None:
    """Read the address before the last colon of `text`; None when it is a name."""
    address: IPAddress
    try:
        if inside is not None:
            address = IPv6Address(inside)
        elif _ONLY_DIGITS_AND_DOTS.fullmatch(bare or ""):
            address = IPv4Address(bare or "")
        elif (bare or "").count(":") > 1 or text.startswith("::"):
            raise ConfigError(f"{quoted(text)}: an IPv6 address needs brackets, as [2001:db8::7]")
        else:
            return None
    except AddressValueError:
        kind = "IPv4" if inside is None else "IPv6"
        raise ConfigError(
            f"{quoted(text)}: {quoted(inside or bare)} is no {kind} address"
        ) from None
    if address.is_multicast or (address.is_unspecified and not unspecified):
        raise ConfigError(f"{quoted(text)}: {address} is not the address of one machine")
    return address


def _parse_weight(text: str, link: str) -> tuple[float, int | None]:
    """Read one direction: a weight, or a rate in bits per second and the weight it makes."""
    if text == AUTO:
        return 1.0, None
    match = _NUMBER_AND_UNIT.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"{quoted(link)}: {quoted(text)} is no weight; a weight is a number above 0, "
            "a rate such as 10mbit, or auto"
        )
    number, unit = float(match[1]), match[2].lower()
    if unit and unit not in RATE_UNITS:
        raise ConfigError(
            f"{quoted(link)}: {quoted(match[2])} is no unit; there are {', '.join(RATE_UNITS)} "
            "(bits per second, k = 1000)"
        )
    rate = round(number * RATE_UNITS[unit]) if unit else None
    weight = number if rate is None else rate / RATE_UNITS["mbit"]
    if not MIN_WEIGHT <= weight <= MAX_WEIGHT:
        raise ConfigError(
            f"{quoted(link)}: {quoted(text)} is out of range; a weight is {MIN_WEIGHT:g} to "
            f"{MAX_WEIGHT:.0f}, a rate as many Mbit/s"
        )
    return weight, rate


def _bad_device(text: str) -> str:
    return (
        f"{quoted(text)} is not a device name: 1 to {MAX_DEVICE_NAME_BYTES} characters without "
        "blanks, '/', ':' or '%'"
    )
