"""What every page has around it: language, range, filter, the state of the rows, and what to say where there are none."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import streamlit as st

from analytics.board import FAILURES, Board
from analytics.columns import vocabulary
from analytics.filters import Filter, FilterError, parse
from analytics.moments import moment
from analytics.questions.sentences import LANGUAGES, Language
from analytics.requests import Coverage
from console import data
from console.access import Viewer, viewer
from console.account import account, closed
from console.address import address, choose, keep, publish, write
from console.desk import Desk
from console.texts import text
from console.waiting import LOOK_S, kept

Page = Callable[[Desk], None]
_NAMES: dict[Language, str] = {"en": "English", "zh": "中文"}
LOOK_AGAIN_S = 2
WAIT_S = 1.0
"""A page waits so long for the first rows of a store before it paints without them: half of what a first paint may take."""
STEPS = 240
"""A range that moves with the clock moves in steps of at most so small a part of it: of an hour 15 s, of a day 6 minutes."""
_TIGHT = """<style>
 .stMainBlockContainer { padding: 2.2rem 2.5rem 3rem } .stMainBlockContainer h2 { font-size: 1.7rem; padding: 0 0 .3rem }
 .stMainBlockContainer h3 { font-size: 1.15rem; padding: .2rem 0 } [data-testid="stMetricValue"] { font-size: 1.7rem }
 :focus-visible { outline: 2px solid #0072B2 !important; outline-offset: -2px !important }
</style>"""
"""Streamlit leaves 6 rem above a page: at 1280 x 800 the first chart would end below the fold. The focus
is always seen: inside its box, for many boxes cut off what stands out of them."""


def language() -> Language:
    """The language of the address, English where it names none that we speak."""
    wanted = address().get("lang")
    return "zh" if wanted == "zh" else "en"


def draw(page: Page, *, needs_rows: bool = True) -> None:
    """Draws a page with its frame. `needs_rows`: without a single request it is not drawn, but says how to get one."""
    st.html(_TIGHT)
    with st.sidebar:
        choose("lang", "Language · 语言", LANGUAGES, default="en", show=_NAMES.__getitem__)
    who = viewer()
    desk = _desk(who)
    if desk is not None and not (needs_rows and _nothing(desk)):
        page(desk)
    with st.sidebar:
        account(who, language())
    publish()


def _desk(who: Viewer) -> Desk | None:
    lang = language()
    if not who.may("read"):
        closed(who, lang)
        return None
    with st.sidebar:
        ranges = list(data.RANGES)
        if (given := address().get("since")) and given not in ranges:
            ranges.insert(0, given)
        since = choose(
            "since", text("range", lang), ranges, default="24h", show=lambda one: text(f"range_{one}", lang, or_else=one)
        )
        expression = write("filter", text("filter", lang), placeholder="audio_drift_ms > 100.0")
    until = address().get("until")
    try:
        since_ns = None if since in (None, "all") else steady(since)
        until_ns = None if until is None else moment(until)
        board = data.board(since or "all", who.department)
        held = board.ready(WAIT_S)
        if held is None:  # a large store takes seconds: the page is there at once, the rows come into it
            st.info(text("joining", lang), icon=":material/hourglass_top:")
            st.fragment(_rows_there, run_every=LOOK_S)(board)
            return None
        where = _filter(expression, board)
    except FilterError as error:
        st.error(f"{text('bad_filter', lang)}\n\n```\n{error}\n```")
        return None
    except FAILURES as error:
        st.error(text("store_down", lang, reason=str(error), folder=data.data_dir()))
        return None
    desk = Desk(lang, who, board, held, where, since_ns, until_ns)
    _state_of_rows(desk)
    return desk


def _filter(expression: str, board: Board) -> Filter | None:
    """The filter; a name that is not in the table may be one of the rows' own. Raises FilterError."""
    if not expression:
        return None
    declared = data.store().mapping.own
    try:
        return parse(expression, vocabulary(declared))
    except FilterError:
        with board.view() as view:
            return parse(expression, vocabulary([*declared, *view.own_names()]))


def _state_of_rows(desk: Desk) -> None:
    """Coverage, truncation, synthetic rows and age, always in sight."""
    coverage, synthetic = kept(desk, "state", work=lambda: _counted(desk))
    with st.sidebar:
        lines = [desk.t("coverage", requests=f"{coverage.requests:,}", both=f"{coverage.with_both:,}", running=coverage.running)]
        rest = {
            name: count for name, count in dataclasses.asdict(coverage).items()
            if count and name in ("orphans", "duplicates", "retries", "unreadable")
        }  # fmt: skip
        missing = {"without_trace": coverage.requests - coverage.with_trace, "without_logs": coverage.requests - coverage.with_logs}
        lines += [desk.t(f"coverage_{name}", count=f"{count:,}") for name, count in (rest | missing).items() if count]
        lines.append(desk.t("as_of", time=time.strftime("%H:%M:%S", time.gmtime(desk.held.seen_at))))
        st.caption("  \n".join(lines))
        if synthetic:
            st.warning(desk.t("synthetic_rows", count=synthetic), icon=":material/science:")
        if desk.held.truncated:
            st.warning(desk.t("truncated"), icon=":material/content_cut:")
        if desk.board.error is not None:
            st.warning(desk.t("stale", reason=str(desk.board.error)), icon=":material/cloud_off:")


def _counted(desk: Desk) -> tuple[Coverage, int]:
    with desk.view() as view:
        return view.count()[1], int(view.one_row("SELECT count(*) FILTER (synthetic) FROM requests")[0])


def steady(since: str) -> int:
    """The time that `since` names (ns since 1970); one before now goes back by less than STEPS of the span, so that views a moment
    apart ask the same. Raises ValueError."""
    found = moment(since)
    step = (time.time_ns() - found) // STEPS if since[:1].isdigit() and since[-1:].isalpha() and "T" not in since else 1
    step = max(step // 10**9, 1) * 10**9
    return found // step * step


def _rows_there(board: Board) -> None:
    try:
        there = board.ready(0.0) is not None
    except FAILURES:
        there = True  # the page says why
    if there:
        st.rerun()


def _nothing(desk: Desk) -> bool:
    if kept(desk, "state", work=lambda: _counted(desk))[0].requests:
        return False
    st.info(desk.t("no_requests", folder=data.data_dir()), icon=":material/inbox:")
    if desk.since_ns is not None and st.button(desk.t("look_at_all")):
        keep("since", "all", "24h")
        st.rerun()
    st.fragment(_look_again, run_every=LOOK_AGAIN_S)(desk)
    return True


def _look_again(desk: Desk) -> None:
    """Draws the page once the first request is there: without rows no page comes anew by itself."""
    if desk.board.held().taken_at == desk.held.taken_at:
        return
    with desk.view() as view:
        there = view.count()[0]
    if there:
        st.rerun()
