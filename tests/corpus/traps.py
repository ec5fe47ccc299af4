"""Recordings and pictures that name another file or an address: only the bytes that were sent may ever be read."""

from __future__ import annotations

import struct

from tests.corpus.cases import MEDIA, Case, case, sound

SECRET = MEDIA / "speech_en.wav"
"""A file that plays: whoever followed a reference to it would answer with a video."""

_TEXTS = {
    "an HLS playlist": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{0}\n#EXT-X-ENDLIST\n",
    "an HLS playlist with a key elsewhere": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{0}"\n#EXTINF:1,\n{0}\n#EXT-X-ENDLIST\n',
    "a concat script": "ffconcat version 1.0\nfile '{0}'\n",
    "a concat script without its first line": "file '{0}'\nfile '{0}'\n",
    "a session description (SDP)": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\n"
    "t=0 0\nm=audio 5004 RTP/AVP 0\na=control:{0}\n",
    "a DASH manifest": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
    '<AdaptationSet mimeType="audio/mp4"><Representation id="1" bandwidth="1">'
    "<BaseURL>{0}</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "a SMIL page": '<smil><body><audio src="{0}"/></body></smil>',
    "an ASX list": '<asx version="3.0"><entry><ref href="{0}"/></entry></asx>',
    "a PLS list": "[playlist]\nFile1={0}\nNumberOfEntries=1\n",
    "an XSPF list": '<playlist xmlns="http://xspf.org/ns/0/"><trackList><track><location>{0}</location></track></trackList></playlist>',
    "a bare address": "{0}",
    "a metadata script": ";FFMETADATA1\ntitle={0}\n",
    "an AviSynth script": 'DirectShowSource("{0}")',
    "a pattern of file names": "%03d.wav\n{0}\n",
}
_PICTURES = {
    "an SVG with a link": '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    '<image xlink:href="{0}"/></svg>',
    "an SVG with an outside entity": '<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "{0}">]><svg>&x;</svg>',
    "an ImageMagick script": "push graphic-context\nimage over 0,0 0,0 '{0}'\npop graphic-context\n",
}


def trap_cases(trap_url: str) -> list[Case]:
    """About forty: each text with a local file and with `trap_url`, and recordings that keep their sound elsewhere."""
    targets = {"a file": SECRET.as_uri(), "an address": trap_url}
    cases = [
        case(f"trap: {name} to {what}", "audio_undecodable", audio=text.format(target).encode())
        for name, text in _TEXTS.items()
        for what, target in targets.items()
    ]
    cases += [
        case(f"trap: {name} to {what}", "image_undecodable", portrait=text.format(target).encode())
        for name, text in _PICTURES.items()
        for what, target in targets.items()
    ]
    return [
        *cases,
        case("trap: a MOV whose sound lies in another file (alias)", "audio_undecodable", audio=_elsewhere(_alias(str(SECRET)))),
        case(
            "trap: a MOV whose sound lies at an address (url)",
            "audio_undecodable",
            "video",
            audio=_elsewhere(_entry(b"url ", trap_url.encode() + b"\0")),
        ),
    ]


def _elsewhere(entry: bytes) -> bytes:
    """A MOV whose table of data references holds `entry` instead of "in this file"."""
    return _replaced(
        sound("mov", "-c:a", "pcm_s16le", "-movflags", "+faststart"), (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"), entry
    )


def _replaced(data: bytes, way: tuple[bytes, ...], entry: bytes) -> bytes:
    """The boxes of `data` with the content of the one at the end of `way` replaced by one data reference.

    A MOV has a `dinf` for each `hdlr` it has, and offsets into the sound stay as they are: nobody should look there.
    """
    out, at = b"", 0
    while at + 8 <= len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + size]
        if name == way[0]:
            body = struct.pack(">II", 0, 1) + entry if len(way) == 1 else _replaced(body, way[1:], entry)
        out += struct.pack(">I4s", len(body) + 8, name) + body
        at += max(size, 8)
    return out


def _entry(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4sI", 12 + len(content), kind, 0) + content


def _alias(path: str) -> bytes:
    """An alias record as QuickTime writes it, as far as its readers look: volume, name, and the absolute path (type 2)."""
    raw = path.encode()
    fixed = bytes(10) + bytes([1]) + b"x".ljust(27, b"\0") + bytes(12) + bytes([1]) + b"x".ljust(63, b"\0") + bytes(16)
    levels = struct.pack(">hh", 1, 1) + bytes(16)
    long_path = struct.pack(">hH", 2, len(raw)) + raw + bytes(len(raw) % 2)
    return _entry(b"alis", (fixed + levels + long_path + struct.pack(">hH", -1, 0)).ljust(160, b"\0"))
