"""A real site and a real browser."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import ConsoleMessage, Page, Response

    from tests.processes import WebServer

# So that its assertions tell what they have seen.
pytest.register_assert_rewrite("tests.browser.pages")

TELL_OF_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`${event.violatedDirective} forbids ${event.blockedURI} ${event.sample}`))
"""
ANSWERED_WITH_ERROR = "Failed to load resource: the server responded with a status of"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """What browsers say is wrong with the pages, of which nothing is to be left."""
    complaints: list[str] = []
    yield complaints
    assert complaints == []


@pytest.fixture
def open_page(site: WebServer, complaints: list[str]) -> Iterator[Callable[..., Page]]:
    """Open a browser window on the site: open_page(width=1280, color_scheme="dark").

    While it is open, the database is for other processes: Django refuses it next to Playwright.
    """
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")
    expect.set_options(timeout=60_000)  # milliseconds
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update"],
        )

        def hear(message: ConsoleMessage) -> None:
            if message.type == "error" and not message.text.startswith(ANSWERED_WITH_ERROR):
                complaints.append(f"{message.text} ({message.location['url']})")

        def see(response: Response) -> None:
            # Whether a page itself is an error page is the test's own affair.
            if response.status >= 400 and not response.request.is_navigation_request():
                complaints.append(f"{response.url} was answered with {response.status}")

        def open_it(*, width: int, color_scheme: str) -> Page:
            context = browser.new_context(
                base_url=site.address,
                viewport={"width": width, "height": 800},
                color_scheme=color_scheme,  # type: ignore[arg-type]  # "light" or "dark"
                reduced_motion="reduce",
            )
            context.add_init_script(TELL_OF_VIOLATIONS)
            # Windows that a page opens are heard, too.
            context.on("weberror", lambda error: complaints.append(str(error.error)))
            context.on("console", hear)
            context.on("response", see)
            return context.new_page()

        yield open_it
        browser.close()
