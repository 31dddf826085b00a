"""No page needs what the content security policy forbids, whatever is clicked on it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from playwright.sync_api import expect

from accounts.models import User
from joblogs.models import UserLog
from tests.browser.pages import NARROW, WIDE, assert_fits, log_in
from tests.project.pages import named_pages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from django.db.models import Model
    from django.test.client import _MonkeyPatchedWSGIResponse as Response
    from playwright.sync_api import Page

pytestmark = pytest.mark.django_db(transaction=True)


MORE = [
    "/users/?q=a&sort=username",
    "/admin/accounts/user/?is_staff__exact=1&q=a",
    "/admin/auth/group/add/?_popup=1",
]
ERRORS = {"/users/0/": 404, "/admin/missing/": 404, "/admin/axes/accessattempt/add/": 403}


def addresses(name: str, groups: Mapping[str, int], user: User) -> Iterator[str]:
    """Yield the addresses of a page for something that exists."""
    shown: Model | None = user
    for model in admin.site._registry:
        if name.startswith(f"admin:{model._meta.app_label}_{model._meta.model_name}_"):
            shown = model._default_manager.first()
    if "app_label" in groups:
        for label in {model._meta.app_label for model in admin.site._registry}:
            yield reverse(name, kwargs={"app_label": label})
    elif shown:
        yield reverse(name, kwargs=dict.fromkeys(groups, shown.pk))


@pytest.fixture
def pages(as_administrator: Client, administrator: User) -> list[str]:
    """All pages that an administrator can open, with something to see on them."""
    UserLog.objects.write(user_id=administrator.pk, job_id=1)
    as_administrator.post("/admin/auth/group/add/", {"name": "operators"})
    Client().post("/login/", {"username": "nobody", "password": "wrong"})
    found = [
        url for name, groups in named_pages() for url in addresses(name, groups, administrator)
    ]
    answers = {url: as_administrator.get(url) for url in [*found, *MORE]}
    # Parts of pages are seen on their pages.
    return [url for url, answer in answers.items() if is_whole_page(answer)]


def is_whole_page(answer: Response) -> bool:
    beginning = answer.content[:100].strip().lower()
    return answer.status_code == 200 and beginning.startswith(b"<!doctype html>")


def visit(page: Page, address: str, status: int = 200) -> None:
    response = page.goto(address)
    assert response
    assert response.status == status, address
    assert "Content-Security-Policy".lower() in response.headers
    page.wait_for_load_state("networkidle")


def test_every_page_keeps_to_the_policy(pages: list[str], open_page: Callable[..., Page]) -> None:
    # What the rest of this test would not miss.
    for model in (User, Group, UserLog, AccessAttempt):
        list_page = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        assert list_page in pages
        assert any(page.startswith(list_page) and page.endswith("/history/") for page in pages)
    page = open_page(width=WIDE, color_scheme="light")
    visit(page, "/login/")
    log_in(page)
    for address in pages:
        visit(page, address)
    for address, status in ERRORS.items():
        visit(page, address, status)


def test_every_part_of_the_admin_keeps_to_it_when_used(
    administrator: User, outsider: User, open_page: Callable[..., Page]
) -> None:
    page = open_page(width=WIDE, color_scheme="dark")
    log_in(page)
    page.goto(f"/admin/accounts/user/{outsider.pk}/change/")

    theme = page.locator("html")
    for expected in ("light", "dark", "auto"):
        page.locator(".theme-toggle").locator("visible=true").click()
        expect(theme).to_have_attribute("data-theme", expected)

    page.locator(".field-date_joined .date-icon").first.click()
    page.locator(".calendarbox").locator("visible=true").get_by_text("15", exact=True).click()
    expect(page.locator("#id_date_joined_0")).to_have_value(re.compile("-15$"))
    page.locator(".field-date_joined .clock-icon").first.click()
    page.locator(".clockbox").locator("visible=true").get_by_text("Noon").click()
    expect(page.locator("#id_date_joined_1")).to_have_value("12:00:00")

    with page.expect_popup() as opened:
        page.locator("#add_id_groups").click()
    popup = opened.value
    popup.get_by_label("Name:").fill("operators")
    popup.get_by_role("button", name="Save").click()
    expect(page.locator("#id_groups_to")).to_contain_text("operators")

    page.locator("#id_user_permissions_selected_input").fill("can add")
    page.locator("#id_user_permissions_to option").first.dblclick()
    expect(page.locator("#id_user_permissions_from option")).to_have_count(1)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".messagelist .success")).to_contain_text("was changed successfully")

    page.locator("#action-toggle").check()
    page.locator("tr", has_text="administrator").get_by_role("checkbox").uncheck()
    page.locator("select[name=action]").select_option("delete_selected")
    page.get_by_role("button", name="Go").click()
    expect(page.get_by_role("heading", name="Delete multiple objects")).to_be_visible()


def test_the_page_after_too_many_attempts_keeps_to_it(
    administrator: User, open_page: Callable[..., Page]
) -> None:
    page = open_page(width=NARROW, color_scheme="light")
    page.goto("/login/")
    for _ in range(5):
        page.get_by_label("Username").fill("administrator")
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Too many attempts to log in")).to_be_visible()
    assert_fits(page)
    page.get_by_role("button", name="To the login page").click()
    expect(page.get_by_label("Username")).to_be_visible()


def test_the_policy_stops_what_somebody_slips_into_a_page(
    administrator: User, open_page: Callable[..., Page], complaints: list[str]
) -> None:
    page = open_page(width=WIDE, color_scheme="light")
    log_in(page)
    page.evaluate(
        """
        for (const [name, values] of [
            ["script", {textContent: "window.slipped = true"}],
            ["script", {src: "data:text/javascript,window.slipped = true"}],
            ["style", {textContent: "body {display: none}"}],
            ["iframe", {src: "/users/"}],
            ["object", {data: "/static/joblogs.svg"}],
        ]) document.body.append(Object.assign(document.createElement(name), values));
        document.body.insertAdjacentHTML("beforeend", "<b onclick='window.slipped = true'>b</b>");
        document.querySelector("b").click();
        """
    )
    expect(page.get_by_role("heading", name="Users")).to_be_visible()
    assert page.evaluate("window.slipped") is None
    for directive in ("script-src-elem", "script-src-attr", "style-src-elem", "frame-src"):
        assert any(complaint.startswith(f"{directive} forbids") for complaint in complaints)
    complaints.clear()
