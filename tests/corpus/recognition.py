"""The pictures and names that bite, for recognition: what must come of each, and how they are sent.

The pictures are those of `pictures.py`, where a face mattered; here a right answer is a label, a guess marked as one, or a refusal.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from telemetry.errors import ERROR_TYPES
from tests.corpus.cases import VIDEO, good_portrait
from tests.corpus.pictures import NO_FACE, UNDECODABLE, picture_cases
from tests.corpus.requests import NAMES
from tests.corpus.runner import AT_A_TIME, DEADLINE_S

LABEL, BLANK = "label", "image_blank"
BLANK_PICTURES = ("black", "white", "wholly transparent", "one pixel", "two pixels")
_BOUNDARY = b"corpus-7d2f"
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><image href="http://127.0.0.1:9/trap"/></svg>'


@dataclass(frozen=True)
class Picture:
    """One upload. `expected` holds every right answer: `label`, or types of `telemetry.errors`."""

    name: str
    expected: frozenset[str]
    data: bytes
    file_name: bytes = b"picture.png"


@dataclass(frozen=True)
class Outcome:
    """What came of a picture. `trouble` says what is wrong with it; empty where nothing is."""

    picture: Picture
    got: str
    message: str
    seconds: float
    trouble: str


def recognition_cases(seed: int) -> list[Picture]:
    """Every picture and name, names unique: about a hundred and ten."""
    made = [Picture(one.name, _expected(one.name, one.expected), one.portrait) for one in picture_cases(seed)]
    named = [Picture(f"name: {what}", frozenset({LABEL}), good_portrait(), name.encode()) for what, name in NAMES.items()]
    more = {"no byte at all": b"", "an SVG with a reference": _SVG, "an SVG within XML": b'<?xml version="1.0"?>' + _SVG}
    broken = [Picture(f"picture: {what}", frozenset({UNDECODABLE}), data) for what, data in more.items()]
    no_utf8 = Picture("name: bytes that are no UTF-8", frozenset({LABEL}), good_portrait(), b"\xff\xfe\xc3(.png")
    return [*made, *broken, *named, no_utf8]


def _expected(name: str, for_video: frozenset[str]) -> frozenset[str]:
    """Where a video was right, a label is; where a face was missing, a label, unless there is nothing to see."""
    if name.removeprefix("picture: ") in BLANK_PICTURES:
        return frozenset({BLANK})
    others = for_video - {VIDEO, NO_FACE}
    if NO_FACE in for_video:
        others |= {LABEL, BLANK}
    return others | {LABEL} if VIDEO in for_video else others


def send(url: str, picture: Picture) -> Outcome:
    """One request and its judgement."""
    name = picture.file_name.replace(b"\\", b"\\\\").replace(b'"', b"%22")
    head = b'Content-Disposition: form-data; name="image"; filename="%s"\r\nContent-Type: application/octet-stream\r\n\r\n' % name
    body = b"--%s\r\n%s%s\r\n--%s--\r\n" % (_BOUNDARY, head, picture.data, _BOUNDARY)
    headers = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY.decode()}", "X-Deadline-Seconds": str(DEADLINE_S)}
    started = time.monotonic()
    try:
        answer = httpx.post(f"{url}/recognize", content=body, headers=headers, timeout=DEADLINE_S + 30)
    except httpx.HTTPError as error:
        return Outcome(picture, "no answer", str(error), time.monotonic() - started, type(error).__name__)
    got, message, trouble = _judged(picture, answer)
    return Outcome(picture, got, message, time.monotonic() - started, trouble)


def _judged(picture: Picture, answer: httpx.Response) -> tuple[str, str, str]:
    """What came, in which words, and what is wrong with it."""
    try:
        body = answer.json()
        error = body["error"] if answer.status_code != 200 else None
        one = None if error else body["results"][0]
    except (ValueError, KeyError, TypeError, IndexError):
        return f"status {answer.status_code}", answer.text[:200], "the answer has not our shape"
    if one is not None:
        label = one["label"]["en"] if one["label"] else f"not sure ({one['top3'][0]['en']})"
        wrong = one["low_confidence"] is (one["label"] is not None) or len(one["top3"]) != 3
        trouble = "a label below the floor, or none above it" if wrong else "" if LABEL in picture.expected else "a label came"
        return LABEL, label, trouble
    known = ERROR_TYPES.get(error["type"])
    if known is None or answer.status_code != known.http_status:
        return error["type"], error["message"], f"status {answer.status_code} does not belong to it"
    if answer.status_code >= 500 or error["type"] not in picture.expected:
        return error["type"], error["message"], "another answer than expected"
    return error["type"], error["message"], "" if error["message"] and error["hint"] else "no words"


def send_all(url: str, pictures: Sequence[Picture]) -> list[Outcome]:
    """Every picture, a few at once, in their order."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(lambda one: send(url, one), pictures))


def table(outcomes: Sequence[Outcome]) -> str:
    """The table in Markdown: input, what is right, what came."""
    lines = ["| input | right | came |", "| --- | --- | --- |"]
    for one in outcomes:
        came = f"{one.got}: {one.message}" if one.got == LABEL else one.got
        name, right = one.picture.name.replace("|", "\\|"), " or ".join(sorted(one.picture.expected))
        lines.append(f"| {name} | {right} | {came}{': ' + one.trouble if one.trouble else ''} |")
    return "\n".join(lines) + "\n"
