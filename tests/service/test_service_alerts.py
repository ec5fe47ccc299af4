"""The story through the real service: three pictures fail in the same way, one mail names them and the fix, the alert resolves."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.servers.mail import PASSWORD, MailServer
from tests.service.conftest import MEDIA
from tests.service.test_service_errors import png

pytestmark = pytest.mark.service

NOISE = [png(np.random.default_rng(seed).integers(0, 255, (256, 256, 3), np.uint8)) for seed in (11, 12, 13)]
FACE = Path(MEDIA / "portrait_astronaut.png").read_bytes()
STORY = {"X-Department": "story"}


def mails(server: MailServer, count: int) -> list[Any]:
    """The mails once there are so many; the loop looks every ten seconds, at the lowest priority."""
    end = time.monotonic() + 120
    while len(server.box.mails) < count and time.monotonic() < end:
        time.sleep(0.2)
    return server.box.mails


def test_three_pictures_without_a_face_are_one_mail_and_one_with_a_face_resolves_it(service: Any, mail_server: MailServer) -> None:
    ids = [service.generate(portrait=picture, headers=STORY).headers["x-request-id"] for picture in NOISE]
    (mail,) = mails(mail_server, 1)
    text = mail.get_content()
    assert mail["Subject"] == "[Sonoscope] FIRING same_error: face_not_found: 3 times in a row"
    assert "What to do: Send a picture with one face, seen from the front, at least 64 px wide." in text
    for id, picture in zip(ids, NOISE, strict=True):
        assert id in text
        assert f"portrait {hashlib.sha256(picture).hexdigest()[:16]}…" in text  # this service keeps no names in telemetry
    log = (service.data_dir / "logs" / "alerts.log").read_text()
    assert PASSWORD not in text + log

    answer = service.generate(portrait=FACE, headers=STORY, min_resolution="128")
    assert answer.status_code == 200, answer.text
    assert len(mails(mail_server, 2)) == 2
    assert "RESOLVED same_error: face_not_found" in mail_server.box.mails[1]["Subject"]
    assert ids[0] in mail_server.box.mails[1].get_content()
