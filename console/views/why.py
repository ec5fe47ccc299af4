"""Why these?: the bad requests in a box or by a filter, and what differs in them from the rest."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from analytics.columns import vocabulary
from analytics.filters import Filter, FilterError, parse
from analytics.points import inside, points
from analytics.questions.difference import Difference
from analytics.questions.notes import words_of
from analytics.questions.of_store import Contrasted, contrast_of
from console import figures
from console.address import address, choose, go, keep
from console.desk import Desk
from console.table import chart, export
from console.waiting import kept, soon

DOTS = 8_000
SHOWN = 8
"""Explanations that are drawn: those after the eighth were never the cause in our own incidents."""


def page(desk: Desk) -> None:
    """Draws the page for the filter of the bad ones in the URL."""
    st.header(desk.t("why"))
    whole = desk.schema
    numbers = [column.name for column in (*whole.outcomes, *whole.parameters) if column.numeric]
    first, second = st.columns(2)
    with first:
        y = choose("y", desk.t("up"), numbers, default="audio_drift_ms") or numbers[0]
    with second:
        x = choose("x", desk.t("along"), numbers, default="inference_steps") or numbers[0]
    _select(desk, x, y)
    text = st.text_input(desk.t("bad_ones"), value=address().get("bad", ""), placeholder="audio_drift_ms > 100.0")
    keep("bad", text)
    if not text:
        st.info(desk.t("why_hint"), icon=":material/select_all:")
        return
    try:
        bad = parse(text, vocabulary())
    except FilterError as error:
        st.error(f"{desk.t('bad_filter')}\n\n```\n{error}\n```")
        return
    found = soon(desk, "contrast", text, work=lambda: _contrast(desk, bad))
    if found is not None:
        _explanations(desk, found)


def _select(desk: Desk, x: str, y: str) -> None:
    """A box on the scatter plot becomes the filter of the bad ones, so that it can be read, changed and sent on."""
    frame, count = kept(desk, "dots", x, y, DOTS, work=lambda: _dots(desk, [x, y]))
    note = desk.t("dots", shown=f"{len(frame):,}", all=f"{count:,}")
    figure = figures.scatter(frame, x, y, None).update_layout(dragmode="select", height=260)
    event = chart(desk, "box", figure, frame, note=note, on_select="rerun", selection_mode="box")
    if event.selection.box:
        box = event.selection.box[0]
        made = inside({name: (min(box[axis]), max(box[axis])) for name, axis in ((x, "x"), (y, "y"))})
        if made != st.session_state.get("boxed"):
            st.session_state["boxed"] = made
            keep("bad", made)
            st.rerun()


def _dots(desk: Desk, columns: list[str]) -> tuple[pd.DataFrame, int]:
    with desk.view() as view:
        rows, count = points(view, desk.where, columns, DOTS)
    return rows.to_pandas(), count


def _contrast(desk: Desk, bad: Filter) -> Contrasted:
    with desk.view() as view:
        return contrast_of(view, desk.where, bad, desk.filled(bad), truncated=desk.held.truncated)


def _explanations(desk: Desk, asked: Contrasted) -> None:
    found = asked.answer
    st.markdown(f"**{found.sentence(desk.language)}**")
    notes = [desk.t("compared", bad=f"{asked.bad:,}", rest=f"{asked.rest:,}", fields=found.fields)]
    if asked.sampled:
        notes.append(desk.t("sampled", rows=f"{asked.rows:,}", of=f"{asked.of:,}"))
    st.caption("  \n".join([*notes, *(f"⚠ {words_of(warning, desk.language)}" for warning in found.warnings)]))
    shown = [one for one in found.differences if one.role == "explanation"][:SHOWN]
    for number, one in enumerate(shown):
        with st.container(border=True):
            if number:
                st.markdown(one.sentence(desk.language))
            else:
                st.markdown(f"**{one.what}**")
            left, right = st.columns([3, 2])
            with left:
                rows = pd.DataFrame({"group": [desk.t("bad_ones"), desk.t("the_rest")], "share": [one.share_in, one.share_out]})
                st.plotly_chart(figures.shares(rows), key=f"shares-{number}", config={"displayModeBar": False})
            with right:
                _examples(desk, one, number)
    export(desk, "contrast", pd.DataFrame([one.to_dict() for one in found.differences]).astype(str))


def _examples(desk: Desk, one: Difference, number: int) -> None:
    for kind, ids in (("examples", one.examples[:3]), ("counterexamples", one.counterexamples[:3])):
        if ids:
            with st.container(horizontal=True, gap="small"):
                st.caption(desk.t(kind))
                for id in ids:
                    if st.button(f"…{id[-6:]}", key=f"{kind}-{number}-{id}", type="tertiary", help=id):
                        go("request", request=id)
