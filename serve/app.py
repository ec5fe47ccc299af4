"""The DAG is wired here and nowhere else: `build(settings) -> Application`, for this machine and for a cluster alike."""

from __future__ import annotations

from typing import Any, cast

import ray
from ray.serve import Application, Deployment
from ray.serve.config import AutoscalingPolicy

from deployments.config import StageConfig
from deployments.encode import EncodeVideo
from deployments.inference import RunInference
from deployments.load_audio import LoadAudio
from deployments.media.audio import AudioLimits
from deployments.media.picture import PictureLimits
from deployments.messages import RUN_INFERENCE
from deployments.preprocess import PreprocessImage
from deployments.recognize import Recognize
from deployments.sync import MeasureSync
from serve.api import Api
from serve.runner import Runner
from serve.settings import Settings, StageResources


def build(settings: Settings | dict[str, Any]) -> Application:
    """The application: api -> runner -> load_audio, preprocess_image, encode_video -> run_inference, measure_sync; api ->
    recognize.

    `settings` comes as a dict from the `args` of a Serve config file. Raises pydantic.ValidationError for a bad setting.
    """
    settings = settings if isinstance(settings, Settings) else Settings(**settings)
    settings.prepare()
    config = stage_config(settings)
    stages = settings.stages | {"run_inference": _inference_resources(settings)}

    def node(deployment: Any, *arguments: Any, resources: StageResources | None = None) -> Application:
        return _sized(cast(Deployment, deployment), resources, settings).bind(*arguments)

    inference = node(RunInference, config, resources=stages["run_inference"])
    runner = node(
        Runner,
        settings,
        node(LoadAudio, config, resources=stages["load_audio"]),
        node(PreprocessImage, config, resources=stages["preprocess_image"]),
        node(EncodeVideo, config, inference, resources=stages["encode_video"]),
        node(MeasureSync, config, resources=stages["measure_sync"]),
    )
    return node(Api, settings, runner, node(Recognize, config, resources=stages["recognize"]))


def stage_config(settings: Settings) -> StageConfig:
    """What the stages' replicas are told."""
    return StageConfig(
        data_dir=settings.data_dir,
        artifacts=settings.place,
        environment=settings.environment,
        service_version=settings.service_version,
        flow_host=settings.flow_host,
        device=settings.device,
        torch_threads=settings.torch_threads,
        inference_together=settings.stages["run_inference"].max_ongoing_requests,
        device_memory_share=settings.device_share,
        encoder=settings.encoder,
        encoder_timeout_s=settings.encoder_timeout_s,
        faults_file=settings.faults_file,
        cache_bytes=settings.cache_bytes,
        recognize_floor=settings.recognize_floor,
        recognize_dir=settings.recognize_dir,
        backend_options=settings.backends,
        sync_measure=settings.sync_measure,
        sync_sample=settings.sync_sample,
        audio_limits=AudioLimits(max_s=settings.max_audio_s),
        picture_limits=PictureLimits(max_pixels=settings.max_image_pixels),
    )


def _inference_resources(settings: Settings) -> StageResources:
    """Inference asks for a GPU where the cluster has one now; one that starts GPU nodes on demand says so in its config."""
    asked = settings.stages["run_inference"]
    if asked.num_gpus or settings.device == "cpu" or not ray.is_initialized():
        return asked
    return asked.model_copy(update={"num_gpus": min(1.0, ray.cluster_resources().get("GPU", 0.0))})


def _sized(deployment: Deployment, resources: StageResources | None, settings: Settings) -> Deployment:
    """The deployment with its resources. Door and runner hold a call for every client that waits, and use hardly any CPU."""
    deployment = deployment.options(graceful_shutdown_timeout_s=settings.replica_drain_s)
    if resources is None:
        return deployment.options(ray_actor_options={"num_cpus": 0.1}, max_ongoing_requests=10_000)
    scale: dict[str, Any] = {"num_replicas": resources.min_replicas}
    if resources.max_replicas > resources.min_replicas:
        bounds = {"min_replicas": resources.min_replicas, "max_replicas": resources.max_replicas}
        # metrics_interval_s is what the replicas push by: 10 s (the default) delays every scale-up by as much.
        scale = {"autoscaling_config": bounds | {"target_ongoing_requests": 1, "metrics_interval_s": 1}}
        if deployment.name == RUN_INFERENCE:
            scale["autoscaling_config"] |= _by_cost(settings)
    return deployment.options(
        ray_actor_options={"num_cpus": resources.num_cpus, "num_gpus": resources.num_gpus},
        max_ongoing_requests=resources.max_ongoing_requests,
        **scale,
    )


def _by_cost(settings: Settings) -> dict[str, Any]:
    """Inference is scaled by the work that waits. The policy has its own patience, so Serve's is switched off.

    Raises ValueError where the policy, which runs in Serve's controller, would not find the table of jobs.
    """
    if Settings(data_dir=settings.data_dir).jobs_url != settings.jobs_url:
        raise ValueError("jobs_database_url: to scale by what waits, set SONOSCOPE_JOBS_DATABASE_URL where Ray's head starts")
    given = {"data_dir": str(settings.data_dir.absolute()), "rules": settings.scaling.model_dump()}
    policy = AutoscalingPolicy(policy_function="serve.autoscale:CostPolicy", policy_kwargs=given)
    return {"policy": policy, "upscale_delay_s": 0.0, "downscale_delay_s": 0.0}
