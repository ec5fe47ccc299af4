"""Elasticsearch's client with each way to fail as a type of ours; the message says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import elastic_transport
import elasticsearch
from elasticsearch import Elasticsearch, OrjsonSerializer

_MESSAGE = 400
"""Characters of a server's words that an error repeats."""


class ElasticError(OSError):
    """Elasticsearch did not answer the question. The subclasses say why."""


class BadQuery(ElasticError):
    """The server refused the question itself (400)."""


class Refused(ElasticError):
    """It wants credentials, or other ones (401, 403)."""


class Unreachable(ElasticError):
    """Nobody answers at the address, or what answers is no Elasticsearch."""


class TimedOut(ElasticError):
    """No whole answer within the time."""


class Busy(ElasticError):
    """Too much at once (429, 503): later."""


class PointInTimeGone(ElasticError):
    """The state that was being read has expired (404)."""


def connect(
    url: str,
    *,
    username: str | None = None,
    password: str | None = None,
    api_key: str | None = None,
    ca_file: str | None = None,
    timeout_s: float = 60.0,
) -> Elasticsearch:
    """A client. Raises ElasticError where the address or the CA file is none."""
    options: dict[str, Any] = {"request_timeout": timeout_s, "serializer": OrjsonSerializer()}
    if api_key:
        options["api_key"] = api_key
    elif username:
        options["basic_auth"] = (username, password or "")
    if ca_file:
        options["ca_certs"] = ca_file
    try:
        return Elasticsearch(url, **options)
    except (ValueError, OSError) as error:
        raise ElasticError(f"ELASTICSEARCH_URL {url}: {error}") from error


@contextmanager
def failures(url: str) -> Iterator[None]:
    """Turns the client's exceptions into ours."""
    try:
        yield
    except elasticsearch.UnsupportedProductError as error:
        raise Unreachable(
            f"{url} answers, but not as Elasticsearch does; a proxy must pass the header X-Elastic-Product"
        ) from error
    except elasticsearch.NotFoundError as error:
        raise PointInTimeGone(f"{url}: {_words(error)}") from error
    except elasticsearch.BadRequestError as error:
        raise BadQuery(f"{url}: {_words(error)}") from error
    except (elasticsearch.AuthenticationException, elasticsearch.AuthorizationException) as error:
        hint = "set ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD, or ELASTICSEARCH_API_KEY, of a user who may read"
        raise Refused(f"{url}: {error.status_code} {_words(error)} ({hint})") from error
    except elasticsearch.ApiError as error:
        kind = Busy if error.status_code in (429, 502, 503) else ElasticError
        raise kind(f"{url}: {error.status_code} {_words(error)}") from error
    except elastic_transport.ConnectionTimeout as error:
        raise TimedOut(f"{url} gave no answer in time: ask for a shorter range") from error
    except (elastic_transport.TransportError, elastic_transport.SerializationError) as error:
        raise Unreachable(f"{url} does not answer: {str(error)[:_MESSAGE]}") from error


def _words(error: elasticsearch.ApiError) -> str:
    """The server's own reason, with its hint where the question has a slip."""
    body = error.body if isinstance(error.body, dict) else {}
    found = body.get("error", {})
    if not isinstance(found, dict):
        return str(found or error.message)[:_MESSAGE]
    reasons = [cause.get("reason") for cause in found.get("root_cause") or () if isinstance(cause, dict)]
    return "; ".join(filter(None, dict.fromkeys([*reasons, found.get("reason")])))[:_MESSAGE] or str(error.message)[:_MESSAGE]
