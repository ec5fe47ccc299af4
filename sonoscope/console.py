"""The console as a child of `up`: its command line, and the settings that it is told by its environment."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

from pydantic import SecretStr

from serve.settings import Settings, make_secret
from telemetry.redact import Redactor

_TOLD = (
    "tempo_url", "tempo_tenant", "elasticsearch_url", "elasticsearch_username", "elasticsearch_password", "elasticsearch_api_key",
    "elasticsearch_ca_file",
)  # fmt: skip
"""Settings of the stores, under the names of their environment variables in capitals."""


def installed() -> bool:
    """True where the extra `console` is there."""
    return importlib.util.find_spec("streamlit") is not None


def command(settings: Settings) -> list[str]:
    """What starts the console on its port, without a browser window and without a menu for developers."""
    app = Path(__file__).parents[1] / "console" / "app.py"
    options = {
        "server.address": settings.console_host,
        "server.port": str(settings.console_port),
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "server.maxUploadSize": str(max(1, settings.max_upload_bytes // 2**20)),
        "client.toolbarMode": "minimal",
        "browser.gatherUsageStats": "false",
    }
    if settings.console_login is not None:
        options["secrets.files"] = str(_login_file(settings))
    return [sys.executable, "-m", "streamlit", "run", str(app), *(f"--{name}={value}" for name, value in options.items())]


def environment(settings: Settings, service_url: str) -> dict[str, str]:
    """Where the console finds the service and the stores."""
    told = {name.upper(): getattr(settings, name) for name in _TOLD}
    known = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else str(value) for name, value in told.items() if value
    }
    more = {
        "SONOSCOPE_URL": service_url,
        "SONOSCOPE_CONSOLE_HOST": settings.console_host,
        "SONOSCOPE_ELASTICSEARCH_INDEX": settings.elasticsearch_index,
        "SONOSCOPE_TEMPO_HEADERS": json.dumps({name: value.get_secret_value() for name, value in settings.tempo_headers.items()}),
    }
    for name in ("rules_file", "alerts_file"):
        if (path := getattr(settings, name)) is not None:
            more[f"SONOSCOPE_{name.upper()}"] = str(path.absolute())
    if settings.console_login is not None:
        issuer, login = settings.console_login
        kept = issuer.model_dump(include={"role_claim", "department_claim", "roles"})
        more["SONOSCOPE_CONSOLE_LOGIN"] = json.dumps({**kept, "hours": login.hours})
    return more | known


def _login_file(settings: Settings) -> Path:
    return settings.data_dir / "console_login.toml"


def write_login(settings: Settings) -> None:
    """Writes what Streamlit's log-in needs (issuer, client, the cookie's key) where only the owner reads it. Raises OSError."""
    if settings.console_login is None:
        return
    issuer, login = settings.console_login
    url = (login.url or f"http://{settings.console_host}:{settings.console_port}").rstrip("/")
    values = {
        "redirect_uri": f"{url}/oauth2callback",
        "cookie_secret": Redactor.from_file(settings.data_dir / "redact.key").hash("key of the console's cookies"),
        "client_id": login.client_id,
        "client_secret": login.client_secret.get_secret_value(),
        "server_metadata_url": issuer.issuer.rstrip("/") + "/.well-known/openid-configuration",
    }
    lines = ["[auth]", *(f"{name} = {json.dumps(value)}" for name, value in values.items()), 'expose_tokens = ["access"]']
    path = _login_file(settings)
    path.unlink(missing_ok=True)
    make_secret(path, "\n".join(lines) + "\n")
