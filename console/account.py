"""Who is logged in, and what somebody sees who may see nothing."""

from __future__ import annotations

import streamlit as st

from analytics.questions.sentences import Language
from console.access import Viewer
from console.texts import text


def account(who: Viewer, language: Language) -> None:
    """The viewer's name, role and department, and the way out; nothing where there is no log-in."""
    if who.standing not in ("known", "no_role"):
        return
    of = who.department or text("every_department", language)
    known = f"  \n{text(f'role_{who.role}', language)} · {of}" if who.role else ""
    st.caption(f":material/person: {who.name}{known}")
    st.button(text("log_out", language), on_click=st.logout, key="log-out", type="tertiary", icon=":material/logout:")


def closed(who: Viewer, language: Language) -> None:
    """Why nothing is shown, and the way in where there is one."""
    match who.standing:
        case "logged_out":
            st.header("Sonoscope", anchor=False)
            st.info(text("logged_out", language), icon=":material/lock:")
            st.button(text("log_in", language), on_click=st.login, key="log-in", type="primary", icon=":material/login:")
        case "no_role":
            st.error(text("no_role", language), icon=":material/lock:")
        case _:
            st.error(text("may_not_read", language))
