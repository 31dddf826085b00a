"""A real site and a real browser."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from tests.processes import WebServer, database_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture
def site(transactional_db: None, tmp_path: Path) -> Iterator[str]:
    """The address of a web server on the tests' database."""
    server = WebServer(url=database_url(), log=tmp_path / "web.log")
    try:
        server.wait_until_ready()
        yield server.address
    finally:
        server.stop()


@pytest.fixture
def open_page(site: str) -> Iterator[Callable[..., Page]]:
    """Open a browser window on the site: open_page(width=1280, color_scheme="dark").

    While it is open, the database is for other processes: Django refuses it next to Playwright.
    """
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update"],
        )

        def open_it(*, width: int, color_scheme: str) -> Page:
            context = browser.new_context(
                base_url=site,
                viewport={"width": width, "height": 800},
                color_scheme=color_scheme,  # type: ignore[arg-type]  # "light" or "dark"
                reduced_motion="reduce",
            )
            page = context.new_page()
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on(
                "console",
                lambda message: (
                    complaints.append(message.text) if message.type == "error" else None
                ),
            )
            return page

        yield open_it
        browser.close()
    assert complaints == []
