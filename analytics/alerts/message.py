"""The words of a message: what, since when, the fix, the files."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode

from analytics.alerts.files import Events, Files, files_of
from analytics.alerts.fixes import Fix, fixes
from analytics.alerts.ledger import Known
from analytics.alerts.schema import Alert
from analytics.alerts.sinks.base import Message
from analytics.questions.sentences import Language, number
from analytics.requests import Joined
from analytics.rules.schema import Rule

NAMED = 10
"""Requests whose files are named, the newest; the rest is counted."""

_SAID: dict[str, dict[Language, str]] = {
    "firing": {"en": "FIRING", "zh": "告警"},
    "reminder": {"en": "STILL FIRING", "zh": "仍在告警"},
    "resolved": {"en": "RESOLVED", "zh": "已恢复"},
    "count": {"en": "{value} requests in {window}", "zh": "{window} 内 {value} 个请求"},
    "rate": {"en": "{value} a minute over {window}", "zh": "{window} 内每分钟 {value} 个"},
    "share": {"en": "a share of {value} in {window}", "zh": "{window} 内占比 {value}"},
    "quantile": {"en": "{of}: quantile {q} is {value} over {window}", "zh": "{window} 内 {of} 的 {q} 分位数为 {value}"},
    "change": {"en": "{value} more than in the {window} before", "zh": "比前一个 {window} 增加 {value}"},
    "repeated": {"en": "{value} times in a row", "zh": "连续 {value} 次"},
    "since": {"en": "since {at} UTC", "zh": "始于 {at}（UTC）"},
    "lasted": {"en": "lasted {minutes} min", "zh": "持续 {minutes} 分钟"},
    "was": {"en": "What it was about:", "zh": "涉及："},
    "known": {"en": "What is behind it: {cause}", "zh": "原因：{cause}"},
    "fix": {"en": "What to do: {suggestion}", "zh": "建议：{suggestion}"},
    "files": {"en": "Files:", "zh": "文件："},
    "more": {"en": "and {count} requests more", "zh": "另有 {count} 个请求"},
    "no_names": {
        "en": "(names are not kept in telemetry: `sonoscope assets` and the links lead to them)",
        "zh": "（遥测中不保留文件名：可用 `sonoscope assets` 或链接查询）",
    },
}


@dataclass(frozen=True)
class Section:
    """One incident of a message."""

    known: Known
    fixes: tuple[Fix, ...]
    files: tuple[Files, ...]


class Writer:
    """Writes the messages of one look: it asks the rows for what to do and the events for the files."""

    def __init__(
        self, view: Joined, store: Events, rules: Sequence[Rule], *, language: Language = "en", console_url: str | None = None
    ) -> None:
        self._view = view
        self._store = store
        self._rules = rules
        self._language: Language = language
        self._console = console_url

    def write(self, id: str, kind: str, alert: Alert, incidents: Sequence[Known], now: float) -> Message:
        """One message about all these incidents of an alert."""
        sections = [self._section(one) for one in incidents]
        title = f"[Sonoscope] {self._t(kind)} {alert.id}: {self._headline(alert, incidents)}"
        parts = [self._text(alert, kind, one, now) for one in sections]
        note = [] if alert.note is None else [alert.note]
        facts = {"alert": alert.id, "at": now, "note": alert.note, "incidents": [self._facts(one) for one in sections]}
        return Message(id, kind, alert.id, title, "\n\n".join([*parts, *note]) + "\n", facts)

    def _section(self, one: Known) -> Section:
        newest = one.requests[-NAMED:]
        found = fixes(self._view, newest, self._rules, self._language) if newest else []
        return Section(one, tuple(found), tuple(files_of(self._store, id) for id in newest))

    def _headline(self, alert: Alert, incidents: Sequence[Known]) -> str:
        first = self._measured(alert, incidents[0])
        more = f" (+{len(incidents) - 1})" if len(incidents) > 1 else ""
        return f"{incidents[0].key}: {first}{more}" if incidents[0].key else f"{first}{more}"

    def _measured(self, alert: Alert, one: Known) -> str:
        condition: Mapping[str, Any] = alert.condition.model_dump()
        window = f"{alert.window / 60:.4g} min"
        return self._t(alert.condition.kind, **{"window": window, **condition, "value": number(one.value)})

    def _text(self, alert: Alert, kind: str, section: Section, now: float) -> str:
        one = section.known
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(one.since))
        lines = [f"{self._t(kind)} {alert.id}{f': {one.key}' if one.key else ''}", self._t("since", at=at)]
        if kind == "resolved":
            lines += [self._t("lasted", minutes=f"{(now - one.since) / 60:.1f}"), self._t("was")]
        else:
            lines.append(self._measured(alert, one))
            for fix in section.fixes:
                lines += [""] + ([self._t("known", cause=fix.cause)] if fix.cause else [])
                lines.append(self._t("fix", suggestion=fix.suggestion))
        return "\n".join([*lines, "", *self._file_lines(section)])

    def _file_lines(self, section: Section) -> list[str]:
        lines = [self._t("files")]
        for one in section.files:
            lines.append(f"  {', '.join(one.files) or '–'}  ({one.request_id})")
            if self._console:
                lines.append(f"    {self._link(one.request_id)}")
        if (rest := len(section.known.requests) - len(section.files)) > 0:
            lines.append("  " + self._t("more", count=rest))
        if any(one.files and not one.named for one in section.files):
            lines.append("  " + self._t("no_names"))
        return lines

    def _facts(self, section: Section) -> dict[str, Any]:
        one = section.known
        requests = [file.as_dict() | ({"link": self._link(file.request_id)} if self._console else {}) for file in section.files]
        numbers = {"key": one.key, "value": one.value, "since": one.since, "requests": requests, "count": len(one.requests)}
        return numbers | {"fixes": [asdict(fix) for fix in section.fixes]}

    def _link(self, request_id: str) -> str:
        return f"{(self._console or '').rstrip('/')}/request?{urlencode({'request': request_id, 'since': 'all'})}"

    def _t(self, key: str, **values: Any) -> str:
        return _SAID[key][self._language].format(**values)
