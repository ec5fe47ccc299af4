"""A gRPC call as the request that the rest of the door knows, and an error of ours as a gRPC status."""

from __future__ import annotations

import io
import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import unquote

import grpc
from starlette.datastructures import UploadFile
from starlette.requests import Request

from serve import proxy
from serve.grpc import sonoscope_pb2 as pb
from telemetry.errors import ERROR_TYPES, RequestError
from telemetry.ids import new_traceparent, uuid7

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from ray.serve.grpc_util import RayServegRPCContext

_STATUS = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.CANCELLED,
    410: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


def status_of(error_type: str) -> grpc.StatusCode:
    """The gRPC status of an error type, by its HTTP status."""
    return _STATUS[ERROR_TYPES[error_type].http_status]


def peer_address(peer: str) -> tuple[str, int]:
    """Host and port of gRPC's name of a client; ("", 0) where it is no internet address."""
    kind, _, rest = peer.partition(":")
    host, _, port = unquote(rest).rpartition(":")
    if kind not in ("ipv4", "ipv6") or not port.isdigit():
        return "", 0
    address = ipaddress.ip_address(host.strip("[]"))
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address), int(port)


def request_of(context: RayServegRPCContext, method: str, path: str) -> Request:
    """The HTTP request that would ask the same: the call's metadata as headers, its client, an id and a trace; no body."""
    # `host` decides what starlette takes for the path of a URL; a gRPC call has none.
    sent = [(key.lower(), value) for key, value in context.invocation_metadata() if isinstance(value, str) and key != "host"]
    given = dict(sent)
    parent = given.get("traceparent")
    scope = {
        "type": "http",
        "method": method,
        "scheme": "http",
        "path": path,
        "query_string": b"",
        "headers": [(key.encode("latin-1"), value.encode("latin-1", "replace")) for key, value in sent],
        "client": peer_address(context.peer()),
        "state": {
            "parent": parent,
            "traceparent": new_traceparent(parent),
            "request_id": uuid7(),
            "client_request_id": given.get("x-request-id"),
        },
    }
    return Request(scope)


def stamp(context: RayServegRPCContext, request: Request, error: RequestError | None = None) -> pb.Error:
    """Puts id and trace, and what went wrong, into the call's status and trailing metadata; returns the error as a message."""
    trailing: list[tuple[str, str | bytes]] = [
        ("x-request-id", request.state.request_id),
        ("traceparent", request.state.traceparent),
    ]
    told = pb.Error()
    if error is not None:
        told = pb.Error(**error.as_dict(), trace_id=request.state.traceparent.split("-")[1])
        trailing += [("error-type", error.type), ("error-bin", told.SerializeToString())]
        if error.http_status in (429, 503):
            trailing.append(("retry-after", str(error.retry_after_s or proxy.RETRY_AFTER_S)))
        context.set_code(status_of(error.type))
        context.set_details(error.message)
    context.set_trailing_metadata(trailing)  # pyright: ignore[reportArgumentType]  # -bin values are bytes
    return told


def given_file(media: pb.Media) -> UploadFile | str | None:
    """The upload or the asset id that a message holds; None where it holds neither."""
    match media.WhichOneof("source"):
        case "data":
            return UploadFile(io.BytesIO(media.data), size=len(media.data), filename=media.name or None)
        case "asset_id":
            return media.asset_id
        case _:
            return None


def stated(*messages: Message) -> dict[str, object]:
    """What the messages say, by field name; what was left out is not in it."""
    return {field.name: value for message in messages for field, value in message.ListFields()}


def check_size(request: Message, limit: int) -> None:
    """Raises RequestError(too_large)."""
    if request.ByteSize() > limit:
        raise RequestError("too_large", f"The message is larger than {limit / 2**20:.0f} MiB.")
