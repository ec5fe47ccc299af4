"""Known causes: the rules that hold for a request, and how often each held in the rows of a page."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pandas as pd
import streamlit as st

from analytics.record import Record
from analytics.requests import Joined, joined
from analytics.rules.engine import Evidence, Match, matches, survey
from analytics.rules.schema import Rule, RuleError
from analytics.stores.base import Range
from console import data
from console.desk import Desk
from console.table import table
from console.waiting import soon


def causes(desk: Desk, record: Record) -> None:
    """A box for each rule that holds for the record: the cause, what to do, and how often that was so before."""
    known = _rules(desk)
    if not known or not record.finished:
        return
    found = soon(desk, "causes", record.request.get("request_id"), work=lambda: _matches(desk, record, known))
    for match in found or ():
        said = f"**{match.rule.cause.of(desk.language)}**  \n{match.rule.suggestion.of(desk.language)}"
        st.info(f"{said}  \n:gray[`{match.rule.id}` · {match.evidence.sentence(desk.language)}]", icon=":material/lightbulb:")


def held_causes(desk: Desk) -> None:
    """The rules that held in the rows of the page, with what followed and the counter-examples."""
    st.subheader(desk.t("known_causes"), anchor=False)
    known = _rules(desk)
    found = soon(desk, "rules", tuple(rule.id for rule in known), work=lambda: _survey(desk, known))
    if found is None:
        return
    if not found:
        st.caption(desk.t("no_rule_held"))
        return
    rows = [
        {"rule": one.rule.id, desk.t("rule_cause"): one.rule.cause.of(desk.language), desk.t("rule_n"): one.n,
         desk.t("rule_held"): one.held if one.rule.expect or one.rule.group else None, "value": one.value,
         desk.t("rule_suggestion"): one.rule.suggestion.of(desk.language), desk.t("rule_counter"): ", ".join(one.counter)}
        for one in found
    ]  # fmt: skip
    table(desk, "rules", pd.DataFrame(rows))


def _matches(desk: Desk, record: Record, known: tuple[Rule, ...]) -> list[Match]:
    with _evidence(desk, known) as view:
        return matches(record, known, view)


def _survey(desk: Desk, known: tuple[Rule, ...]) -> list[Evidence]:
    with desk.view() as view:
        return survey(view, known, desk.where)


def _rules(desk: Desk) -> tuple[Rule, ...]:
    try:
        return data.rules()
    except (RuleError, OSError) as error:
        st.warning(desk.t("rules_bad", reason=error), icon=":material/rule:")
        return ()


@contextlib.contextmanager
def _evidence(desk: Desk, known: tuple[Rule, ...]) -> Iterator[Joined]:
    """The rows of the page; where a rule asks for events, the store itself: the rows in memory come without them."""
    if any(rule.over == "events" for rule in known):
        with joined(data.store(), Range(desk.since_ns, desk.until_ns), department=desk.viewer.department) as view:
            yield view
    else:
        with desk.view() as view:
            yield view
