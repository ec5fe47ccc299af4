"""The files for a cluster are what Ray's own schemas accept, and build the same application."""

from __future__ import annotations

import os
import subprocess
import time
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
    assert (scaling.min_replicas, scaling.max_replicas) == (0, 8)
    assert scaling.policy.policy_function == "serve.autoscale:CostPolicy"
    assert scaling.policy.policy_kwargs["rules"]["target_s"] == arguments["scaling"]["target_s"]
    assert built["encode_video"]._deployment_config.autoscaling_config.policy.is_default_policy_function()
    assert built["run_inference"].ray_actor_options == {"num_cpus": 1.0, "num_gpus": 1.0}


def test_a_database_that_the_autoscaler_would_not_find_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from serve.app import build

    arguments = config()["applications"][0]["args"] | {"data_dir": str(tmp_path)}
    with pytest.raises(ValueError, match="SONOSCOPE_JOBS_DATABASE_URL"):
        build(arguments | {"jobs_database_url": "postgresql://jobs@db/jobs"})
    monkeypatch.setenv("SONOSCOPE_JOBS_DATABASE_URL", "postgresql://jobs@db/jobs")
    build(arguments)


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


def rayservice() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "deploy" / "kuberay" / "rayservice.yaml").read_text())


def test_the_same_application_on_kubernetes() -> None:
    """It differs from serve/config.yaml in the address only: a pod is reached by its own."""
    from ray.serve.schema import ServeDeploySchema

    there, here = yaml.safe_load(rayservice()["spec"]["serveConfigV2"]), config()
    ServeDeploySchema.model_validate(there)
    here["http_options"]["host"] = here["applications"][0]["args"]["host"] = "0.0.0.0"
    assert there == here


def test_kubernetes_own_schema_accepts_the_pods_and_each_ships_its_journal() -> None:
    check = pytest.importorskip("kubernetes_validate", reason="the extra `dev` brings kubernetes-validate")
    cluster = rayservice()["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "node"}, "spec": group["template"]["spec"]}
        check.validate(pod, "1.31", strict=True)
        ray, *beside = pod["spec"]["containers"]
        assert ray["name"].startswith("ray-")  # KubeRay takes the first container for Ray's
        assert [one["name"] for one in beside] == ["forwarder", "compactor"]
        # What a data folder of its own would make anew in every pod, or hold for itself.
        assert {one["name"] for one in ray["env"]} == {"SONOSCOPE_JOBS_DATABASE_URL", "SONOSCOPE_WEBHOOK_SECRET"}
        journals = [[m["name"] for m in one["volumeMounts"] if m["mountPath"] == "/var/lib/sonoscope"] for one in (ray, *beside)]
        assert journals == [["data"]] * 3
    with pytest.raises(check.ValidationError, match="imagine"):
        check.validate({**pod, "spec": {**pod["spec"], "containers": [{"name": "x", "imagine": "y"}]}}, "1.31", strict=True)


def test_the_files_agree_on_versions_and_folders() -> None:
    from importlib.metadata import version

    assert rayservice()["spec"]["rayClusterConfig"]["rayVersion"] == version("ray")
    folder = config()["applications"][0]["args"]["data_dir"]
    assert f"SONOSCOPE_DATA_DIR={folder}\n" in (ROOT / "deploy" / "node.sh").read_text()
    launcher = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    assert any(folder in command for command in launcher["initialization_commands"])
    for commands in (launcher["head_start_ray_commands"], launcher["worker_start_ray_commands"]):
        assert commands[-1] == "~/sonoscope/deploy/node.sh forwarder"


def test_a_vanished_machine_is_given_up_by_a_setting_that_ray_knows() -> None:
    import ray

    name = "grpc_client_keepalive_timeout_ms"
    for file in ("node.sh", "kuberay/Dockerfile"):
        assert f"RAY_{name}=20000" in (ROOT / "deploy" / file).read_text()
    # Ray says nothing of a variable that it does not know.
    assert name.encode() in (Path(ray.__file__).parent / "_raylet.so").read_bytes()


def node(tmp_path: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "sonoscope.env"
    lines = [f"{name}={value}" for name, value in {"SONOSCOPE_DATA_DIR": tmp_path / "data", **env}.items()]
    file.write_text("\n".join(lines) + "\n")
    command = [str(ROOT / "deploy" / "node.sh"), *arguments]
    told = {name: value for name, value in os.environ.items() if not name.startswith("SONOSCOPE_")}
    return subprocess.run(command, env=told | {"SONOSCOPE_ENV": str(file)}, capture_output=True, text=True, timeout=30)


def test_a_node_without_a_shared_folder_is_refused(tmp_path: Path) -> None:
    done = node(tmp_path, "forwarder")
    assert done.returncode == 2
    assert "SONOSCOPE_SHARED is not set" in done.stderr


def test_a_node_needs_no_shared_folder_where_a_store_and_the_keys_are_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    keys = {"SONOSCOPE_REDACT_KEY": "ab" * 32, "SONOSCOPE_WEBHOOK_SECRET": "whsec_AAAA"}
    assert node(tmp_path, "forwarder", **keys).returncode == 2, "no store"
    try:
        assert node(tmp_path, "forwarder", SONOSCOPE_ARTIFACTS_URL="s3://bucket/x", **keys).returncode == 0
        assert (tmp_path / "data" / "redact.key").read_bytes() == b"\xab" * 32
        assert (tmp_path / "data" / "redact.key").stat().st_mode & 0o777 == 0o600
        assert not [path for path in (tmp_path / "data").iterdir() if path.is_symlink()]
    finally:
        assert node(tmp_path, "stop").returncode == 0


def test_a_node_shares_inputs_results_and_keys_and_keeps_its_helpers_running(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    shared = {"SONOSCOPE_SHARED": str(tmp_path / "shared")}
    assert node(tmp_path, "forwarder", **shared).returncode == 0
    try:
        links = {path.name for path in (tmp_path / "data").iterdir() if path.is_symlink()}
        assert links == {"assets", "videos", "redact.key", "webhook.key"}
        key = (tmp_path / "data" / "redact.key").read_bytes()
        pid = (tmp_path / "data" / "node.pid").read_text().strip()
        # Started once more, as `ray up` does: the same key, and the old helpers are gone.
        assert node(tmp_path, "forwarder", **shared).returncode == 0
        assert (tmp_path / "data" / "redact.key").read_bytes() == key
        second = (tmp_path / "data" / "node.pid").read_text().strip()
        assert second != pid
        until = time.monotonic() + 10
        while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
            time.sleep(0.02)
        assert not Path(f"/proc/{pid}").exists()
        assert Path(f"/proc/{second}").exists()
    finally:
        assert node(tmp_path, "stop").returncode == 0
    assert not (tmp_path / "data" / "node.pid").exists()
