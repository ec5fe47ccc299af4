"""The files for a cluster are what Ray's own schemas accept, and build the same application."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from serve.settings import Settings

ROOT = Path(__file__).parents[2]


# Deprecated by Ray, but what its replicas push by (its stated replacement did not act when it was measured).
pytestmark = [
    pytest.mark.filterwarnings("ignore:The `metrics_interval_s` field:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20"),  # Ray's own models, when they are imported
]


def config() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "serve" / "config.yaml").read_text())


def test_serves_schema_accepts_the_config_and_drops_nothing() -> None:
    from ray.serve.schema import ServeDeploySchema

    given = config()
    parsed = ServeDeploySchema.model_validate(given).model_dump(exclude_unset=True)
    assert parsed.keys() == given.keys()
    assert parsed["applications"][0].keys() == given["applications"][0].keys()


def test_the_configs_arguments_are_settings() -> None:
    settings = Settings(**config()["applications"][0]["args"])
    assert settings.stages["run_inference"].num_gpus == 1
    assert settings.stages["run_inference"].max_replicas == 8


def test_the_same_build_makes_the_application(tmp_path: Path) -> None:
    from ray.serve._private.build_app import build_app

    from serve.app import build

    arguments = config()["applications"][0]["args"] | {"data_dir": str(tmp_path)}
    names: list[set[str]] = []
    for given in (arguments, Settings(data_dir=tmp_path)):
        built = build_app(build(given), name="sonoscope")
        names.append({deployment.name for deployment in built.deployments})
    stages = {"load_audio", "preprocess_image", "run_inference", "encode_video", "measure_sync"}
    assert names[0] == names[1] == stages | {"api", "runner", "recognize"}


def test_a_stage_that_may_scale_gets_an_autoscaling_config(tmp_path: Path) -> None:
    from ray.serve._private.build_app import build_app

    from serve.app import build

    arguments = config()["applications"][0]["args"] | {"data_dir": str(tmp_path)}
    built = {d.name: d for d in build_app(build(arguments), name="sonoscope").deployments}
    scaling = built["run_inference"]._deployment_config.autoscaling_config
    assert scaling is not None
    assert (scaling.min_replicas, scaling.max_replicas) == (1, 8)
    assert built["run_inference"].ray_actor_options == {"num_cpus": 1.0, "num_gpus": 1.0}


def test_the_launchers_schema_accepts_cluster_yaml() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    given = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    validate_config(prepare_config(given))
    with pytest.raises(Exception, match="nonsense"):
        validate_config(prepare_config(given | {"nonsense": 1}))


def test_an_unknown_setting_in_a_config_is_refused(tmp_path: Path) -> None:
    from serve.app import build

    with pytest.raises(ValueError, match="device_type"):
        build({"data_dir": str(tmp_path), "device_type": "gpu"})
