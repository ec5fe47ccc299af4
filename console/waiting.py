"""A page paints at once: what takes longer comes into its place when it is there, and is kept for the next look."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

import streamlit as st

from analytics.answers import Answers, Question
from console.desk import Desk

T = TypeVar("T")
WAIT_S = 0.25
"""A page waits so long for an answer before it paints without it: half of what an interaction may take."""
LOOK_S = 0.5
ANSWERS = Answers()


def question(desk: Desk, name: str, *options: Hashable) -> Question:
    """A question about the rows that the viewer has chosen. `options`: what else the answer depends on."""
    filter = desk.where.text if desk.where else ""
    return Question(name, options, (filter, desk.since_ns, desk.until_ns, desk.viewer.department), desk.held.taken_at)


def kept(desk: Desk, name: str, *options: Hashable, work: Callable[[], T]) -> T:
    """A quick answer, made once for these rows. Raises what `work` raises."""
    return ANSWERS.now(question(desk, name, *options), work)


def soon(desk: Desk, name: str, *options: Hashable, work: Callable[[], T]) -> T | None:
    """An answer that may take seconds; None while it is being made: a line says so, and the page is drawn anew when it is there.

    `work` runs in another thread: it may ask the board, but draw nothing. Raises what `work` raises.
    """
    asked = question(desk, name, *options)
    found = ANSWERS.soon(asked, work, WAIT_S)
    if found is not None:
        return found[0]
    st.fragment(_look_again, run_every=LOOK_S)(desk, asked)
    return None


def _look_again(desk: Desk, asked: Question) -> None:
    if ANSWERS.done(asked):
        st.rerun()
    st.caption(f":material/hourglass_top: {desk.t('analysing')}")
