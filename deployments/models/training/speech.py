"""Text to speech with exact phone times, by eSpeak NG: the training data of the motion model, and test signals.

eSpeak NG (GPL-3) comes with the package espeakng-loader and is a tool for training and tests alone; nothing that the service
imports imports this module.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

from deployments.models.protocol import SAMPLE_RATE

ESPEAK_RATE = 22_050
"""Samples a second that the library produces."""
RATE_RANGE = (80, 450)
"""Words a minute that the library accepts; 175 is its usual pace."""
RETRIEVAL, PHONEME_EVENTS, IPA, DO_NOT_EXIT = 1, 0x1, 0x2, 0x8000
RATE, PITCH = 1, 3
END_OF_LIST, PHONEME = 0, 7
UTF8 = 1
"""Constants of speak_lib.h (eSpeak NG 1.52)."""
STOPS = tuple("ptkbdɡgc")
"""First letters of the stops and affricates."""
QUIET = 8
"""A sample's size, of 32768, up to which a closure counts as silent; eSpeak's own are 0 to 3."""
CLOSURE_S = 0.12
PAUSE_S = 0.06
"""Longest closure looked for at a preceding sound's end, and longest pause event that is one. Seen: 25 to 45 ms and 39 ms."""


@dataclass(frozen=True)
class Phone:
    """One sound of an utterance."""

    symbol: str
    """IPA as eSpeak NG writes it, stress and length marks included (ˈoʊ, iː, tɕ); empty for a pause."""
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Spoken:
    """Speech and its phones, which follow each other without gaps from the first to the end of the sound."""

    samples: npt.NDArray[np.float32]
    """(n,) mono at SAMPLE_RATE, -1 to 1."""
    phones: tuple[Phone, ...]


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class _Espeak:
    """The library, which exists once a process and speaks one text at a time."""

    def __init__(self) -> None:
        import espeakng_loader  # here, so that the module can be read where the package is missing

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = Path(espeakng_loader.get_data_path())
        if self._library.espeak_Initialize(RETRIEVAL, 0, str(data).encode(), PHONEME_EVENTS | IPA | DO_NOT_EXIT) < 0:
            raise RuntimeError(f"eSpeak NG finds no data in {data}; install espeakng-loader again")
        self._variants = {path.name for path in (data / "voices" / "!v").iterdir()}
        self._lock = Lock()
        self._sound: list[npt.NDArray[np.int16]] = []
        self._marks: list[tuple[int, str]] = []
        self._callback = _Callback(self._receive)  # kept: the library holds only its address
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, sound: Any, count: int, events: Any) -> int:
        if sound and count > 0:
            self._sound.append(np.ctypeslib.as_array(sound, (count,)).copy())
        i = 0
        while events[i].type != END_OF_LIST:
            if events[i].type == PHONEME:
                # All eight bytes may be in use, without a closing zero; a cut last character is dropped.
                raw = ctypes.string_at(ctypes.addressof(events[i].id), 8).split(b"\0")[0]
                symbol = raw.decode("utf-8", "ignore")
                if not symbol.startswith("("):  # a change of language, "(en)", is no sound
                    self._marks.append((events[i].sample, symbol))
            i += 1
        return 0

    def speak(self, text: str, voice: str, rate: int, pitch: int) -> tuple[npt.NDArray[np.int16], list[tuple[int, str]]]:
        """Samples at ESPEAK_RATE, and (first sample, symbol) of each phone."""
        with self._lock:
            self._sound, self._marks = [], []
            variant = voice.partition("+")[2]  # the library would take an unknown one for none
            if self._library.espeak_SetVoiceByName(voice.encode()) != 0 or (variant and variant not in self._variants):
                raise ValueError(f"eSpeak NG has no voice {voice!r}; a language such as 'en-us' or 'cmn', '+' and a variant")
            self._library.espeak_ng_SetRandSeed(1)  # unset, hiss and whisper differ from process to process
            self._library.espeak_SetParameter(RATE, rate, 0)
            self._library.espeak_SetParameter(PITCH, pitch, 0)
            line = text.encode() + b"\0"
            if self._library.espeak_Synth(line, len(line), 0, 1, 0, UTF8, None, None) != 0:
                raise RuntimeError("eSpeak NG could not speak the text")
            self._library.espeak_Synchronize()
            return np.concatenate([*self._sound, np.zeros(0, np.int16)]), self._marks


@cache
def _espeak() -> _Espeak:
    return _Espeak()


def speak(text: str, *, voice: str = "en-us", rate: int = 175, pitch: int = 50) -> Spoken:
    """Speaks `text` and returns the sound with its phones.

    `voice` is a language with an optional variant ("en-us", "en-gb-x-rp+f2", "cmn+m3"), `rate` words a minute (80-450), `pitch` 0
    to 99. Phone times are exact to a sample of eSpeak's 22,050 Hz. The library carries the voice's phase from one text to the next:
    the same calls in the same order give the same samples in every process, the same text alone does not. Raises
    ModuleNotFoundError without espeakng-loader and ValueError for an unknown voice or a rate out of range.
    """
    if not RATE_RANGE[0] <= rate <= RATE_RANGE[1]:
        raise ValueError(f"rate {rate} is outside {RATE_RANGE[0]} to {RATE_RANGE[1]} words a minute")
    sound, marks = _espeak().speak(text, voice, rate, pitch)
    marks = _with_closures(sound, marks)
    samples = resample_poly(sound.astype(np.float64) / 32768, SAMPLE_RATE // 50, ESPEAK_RATE // 50)
    starts = [sample / ESPEAK_RATE for sample, _ in marks]
    ends = [*starts[1:], len(sound) / ESPEAK_RATE]
    phones = [Phone(symbol, start, end) for (_, symbol), start, end in zip(marks, starts, ends, strict=False) if end > start]
    return Spoken(np.clip(samples, -1, 1).astype(np.float32), tuple(phones))


def _with_closures(sound: npt.NDArray[np.int16], marks: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The marks with each stop's silent closure as part of the stop.

    eSpeak's own marks begin a voiceless stop with its burst and leave the closure to the sound before or to a pause of its own.
    """
    out: list[tuple[int, str]] = []
    for start, symbol in marks:
        begin = start
        if symbol.startswith(STOPS) and out:
            if out[-1][1] == "" and start - out[-1][0] <= PAUSE_S * ESPEAK_RATE:
                begin = out.pop()[0]
            elif out[-1][1]:
                before = np.abs(sound[max(out[-1][0] + 1, start - int(CLOSURE_S * ESPEAK_RATE)) : start].astype(np.int32))
                begin = start - int((before[::-1] > QUIET).argmax()) if (before > QUIET).any() else start
        out.append((begin, symbol))
    return out
