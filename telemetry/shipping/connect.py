"""HTTP clients of the forwarder: certificates, credentials, time-outs."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

import httpx


@dataclass(frozen=True)
class Elastic:
    """How to reach Elasticsearch: its address, and a user with a password or an API key (id:key in base64)."""

    url: str
    username: str | None = None
    password: str | None = None
    api_key: str | None = None
    ca_file: str | None = None
    index: str = "sonoscope-logs"
    keep_days: int | None = None
    timeout_s: float = 30.0

    def client(self) -> httpx.Client:
        """A client with these credentials. Raises OSError where the CA file cannot be read."""
        headers = {"authorization": f"ApiKey {self.api_key}"} if self.api_key else {}
        auth = (self.username, self.password or "") if self.username and not self.api_key else None
        return client(ca_file=self.ca_file, timeout_s=self.timeout_s, headers=headers, auth=auth, base_url=self.url)


def client(
    *,
    ca_file: str | None,
    timeout_s: float,
    headers: dict[str, str] | None = None,
    auth: tuple[str, str] | None = None,
    base_url: str = "",
) -> httpx.Client:
    """A client that trusts `ca_file` where one is given, else what the system trusts. Raises OSError where it cannot be read."""
    verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca_file) if ca_file else True
    timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, 5.0))
    return httpx.Client(base_url=base_url, headers=headers, auth=auth, verify=verify, timeout=timeout)
