"""Names and bodies: what a client calls its files, and JSON that is legal but not meant."""

from __future__ import annotations

import json

from tests.corpus.cases import VIDEO, Case, case

NAMES = {
    "zero-width characters": "bai\u200bling\u200d\ufeff.png",
    "right-to-left override": "por\u202egnp.trait",
    "Hebrew": "דיוקן.png",
    "emoji": "👩🏽‍🚀🎙️.png",
    "Chinese": "百灵鸟的肖像.png",
    "full-width letters": "ｐｏｒｔｒａｉｔ．ｐｎｇ",
    "combining marks": "e\u0301" * 200 + ".png",
    "3,990 bytes": "n" * 3986 + ".png",
    "3,999 bytes of Chinese": "像" * 1333,
    "a way upwards": "../../../../etc/passwd",
    "a Windows path": "C:\\Users\\Ann\\portrait.png",
    "an ffmpeg protocol": "concat:a.wav|b.wav",
    "an option": "-i.png",
    "a shell's characters": "$(reboot);`id`&&|.png",
    "HTML": "<script>alert(1)</script>.png",
    "SQL": "'; DROP TABLE jobs; --.png",
    "line ends": "a%0d%0aX-Injected: 1.png",
    "control characters": "a\x01\x02\x7f.png",
    "a tag character": "a\U000e0041\U000e0042.png",
}

_IDS = {"portrait_image": "f" * 64, "audio_clip": "e" * 64}


def request_cases() -> list[Case]:
    """About thirty-five."""
    named = [
        case(f"name: {what}", VIDEO, portrait_name=name.encode(), audio_name=name.encode() + b".wav", parameters={"seed": str(k)})
        for k, (what, name) in enumerate(NAMES.items())
    ]
    named.append(case("name: bytes that are no UTF-8", VIDEO, portrait_name=b"\xff\xfe\xc3(.png"))
    named.append(case("name: empty", VIDEO, "invalid_parameter", audio_name=b""))
    forms = {
        "a number that is none": {"fps": "nan"},
        "an endless number": {"dynamic_scale": "inf"},
        "a whole number of 5,000 digits": {"seed": "9" * 5000},
        "digits of another script": {"inference_steps": "٣"},
        "a number with blanks": {"inference_steps": " 3 "},
        "a name that cannot be seen": {"\u200binference_steps": "3"},
        "a text of 16 kB": {"model_name": "x" * 16_000},
    }
    expected = {"a number with blanks": (VIDEO, "invalid_parameter")}
    named += [case(f"form: {what}", *expected.get(what, ("invalid_parameter",)), parameters=form) for what, form in forms.items()]
    bodies = {
        "half a surrogate pair as a name": b'{"prompt": {"portrait_image": "x", "audio_clip": "x", "\\ud800": 1}}',
        "half a surrogate pair as a value": json.dumps({"prompt": {**_IDS, "model_name": "\ud800"}}).encode(),
        "half a surrogate pair as an id": b'{"prompt": {"portrait_image": "\\udfff", "audio_clip": "x"}}',
        "100,000 brackets": b"[" * 100_000,
        "NaN": json.dumps({"prompt": {**_IDS, "fps": float("nan")}}).encode(),
        "a number of 5,000 digits": b'{"prompt": {"seed": ' + b"9" * 5000 + b"}}",
        "a list": b"[]",
        "null": b"null",
        "bytes that are no UTF-8": b'{"prompt": "\xff\xfe"}',
        "a list as an id": b'{"prompt": {"portrait_image": [1], "audio_clip": {}}}',
        "a list as a parameter": json.dumps({"prompt": {**_IDS, "seed": [1, 2]}}).encode(),
        "ids of other digits": json.dumps({"prompt": {"portrait_image": "٣" * 64, "audio_clip": "e" * 64}}).encode(),
    }
    return named + [case(f"JSON: {what}", "invalid_parameter", body=body) for what, body in bodies.items()]
