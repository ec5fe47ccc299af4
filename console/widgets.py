"""Widgets made from the table of names: label, range, default and advice stand there and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from console.desk import Desk
from console.texts import text
from telemetry import fields


def parameter(field: fields.Field) -> Any:
    """The value of one parameter; None where it is left open."""
    label = field.name + (f" ({field.unit})" if field.unit else "")
    key = f"parameter-{field.name}"
    match field.dtype:
        case "bool":
            return st.toggle(label, value=bool(field.default), help=field.help, key=key)
        case "str":
            return st.selectbox(label, field.choices, help=field.help, key=key)
        case "int":
            default = None if field.default is None else int(str(field.default))
            low, high = int(field.minimum or 0), int(field.maximum or 0)
            return st.number_input(label, low, high, default, step=field.multiple_of or 1, help=field.help, key=key)
        case _:
            default = None if field.default is None else float(str(field.default))
            return st.number_input(label, field.minimum, field.maximum, default, step=0.05, help=field.help, key=key)


def advice(values: Mapping[str, Any], desk: Desk) -> list[str]:
    """What is legal but ill-advised among the values, in words."""
    return [advice_words(code, values, desk) for code in fields.advise(values)]


def advice_words(code: str, values: Mapping[str, Any], desk: Desk) -> str:
    """What an advice code says, in words; a code of somebody else's backend as it is."""
    name, _, side = code.rpartition("_")
    field = fields.BY_NAME.get(name)
    if side in ("low", "high") and field is not None and field.advised is not None:
        low, high = (f"{bound:g}" for bound in field.advised)
        advised = low if low == high else desk.t("advised_range", low=low, high=high)
        return desk.t(f"advice_{side}", name=name, value=values.get(name), advised=advised)
    return text(f"advice_{code}", desk.language, or_else=code)
