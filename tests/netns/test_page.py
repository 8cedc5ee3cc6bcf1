"""The web page in a real browser: it loads, lives, shows a dead line, and fits a telephone."""

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright
from pyroute2 import IPRoute

from bench.lab.topology import Lab
from bench.traffic import Load, start_load
from bench.tunnel import SERVER_INSIDE
from tests.netns.ends import Ends

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
URL = "http://127.0.0.1:8080/"
WIDE: ViewportSize = {"width": 1200, "height": 900}
TELEPHONE: ViewportSize = {"width": 360, "height": 740}

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium"),
]


@pytest.fixture
def browser(lab: Lab, tmp_path: Path) -> Iterator[Browser]:
    """A headless Chromium inside the client's namespace."""
    wrapper = tmp_path / "chromium"
    wrapper.write_text(
        f'#!/bin/sh\nexec nsenter --net=/run/netns/{lab.client.name} {CHROMIUM} "$@"\n'
    )
    wrapper.chmod(0o755)
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=wrapper, chromium_sandbox=False)
        yield made
        made.close()


def opened(browser: Browser, size: ViewportSize, scheme: str = "light") -> tuple[Page, list[str]]:
    """Open the page; return it with the list that its complaints go to."""
    complaints: list[str] = []
    page = browser.new_page(viewport=size, color_scheme="dark" if scheme == "dark" else "light")
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.on(
        "request",
        lambda request: complaints.append(request.url) if not _is_own(request.url) else None,
    )
    page.goto(URL)
    return page, complaints


def set_down(lab: Lab, device: str) -> None:
    """Set a device down; in a thread, as Playwright and pyroute2 each have a loop of their own."""

    def act() -> None:
        with lab.client.entered(), IPRoute() as iproute:
            (index,) = iproute.link_lookup(ifname=device)
            iproute.link("set", index=index, state="down")

    with ThreadPoolExecutor(1) as thread:
        thread.submit(act).result()


def _is_own(url: str) -> bool:
    return url.startswith((URL, "data:"))


def test_the_page_lives_and_shows_a_dead_line_within_two_seconds(
    ends: Ends, lab: Lab, browser: Browser
) -> None:
    ends.tunnel("--web", "8080", links=("lineA:10mbit", "lineB:3mbit"))
    page, complaints = opened(browser, WIDE)
    states = page.locator(".state")
    expect(states).to_have_text(["up", "up"])
    expect(page.locator(".links .name")).to_have_text(["0 lineA", "1 lineB"])

    load = start_load(lab.client, lab.server, SERVER_INSIDE, Load(8.0))
    expect(page.locator(".now").first).to_contain_text("Mbit/s")
    set_down(lab, "lineB")
    began = time.monotonic()
    expect(states.nth(1)).to_have_text("down", timeout=5_000)
    assert time.monotonic() - began < 2.0
    expect(page.locator("#events")).to_contain_text("link 1: up → down")
    expect(page.locator("#days")).to_contain_text("lineB")
    load.result()
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_telephone(ends: Ends, browser: Browser, scheme: str) -> None:
    ends.tunnel("--web", "8080")
    page, complaints = opened(browser, TELEPHONE, scheme)
    expect(page.locator(".state")).to_have_text(["up", "up"])
    assert page.evaluate("document.documentElement.scrollWidth") <= TELEPHONE["width"]
    assert complaints == []


def test_the_page_says_so_when_the_daemon_has_gone(ends: Ends, browser: Browser) -> None:
    pair = ends.tunnel("--web", "8080")
    page, _complaints = opened(browser, WIDE)
    expect(page.locator(".state")).to_have_text(["up", "up"])
    pair.client.stop()
    expect(page.locator("#lost")).to_contain_text("has not answered since")
