"""alerts.yaml: what is refused, and in which words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analytics.alerts.schema import AlertsError, Secret, read_alerts

SINKS = "sinks: {log: {kind: log}}"
GOOD = "id: a, where: clock_skew, condition: {kind: count, above: 3}, sinks: [log]"


def file(tmp_path: Path, sinks: str = SINKS, alert: str = GOOD) -> Path:
    path = tmp_path / "alerts.yaml"
    path.write_text(f"{sinks}\nalerts:\n- {{{alert}}}\n")
    return path


def test_a_file_says_times_in_words(tmp_path: Path) -> None:
    (alert,) = read_alerts(file(tmp_path, alert=f"{GOOD}, window: 10m, hold: 30s, repeat_every: 1d")).alerts
    assert (alert.window, alert.hold, alert.repeat_every) == (600.0, 30.0, 86_400.0)


@pytest.mark.parametrize(
    ("alert", "problem"),
    [
        (GOOD.replace("clock_skew", "clock_scew"), "unknown name clock_scew"),
        (GOOD.replace("where: clock_skew, ", ""), "name where (a filter) or rule (an id)"),
        (GOOD.replace("where:", "rule: no_face, where:"), "name where (a filter) or rule (an id)"),
        (GOOD.replace("kind: count", "kind: counts"), "counts"),
        (GOOD.replace("above: 3", "beyond: 3"), "above"),
        (GOOD.replace("[log]", "[mail]"), "there is no sink mail; log are there"),
        (GOOD + ", window: soon", "no length of time such as 30s"),
        (GOOD + ", group_by: [advice]", "advice is no column"),
        (GOOD.replace("kind: count, above: 3", "kind: quantile, of: latency, above: 1"), "latency is no column"),
        (GOOD + ", among: 'fault_injected = \"x\"'", "answer key"),
        (GOOD + ", colour: red", "a.colour"),
    ],
)
def test_an_alert_with_a_mistake_is_refused_by_name_and_problem(tmp_path: Path, alert: str, problem: str) -> None:
    with pytest.raises(AlertsError, match=re.escape(problem)) as caught:
        read_alerts(file(tmp_path, alert=alert))
    assert "alerts.yaml" in str(caught.value)


EMAIL = "kind: email, host: smtp.example.org, from: a@example.org, to: [b@example.org]"


@pytest.mark.parametrize(
    ("sink", "problem"),
    [
        (EMAIL + ", username: me, password: hunter2", "a secret never stands here"),
        (EMAIL + ", username: me", "username and password come together"),
        (EMAIL + ", tls: none", "in clear to smtp.example.org"),
        (EMAIL + ", username: me, password: {env: A, file: b}", "name env or file"),
        ("kind: webhook, url: 'ftp://example.org'", "url"),
    ],
)
def test_a_sink_with_a_mistake_is_refused_and_no_secret_is_repeated(tmp_path: Path, sink: str, problem: str) -> None:
    with pytest.raises(AlertsError, match=re.escape(problem)) as caught:
        read_alerts(file(tmp_path, sinks=f"sinks: {{log: {{{sink}}}}}"))
    assert "hunter2" not in str(caught.value)


def test_a_secret_comes_from_the_environment_or_from_the_first_line_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", "from the environment")
    (tmp_path / "secret").write_text("from the file\nnot this\n")
    assert Secret(env="A_SECRET").read() == "from the environment"
    assert Secret(file=tmp_path / "secret").read() == "from the file"
    with pytest.raises(AlertsError, match="ANOTHER is not set"):
        Secret(env="ANOTHER").read()
    with pytest.raises(AlertsError, match="cannot be read"):
        Secret(file=tmp_path / "nowhere").read()
