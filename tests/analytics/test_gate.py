"""Gates: one condition on the rows of an experiment, read strictly."""

from __future__ import annotations

import pandas as pd
import pytest

from analytics.gate import GateError, gate

ROWS = pd.DataFrame(
    {"audio_drift_ms": [10.0, 20.0, 30.0, 140.0, None], "status": ["ok", "ok", "ok", "ok", "error"], "fps": [25.0] * 5}
)


@pytest.mark.parametrize(
    ("text", "value", "n", "breached"),
    [
        ("p50(audio_drift_ms) > 80", 25.0, 4, False),
        ("p95(audio_drift_ms)>80", 123.5, 4, True),
        ("mean(audio_drift_ms) >= 50", 50.0, 4, True),
        ("share(status = error) > 0.1", 0.2, 5, True),
        ("share(audio_drift_ms > 100.0 && status = ok) > 0.2", 0.2, 5, False),
        ("count() < 5", 5.0, 5, False),
        ("count(status = ok) != 4", 4.0, 5, False),
    ],
)
def test_the_value_is_that_of_the_rows(text: str, value: float, n: int, breached: bool) -> None:
    found = gate(text).read(ROWS)
    assert found.value == pytest.approx(value)
    assert (found.n, found.breached) == (n, breached)
    assert found.sentence().endswith("does not hold" if not breached else "holds")


def test_a_gate_does_not_pass_on_nothing() -> None:
    for text in ("p95(lip_match) > 1", "mean(audio_drift_ms) > 5"):
        found = gate(text).read(ROWS.tail(1))
        assert found.breached
        assert "cannot be told" in found.sentence()
    assert gate("share(status = error) > 1").read(ROWS.head(0)).breached


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("audio_drift_ms > 80", "is not FUNCTION"),
        ("p95(audio_drift_ms)", "is not FUNCTION"),
        ("p100(audio_drift_ms) > 8", "p100 in"),
        ("p0(audio_drift_ms) > 8", "p0 in"),
        ("median(audio_drift_ms) > 8", "median in"),
        ("p95(audio_drift) > 8", "'audio_drift' in"),
        ("mean(status) > 8", "is no number"),
        ("p95(audio_drift_ms) > fast", "'fast' in"),
        ("p95(audio_drift_ms) > nan", "'nan' in"),
        ("share() > 0.1", "needs a filter"),
        ("share(status =) > 0.1", "the filter in"),
    ],
)
def test_what_cannot_be_read_is_an_error_that_says_what_can(text: str, words: str) -> None:
    with pytest.raises(GateError, match=words):
        gate(text)
