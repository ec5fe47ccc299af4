"""Fetches the real servers that some tests want into the user's cache folder: three by Maven, the Collector by Go.

    python tests/servers/fetch.py            # what `make servers` runs; what is there already is left as it is

Nothing here fails where a tool is missing: it says what it skipped and why, and the tests that want that server say so again.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ELASTICSEARCH = {"8.19.20": 17, "9.5.0": 21}
"""Versions and the oldest Java that runs them."""
KAFKA = "3.9.1"
KAFKA_JAVA = 17
"""The oldest Java that its tests were run with."""
KEYCLOAK = "26.7.3"
KEYCLOAK_JAVA = 17
"""The oldest Java that runs it."""
COLLECTOR = "0.158.0"
BUILDER = Path(__file__).parent / "collector-builder.yaml"
_KAFKA_POM = """<project><modelVersion>4.0.0</modelVersion><groupId>x</groupId><artifactId>x</artifactId><version>1</version>
<dependencies><dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{version}</version>
</dependency></dependencies></project>"""
_ELASTICSEARCH_ZIP = "org.elasticsearch.distribution.integ-test-zip:elasticsearch:{version}:zip"
_KEYCLOAK_ZIP = f"org.keycloak:keycloak-quarkus-dist:{KEYCLOAK}:zip"


def cache_dir() -> Path:
    """`$XDG_CACHE_HOME/sonoscope/servers`, or below `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "sonoscope" / "servers"


def elasticsearch_home(version: str) -> Path:
    """Where the unpacked distribution of a version lies, or would."""
    return cache_dir() / f"elasticsearch-{version}"


def kafka_home() -> Path:
    """Where the jars of Kafka lie, or would."""
    return cache_dir() / f"kafka-{KAFKA}"


def keycloak_home() -> Path:
    """Where the unpacked distribution of Keycloak lies, or would."""
    return cache_dir() / f"keycloak-{KEYCLOAK}"


def collector_binary() -> Path:
    """Where the built Collector lies, or would."""
    return cache_dir() / f"otelcol-{COLLECTOR}" / "otelcol"


def java_home(oldest: int) -> Path | None:
    """The home of the oldest Java that is new enough, of those in JAVA_HOME, in PATH and below /usr/lib/jvm; None without one."""
    named = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    if found := shutil.which("java"):
        named.append(Path(found).resolve().parents[1])
    known = {java_version(home): home for home in (*named, *Path("/usr/lib/jvm").glob("*")) if (home / "bin" / "java").exists()}
    return min(((version, home) for version, home in known.items() if version >= oldest), default=(0, None))[1]


def java_version(home: Path) -> int:
    """The major version of a Java; 0 where it does not say."""
    done = subprocess.run([home / "bin" / "java", "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', done.stderr)
    return int(found[1]) if found else 0


def fetch_elasticsearch(version: str, oldest_java: int) -> str:
    """Fetches and unpacks one version; returns what was done, or why not."""
    home = elasticsearch_home(version)
    if home.exists():
        return f"there: {home}"
    if java_home(oldest_java) is None:
        return f"skipped: it wants Java {oldest_java} or newer"
    if (maven := shutil.which("mvn")) is None:
        return "skipped: mvn is missing (Debian: apt install maven)"
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as name:
        unpacked, failure = unpacked_zip(maven, _ELASTICSEARCH_ZIP.format(version=version), Path(name))
        if unpacked is None:
            return f"skipped: {failure}"
        unpacked.rename(home)  # whole, or not at all
    return f"fetched: {home}"


def fetch_keycloak() -> str:
    """Fetches Keycloak (177 MB) and builds it, so that each start is short; returns what was done, or why not."""
    home = keycloak_home()
    if home.exists():
        return f"there: {home}"
    if (java := java_home(KEYCLOAK_JAVA)) is None:
        return f"skipped: it wants Java {KEYCLOAK_JAVA} or newer"
    if (maven := shutil.which("mvn")) is None:
        return "skipped: mvn is missing (Debian: apt install maven)"
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as name:
        unpacked, failure = unpacked_zip(maven, _KEYCLOAK_ZIP, Path(name))
        if unpacked is None:
            return f"skipped: {failure}"
        # A cache of one node: it looks for no others in the network.
        command = [str(unpacked / "bin" / "kc.sh"), "build", "--db=dev-file", "--cache=local"]
        environment = {**os.environ, "JAVA_HOME": str(java)}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            return f"skipped: kc.sh build failed: {last_line(done.stdout + done.stderr)}"
        unpacked.rename(home)  # whole, or not at all
    return f"fetched: {home}"


def unpacked_zip(maven: str, artifact: str, folder: Path) -> tuple[Path | None, str]:
    """Maven's copy of a zip, unpacked in a folder: where its own top folder lies, or None and why not."""
    for goal in (
        ["dependency:get", "-Dtransitive=false", f"-Dartifact={artifact}"],
        ["dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={folder}"],
    ):
        done = subprocess.run([maven, "-q", "-B", *goal], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            return None, f"mvn {goal[0]} failed: {last_line(done.stdout + done.stderr)}"
    unpack(next(folder.glob("*.zip")), folder / "out")
    return next((folder / "out").iterdir()), ""


def fetch_kafka() -> str:
    """Fetches Kafka and what it depends on (46 MB); returns what was done, or why not."""
    home = kafka_home()
    if home.exists():
        return f"there: {home}"
    if java_home(KAFKA_JAVA) is None:
        return f"skipped: it wants Java {KAFKA_JAVA} or newer"
    if (maven := shutil.which("mvn")) is None:
        return "skipped: mvn is missing (Debian: apt install maven)"
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as name:
        (Path(name) / "pom.xml").write_text(_KAFKA_POM.format(version=KAFKA))
        command = [maven, "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={name}/jars"]
        done = subprocess.run(command, cwd=name, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"skipped: mvn dependency:copy-dependencies failed: {last_line(done.stdout + done.stderr)}"
        (Path(name) / "jars").rename(home)  # whole, or not at all
    return f"fetched: {home}"


def unpack(archive: Path, target: Path) -> None:
    """The files of a zip, those of `bin` and the native helpers executable, as zipfile does not keep modes."""
    with zipfile.ZipFile(archive) as file:
        file.extractall(target)
    for path in target.rglob("*"):
        if path.is_file() and path.parent.name == "bin":
            path.chmod(0o755)


def fetch_collector() -> str:
    """Builds the Collector (six minutes the first time on two cores); returns what was done, or why not."""
    binary = collector_binary()
    if binary.exists():
        return f"there: {binary}"
    if (go := shutil.which("go")) is None:
        return "skipped: go is missing (1.25 or newer)"
    binary.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=binary.parent) as name:
        config = Path(name) / "builder.yaml"
        config.write_text(BUILDER.read_text().replace("OUTPUT", f"{name}/out"))
        builder = f"go.opentelemetry.io/collector/cmd/builder@v{COLLECTOR}"
        command = [go, "run", builder, "--config", str(config)]
        environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-modcacherw"}
        done = subprocess.run(command, cwd=name, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            return f"skipped: the build failed: {last_line(done.stderr)}"
        (Path(name) / "out" / "otelcol").rename(binary)
    return f"built: {binary}"


def last_line(text: str) -> str:
    """The last line that says anything."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "no reason given")


def main() -> None:
    """Fetches all of them and says one line for each: what Maven brings in turn (its folder is one), and beside it the Go build."""
    with ThreadPoolExecutor() as beside:
        collector = beside.submit(fetch_collector)
        for version, oldest in ELASTICSEARCH.items():
            print(f"Elasticsearch {version}: {fetch_elasticsearch(version, oldest)}", flush=True)
        print(f"Kafka {KAFKA}: {fetch_kafka()}", flush=True)
        print(f"Keycloak {KEYCLOAK}: {fetch_keycloak()}", flush=True)
        print(f"OpenTelemetry Collector {COLLECTOR}: {collector.result()}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
