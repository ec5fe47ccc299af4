"""Settings: flag, environment, file, default, in this order; a typo fails at once."""

import json
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from serve.settings import Settings
from sonoscope.console import command, environment, write_login


def test_the_order_of_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "sonoscope.toml"
    file.write_text("port = 1111\nmax_jobs_queued = 7\nenvironment = 'file'\n")
    monkeypatch.setenv("SONOSCOPE_CONFIG", str(file))
    monkeypatch.setenv("SONOSCOPE_PORT", "2222")
    monkeypatch.setenv("SONOSCOPE_MAX_JOBS_QUEUED", "8")
    settings = Settings(port=3333)  # pyright: ignore[reportCallIssue]
    assert (settings.port, settings.max_jobs_queued, settings.environment) == (3333, 8, "file")
    assert settings.host == "127.0.0.1"


def test_a_misspelt_name_in_the_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sonoscope.toml").write_text("prot = 1111\n")
    monkeypatch.setenv("SONOSCOPE_CONFIG", str(tmp_path / "sonoscope.toml"))
    with pytest.raises(ValidationError, match="prot"):
        Settings()


def test_what_is_said_of_a_stage_changes_only_that() -> None:
    stages = Settings(stages={"run_inference": {"num_gpus": 0.5}}).stages  # pyright: ignore[reportArgumentType]
    assert stages["run_inference"].num_gpus == 0.5
    assert stages["run_inference"].max_ongoing_requests == 1
    assert stages["encode_video"].max_ongoing_requests == 8


def test_an_unknown_stage_is_refused() -> None:
    with pytest.raises(ValidationError, match="unknown stage"):
        Settings(stages={"denoise": {}})  # pyright: ignore[reportArgumentType]


def test_folders_are_made_for_their_owner_only(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    settings.prepare()
    assert settings.videos_dir.stat().st_mode & 0o777 == 0o700


def test_a_service_that_others_reach_is_locked_and_cannot_be_opened(tmp_path: Path) -> None:
    assert not Settings(data_dir=tmp_path).locked
    assert Settings(data_dir=tmp_path, access="on").locked
    assert Settings(data_dir=tmp_path, host="0.0.0.0").locked
    with pytest.raises(ValidationError, match="access is off"):
        Settings(data_dir=tmp_path, host="0.0.0.0", access="off")


def test_a_log_in_of_the_console_locks_the_service_also_on_loopback(tmp_path: Path) -> None:
    login = {"client_id": "console", "client_secret": "quite secret"}
    oidc = {"issuer": "http://127.0.0.1:9/realms/office", "audience": "sonoscope", "console": login}
    settings = Settings(data_dir=tmp_path, oidc=oidc, console_host="0.0.0.0")  # pyright: ignore[reportArgumentType]
    assert settings.locked
    with pytest.raises(ValueError, match="people who log in would be nobody"):
        Settings(data_dir=tmp_path, oidc=oidc, access="off")  # pyright: ignore[reportArgumentType]
    write_login(settings)
    file = tmp_path / "console_login.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    told = tomllib.loads(file.read_text())["auth"]
    assert told["server_metadata_url"] == "http://127.0.0.1:9/realms/office/.well-known/openid-configuration"
    assert len(told["cookie_secret"]) >= 32
    assert f"--secrets.files={file}" in command(settings)
    shown = environment(settings, "http://127.0.0.1:1")
    assert "quite secret" not in str(shown) + str(command(settings))
    assert json.loads(shown["SONOSCOPE_CONSOLE_LOGIN"])["hours"] == 8.0
