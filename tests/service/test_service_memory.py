"""A replica of inference with bounded memory, several requests at a time: what is too large is refused, what fits goes on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sonoscope.run import read_run
from tests.service.conftest import Service, sonoscope

pytestmark = [pytest.mark.service, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of its own: 150 MiB for the requests of inference, four of them at a time."""
    data_dir = tmp_path_factory.mktemp("service")
    env: dict[str, Any] = {
        "SONOSCOPE_PORT": "0",
        "SONOSCOPE_DASHBOARD": "false",
        "SONOSCOPE_CONSOLE": "false",
        "SONOSCOPE_SYNC_MEASURE": "false",
        "SONOSCOPE_INFERENCE_MEMORY_MB": "150",
        "SONOSCOPE_STAGES": '{"run_inference": {"max_ongoing_requests": 4}}',
    }
    started = sonoscope(data_dir, "up", "-d", **env)
    try:
        run = read_run(data_dir)
        assert started.returncode == 0, started.stderr
        assert run is not None
        yield Service(run, data_dir)
    finally:
        sonoscope(data_dir, "down")


def test_what_does_not_fit_is_refused_and_the_same_process_makes_the_next(service: Service) -> None:
    before = service.replica("run_inference").pid
    for _ in range(2):
        answer = service.generate(min_resolution="1024", seed="1")
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "out_of_memory"), answer.text
        record = service.record(answer.headers["x-request-id"])
        assert (record.request["error_type"], record.request["failed_stage"]) == ("out_of_memory", "run_inference")
        assert record.request["lowered_min_resolution"] == 704  # the second attempt, at half the area, did not fit either
        attempts = [span for span in record.spans if span.name == "run_inference"]
        assert [span.status for span in attempts] == ["error", "error"]
        for span in attempts:
            assert span.attributes["device"] == "cpu"
            assert span.attributes["peak_memory_mb"] > 150
        fits = service.generate(min_resolution="128", seed="1")
        assert fits.status_code == 200, fits.text
    assert service.replica("run_inference").pid == before


def test_requests_share_the_replica(service: Service) -> None:
    """Four at a time: their stages overlap, and the seconds that they are charged are shared out among them."""
    audio = service.long_speech(20.0)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda seed: service.generate(audio=audio, min_resolution="256", seed=str(seed)), range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4, [answer.text for answer in answers]
    records = [service.record(answer.json()["request_id"]) for answer in answers]
    spans = [span for record in records for span in record.spans if span.name == "run_inference"]
    rows = [record.request for record in records]
    assert len({row["replica"] for row in rows}) == 1
    latest, first_end = max(span.start_ns for span in spans), min(span.end_ns for span in spans)
    assert latest < first_end
    whole_s = (max(span.end_ns for span in spans) - min(span.start_ns for span in spans)) / 1e9
    assert 0 < sum(row["device_s"] for row in rows) <= whole_s
