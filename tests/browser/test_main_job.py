"""The main job, as somebody sees it who creates a user and watches the log appear."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.pages import NARROW, WIDE, assert_fits, log_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from accounts.models import User
    from tests.processes import WorkerProcess

pytestmark = pytest.mark.django_db(transaction=True)


def brightness(page: Page) -> float:
    """Return how bright the page's background is, from 0 to 255."""
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    if color == "rgba(0, 0, 0, 0)":
        color = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    red, green, blue = (int(number) for number in re.findall(r"\d+", color)[:3])
    return (red + green + blue) / 3


@pytest.mark.parametrize("width", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_a_user_is_created_and_the_log_appears_without_reloading(
    administrator: User,
    open_page: Callable[..., Page],
    start_worker: Callable[..., WorkerProcess],
    width: int,
    color_scheme: str,
) -> None:
    page = open_page(width=width, color_scheme=color_scheme)
    log_in(page)
    assert (brightness(page) > 128) == (color_scheme == "light")
    assert_fits(page)

    page.get_by_role("button", name="New user").click()
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Disabled").check()
    assert_fits(page)
    page.get_by_role("button", name=re.compile("Create|Save")).click()

    expect(page.get_by_role("heading", name="alice")).to_be_visible()
    expect(page.get_by_text("Waiting for a worker")).to_be_visible()
    page.evaluate("window.stillTheSamePage = true")
    start_worker()
    expect(page.get_by_text(re.compile(r"Logged .+ after creation"))).to_be_visible()
    assert page.evaluate("window.stillTheSamePage")
    assert page.locator("#user-logs").get_attribute("hx-get") is None
    assert_fits(page)

    page.get_by_role("link", name="All logs of this user").click()
    expect(page.get_by_role("heading", name="Logs")).to_be_visible()
    expect(page.get_by_role("link", name="alice")).to_be_visible()
    assert_fits(page)


def test_the_keyboard_skips_to_the_content(
    administrator: User, open_page: Callable[..., Page]
) -> None:
    page = open_page(width=WIDE, color_scheme="light")
    log_in(page)
    page.goto("/users/")
    page.keyboard.press("Tab")
    focused = page.locator(":focus")
    expect(focused).to_have_text(re.compile("skip", re.IGNORECASE))
    expect(focused).to_be_visible()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#content$"))
