"""Telemetry fails alone: the request goes on, and the failure is counted."""

from __future__ import annotations

import asyncio
import logging

import pytest

from telemetry.guard import guard
from telemetry.journal import read_losses
from telemetry.tracing import Telemetry


def test_an_exception_is_swallowed_counted_and_logged_once(telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "sonoscope.telemetry"):
        for n in range(3):
            with guard("a test's own"):
                raise KeyError(n)
    losses = read_losses(telemetry.journal.directory)
    assert losses["telemetry_errors"] == 3
    assert losses["last_error"] == "a test's own: KeyError: 2"
    assert len(caplog.records) == 1


def test_a_guarded_function_answers_none_where_it_fails() -> None:
    @guard("halve")
    def halve(value: int) -> int:
        return 4 // value

    assert halve(2) == 2
    assert halve(0) is None


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, GeneratorExit])
def test_what_must_stop_a_program_passes(error: type[BaseException]) -> None:
    with pytest.raises(error), guard("passes"):
        raise error
