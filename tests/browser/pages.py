"""What tests do on every page, and the windows that they do it in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

WIDE, NARROW = 1280, 360


def log_in(page: Page) -> None:
    """Log in with the keyboard alone."""
    page.goto("/users/")
    page.get_by_label("Username").focus()
    page.keyboard.type("administrator")
    page.keyboard.press("Tab")
    page.keyboard.type("password")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Users")).to_be_visible()


def assert_fits(page: Page) -> None:
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(overflow) == 0
