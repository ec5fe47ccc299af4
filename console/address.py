"""State is the URL: what a viewer has chosen, so that a copied link shows a colleague the same.

A page switch empties Streamlit's own query parameters; the session keeps them and writes them back at the end of every run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import streamlit as st

_STATE = "address"
PAGES = "pages"
"""Where `console.app` leaves its pages for `go`, by their names."""
_KEPT = ("filter", "since", "until", "lang")
"""What stays when another page is opened; the rest belongs to its page."""
T = TypeVar("T")


def address() -> dict[str, str]:
    """What the URL says, to be read and changed; at the first run of a session as it was opened."""
    if _STATE not in st.session_state:
        st.session_state[_STATE] = {key: value for key, value in st.query_params.items() if value}
    return st.session_state[_STATE]


def publish() -> None:
    """Writes the address into the browser's address line."""
    st.query_params.from_dict(address())


def keep(key: str, value: Any, default: Any = None) -> None:
    """Notes a choice; the default is left out, so that links stay short."""
    if value in (None, "", default):
        address().pop(key, None)
    else:
        address()[key] = str(value)


def go(page: str, **values: str) -> None:
    """Opens another page with the filter and the range of this one, and these values. Raises KeyError for an unknown page."""
    here = address()
    for key in [key for key in here if key not in _KEPT]:
        del here[key]
    here.update(values)
    st.switch_page(st.session_state[PAGES][page], query_params=here)


def choose(
    key: str, label: str, options: Sequence[T], *, default: T | None = None, show: Callable[[T], str] = str, **more: Any
) -> T | None:
    """A select box whose choice is in the URL; None where there is nothing to choose from."""
    if not options:
        st.selectbox(label, [], key=f"choose-{key}", disabled=True, **more)
        return None
    wanted = address().get(key, str(default))
    at = next((number for number, option in enumerate(options) if str(option) == wanted), 0)
    picked = st.selectbox(label, options, index=at, format_func=show, placeholder="…", key=f"choose-{key}", **more)
    keep(key, picked, default)
    return picked


def choose_several(key: str, label: str, options: Sequence[str], *, default: Sequence[str] = (), **more: Any) -> list[str]:
    """A multiple choice whose choices are in the URL."""
    wanted = [name for name in address().get(key, ",".join(default)).split(",") if name in options]
    picked = st.multiselect(label, options, default=wanted, placeholder="…", key=f"several-{key}", **more)
    keep(key, ",".join(picked), ",".join(default))
    return picked


def write(key: str, label: str, **more: Any) -> str:
    """A line of text that is in the URL."""
    text = st.text_input(label, value=address().get(key, ""), key=f"write-{key}", **more).strip()
    keep(key, text)
    return text


def switch(key: str, label: str, **more: Any) -> bool:
    """A switch that is in the URL."""
    on = st.toggle(label, value=address().get(key) == "1", key=f"switch-{key}", **more)
    keep(key, "1" if on else None)
    return on
