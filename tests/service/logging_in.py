"""People of a real Keycloak in a browser, before the console of a service that asks for their tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from sonoscope.run import Run
from tests.servers.keycloak import Keycloak
from tests.service.browsing import requests_shown, settled
from tests.service.test_service_console import generate, plays

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@contextmanager
def logged_in(browser: Browser, run: Run, issuer: Keycloak, name: str) -> Iterator[Page]:
    """A window of a person who has come through the issuer's own form."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(90_000)
    page = context.new_page()
    page.goto(f"{run.console_url}/")
    page.get_by_text("You are not logged in").wait_for()
    assert not page.get_by_test_id("stMetric").count()
    page.get_by_role("button", name="Log in").click()
    page.locator("#username").fill(name)
    page.locator("#password").fill(issuer.users[name][0])
    page.locator("#kc-login").click()
    page.get_by_role("button", name="Log out").wait_for()
    yield page
    context.close()


def story(browser: Browser, run: Run, issuer: Keycloak) -> None:
    """An operator makes a video, a viewer looks at it, another department finds nothing, an auditor sees all and makes nothing."""
    with logged_in(browser, run, issuer, "oskar") as page:
        page.get_by_text("Operator · film").wait_for()
        request_id = generate(page, str(run.console_url))
        plays(page)
        page.goto(f"{run.console_url}/audit")
        page.get_by_text("The audit trail is for auditors.").wait_for()
        page.get_by_role("button", name="Log out").click()
        page.get_by_role("button", name="Log in").or_(page.locator("#username")).first.wait_for()
        page.goto(f"{run.console_url}/request?request={request_id}")
        page.get_by_text("You are not logged in").wait_for()

    with logged_in(browser, run, issuer, "viola") as page:
        page.goto(f"{run.console_url}/request?request={request_id}")
        plays(page)
        assert not page.get_by_test_id("stFeedback").count()
        page.goto(f"{run.console_url}/generate")
        page.get_by_text("You may look, but not generate.").wait_for()

    with logged_in(browser, run, issuer, "olga") as page:
        page.get_by_text("No request in this range.").wait_for()
        page.goto(f"{run.console_url}/request?request={request_id}")
        page.get_by_text("No request in this range.").wait_for()
        assert not page.locator("video").count()

    with logged_in(browser, run, issuer, "audrey") as page:
        requests_shown(page).wait_for()
        page.goto(f"{run.console_url}/audit")
        page.get_by_role("heading", name="Entries").wait_for()
        page.get_by_role("button", name="Look at the whole chain").click()
        settled(page)
        page.get_by_text("The chain holds").wait_for()
        page.goto(f"{run.console_url}/generate")
        page.get_by_text("You may look, but not generate.").wait_for()

    key = {"Authorization": f"Bearer {issuer.token('audrey')}"}
    told = httpx.get(f"{run.url}/audit", params={"request_id": request_id}, headers=key).raise_for_status().json()["entries"]
    assert [one["action"] for one in told if one["action"] != "video"] == ["ended", "generate"]
    seen = [one for one in told if one["action"] == "video"]
    assert len({one["who"] for one in seen}) >= 2, "who made it and who looked at it"

    with logged_in(browser, run, issuer, "norole") as page:
        page.get_by_text("you have no role or no department here").wait_for()
