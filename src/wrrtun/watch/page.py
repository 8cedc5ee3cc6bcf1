"""The web page as bytes, and the policy that lets it do what it does and nothing else."""

import base64
import hashlib
import re
from typing import Final

_INLINE: Final = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def make_page(text: str) -> tuple[bytes, str]:
    """Return the page and its Content-Security-Policy: its own script and style, by their hashes.

    It may ask its own daemon for data, show no picture but those written into it, and load nothing.
    """
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for kind, content in _INLINE.findall(text):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        hashes[kind].append(f"'sha256-{digest}'")
    policy = (
        "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; "
        f"script-src {' '.join(hashes['script'])}; style-src {' '.join(hashes['style'])}"
    )
    return text.encode(), policy
