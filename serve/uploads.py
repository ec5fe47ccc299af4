"""Bodies and assets: bounded before anything is decoded, stored by content hash, never under a client's name."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive

from deployments.artifacts import Artifacts, asset_name
from telemetry.errors import RequestError
from telemetry.text_json import read_object

_BLOCK = 1 << 20
_ASSET_ID = re.compile(r"[0-9a-f]{64}")
_JSON_BYTES = 1 << 20
_FILES = {"portrait": "portrait", "audio": "audio", "portrait_image": "portrait", "audio_clip": "audio"}
"""Names that clients send for the two inputs."""


@dataclass(frozen=True)
class Asset:
    """A stored upload: its id is the SHA-256 of its bytes. `name` is what the client called it."""

    asset_id: str
    bytes: int
    name: str | None = None


@dataclass(frozen=True)
class Order:
    """What a request asks for, as it was sent: the two inputs (an upload or an asset id) and its parameters."""

    inputs: dict[str, UploadFile | str]
    parameters: dict[str, Any]

    async def close(self) -> None:
        """Lets go of the temporary files of the uploads."""
        for value in self.inputs.values():
            if isinstance(value, UploadFile):
                await value.close()


def limited(request: Request, limit: int) -> Request:
    """The same request, whose body raises RequestError(too_large) as soon as more than `limit` bytes have come."""
    refused = RequestError("too_large", f"The body is larger than {limit / 2**20:.0f} MiB.")
    if int(request.headers.get("content-length") or 0) > limit:
        raise refused
    return Request(request.scope, _counted(request.receive, limit, refused))


def _counted(receive: Receive, limit: int, refused: RequestError) -> Receive:
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise refused
        return message

    return counted


class AssetStore:
    """Files named by their hash; they appear whole or not at all."""

    def __init__(self, artifacts: Artifacts):
        self._artifacts = artifacts

    async def resolve(self, value: UploadFile | str, field: str) -> Asset:
        """Stores an upload, or looks an id up. Raises RequestError as `find` does."""
        return await self.save(value) if isinstance(value, UploadFile) else await self.find(value, field)

    async def find(self, asset_id: Any, field: str) -> Asset:
        """The asset of this id. Raises RequestError: invalid_parameter (no id at all), asset_not_found, store_unreachable."""
        if not isinstance(asset_id, str) or not _ASSET_ID.fullmatch(asset_id):
            raise RequestError(
                "invalid_parameter", f"{field} must be an asset id, 64 hexadecimal digits.", field=field,
                hint="Upload the file with POST /assets and use the id from the answer.",
            )  # fmt: skip
        try:  # its time counts from its last use (assets_keep_s)
            return Asset(asset_id, await asyncio.to_thread(self._artifacts.use, asset_name(asset_id)))
        except FileNotFoundError:
            raise RequestError("asset_not_found", f"There is no asset {asset_id}.", field=field) from None

    async def save(self, upload: UploadFile, *, synced: bool = True) -> Asset:
        """Stores an upload; it is on the disk when this returns, if `synced`. Nothing is left behind when it breaks off.

        Raises RequestError(store_unreachable).
        """
        digest, size = hashlib.sha256(), 0
        part = self._artifacts.place(asset_name(f".{secrets.token_hex(8)}.part"))
        try:
            with part.open("xb") as file:
                while block := await upload.read(_BLOCK):
                    digest.update(block)
                    file.write(block)
                    size += len(block)
                file.flush()
                if synced:
                    os.fsync(file.fileno())
            await asyncio.to_thread(self._artifacts.put, asset_name(digest.hexdigest()), part)
        finally:
            part.unlink(missing_ok=True)
        return Asset(digest.hexdigest(), size, upload.filename)


async def read_order(request: Request) -> Order:
    """The order in a multipart form (files or asset ids) or in JSON (asset ids in `prompt`); nothing is stored yet.

    Raises RequestError: unsupported_media, invalid_parameter, too_large, and for an empty file what its decoder would say.
    """
    async with _let_go(request):
        return await _order(request)


@asynccontextmanager
async def _let_go(request: Request) -> AsyncIterator[None]:
    """Closes the temporary files of a form that is refused: nobody else knows of them."""
    try:
        yield
    except BaseException:
        await request.close()
        raise


async def _order(request: Request) -> Order:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        sent = await _json(request)
    elif kind == "multipart/form-data":
        sent = await _form(request)
    else:
        raise RequestError("unsupported_media", f"The content type {kind or '(none)'} is not understood.")
    inputs: dict[str, UploadFile | str] = {}
    for key in [key for key in sent if key in _FILES]:
        inputs[_FILES[key]] = sent.pop(key)
    check_inputs(inputs)
    return Order(inputs, sent)


def check_inputs(inputs: Mapping[str, UploadFile | str]) -> None:
    """Raises RequestError where an input is missing or an empty file."""
    for name, broken in (("portrait", "image_undecodable"), ("audio", "audio_undecodable")):
        value = inputs.get(name)
        if value is None:
            raise RequestError(
                "invalid_parameter", f"{name} is missing.", field=name, hint=f"Send {name} as a file or an asset id."
            )
        if isinstance(value, UploadFile) and value.size == 0:
            raise RequestError(broken, f"The file {name} is empty.", field=name)


async def read_pictures(request: Request, most: int) -> tuple[list[UploadFile | str], dict[str, Any]]:
    """The pictures of a request (uploads or asset ids) in their order, and what else it says; nothing is stored yet.

    Raises RequestError: unsupported_media, invalid_parameter, too_large.
    """
    async with _let_go(request):
        return await _pictures(request, most)


async def _pictures(request: Request, most: int) -> tuple[list[UploadFile | str], dict[str, Any]]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        rest = await _json_object(request)
        given = rest.pop("image", [])
        pictures = given if isinstance(given, list) else [given]
    elif kind == "multipart/form-data":
        pictures, rest = await _picture_form(request, most)
    else:
        raise RequestError("unsupported_media", f"The content type {kind or '(none)'} is not understood.")
    check_pictures(pictures, most)
    return pictures, rest


def check_pictures(pictures: Sequence[UploadFile | str], most: int) -> None:
    """Raises RequestError(invalid_parameter) where there are none, or more than `most`."""
    if not pictures:
        raise RequestError("invalid_parameter", "image is missing.", field="image", hint="Send image as a file or an asset id.")
    if len(pictures) > most:
        raise RequestError("invalid_parameter", f"{len(pictures)} pictures are too many: at most {most}.", field="image")


async def _picture_form(request: Request, most: int) -> tuple[list[UploadFile | str], dict[str, Any]]:
    form = await _parts(request, "image", max_files=most, max_fields=64 + most)
    pictures: list[UploadFile | str] = []
    rest: dict[str, Any] = {}
    for key, value in form.multi_items():
        if key == "image":
            pictures.append(value)
        elif isinstance(value, UploadFile):
            raise RequestError("invalid_parameter", f"{key} is not a file of this request.", field=key)
        elif key in rest:
            raise RequestError("invalid_parameter", f"{key} was given twice.", field=key)
        else:
            rest[key] = value
    return pictures, rest


async def _parts(request: Request, field: str | None, *, max_files: int, max_fields: int) -> FormData:
    """The parts of a form. Raises RequestError(invalid_parameter, too_large)."""
    try:
        return await request.form(max_files=max_files, max_fields=max_fields, max_part_size=16_384)
    except HTTPException as error:
        raise RequestError("invalid_parameter", f"The form cannot be read: {error.detail}", field=field) from error


async def _form(request: Request) -> dict[str, Any]:
    form = await _parts(request, None, max_files=2, max_fields=64)
    sent: dict[str, Any] = {}
    for key, value in form.multi_items():
        if key in sent:
            raise RequestError("invalid_parameter", f"{key} was given twice.", field=key)
        sent[key] = value
    for key, value in sent.items():
        if isinstance(value, UploadFile) and key not in _FILES:
            raise RequestError("invalid_parameter", f"{key} is not a file of this request.", field=key)
    return sent


async def _json_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object. Raises RequestError(invalid_parameter, too_large)."""
    body = await request.body()
    if len(body) > _JSON_BYTES:
        raise RequestError("too_large", "A JSON body holds ids and parameters only, at most 1 MiB.")
    try:
        return read_object(body)
    except ValueError as error:
        raise RequestError("invalid_parameter", f"The body is {error}.") from None


async def _json(request: Request) -> dict[str, Any]:
    sent = await _json_object(request)
    prompt = sent.get("prompt")
    if not isinstance(prompt, Mapping):
        raise RequestError(
            "invalid_parameter", "prompt is missing.", field="prompt", hint='Send {"prompt": {"portrait_image": id, …}}.'
        )
    outside = {key: value for key, value in sent.items() if key != "prompt"}
    if twice := outside.keys() & prompt.keys():
        name = sorted(twice)[0]
        raise RequestError("invalid_parameter", f"{name} was given twice.", field=name)
    return {**prompt, **outside}
