"""The compose file and the Kubernetes files, as far as they can be judged without a container engine."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from features.settings import SECRETS_DIR, Settings
from serving.settings import ServingSettings
from serving.stack_settings import StackSettings
from tests.docker.compose import COMPOSE, DOCKER, OURS, ROOT, SERVICES
from tests.test_settings import fields_of
from training.settings import TrainingSettings

KUBERNETES = [
    document
    for document in yaml.safe_load_all((DOCKER / "kubernetes" / "serving.yaml").read_text())
    if document
]
PUBLISHED = {
    "api-server": ["127.0.0.1:8080:8080"],
    "grafana": ["127.0.0.1:3000:3000"],
    "mlflow": ["127.0.0.1:5000:5000"],
    "proxy": ["127.0.0.1:8000:8080"],
}
IMAGE_USERS_ARE_ROOT = {"milvus"}
"""docs/operating.md says so; PostgreSQL and Redis give up root themselves, the other images never have it."""
FOREIGN = {"mlflow", *(name for name, service in SERVICES.items() if service["image"] not in OURS)}
"""What reads none of our links."""
TARGET_FILES = ("facet.yml", "alertmanager.yml")
LOOKS_SECRET = re.compile(
    r"PASSWORD|SECRET|TOKEN|FERNET|ADMIN_KEY|SQL_ALCHEMY|DATABASE_URL|BROKER_URL|RESULT_BACKEND"
)
POINTS_ELSEWHERE = re.compile(r"(_CMD|_FILE|__FILE|PASSWORDS_FILE|SECRETS_DIR)$")

every_service = pytest.mark.parametrize("name", sorted(SERVICES))


def known_variables() -> set[str]:
    models = (Settings, ServingSettings, StackSettings, TrainingSettings)
    return {name for model in models for name, _ in fields_of(model)} | {SECRETS_DIR}


def facet_variables() -> Iterator[str]:
    for name, service in SERVICES.items():
        if service["image"] in OURS and name != "grafana":
            yield from (key for key in service.get("environment", {}) if key.startswith("FACET_"))
    kustomization = yaml.safe_load((DOCKER / "kubernetes" / "kustomization.yaml").read_text())
    for literal in kustomization["configMapGenerator"][0]["literals"]:
        yield literal.partition("=")[0]
    for dockerfile in DOCKER.glob("*.Dockerfile"):
        yield from re.findall(r"\b(FACET_\w+)=", dockerfile.read_text())


@every_service
def test_a_service_is_pinned_limited_and_watched(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+(\.\d+)?(-[\w.]+)?", service["image"])
    assert {"cpus", "memory"} <= service["deploy"]["resources"]["limits"].keys()
    assert service["security_opt"] == ["no-new-privileges:true"]
    if name == "initialize":
        assert service["restart"] == "no"
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}


@every_service
def test_a_service_waits_only_for_what_can_become_well(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        wanted = "service_completed_successfully" if other == "initialize" else "service_healthy"
        assert how == {"condition": wanted}
        assert other in SERVICES


def test_only_the_intended_ports_are_published_and_on_loopback() -> None:
    assert {name: s["ports"] for name, s in SERVICES.items() if "ports" in s} == PUBLISHED
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    for name, service in SERVICES.items():
        inside_only = name not in {*PUBLISHED, "alertmanager"}
        assert service["networks"] == (["inside"] if inside_only else ["inside", "outside"])


@every_service
def test_what_is_mounted_exists(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = volume.partition(":")[0]
        if source.startswith("."):
            assert (DOCKER / source).exists(), f"{name} mounts {source}"
            assert volume.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


@every_service
def test_no_secret_stands_in_the_environment(name: str) -> None:
    for key in SERVICES[name].get("environment", {}):
        assert not LOOKS_SECRET.search(key) or POINTS_ELSEWHERE.search(key), f"{name}: {key}"


def test_every_secret_is_made_by_the_script_mounted_and_ignored_by_git(tmp_path: Path) -> None:
    subprocess.run(["bash", DOCKER / "make-secrets.sh", tmp_path / "secrets"], check=True)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert made.keys() == COMPOSE["secrets"].keys()
    assert {use for service in SERVICES.values() for use in service.get("secrets", [])} == made.keys()
    for name, where in COMPOSE["secrets"].items():
        assert where == {"file": f"./secrets/{name}"}
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert made["postgresql_password"] in made["facet_database_url"]
    assert all(made["facet_redis_password"] in made[name] for name in ("redis_users", "airflow_broker_url"))
    assert "docker/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    subprocess.run(["bash", DOCKER / "make-secrets.sh", tmp_path / "secrets"], check=True)
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == made


@every_service
def test_a_secret_that_is_read_is_mounted(name: str) -> None:
    service = SERVICES[name]
    read = set(re.findall(r"/run/secrets/(\w+)", yaml.safe_dump(service)))
    assert read <= set(service.get("secrets", []))


def test_every_facet_variable_is_read_by_the_code_and_documented() -> None:
    documented = (ROOT / "docs" / "operating.md").read_text()
    for name in facet_variables():
        assert name in known_variables(), f"nobody reads {name}"
        assert f"`{name}`" in documented


@pytest.mark.parametrize("dockerfile", sorted(DOCKER.glob("*.Dockerfile")), ids=lambda path: path.name)
def test_an_image_copies_what_exists_and_runs_as_nobody_special(dockerfile: Path) -> None:
    lines = dockerfile.read_text().splitlines()
    for line in lines:
        if line.startswith("COPY ") and "--from" not in line:
            assert all((ROOT / source).exists() for source in line.split()[1:-1]), line
        if line.startswith("FROM "):
            assert re.match(r"FROM python:3\.11\.\d+-slim-bookworm", line)
    users = [line.removeprefix("USER ") for line in lines if line.startswith("USER ")]
    assert users == ["10001:10001"]
    assert lines[-1].startswith("CMD [")


@pytest.mark.parametrize("name", ["serving", "airflow"])
def test_an_image_has_the_versions_that_are_tested(name: str) -> None:
    tested = set((ROOT / "requirements.lock").read_text().split())
    packed = set((DOCKER / f"{name}.lock").read_text().split())
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in packed)
    extra = {pin.partition("==")[0] for pin in packed - tested}
    assert not {pin.partition("==")[0] for pin in tested} & extra, "another version than the tested one"
    heavy = {"torch", "mlflow", "apache-airflow", "apache-airflow-core"}
    names = {pin.partition("==")[0] for pin in packed}
    if name == "serving":
        assert not extra
        assert not heavy & names
    else:
        assert heavy | {"apache-airflow-providers-celery", "asyncpg"} <= names
        assert not [name for name in names if name.startswith(("nvidia-", "cuda-", "triton"))]


def test_the_pod_runs_without_privileges_and_is_probed() -> None:
    kinds = {document["kind"]: document for document in KUBERNETES}
    expected = {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"}
    assert kinds.keys() == expected
    pod = kinds["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    [container] = pod["containers"]
    assert container["image"] in OURS
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
    assert "limits" in container["resources"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz?of=release"


def test_health_checks_ask_routes_that_exist() -> None:
    app = (ROOT / "serving" / "app.py").read_text()
    text = (DOCKER / "compose.yaml").read_text() + (DOCKER / "serving.Dockerfile").read_text()
    asked = set(re.findall(r"127\.0\.0\.1:8000(/\w+)", text)) | {"/readyz", "/metrics"}
    assert asked == {"/healthz", "/readyz", "/metrics"}
    assert all(f'@app.get("{path}"' in app for path in asked)
    assert "location = /proxy-health" in (DOCKER / "nginx.conf").read_text()


def test_prometheus_of_the_compose_file_asks_every_serving_process_and_warns_through_alertmanager() -> None:
    mounted = SERVICES["prometheus"]["volumes"]
    assert "./prometheus/targets-compose:/etc/prometheus/targets:ro" in mounted
    targets = DOCKER / "prometheus" / "targets-compose"
    [facet], [alertmanager] = (yaml.safe_load((targets / f).read_text()) for f in TARGET_FILES)
    serving = sorted(f"{n}:8000" for n, s in SERVICES.items() if s["image"] == "facet-serving:0.1.0")
    assert facet["targets"] == serving
    assert alertmanager["targets"] == ["alertmanager:9093"]
    plain = (DOCKER / "prometheus" / "prometheus.yml").read_text()
    assert re.findall(r"targets/([\w.]+)\]", plain) == sorted(TARGET_FILES)
    upstream = re.findall(r"server (serving-\w:8000)", (DOCKER / "nginx.conf").read_text())
    assert sorted(upstream) == serving


@every_service
def test_pages_are_linked_where_a_browser_finds_them(name: str) -> None:
    environment = SERVICES[name].get("environment", {})
    links = {"FACET_SERVING_URL": "proxy", "FACET_AIRFLOW_URL": "api-server", "FACET_MLFLOW_URL": "mlflow"}
    links |= {"AIRFLOW__API__BASE_URL": "api-server"}
    if SERVICES[name]["image"] == "facet-serving:0.1.0":
        assert {"FACET_SERVING_URL", "FACET_AIRFLOW_URL"} <= environment.keys()
    elif name not in FOREIGN:
        assert links.keys() <= environment.keys()
    for variable in links.keys() & environment.keys():
        address, _, _ = PUBLISHED[links[variable]][0].rpartition(":")
        assert environment[variable] == f"http://{address}"


def test_what_was_not_run_is_said_where_operators_read() -> None:
    text = (ROOT / "docs" / "operating.md").read_text()
    assert "Not run: " in text
    assert all(f"`{name}`" in text for name in IMAGE_USERS_ARE_ROOT)
