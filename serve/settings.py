"""Every setting in one model: name, default, environment variable (SONOSCOPE_ + the name), and why it is what it is.

Resolution order: what is passed in (a flag), the environment, `sonoscope.toml`, the default.
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import os
import secrets
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from deployments.artifacts import SCHEMES, Place
from serve.kafka import KafkaSettings
from serve.oidc import ConsoleLogin, OidcSettings
from serve.scaling import Scaling
from serve.traffic import TrafficExperiment


def default_data_dir() -> Path:
    """`$XDG_DATA_HOME/sonoscope`, or `~/.local/share/sonoscope`."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "sonoscope"


def make_secret(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, unless it is there: whoever comes first decides."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(draft)
    draft.unlink()


def _known_as(name: str, variable: str) -> AliasChoices:
    """A setting that is read from a variable which others have named, from our own one, and from sonoscope.toml."""
    return AliasChoices(variable, f"SONOSCOPE_{name.upper()}", name)


class StageResources(BaseModel):
    """What one replica of a stage holds, and how many there are."""

    model_config = ConfigDict(extra="forbid")

    num_cpus: float = Field(default=0.1, ge=0, description="CPUs that Ray sets aside for a replica; a share, not a limit")
    num_gpus: float = Field(default=0.0, ge=0, description="GPUs for a replica; a fraction shares one")
    min_replicas: int = Field(default=1, ge=0, description="replicas that are always there")
    max_replicas: int = Field(default=1, ge=1, description="replicas at most; above min_replicas Serve scales by load")
    max_ongoing_requests: int = Field(default=4, ge=1, description="calls that a replica takes at a time")


def _stages() -> dict[str, StageResources]:
    # Inference takes one request at a time: two on one device are each half as fast, and both hold their memory.
    # The encoder's replica holds a stream and an ffmpeg process for each call; waiting for inference costs it nothing.
    return {
        "load_audio": StageResources(max_ongoing_requests=8),
        "preprocess_image": StageResources(max_ongoing_requests=4),
        "run_inference": StageResources(max_ongoing_requests=1),
        "encode_video": StageResources(max_ongoing_requests=8),
        "measure_sync": StageResources(max_ongoing_requests=4),
        # Its calls wait for their batch: with fewer of them at a time there would be nothing to batch.
        "recognize": StageResources(max_ongoing_requests=64),
    }


class Settings(BaseSettings):
    """The service's settings. Unknown names are refused: a typo must fail at once."""

    model_config = SettingsConfigDict(env_prefix="SONOSCOPE_", env_nested_delimiter="__", extra="forbid", validate_default=True)

    data_dir: Path = Field(default_factory=default_data_dir, description="where journal, assets, videos and jobs live")
    artifacts_url: str | None = Field(
        default=None, description="where uploads and videos are kept: s3://bucket/prefix or file:///folder; empty = in data_dir"
    )
    artifacts_endpoint: str | None = Field(
        default=None,
        validation_alias=_known_as("artifacts_endpoint", "AWS_ENDPOINT_URL_S3"),
        description="an S3 server other than AWS'; key and secret come from each node's own AWS_… variables or role",
    )
    artifacts_cache_bytes: int = Field(
        default=4 * 2**30, ge=0, description="bound of what each node keeps of the artifact store on its disk"
    )
    environment: str = Field(default="local", description="deployment.environment.name on every span and event")
    host: str = Field(default="127.0.0.1", description="address that the service listens on; loopback unless told otherwise")
    port: int = Field(default=8000, ge=0, le=65535, description="the service's port; 0 picks a free one")
    grpc_port: int | None = Field(default=None, ge=0, le=65535, description="port of the gRPC door; empty = none, 0 = a free one")
    access: Literal["auto", "on", "off"] = Field(
        default="auto", description="keys or tokens are asked for: auto = on every address but loopback, there with oidc.console"
    )
    oidc: OidcSettings | None = Field(
        default=None, description="OpenID Connect tokens beside API keys: issuer, audience, names of claims and roles"
    )
    dashboard: bool = Field(default=True, description="start Ray's dashboard (on loopback, behind Ray's token)")
    dashboard_port: int = Field(default=8265, ge=0, le=65535, description="the dashboard's port; 0 picks a free one")
    console: bool = Field(default=True, description="start the console, where it is installed")
    console_host: str = Field(
        default="127.0.0.1", description="address of the console; elsewhere than on loopback it needs oidc.console"
    )
    console_port: int = Field(default=8501, ge=0, le=65535, description="the console's port; 0 picks a free one")
    ray_address: str | None = Field(default=None, description="a running Ray cluster to use; empty = start one on this machine")
    ray_auth_mode: str = Field(
        default="token", pattern="^(token|disabled)$", description="Ray's services bind all interfaces: keep the token"
    )
    flow_host: str | None = Field(default=None, description="address on which an encoder takes frames; empty = the node's own")
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto takes a GPU where Ray sees one")
    torch_threads: int = Field(default=0, ge=0, description="threads of inference on the CPU; 0 = half the cores")
    device_memory_share: float | None = Field(
        default=None, gt=0, le=1, description="share of a GPU's memory for a replica; empty = its num_gpus where that is below 1"
    )
    encoder: str | None = Field(default=None, description="ffmpeg's video encoder; empty = NVENC where it works, else libx264")
    encoder_timeout_s: float = Field(default=60.0, gt=0, description="an encoder that makes no progress for so long is stopped")
    jobs_database_url: SecretStr | None = Field(
        default=None, description="postgresql://user:password@host/name for the table of jobs; empty = SQLite in the data folder"
    )
    job_attempts: int = Field(
        default=3, ge=1, le=10, description="attempts of a job whose error may pass by itself; 1 = never again"
    )
    job_backoff_s: float = Field(default=1.0, gt=0, description="wait before the second attempt; doubles with each")
    job_lease_s: float = Field(
        default=15.0, ge=2.0, description="a runner that does not renew its jobs for so long is dead: they are taken up again"
    )
    results_keep_s: float = Field(
        default=30 * 86_400.0, gt=0, description="age at which a result is removed; its job answers 410 for as long again, then 404"
    )
    assets_keep_s: float = Field(
        default=30 * 86_400.0,
        gt=0,
        description="time after its last use at which an upload is removed, with its name in the catalogue",
    )
    webhook_secret: SecretStr | None = Field(
        default=None, description="signs webhooks, whsec_ and base64; empty = the key that is made in the data folder (webhook.key)"
    )
    webhook_allow_private: bool = Field(default=False, description="let webhooks reach loopback and private networks")
    webhook_backoff_s: float = Field(
        default=5.0, gt=0, description="wait before a webhook is tried again; four times as long each time"
    )
    deadline_s: float = Field(default=1800.0, gt=0, description="a request without a deadline of its own gets this one")
    max_jobs_queued: int = Field(
        default=100, ge=1, description="jobs waiting; beyond it: overloaded, at 90 % for normal and 50 % for low priority"
    )
    drain_s: float = Field(default=20.0, ge=0, le=3600, description="what runs when the service is stopped has so long to end")
    max_jobs_running: int = Field(
        default=4, ge=1, description="jobs in the pipeline at a time: one in inference, the others before or behind it"
    )
    max_pixel_seconds: float = Field(default=600e6, gt=0, description="pixels x seconds of video in flight: 512x512 for 38 minutes")
    max_upload_bytes: int = Field(default=64 * 2**20, ge=1024, description="size of a request's body")
    max_image_pixels: int = Field(default=40_000_000, ge=4096, description="pixels of a portrait, checked before decoding")
    max_audio_s: float = Field(default=600.0, gt=0, description="length of the speech")
    recognize_floor: float = Field(default=0.3, ge=0, le=1, description="probability below which no label is stated as a fact")
    recognize_dir: Path | None = Field(
        default=None, description="a ModelScope directory of general recognition; empty = EfficientNet-Lite0"
    )
    backends: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="options of talking heads by name: sonic takes checkout, checkpoints, python, dtype"
    )
    max_pictures: int = Field(default=64, ge=1, le=1000, description="pictures in one request for recognition")
    max_pictures_waiting: int = Field(default=512, ge=1, description="pictures in recognition at a time; beyond it: overloaded")
    refuse_invisible_names: bool = Field(
        default=False, description="refuse pictures whose name holds invisible characters, instead of advising against it"
    )
    log_bytes: int = Field(
        default=16 * 2**20,
        ge=2**16,
        description="size at which a log of ours or of Ray begins anew; one older file of each is kept",
    )
    compact_every_s: float = Field(default=60.0, gt=0, description="seconds between two compactions of the journal into Parquet")
    retention_max_age_s: float | None = Field(default=None, gt=0, description="age at which Parquet is deleted; empty = never")
    retention_max_bytes: int | None = Field(
        default=None,
        gt=0,
        description="size beyond which the oldest Parquet is deleted; for a minute after a merge an hour counts twice",
    )
    tempo_url: str | None = Field(
        default=None, validation_alias=_known_as("tempo_url", "TEMPO_URL"), description="Tempo, where traces are read"
    )
    tempo_tenant: str | None = Field(default=None, description="Tempo's tenant, sent as X-Scope-OrgID; empty = none")
    tempo_headers: dict[str, SecretStr] = Field(default_factory=dict, description="headers that Tempo's gateway wants, as JSON")
    otlp_endpoint: str | None = Field(
        default=None,
        validation_alias=_known_as("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        description="OTLP/HTTP receiver of spans, without /v1/traces; empty = port 4318 of tempo_url's host",
    )
    otlp_traces_endpoint: str | None = Field(
        default=None,
        validation_alias=_known_as("otlp_traces_endpoint", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        description="the same as a whole address; goes before otlp_endpoint",
    )
    otlp_headers: SecretStr | None = Field(
        default=None,
        validation_alias=_known_as("otlp_headers", "OTEL_EXPORTER_OTLP_HEADERS"),
        description="headers for the receiver: name=value,name=value (URL-encoded)",
    )
    otlp_ca_file: Path | None = Field(
        default=None,
        validation_alias=_known_as("otlp_ca_file", "OTEL_EXPORTER_OTLP_CERTIFICATE"),
        description="CA file for the receiver",
    )
    elasticsearch_url: str | None = Field(
        default=None, validation_alias=_known_as("elasticsearch_url", "ELASTICSEARCH_URL"), description="where events are kept"
    )
    elasticsearch_username: str | None = Field(
        default=None,
        validation_alias=_known_as("elasticsearch_username", "ELASTICSEARCH_USERNAME"),
        description="user of Elasticsearch",
    )
    elasticsearch_password: SecretStr | None = Field(
        default=None, validation_alias=_known_as("elasticsearch_password", "ELASTICSEARCH_PASSWORD"), description="and its password"
    )
    elasticsearch_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=_known_as("elasticsearch_api_key", "ELASTICSEARCH_API_KEY"),
        description="API key (id:key in base64); goes before a user",
    )
    elasticsearch_ca_file: Path | None = Field(
        default=None,
        validation_alias=_known_as("elasticsearch_ca_file", "ELASTICSEARCH_CA_FILE"),
        description="CA file for Elasticsearch",
    )
    elasticsearch_index: str = Field(
        default="sonoscope-logs", pattern=r"^[a-z0-9][a-z0-9._-]*$", description="beginning of the daily indices' names"
    )
    elasticsearch_keep_days: int | None = Field(
        default=None, ge=1, description="age at which Elasticsearch deletes an index, where it knows lifecycles; empty = never"
    )
    forward_sampling_share: float = Field(
        default=1.0, gt=0, le=1, description="share of the traces that are shipped, beside every error and all that is slow"
    )
    forward_hold_s: float = Field(
        default=1860.0, gt=0, description="how long spans wait for the end of their request: the default deadline and a minute"
    )
    forward_hold_bytes: int = Field(default=64_000_000, ge=1_000_000, description="bytes of spans that wait at most")
    forward_backoff_s: float = Field(default=30.0, gt=0, description="longest wait between two attempts to reach a server")
    forward_max_backlog_bytes: int = Field(
        default=10 * 2**30, ge=1, description="undelivered bytes beyond which forwarder and doctor complain; nothing is deleted"
    )
    kafka: KafkaSettings | None = Field(
        default=None, description="brokers, topics and group of `sonoscope consume` (docs/kafka.md); empty = off"
    )
    redact_keep_names: bool = Field(default=False, description="put file names and their search keys into events as well")
    synonyms_file: Path | None = Field(default=None, description="words that mean the same in file names; empty = the package's")
    rules_file: Path | None = Field(default=None, description="known causes of your own beside the shipped ones (docs/rules.md)")
    alerts_file: Path | None = Field(
        default=None, description="what is watched and who hears of it (docs/alerts.md); empty = nothing"
    )
    cache_bytes: int = Field(default=256 * 2**20, ge=0, description="bound of the preprocessing cache on disk")
    faults_file: Path | None = Field(default=None, description="plan of known defects for drills; only on loopback")
    sync_measure: bool = Field(default=True, description="measure lips against sound in every finished video")
    sync_sample: float = Field(default=1.0, ge=0, le=1, description="share of the requests that are measured, chosen by their id")
    stages: dict[str, StageResources] = Field(default_factory=_stages, description="resources and replicas of each stage")
    scaling: Scaling = Field(default_factory=Scaling, description="when inference gets more replicas and fewer (docs/cluster.md)")
    traffic_experiment: TrafficExperiment | None = Field(
        default=None, description="name, share and parameters: a share of the traffic at another setting, at random; empty = none"
    )
    service_version: str | None = Field(
        default=None, min_length=1, max_length=64, description="what the records call this release; empty = the package's version"
    )
    replica_drain_s: float = Field(
        default=20.0, gt=0, description="a replica that is to go (an update, fewer of them) has so long to end what it works on"
    )

    @field_validator("webhook_secret")
    @classmethod
    def _secret_is_base64(cls, given: SecretStr | None) -> SecretStr | None:
        if given is not None:
            try:
                key = base64.b64decode(given.get_secret_value().removeprefix("whsec_"), validate=True)
            except ValueError:
                key = b""
            if len(key) < 24:
                raise ValueError("it must be whsec_ and the base64 of at least 24 random bytes")
        return given

    @field_validator("jobs_database_url")
    @classmethod
    def _known_database(cls, given: SecretStr | None) -> SecretStr | None:
        if given is not None and not given.get_secret_value().startswith(("postgresql://", "postgresql+psycopg://", "sqlite:///")):
            raise ValueError("it must begin with postgresql:// or sqlite:///")
        return given

    @field_validator("artifacts_url")
    @classmethod
    def _known_store(cls, given: str | None) -> str | None:
        parts = urlsplit(given or "")
        if given and (parts.scheme not in SCHEMES or not (parts.path if parts.scheme == "file" else parts.netloc)):
            raise ValueError(f"{given!r} must begin with s3://bucket or file:///folder")
        return given or None

    @field_validator("artifacts_endpoint", "tempo_url", "otlp_endpoint", "otlp_traces_endpoint", "elasticsearch_url", mode="before")
    @classmethod
    def _no_address(cls, given: Any) -> Any:
        """An empty variable is an unset one, as OpenTelemetry has it; another address must be one."""
        if isinstance(given, str) and given and urlsplit(given).scheme not in ("http", "https"):
            raise ValueError(f"{given!r} is not an address such as http://host:9200")
        return given or None

    @field_validator("stages", mode="before")
    @classmethod
    def _fill_stages(cls, given: Any) -> dict[str, Any]:
        """What is given for a stage changes that stage's defaults; an unknown stage is refused."""
        base = {name: stage.model_dump() for name, stage in _stages().items()}
        for name, change in dict(given).items():
            if name not in base:
                raise ValueError(f"unknown stage {name}; the stages are {', '.join(base)}")
            base[name] |= change.model_dump(exclude_unset=True) if isinstance(change, StageResources) else dict(change)
        return base

    @model_validator(mode="after")
    def _faults_stay_at_home(self) -> Settings:
        """Raises where a plan of defects would reach people outside, or cannot be read."""
        if self.faults_file is not None:
            from deployments.faults import read_plan

            if not self.on_loopback:
                raise ValueError(
                    f"faults_file is set and host is {self.host}: defects are injected on loopback only; unset one of the two"
                )
            read_plan(self.faults_file)
        return self

    @model_validator(mode="after")
    def _never_open_to_all(self) -> Settings:
        if self.access == "off" and not self.on_loopback:
            raise ValueError(f"access is off and host is {self.host}: the whole network could use it; leave access at auto")
        if self.access == "off" and self.console_login:
            raise ValueError("access is off and oidc.console is set: people who log in would be nobody to the service; unset one")
        return self

    @property
    def locked(self) -> bool:
        """True where nothing is answered without an API key or a token."""
        return self.access == "on" or (self.access == "auto" and (self.console_login is not None or not self.on_loopback))

    @property
    def console_login(self) -> tuple[OidcSettings, ConsoleLogin] | None:
        """The issuer, and the console as its client, where people log in to the console."""
        return (self.oidc, self.oidc.console) if self.oidc is not None and self.oidc.console is not None else None

    @property
    def on_loopback(self) -> bool:
        """True where only this machine reaches the service."""
        return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml = TomlConfigSettingsSource(settings_cls, Path(os.environ.get("SONOSCOPE_CONFIG", "sonoscope.toml")))
        return init_settings, env_settings, toml

    @property
    def traces_url(self) -> str | None:
        """The whole address of the OTLP receiver; None where spans are not shipped."""
        if self.otlp_traces_endpoint:
            return self.otlp_traces_endpoint
        if self.otlp_endpoint:
            return self.otlp_endpoint.rstrip("/") + "/v1/traces"
        if self.tempo_url is None:
            return None
        tempo = urlsplit(self.tempo_url)
        host = f"[{tempo.hostname}]" if ":" in (tempo.hostname or "") else tempo.hostname
        return f"{tempo.scheme}://{host}:4318/v1/traces"

    @property
    def forwarded(self) -> tuple[str, ...]:
        """The kinds of telemetry that are shipped: `spans`, `events`."""
        return (*(("spans",) if self.traces_url else ()), *(("events",) if self.elasticsearch_url else ()))

    @property
    def journal_dir(self) -> Path:
        """Segments of spans and events."""
        return self.data_dir / "journal"

    @property
    def device_share(self) -> float | None:
        """Share of a GPU's memory that a replica of inference may take; None: all of it."""
        booked = self.stages["run_inference"].num_gpus
        return self.device_memory_share or (booked if 0 < booked < 1 else None)

    @property
    def place(self) -> Place:
        """Where uploads and results are kept."""
        return Place(self.data_dir, self.artifacts_url, self.artifacts_endpoint, self.artifacts_cache_bytes)

    @property
    def assets_dir(self) -> Path:
        """Uploads by content hash, where artifacts have no URL."""
        return self.data_dir / "assets"

    @property
    def videos_dir(self) -> Path:
        """Results by request id, where artifacts have no URL."""
        return self.data_dir / "videos"

    @property
    def cache_dir(self) -> Path:
        """Preprocessing results by content hash and parameters."""
        return self.data_dir / "cache"

    @property
    def parquet_dir(self) -> Path:
        """What the compactor has made of sealed segments."""
        return self.data_dir / "parquet"

    @property
    def jobs_url(self) -> str:
        """SQLAlchemy URL of the job table."""
        if self.jobs_database_url is not None:
            return self.jobs_database_url.get_secret_value()
        return f"sqlite:///{self.data_dir / 'jobs.db'}"

    @property
    def webhook_key(self) -> bytes:
        """What webhooks are signed with: the setting's, else the one of the data folder, made at the first call."""
        given = self.webhook_secret.get_secret_value() if self.webhook_secret else None
        if given is None:
            path = self.data_dir / "webhook.key"
            if not path.exists():
                make_secret(path, "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())
            given = path.read_text()
        return base64.b64decode(given.strip().removeprefix("whsec_"), validate=True)

    def prepare(self) -> None:
        """Creates the data folders, readable by their owner only."""
        for folder in (self.data_dir, self.journal_dir, self.assets_dir, self.videos_dir, self.cache_dir):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
