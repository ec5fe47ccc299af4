"""`streamlit run console/app.py`: declares the pages."""

from __future__ import annotations

from functools import partial

import streamlit as st

from console.address import PAGES
from console.frame import draw, language
from console.texts import text
from console.views import (
    alerts,
    audit,
    capacity,
    compare,
    experiments,
    explain_file,
    failures,
    generate,
    overview,
    parameters,
    recognition,
    request,
    why,
)

DRAWN = {
    "overview": (partial(draw, overview.page), ":material/monitoring:"),
    "parameters": (partial(draw, parameters.page), ":material/tune:"),
    "why": (partial(draw, why.page), ":material/troubleshoot:"),
    "explain_file": (partial(draw, explain_file.page, needs_rows=False), ":material/upload_file:"),
    "failures": (partial(draw, failures.page), ":material/error:"),
    "recognition": (partial(draw, recognition.page), ":material/image_search:"),
    "alerts": (partial(draw, alerts.page, needs_rows=False), ":material/notifications:"),
    "request": (partial(draw, request.page), ":material/receipt_long:"),
    "compare": (partial(draw, compare.page), ":material/compare:"),
    "experiments": (partial(draw, experiments.page), ":material/science:"),
    "capacity": (partial(draw, capacity.page), ":material/speed:"),
    "audit": (partial(draw, audit.page, needs_rows=False), ":material/policy:"),
    "generate": (partial(draw, generate.page, needs_rows=False), ":material/movie:"),
}


def main() -> None:
    """Runs the page of the URL."""
    st.set_page_config("Sonoscope", ":material/graphic_eq:", layout="wide")
    lang = language()
    pages = {
        name: st.Page(drawn, title=text(name, lang), icon=icon, url_path=name, default=name == "overview")
        for name, (drawn, icon) in DRAWN.items()
    }
    st.session_state[PAGES] = pages
    st.navigation(list(pages.values())).run()


main()
