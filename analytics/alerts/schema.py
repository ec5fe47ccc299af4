"""alerts.yaml: what is watched, and who hears of it. Secrets never stand in it: only where they are kept does."""

from __future__ import annotations

import ipaddress
import os
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from analytics.alerts.conditions import Condition
from analytics.filters import Filter, FilterError, parse
from analytics.questions.sentences import Language
from analytics.rules.facts import rule_columns
from analytics.rules.schema import FORBIDDEN
from telemetry.yaml_text import read_yaml

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class AlertsError(ValueError):
    """A file of alerts that cannot be used; the message names the file, the place and the problem."""


def _seconds(given: Any) -> Any:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", given) if isinstance(given, str) else None
    if isinstance(given, str) and found is None:
        raise ValueError(f"{given!r} is no length of time such as 30s, 10m, 1h or 7d")
    return float(found[1]) * _UNITS[found[2]] if found else given


Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True, populate_by_name=True)


class Secret(_Part):
    """Where a secret is kept: an environment variable or a file (its first line)."""

    env: str | None = None
    file: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _never_here(cls, given: Any) -> Any:
        if isinstance(given, str):
            raise ValueError("a secret never stands here: write {env: NAME} or {file: PATH}")
        return given

    @model_validator(mode="after")
    def _one_place(self) -> Secret:
        if (self.env is None) == (self.file is None):
            raise ValueError("name env or file, one of them")
        return self

    def read(self) -> str:
        """The secret. Raises AlertsError where it is not there."""
        if self.env is not None:
            if not os.environ.get(self.env):
                raise AlertsError(f"the environment variable {self.env} is not set")
            return os.environ[self.env]
        assert self.file is not None
        try:
            return self.file.read_text("utf-8").partition("\n")[0].strip()
        except OSError as error:
            raise AlertsError(f"the secret's file {self.file} cannot be read: {error.strerror}") from None


class EmailSink(_Part):
    """A mail server. `starttls` and `implicit` check its certificate; without TLS only a server on loopback is spoken to."""

    kind: Literal["email"]
    host: str
    port: int = Field(default=587, ge=1, le=65535)
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    ca_file: Path | None = None
    username: str | None = None
    password: Secret | None = None
    sender: str = Field(alias="from")
    to: tuple[str, ...] = Field(min_length=1)
    timeout_s: float = Field(default=20.0, gt=0)

    @model_validator(mode="after")
    def _no_secret_in_clear(self) -> EmailSink:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password come together")
        if self.tls == "none" and not _loopback(self.host):
            raise ValueError(f"tls: none would send the message in clear to {self.host}; use starttls or implicit")
        return self


class WebhookSink(_Part):
    """An address that gets JSON by POST, signed where a secret is named."""

    kind: Literal["webhook"]
    url: str = Field(pattern=r"^https?://")
    secret: Secret | None = None
    ca_file: Path | None = None
    timeout_s: float = Field(default=10.0, gt=0)


class LogSink(_Part):
    """A line in the log of the process, and in a file where one is named."""

    kind: Literal["log"]
    path: Path | None = None


Sink = Annotated[EmailSink | WebhookSink | LogSink, Field(discriminator="kind")]


class Alert(_Part):
    """`where` (a filter) or `rule` (the id of a rule) says which requests are bad; `condition` how many of them in `window` are too
    many; `group_by` asks that of each value apart."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    where: str | None = None
    rule: str | None = None
    among: str | None = Field(default=None, description="only requests that pass this filter are looked at")
    window: Seconds = 3600.0
    condition: Condition
    group_by: tuple[str, ...] = ()
    clear: float | None = Field(
        default=None, allow_inf_nan=False, description="value at or below which it resolves; empty = the condition's own limit"
    )
    hold: Seconds = Field(default=0.0, description="how long the condition must hold before a message goes out")
    resolve_after: Seconds = Field(default=0.0, description="how long it must be clear before it resolves")
    repeat_every: Seconds | None = Field(default=None, description="a reminder while it fires; empty = none")
    synthetic: bool = Field(default=False, description="look at requests of tests and drills, too")
    note: str | None = Field(default=None, description="words that go into every message")
    sinks: tuple[str, ...] = Field(min_length=1)

    @cached_property
    def filter(self) -> Filter | None:
        """`where`, parsed."""
        return None if self.where is None else parse(self.where, rule_columns())

    @cached_property
    def denominator(self) -> Filter | None:
        """`among`, parsed."""
        return None if self.among is None else parse(self.among, rule_columns())

    @model_validator(mode="after")
    def _can_be_asked(self) -> Alert:
        if (self.where is None) == (self.rule is None):
            raise ValueError("name where (a filter) or rule (an id), one of them")
        if FORBIDDEN in f"{self.where} {self.among}":
            raise ValueError(f"{FORBIDDEN} is the answer key of drills: no alert may read it")
        columns = rule_columns()
        for name in (*self.group_by, *self.condition.columns):
            if name not in columns or columns[name].dtype == "list":
                raise ValueError(f"{name} is no column of a request row")
        try:
            _ = (self.filter, self.denominator)
        except FilterError as error:
            raise ValueError(str(error)) from None
        return self


class Alerts(_Part):
    """The whole file. `console_url`: for links; empty = the console of the running `up`."""

    every: Seconds = Field(default=15.0, gt=0)
    language: Language = "en"
    console_url: str | None = None
    sinks: dict[str, Sink]
    alerts: tuple[Alert, ...]

    @model_validator(mode="after")
    def _names_meet(self) -> Alerts:
        ids = [alert.id for alert in self.alerts]
        if twice := sorted({id for id in ids if ids.count(id) > 1}):
            raise ValueError(f"the alert {twice[0]} stands twice")
        for alert in self.alerts:
            if unknown := sorted(set(alert.sinks) - self.sinks.keys()):
                raise ValueError(f"alert {alert.id}: there is no sink {unknown[0]}; {', '.join(sorted(self.sinks))} are there")
        return self


def read_alerts(path: Path) -> Alerts:
    """The alerts of a file. Raises AlertsError, OSError."""
    raw: Any = None
    try:
        raw = read_yaml(path.read_text("utf-8"))
        return Alerts.model_validate(raw)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise AlertsError(f"{path}: {error}") from None
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise AlertsError(f"{path}: {_place(raw, first['loc'])}{first['msg'].removeprefix('Value error, ')}") from None


def _place(raw: Any, loc: tuple[int | str, ...]) -> str:
    """Such as `alerts.slow.window: `: an alert by its id, not by its number."""
    words = [str(part) for part in loc]
    if len(loc) > 1 and loc[0] == "alerts" and isinstance(loc[1], int):
        entries = raw["alerts"] if isinstance(raw, dict) else None
        entry = entries[loc[1]] if isinstance(entries, list) else None  # `!!set` is taken for a list, and has no places
        words[1] = str(entry.get("id", loc[1])) if isinstance(entry, dict) else words[1]
    return ".".join(words) + ": " if words else ""


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
