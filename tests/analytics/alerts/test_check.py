"""One look after another over real rows: one message an incident, silence, delivery at least once, and an end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from analytics.alerts.check import Checker
from analytics.alerts.ledger import KEEP_S, LEASE_S, Ledger
from analytics.alerts.schema import Alerts
from analytics.alerts.sinks import Message, SinkError
from analytics.requests import Joined, joined
from analytics.rules.schema import load_rules
from analytics.stores.base import Range
from analytics.stores.local import LocalStore
from telemetry.errors import RequestError
from tests.analytics.conftest import SECOND, START, Service

NOW = START / 1e9 + 600
SAME_ERROR = {"id": "same_error", "where": 'status = "error"', "condition": {"kind": "repeated"}, "sinks": ["box"]}
MANY = {"id": "many", "where": 'status = "error"', "condition": {"kind": "count", "above": 1}, "sinks": ["box"], "window": "5m"}


class Store:
    """The source of a checker over local files."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self.events = store.events

    @contextlib.contextmanager
    def view(self, range: Range) -> Iterator[Joined]:
        with joined(self._store, range) as view:
            yield view


class Box:
    """A sink that keeps what it takes, and is down while `down`."""

    def __init__(self) -> None:
        self.taken: list[Message] = []
        self.down = False

    def send(self, message: Message) -> None:
        if self.down:
            raise SinkError("the box is down")
        self.taken.append(message)

    @property
    def kinds(self) -> list[str]:
        return [message.kind for message in self.taken]


class Desk:
    """A service, its alerts, and the box they go to."""

    def __init__(self, service: Service, *alerts: dict[str, Any], **more: Any) -> None:
        self.service = service
        self.box = Box()
        self.config = Alerts.model_validate({"sinks": {"box": {"kind": "log"}}, "alerts": alerts, **more})
        self.path = service.folder / "alerts.db"
        self.ledger = Ledger(self.path)

    def look(self, at: float) -> list[str]:
        """One look `at` seconds after the start; the kinds of all messages taken so far."""
        checker = Checker(
            self.config, load_rules(), Store(self.service.store), self.ledger, {"box": self.box}, "http://127.0.0.1:8501"
        )
        checker.look(START / 1e9 + at)
        return self.box.kinds

    def request(self, number: int, error: str | None = None, at: float | None = None, **values: Any) -> None:
        """One that ends two seconds after it began, which is `number` seconds after the start."""
        start = START + int((number if at is None else at) * SECOND)
        broken = RequestError(error, "No face.", stage="preprocess_image") if error else None
        context = self.service.context(number)
        names = {name: values.pop(name) for name in ("portrait_name", "audio_name") if name in values}
        self.service.receive(context, portrait_hash="ab" * 32, **names)
        self.service.finish(context, start, broken, **values)


def test_three_times_the_same_error_is_one_message_with_the_fix_and_the_files(service: Service) -> None:
    desk = Desk(service, SAME_ERROR)
    for number, name in enumerate(("a\u200b.png", "b.png")):
        desk.request(number, "face_not_found", portrait_name=name)
    assert desk.look(10) == []
    desk.request(2, "face_not_found")
    assert desk.look(20) == desk.look(30) == ["firing"]
    (message,) = desk.box.taken
    assert message.title == "[Sonoscope] FIRING same_error: face_not_found: 3 times in a row"
    assert "What is behind it: No human face was found" in message.text
    assert "What to do: Send a picture with one face" in message.text
    assert "portrait a‹U+200B›.png  (request-0000)" in message.text
    assert "portrait b.png" in message.text
    assert "portrait abababababababab…" in message.text  # of the third no name was kept
    assert "http://127.0.0.1:8501/request?request=request-0001" in message.text
    assert message.facts["incidents"][0]["fixes"][0]["rule"] == "no_face"


def test_a_success_ends_the_run_and_is_told_once(service: Service) -> None:
    desk = Desk(service, SAME_ERROR)
    for number in range(3):
        desk.request(number, "face_not_found")
    desk.look(10)
    desk.request(20)
    assert desk.look(30) == desk.look(40) == ["firing", "resolved"]
    assert "RESOLVED same_error" in desk.box.taken[1].title
    assert "request-0000" in desk.box.taken[1].text
    assert [one["event"] for one in desk.ledger.history()] == ["resolved", "fired"]


def test_an_error_of_another_kind_ends_a_run_and_begins_its_own(service: Service) -> None:
    desk = Desk(service, SAME_ERROR)
    for number in range(3):
        desk.request(number, "face_not_found")
    desk.look(10)
    for number in range(20, 23):
        desk.request(number, "audio_silent")
    assert desk.look(30) == ["firing", "firing", "resolved"]
    assert "audio_silent" in desk.box.taken[1].title


def test_no_rule_speaks_then_the_errors_own_hint_does(service: Service) -> None:
    desk = Desk(service, SAME_ERROR)
    for number in range(3):
        desk.request(number, "audio_silent", inference_steps=25)
    desk.look(10)
    assert "What to do: The recording holds no sound" in desk.box.taken[0].text


def test_groups_that_begin_together_are_one_message(service: Service) -> None:
    desk = Desk(service, {**MANY, "group_by": ["source_prefix"]})
    for number in range(6):
        desk.request(number, "face_not_found", source_prefix=f"batch/{number % 3}")
    assert desk.look(10) == ["firing"]
    assert [one["key"] for one in desk.box.taken[0].facts["incidents"]] == [f"source_prefix = batch/{k}" for k in range(3)]
    desk.request(7, "face_not_found", source_prefix="batch/1")
    assert desk.look(20) == ["firing"]


def test_a_group_whose_rows_have_left_the_window_resolves(service: Service) -> None:
    desk = Desk(service, {**MANY, "group_by": ["source_prefix"]})
    for number in range(2):
        desk.request(number, "face_not_found", source_prefix="batch/1")
    assert desk.look(10) == ["firing"]
    assert desk.look(400) == ["firing", "resolved"]


def test_while_it_is_silent_nothing_is_said_and_afterwards_what_still_fires(service: Service) -> None:
    desk = Desk(service, MANY)
    desk.ledger.silence("many", START / 1e9 + 60)
    for number in range(3):
        desk.request(number, "face_not_found")
    assert desk.look(10) == []
    assert desk.look(61) == ["firing"]


def test_what_began_and_ended_in_silence_is_never_told(service: Service) -> None:
    desk = Desk(service, MANY)
    desk.ledger.silence("*", START / 1e9 + 350)
    for number in range(3):
        desk.request(number, "face_not_found")
    assert desk.look(10) == desk.look(340) == desk.look(360) == []
    assert [one["event"] for one in desk.ledger.history()] == ["resolved", "fired"]


def test_a_reminder_comes_as_often_as_it_is_asked_for(service: Service) -> None:
    desk = Desk(service, {**MANY, "repeat_every": "1m"})
    for number in range(3):
        desk.request(number, "face_not_found")
    assert [len(desk.look(at)) for at in (10, 60, 70, 100, 130)] == [1, 1, 2, 2, 3]


def test_requests_of_drills_raise_no_alarm_unless_asked(service: Service) -> None:
    desk = Desk(service, MANY, {**MANY, "id": "drills", "synthetic": True})
    for number in range(3):
        desk.request(number, "face_not_found", synthetic=True)
    desk.look(10)
    assert [message.alert for message in desk.box.taken] == ["drills"]


def test_a_rule_can_be_what_is_watched_also_one_about_a_replica(service: Service) -> None:
    watched = {"condition": {"kind": "count", "above": 1}, "sinks": ["box"]}
    desk = Desk(service, {**watched, "id": "steps", "rule": "few_steps"}, {**watched, "id": "replica", "rule": "bad_replica"})
    for number in range(24):
        drift = 150.0 if number % 4 == 0 else 20.0
        desk.request(number, inference_steps=10, audio_drift_ms=drift, replica=f"r{number % 4}")
    desk.look(60)
    messages = {message.alert: message for message in desk.box.taken}
    assert messages["steps"].facts["incidents"][0]["count"] == 24
    assert messages["replica"].facts["incidents"][0]["count"] == 6
    assert [fix["rule"] for fix in messages["replica"].facts["incidents"][0]["fixes"]] == ["few_steps", "bad_replica"]


def test_a_sink_that_is_down_gets_its_messages_later_and_in_order(service: Service) -> None:
    desk = Desk(service, SAME_ERROR)
    desk.box.down = True
    for number in range(3):
        desk.request(number, "face_not_found")
    desk.look(10)
    desk.request(20)
    assert desk.look(30) == []
    assert desk.ledger.undelivered()[0]["last_error"] == "the box is down"
    desk.box.down = False
    assert desk.look(31) == []  # it waits before it tries again
    assert desk.look(400) == ["firing", "resolved"]
    assert desk.ledger.undelivered() == []


def test_a_process_that_dies_after_sending_sends_the_same_again(service: Service) -> None:
    desk = Desk(service, SAME_ERROR)
    for number in range(3):
        desk.request(number, "face_not_found")

    class Killed(BaseException):
        pass

    class Dies(Box):
        def send(self, message: Message) -> None:
            super().send(message)
            raise Killed

    first = desk.box = Dies()
    with pytest.raises(Killed):
        desk.look(10)
    desk.ledger.close()
    desk.ledger, desk.box = Ledger(desk.path), Box()
    assert desk.look(11) == []  # the message still belongs to the dead process
    assert desk.look(12 + LEASE_S) == ["firing"]
    assert desk.box.taken[0] == first.taken[0]


def test_a_process_that_dies_while_it_decides_decides_anew(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(service, SAME_ERROR)
    for number in range(3):
        desk.request(number, "face_not_found")

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(desk.ledger, "put", dies)
        with pytest.raises(KeyboardInterrupt):
            desk.look(10)
    assert desk.ledger.known() == {}
    assert desk.look(11) == ["firing"]


def test_two_processes_that_look_tell_it_once(service: Service) -> None:
    desk = Desk(service, SAME_ERROR)
    for number in range(3):
        desk.request(number, "face_not_found")
    desk.look(10)
    desk.ledger = Ledger(desk.path)
    assert desk.look(10) == ["firing"]


def test_an_alert_that_is_taken_out_of_the_file_is_forgotten(service: Service) -> None:
    desk = Desk(service, SAME_ERROR)
    for number in range(3):
        desk.request(number, "face_not_found")
    desk.look(10)
    desk.config = Desk(service, MANY).config
    desk.look(20)
    assert {alert for alert, _ in desk.ledger.known()} == {"many"}


def test_what_is_old_and_done_is_forgotten_and_what_still_waits_is_not(service: Service) -> None:
    desk = Desk(service, SAME_ERROR)
    for number in range(3):
        desk.request(number, "face_not_found")
    desk.look(10)
    desk.ledger.put("waits", "box", {}, 0.0)
    desk.ledger.prune(START / 1e9 + KEEP_S + 11)
    assert desk.ledger.history() == []
    assert [one["id"] for one in desk.ledger.undelivered()] == ["waits"]


def test_messages_are_in_the_language_of_the_file(service: Service) -> None:
    desk = Desk(service, SAME_ERROR, language="zh")
    for number in range(3):
        desk.request(number, "face_not_found")
    desk.look(10)
    assert "连续 3 次" in desk.box.taken[0].title
    assert "请提交只有一张正脸" in desk.box.taken[0].text
