"""Widgets made from the table of names: label, range, default and advice stand there and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from console.desk import Desk
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
    found: list[str] = []
    for code in fields.advise(values):
        name, _, side = code.rpartition("_")
        low, high = fields.BY_NAME[name].advised or (0.0, 0.0)
        found.append(desk.t(f"advice_{side}", name=name, value=values[name], low=f"{low:g}", high=f"{high:g}"))
    return found
