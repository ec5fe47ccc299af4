"""What a stage's replica is told at its start. Plain values: `serve.app` fills them from the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ray import serve

from deployments.artifacts import Artifacts, Place, artifacts_at, asset_name
from deployments.faults import Faults
from deployments.media.audio import AudioLimits
from deployments.media.picture import PictureLimits
from deployments.node_cache import Held
from telemetry.errors import RequestError
from telemetry.tracing import Telemetry, setup


@dataclass(frozen=True)
class StageConfig:
    """Folders, device, encoder and limits."""

    data_dir: Path
    artifacts: Place | None = None
    """Where uploads and results are kept; None: in `data_dir`."""
    environment: str = "local"
    service_version: str | None = None
    """What the telemetry calls this release; None: the package's version."""
    flow_host: str | None = None
    """Where the encoder waits for its frames' producer: loopback on one machine, the node's own address (None) in a cluster."""
    device: str = "auto"
    torch_threads: int = 0
    inference_together: int = 1
    """Requests that a replica of inference works on at a time."""
    device_memory_share: float | None = None
    """Share of a GPU's memory that a replica may take; None: all that is there."""
    encoder: str | None = None
    encoder_timeout_s: float = 60.0
    faults_file: Path | None = None
    """A plan of known defects for drills; None: none."""
    cache_bytes: int = 256 * 2**20
    recognize_floor: float = 0.3
    recognize_dir: Path | None = None
    """A ModelScope directory in place of the recogniser's own network."""
    backend_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Options of talking heads by name: where `sonic` finds its checkout. Named `backends`, cloudpickle would take the module
    `torch.backends` along with RunInference, and cannot."""
    sync_measure: bool = True
    sync_sample: float = 1.0
    audio_limits: AudioLimits = field(default_factory=AudioLimits)
    picture_limits: PictureLimits = field(default_factory=PictureLimits)

    def telemetry(self) -> Telemetry:
        """This process's telemetry, set up at the first call."""
        return setup("sonoscope", self.data_dir, environment=self.environment, version=self.service_version)

    def faults(self) -> Faults:
        """The plan of known defects as this process follows it. Raises FaultPlanError."""
        return Faults(self.faults_file)

    def store(self) -> Artifacts:
        """This process's store of uploads and results, opened at the first call. Raises as `artifacts_at` does."""
        return artifacts_at(self.artifacts or Place(self.data_dir))

    def asset(self, asset_id: str) -> Held:
        """An upload, on this node's disk for as long as it is held. Blocking.

        Raises RequestError: asset_not_found, store_unreachable.
        """
        try:
            return self.store().held(asset_name(asset_id))
        except FileNotFoundError:
            raise RequestError("asset_not_found", f"The upload {asset_id} is gone.") from None


def replica_id() -> str:
    """Ray Serve's name of the replica that calls this."""
    return serve.get_replica_context().replica_id.unique_id
