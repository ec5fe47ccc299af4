"""The console as people use it: in a browser, beside a running service, from the upload to the judgement."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.analytics.conftest import SECOND, START
from tests.analytics.conftest import Service as Writer
from tests.service.browsing import CHROMIUM, console, requests_shown, settled, until
from tests.service.conftest import PORTRAIT, SPEECH, Service

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Looking = Callable[[Path, str], AbstractContextManager[str]]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.service,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH (apt install chromium)"),
    pytest.mark.timeout(400),
]


@pytest.fixture(params=["local", pytest.param("elasticsearch", marks=pytest.mark.server)])
def logs(request: pytest.FixtureRequest) -> str:
    """Where the console reads events from."""
    return request.param


@pytest.fixture
def looking(logs: str, request: pytest.FixtureRequest) -> Looking:
    """Opens a console over a data folder: on its journal, or on an Elasticsearch that a forwarder ships the journal to."""
    if logs == "local":
        return console
    server, index = request.getfixturevalue("elasticsearch"), request.getfixturevalue("index")
    return partial(beside_a_forwarder, elasticsearch_url=server.url, elasticsearch_index=index)


@contextmanager
def beside_a_forwarder(data_dir: Path, service_url: str, *, elasticsearch_url: str, elasticsearch_index: str) -> Iterator[str]:
    env = {
        **os.environ, "SONOSCOPE_DATA_DIR": str(data_dir), "SONOSCOPE_CONFIG": str(data_dir / "none.toml"),
        "ELASTICSEARCH_URL": elasticsearch_url, "SONOSCOPE_ELASTICSEARCH_INDEX": elasticsearch_index,
    }  # fmt: skip
    with (data_dir / "forwarder.log").open("wb") as log:
        forwarder = subprocess.Popen([sys.executable, "-m", "sonoscope", "forward"], env=env, stdout=log, stderr=log)
        try:
            with console(
                data_dir, service_url, elasticsearch_url=elasticsearch_url, elasticsearch_index=elasticsearch_index
            ) as url:
                yield url
        finally:
            forwarder.terminate()
            forwarder.wait(30)


def test_from_the_upload_to_the_judgement(service: Service, looking: Looking, page: Page, browser: Browser) -> None:
    with looking(service.data_dir, service.url) as url:
        request_id = generate(page, url)
        found_by_a_filter(page, url, request_id)
        page.goto(f"{url}/request?request={request_id}")
        plays(page)
        scored(page, service, request_id)
        seen_by_a_colleague(browser, page.url, request_id)


def generate(page: Page, url: str) -> str:
    """Uploads a portrait and a recording, starts, waits for the video; returns the id of the request."""
    page.goto(f"{url}/generate")
    for number, file in enumerate((PORTRAIT, SPEECH["zh"])):
        uploader = page.get_by_test_id("stFileUploader").nth(number)
        uploader.locator('input[type="file"]').set_input_files(file)
        uploader.get_by_title(file.name).wait_for()  # the text is shortened
        page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    small = page.get_by_role("spinbutton", name="min_resolution (px)")
    small.fill("128")
    small.press("Enter")
    page.get_by_role("button", name="Make the video").click()
    page.get_by_text("The video is there.").wait_for(timeout=90_000)
    page.locator("video").wait_for()
    page.get_by_role("button", name="Open its record").click()
    page.wait_for_url("**/request?*request=*")
    return page.url.split("request=")[1].split("&")[0]


def found_by_a_filter(page: Page, url: str, request_id: str) -> None:
    """The overview counts the request, and a filter in the address finds it or not."""
    for expression, count in ((f'request_id = "{request_id}"', "1"), (f'request_id = "{request_id}" && status = ok', "1")):
        page.goto(url)
        box = page.get_by_role("textbox", name="Filter")
        box.fill(expression)
        box.press("Enter")
        page.wait_for_url("**filter=*")
        requests_shown(page).get_by_text(count, exact=True).wait_for()
    page.goto(f'{url}/?filter=min_resolution > 128 %26%26 request_id = "{request_id}"')
    requests_shown(page).get_by_text("0", exact=True).wait_for()


def plays(page: Page) -> None:
    """The video's time advances, and its picture has the size that was asked for."""
    video = page.locator("video").first
    video.wait_for()
    # The page may put another element in its place while its parts arrive: whichever is there is started.
    page.wait_for_function("""() => {
        const one = document.querySelector('video');
        if (one && one.paused && one.currentTime === 0) { one.muted = true; one.play(); }
        return one && one.currentTime > 0.3;
    }""")
    assert video.evaluate("one => Math.min(one.videoWidth, one.videoHeight)") == 128


def scored(page: Page, service: Service, request_id: str) -> None:
    """A thumb and a comment become a judgement that the record holds and the page shows."""
    page.get_by_test_id("stFeedback").get_by_role("radio").first.click()
    page.get_by_label("Comment").fill("lips are late")
    page.get_by_role("button", name="Send the judgement").click()
    page.get_by_text("Noted.").wait_for()
    until(
        lambda: any(event["event_type"] == "user_score" for event in service.record(request_id).events),
        10,
        "no judgement in the log",
    )
    for _ in range(20):  # through a forwarder it takes a moment to the store that the page reads
        page.reload()
        settled(page)
        page.wait_for_timeout(2000)
        if page.get_by_text("lips are late").count():
            return
    raise AssertionError("the judgement is not on the page")


def seen_by_a_colleague(browser: Browser, link: str, request_id: str) -> None:
    """A copied link shows the same to somebody who was never here, who then reads it in Chinese."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(30_000)
    page = context.new_page()
    page.goto(link)
    page.get_by_role("textbox", name="Request, job or trace id").wait_for()
    assert page.get_by_role("textbox", name="Request, job or trace id").input_value() == request_id
    page.get_by_text("lips are late").wait_for()
    page.get_by_label("Language").first.click()
    page.get_by_role("option", name="中文").click()
    page.get_by_role("heading", name="发生了什么").wait_for()
    page.wait_for_url("**lang=zh*")
    context.close()


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Sixty requests by the real writers: those with 40 steps drift."""
    writer = Writer(tmp_path)
    for number in range(60):
        bad = number % 3 == 0
        values = {"inference_steps": 40 if bad else 10 + number % 12, "audio_drift_ms": (180.0 if bad else 15.0) + number % 9}
        writer.request(number, START + number * SECOND, latency_s=2.0, host="h9" if bad else "h1", **values)
    writer.telemetry.shutdown()
    return tmp_path


def test_a_box_around_the_bad_requests_says_what_differs_in_them(written: Path, looking: Looking, page: Page) -> None:
    with looking(written, "http://127.0.0.1:9") as url:
        page.goto(f"{url}/why?since=all")
        plot = page.locator(".js-plotly-plot .draglayer .nsewdrag").first
        plot.wait_for()
        settled(page)
        area = plot.bounding_box()
        assert area is not None
        # Drift is up and steps are along: the bad ones are the dots in the upper right quarter.
        page.mouse.move(area["x"] + area["width"] * 0.6, area["y"] + 3)
        page.mouse.down()
        page.mouse.move(area["x"] + area["width"] - 2, area["y"] + area["height"] * 0.5, steps=8)
        page.mouse.up()
        page.wait_for_url("**bad=*")
        page.get_by_text("20 requests asked about, 40 others").wait_for()
        page.get_by_text("host = h9").first.wait_for()
        page.get_by_test_id("stVerticalBlock").get_by_role("button", name="…").first.click()
        page.wait_for_url("**/request?*request=request-*")
        page.get_by_text("business_output").or_(page.get_by_text("audio_offset_ms")).first.wait_for()


def test_without_a_mouse_one_comes_from_the_overview_to_a_request_and_sees_where_one_is(written: Path, page: Page) -> None:
    with console(written, "http://127.0.0.1:9") as url:
        page.goto(f"{url}/?since=all")
        requests_shown(page).get_by_text("60", exact=True).wait_for()
        walk(page, lambda: focused(page, "label") == "Filter")
        assert framed(page)
        page.keyboard.type("inference_steps > 39")
        page.keyboard.press("Enter")
        requests_shown(page).get_by_text("20", exact=True).wait_for()
        walk(page, lambda: focused(page, "href").endswith("/request"))
        page.keyboard.press("Enter")
        page.wait_for_url("**/request?*filter=*")
        page.get_by_role("textbox", name="Request, job or trace id").wait_for()
        settled(page)
        walk(page, lambda: focused(page, "label") == "Request, job or trace id")
        page.keyboard.type("request-0003")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="What happened").wait_for()


def framed(page: Page) -> bool:
    """True where all four sides of what holds the focus are drawn in the colour of the focus: a box around it may cut them off."""
    box = page.evaluate("(({x, y, width, height}) => [x, y, width, height])(document.activeElement.getBoundingClientRect())")
    x, y, width, height = map(int, box)
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB").crop((x - 4, y - 4, x + width + 4, y + height + 4))
    blue = np.abs(np.asarray(shot, int) - (0x00, 0x72, 0xB2)).max(axis=2) < 16
    sides = blue[:9].mean(axis=1), blue[-9:].mean(axis=1), blue[:, :9].mean(axis=0), blue[:, -9:].mean(axis=0)
    return all(side.max() > 0.6 for side in sides)


def focused(page: Page, what: str) -> str:
    """The label, or the link, of what holds the focus."""
    script = {"label": "document.activeElement.getAttribute('aria-label')", "href": "document.activeElement.getAttribute('href')"}
    return page.evaluate(script[what]) or ""


def walk(page: Page, there: Callable[[], bool], steps: int = 80) -> None:
    """Presses Tab until it is there."""
    for _ in range(steps):
        page.keyboard.press("Tab")
        if there():
            return
    raise AssertionError("Tab does not come to it")
