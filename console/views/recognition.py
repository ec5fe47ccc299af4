"""Recognition: what is on the pictures, how sure of it, and which folders fail when."""

from __future__ import annotations

import streamlit as st

from analytics.recognition import Recognised, recognised
from console import figures
from console.desk import Desk
from console.table import chart, table

FLOOR = 0.3
"""The service's default for recognize_floor: below it no label is stated."""


def page(desk: Desk) -> None:
    """Draws the page."""
    st.header(desk.t("recognition"))
    with desk.view() as view:
        found = recognised(view, desk.where)
    if not found.pictures:
        st.info(desk.t("no_pictures"), icon=":material/image_search:")
        return
    _numbers(desk, found)
    left, right = st.columns(2)
    with left:
        labels = found.labels.to_pandas()
        note = desk.t("more_labels", count=found.other_labels) if found.other_labels else ""
        figure = figures.label_mix(labels, desk.t("stated"), desk.t("low_confidence"))
        chart(desk, "labels", figure, labels, title=desk.t("label_mix"), note=note)
    with right:
        scores = found.scores.to_pandas()
        figure = figures.score_bins(scores, FLOOR, "top1_score", desk.t("pictures"), desk.t("floor"))
        chart(desk, "scores", figure, scores, title=desk.t("confidence"))
    folders = found.folders.to_pandas()
    folders["folder"] = folders["folder"].where(folders["folder"] != "", desk.t("no_folder"))
    note = desk.t("more_folders", count=found.other_folders) if found.other_folders else desk.t("folders_hint")
    figure = figures.failures_by_folder(folders, desk.t("failed"), desk.t("pictures"))
    chart(desk, "folders", figure, folders, title=desk.t("folders_by_hour"), note=note)
    worst = folders.groupby("folder", sort=False, as_index=False)[["pictures", "failed", "low_confidence"]].sum()
    table(desk, "worst_folders", worst, title=desk.t("folders"))


def _numbers(desk: Desk, found: Recognised) -> None:
    columns = st.columns(4)
    columns[0].metric(desk.t("pictures"), f"{found.pictures:,}")
    columns[1].metric(desk.t("failed"), f"{found.failed / found.pictures:.1%}")
    columns[2].metric(desk.t("low_confidence"), "–" if found.low_share is None else f"{found.low_share:.1%}")
    columns[3].metric(desk.t("sure"), "–" if found.sure is None else f"{found.sure:.2f}")
