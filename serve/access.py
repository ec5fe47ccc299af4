"""The door's lock: who asks, whether they may, and how often. One place; routes ask `caller_of` what is theirs to see.

Off on loopback, on elsewhere (setting `access`). The gate stands before every route but health, so a new route is closed unless
somebody opens it here.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.answers import error_response
from serve.keys import Caller, KeyTable
from serve.oidc import Issuer
from telemetry.errors import RequestError

OPEN = ("/healthz", "/readyz")
"""What a load balancer asks, which has no key."""
HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cache-control": b"no-store",
}
"""On every answer of a locked service: what comes from there is data, never a page, and is nobody else's."""
REMEMBER_S = 5.0
"""A key that was found good is not looked up again for so long: a key that is revoked opens the door for at most this."""
REMEMBERED = 1024


class Gate:
    """Knows the keys; counts requests per key. One for each process that takes requests in: N replicas allow N times the rate."""

    def __init__(
        self,
        keys: KeyTable,
        link_key: bytes,
        refused: Callable[[str], None],
        clock: Callable[[], float] = time.time,
        issuer: Issuer | None = None,
    ):
        self._keys = keys
        self._issuer = issuer
        self._link_key = link_key
        self._refused = refused
        self._clock = clock
        self._good: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()
        self._asked: dict[str, deque[float]] = {}

    async def admit(self, request: Request) -> Caller | None:
        """Who asks; None for what is open to all and for a link that is signed. Raises RequestError."""
        path, query, reads = request.url.path, request.query_params, request.method in ("GET", "HEAD")
        if path in OPEN or (reads and self.signed(path, query.get("expires", ""), query.get("signature", ""))):
            return None
        try:
            caller = await self._known(request)
            self._count(caller)  # before the role is looked at: what is refused counts, too
            needed = "read" if reads else "write"
            if not caller.may(needed):
                raise RequestError("forbidden", f"{caller.key_id} is a {caller.role}'s: it may not {needed}.")
        except RequestError as error:
            self._refused(error.type)
            raise
        return caller

    async def _known(self, request: Request) -> Caller:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        given = given.strip() if kind.lower() == "bearer" else request.headers.get("x-api-key", "")
        if not given:
            raise RequestError("unauthorized", "No key was sent.", hint="Send Authorization: Bearer <key or token>.")
        digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
        until, caller = self._good.get(digest, (0.0, None))
        if caller is None or until < self._clock():
            caller = await asyncio.to_thread(self._look_up, given)
            self._good[digest] = (self._clock() + REMEMBER_S, caller)
            while len(self._good) > REMEMBERED:
                self._good.popitem(last=False)
        return caller

    def _look_up(self, given: str) -> Caller:
        """Who has this key, or this token where an issuer is known. Raises RequestError."""
        if self._issuer is not None and given.count(".") == 2:  # a key holds no dot
            return self._issuer.caller(given)
        caller = self._keys.caller(given)
        if caller is None:
            raise RequestError("unauthorized", "The key is unknown, wrong, or over.")
        return caller

    def _count(self, caller: Caller) -> None:
        if caller.per_minute is None:
            return
        asked, now = self._asked.setdefault(caller.key_id, deque()), self._clock()
        while asked and asked[0] <= now - 60.0:
            asked.popleft()
        if len(asked) >= caller.per_minute:
            error = RequestError("rate_limited", f"The key {caller.key_id} may ask {caller.per_minute} times a minute.")
            error.retry_after_s = max(1, math.ceil(asked[0] + 60.0 - now))
            raise error
        asked.append(now)

    def link(self, path: str, seconds: float) -> str:
        """The path with a signature that opens it, and nothing else, for so long."""
        expires = int(self._clock() + seconds)
        return f"{path}?expires={expires}&signature={self._signature(path, expires)}"

    def signed(self, path: str, expires: str, signature: str) -> bool:
        """Whether this is the signature of this path, until a time that is not over."""
        if not (expires.isascii() and expires.isdigit() and len(expires) <= 12 and int(expires) > self._clock()):
            return False
        return hmac.compare_digest(self._signature(path, int(expires)), signature.encode("ascii", "replace").decode())

    def _signature(self, path: str, expires: int) -> str:
        return hmac.new(self._link_key, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()


_gate: Gate | None = None


def lock(gate: Gate | None) -> None:
    """Sets the gate of this process; None leaves the door open."""
    global _gate
    _gate = gate


def caller_of(request: Request) -> Caller | None:
    """Who asks; None where the door is open to everybody, and for who came by a signed link."""
    return getattr(request.state, "caller", None)


def see(request: Request, department: str | None, what: str) -> None:
    """Raises RequestError(not_found) for what is another department's: that it exists is nobody else's business."""
    caller = caller_of(request)
    if caller is not None and not caller.sees(department):
        raise RequestError("not_found", f"There is no {what}.")


class Locked:
    """ASGI middleware: nothing passes the gate without leave, and every answer of a locked service has HEADERS."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        if scope["type"] != "http" or _gate is None:
            await self._app(scope, receive, send)
            return

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {key.lower() for key, _ in message["headers"]}
                message["headers"] = [*message["headers"], *((k, v) for k, v in HEADERS.items() if k not in present)]
            await send(message)

        request = Request(scope)
        try:
            request.state.caller = await _gate.admit(request)
        except RequestError as error:
            answer = error_response(error, request.state.traceparent.split("-")[1])
            if error.http_status == 401:
                answer.headers["WWW-Authenticate"] = 'Bearer realm="sonoscope"'
            await answer(scope, receive, stamped)
            return
        await self._app(scope, receive, stamped)
