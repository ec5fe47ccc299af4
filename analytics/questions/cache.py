"""The last answers, kept by the content of the rows and the options they were computed from."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

T = TypeVar("T")


class Cache(Generic[T]):
    """At most `size` answers; the one unused for longest goes first. Safe between threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[str, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> T | None:
        """The answer of a key, or None."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: str, value: T) -> None:
        """Keeps an answer."""
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._kept.clear()


def content_key(frame: pd.DataFrame, options: Hashable) -> str:
    """A digest of names, types, values and options. Two frames with the same rows in the same order have the same one."""
    digest = hashlib.blake2b(repr(options).encode(), digest_size=20)
    for name in frame.columns:
        values: Any = frame[name]
        digest.update(f"{name}:{values.dtype}:{len(values)};".encode())
        if isinstance(values.dtype, np.dtype) and values.dtype.kind in "biufM":
            digest.update(np.ascontiguousarray(values.to_numpy()).view(np.uint8).data)
            continue
        if values.dtype == object:  # of mixed types: only their texts can be compared
            values = values.map(lambda value: f"{type(value).__name__}:{value}")
        for chunk in _chunks(values):
            digest.update(chunk)
    return digest.hexdigest()


def _chunks(values: Any) -> list[pa.Buffer]:
    """The bytes of an Arrow copy of the values: offsets from zero, so that a slice and a copy of it agree."""
    array = pa.array(values, from_pandas=True)
    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    whole = pa.concat_arrays([pa.concat_arrays([chunk]) for chunk in chunks]) if chunks else pa.nulls(0)
    sink = pa.BufferOutputStream()
    batch = pa.record_batch([whole], names=["values"])
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return [sink.getvalue()]
