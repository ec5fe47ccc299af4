"""Pictures of the console's pages for docs/console.md, by headless Chromium over rows whose truth is known.

    python -m docs.screenshots [--data FOLDER] [--out FOLDER] [--pages overview,why] [--dark] [--language zh]

The pages over many requests draw an invented service of 2,400 requests in which host h3 lets the sound drift
(tests/planted_incidents.py); the page of parameters draws rows in which few steps do (tests/planted.py). The request, compare and
generate pages need a request with its video: they draw the data folder (default: the user's own; `make demo` fills it), and are
left out where it holds none.
"""

from __future__ import annotations

import argparse
import io
import os
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlencode

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from analytics.requests import load
from analytics.stores.base import Range
from analytics.stores.local import LocalStore
from serve.settings import Settings
from sonoscope.console import command
from tests.planted import planted
from tests.planted_incidents import incident

CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync")
WIDTH, HEIGHT, TALLEST = 1280, 800, 1500
BIGGEST = 250_000
"""Bytes of a picture in the repository."""
PARAMETERS = {"parameters": {"parameter": "inference_steps"}}
INCIDENT: dict[str, dict[str, str]] = {
    "overview": {},
    "why": {"bad": "audio_drift_ms > 100.0"},
    "failures": {},
    "capacity": {},
}
CHINESE = ("overview", "why")


@contextmanager
def console(data: Path, rows: Path | None = None, *options: str) -> Iterator[str]:
    """The address of a console over a data folder, or over a file of rows. Raises OSError where it does not start in 60 s."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    env = {**os.environ, "SONOSCOPE_DATA_DIR": str(data), "SONOSCOPE_CONSOLE_HOST": "127.0.0.1"}
    if rows is not None:
        env["SONOSCOPE_ROWS"] = str(rows)
    settings = Settings(data_dir=data, console_port=port)
    with subprocess.Popen([*command(settings), *options], env=env, stdout=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _until_up(url, process)
            yield url
        finally:
            process.terminate()


def _until_up(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=2).close()
        except URLError:
            time.sleep(0.2)
        else:
            return
    raise OSError(f"the console at {url} does not start")


def settled(page: Page) -> None:
    """Waits until the page has run, its charts are drawn, and its videos have their first picture."""
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=90_000)
    page.wait_for_function("() => [...document.querySelectorAll('video')].every(one => one.readyState > 1)")
    page.wait_for_timeout(1500)


def picture(page: Page, url: str, path: Path, *, tallest: int = TALLEST) -> None:
    """A page's picture as PNG of 256 colours, as tall as the page is."""
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    page.goto(url)
    settled(page)
    tall = page.evaluate("() => document.querySelector('[data-testid=\"stMain\"]').scrollHeight")
    page.set_viewport_size({"width": WIDTH, "height": max(HEIGHT, min(tall, tallest))})
    settled(page)
    kept_as(page, path)


def kept_as(page: Page, path: Path) -> None:
    """Writes what is seen of a page."""
    drawn = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    drawn.save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path}  {size / 1000:.0f} kB{'' if size <= BIGGEST else ': too large for the repository'}", flush=True)


def views(data: Path) -> dict[str, dict[str, str]]:
    """The pages that a data folder can fill, with the words of their addresses."""
    rows = load(LocalStore(data / "journal"), Range()).frame
    there = rows["request_id"].map(lambda id: (data / "videos" / f"{id}.mp4").is_file())
    made = rows[(rows["status"] == "ok") & there]
    if made.empty:
        return {}
    newest = made.sort_values("started_at").iloc[-1]
    return {"request": {"request": newest["request_id"]}, "compare": {"down": "dynamic_scale"}, "generate": {}}


def shipped(out: Path) -> None:
    """The three pages on which the cause of the incident that ships is found and confirmed."""
    out.mkdir(parents=True, exist_ok=True)
    data = Path(__file__).parents[1] / "examples" / "incident" / "data"
    rows = load(LocalStore(data / "journal"), Range()).frame
    kept = rows["request_id"].map(lambda id: (data / "videos" / f"{id}.mp4").is_file())
    bad = rows[kept & (rows["experiment"] == "incident")].sort_values("audio_drift_ms").iloc[-1]
    pages = {
        "request": {"request": bad["request_id"]},
        "why": {"bad": "audio_drift_ms > 100.0", "filter": 'experiment = "incident"'},
        "experiments": {"experiment": "incident-replay"},
    }
    with sync_playwright() as playwright, console(data, None, "--theme.base=light") as url:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=[*CHROMIUM])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        for name, words in pages.items():
            picture(page, f"{url}/{name}?{urlencode({'since': 'all', **words})}", out / f"{name}.png", tallest=1000)
        page.set_viewport_size({"width": WIDTH, "height": 900})
        page.goto(f"{url}/explain_file?since=all")
        page.locator('input[type="file"]').set_input_files(data / "videos" / f"{bad['request_id']}.mp4")
        page.get_by_text("late (confidence").wait_for(timeout=90_000)
        settled(page)
        kept_as(page, out / "explain.png")
        browser.close()


def main() -> None:
    """Draws what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Settings().data_dir)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "console")
    parser.add_argument("--pages", default="")
    parser.add_argument("--language", choices=("en", "zh"))
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--incident", action="store_true", help="the pages of the incident that ships, into docs/incident")
    parser.add_argument("--tallest", type=int, default=TALLEST)
    asked = parser.parse_args()
    if asked.incident:
        shipped(asked.out.parent / "incident" if asked.out.name == "console" else asked.out)
        return
    asked.out.mkdir(parents=True, exist_ok=True)
    theme = ["--theme.base=dark"] if asked.dark else ["--theme.base=light"]
    wanted = set(asked.pages.split(",")) - {""}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        bad_host, few_steps = (Path(folder) / f"{name}.parquet" for name in ("bad_host", "few_steps"))
        incident("host", 2400).frame.to_parquet(bad_host)
        planted(3000).to_parquet(few_steps)
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=[*CHROMIUM])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        here = Path(folder)
        for file, data, pages in ((bad_host, here, INCIDENT), (few_steps, here, PARAMETERS), (None, asked.data, views(asked.data))):
            pages = {name: words for name, words in pages.items() if not wanted or name in wanted}
            if not pages:
                continue
            with console(data, file, *theme) as url:
                for name, words in pages.items():
                    for lang in (asked.language,) if asked.language else ("en", "zh") if name in CHINESE else ("en",):
                        query = urlencode({"since": "all", **words, **({"lang": lang} if lang == "zh" else {})})
                        path = asked.out / f"{name}{'_zh' if lang == 'zh' else ''}.png"
                        picture(page, f"{url}/{name if name != 'overview' else ''}?{query}", path, tallest=asked.tallest)
        browser.close()


if __name__ == "__main__":
    main()
