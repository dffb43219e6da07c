"""The compose file against the schema of the Compose Specification, and its names against what there is."""

import copy
import importlib.util
import json
from collections.abc import Callable, Iterator
from configparser import RawConfigParser
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.docker.compose import COMPOSE, DOCKER, SERVICES, environment_of

SCHEMA = json.loads((Path(__file__).parent / "compose_spec" / "compose-spec.json").read_text())
HANDED_TO_THE_HOST = {"privileged", "network_mode", "pid", "ipc", "userns_mode", "devices", "cap_add", "user"}
CELERY_SENSITIVE = {"broker_url", "result_backend"}
"""As its provider says; test_commands.py starts a worker with them."""

every_service = pytest.mark.parametrize("name", sorted(SERVICES))


def test_the_compose_file_is_one() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.Draft7Validator(SCHEMA).validate(COMPOSE)


def _unknown_key(compose: dict[str, Any]) -> None:
    compose["services"]["redis"]["helthcheck"] = {}


def _unknown_section(compose: dict[str, Any]) -> None:
    compose["service"] = {}


def _wrong_type(compose: dict[str, Any]) -> None:
    compose["services"]["redis"]["ports"] = "6379:6379"


def _unknown_condition(compose: dict[str, Any]) -> None:
    compose["services"]["proxy"]["depends_on"]["serving-a"]["condition"] = "service_up"


@pytest.mark.parametrize("spoil", [_unknown_key, _unknown_section, _wrong_type, _unknown_condition])
def test_a_broken_compose_file_is_refused(spoil: Callable[[dict[str, Any]], None]) -> None:
    compose = copy.deepcopy(COMPOSE)
    spoil(compose)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(SCHEMA).validate(compose)


@every_service
def test_what_a_service_names_is_declared(name: str) -> None:
    service = SERVICES[name]
    assert set(service["networks"]) <= COMPOSE["networks"].keys()
    assert set(service.get("secrets", [])) <= COMPOSE["secrets"].keys()
    assert set(service.get("depends_on", {})) <= SERVICES.keys() - {name}
    volumes = {volume.partition(":")[0] for volume in service.get("volumes", [])}
    assert {volume for volume in volumes if not volume.startswith(".")} <= COMPOSE["volumes"].keys()
    if "env_file" in service:
        assert (DOCKER / service["env_file"]).is_file()
    if "build" in service:
        assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_what_is_declared_is_used() -> None:
    used = {volume.partition(":")[0] for s in SERVICES.values() for volume in s.get("volumes", [])}
    assert COMPOSE["volumes"].keys() <= used
    assert COMPOSE["networks"].keys() == {network for s in SERVICES.values() for network in s["networks"]}


@every_service
def test_a_service_gets_nothing_of_the_host(name: str) -> None:
    service = SERVICES[name]
    assert not HANDED_TO_THE_HOST & service.keys()
    assert not [volume for volume in service.get("volumes", []) if volume.startswith("/")]


def airflow_options() -> Iterator[tuple[str, bool]]:
    """Environment variable of every option that the installed Airflow knows, and whether it is sensitive."""
    core = Path(str(distribution("apache-airflow-core").locate_file("airflow/config_templates")))
    sections = yaml.safe_load((core / "config.yml").read_text()) | _openlineage_options()
    for section, described in sections.items():
        for option, facts in described["options"].items():
            yield f"AIRFLOW__{section}__{option}".upper(), bool(facts.get("sensitive"))
    celery = RawConfigParser()  # its provider is in docker/airflow.lock alone; the core knows its options
    celery.read(core / "provider_config_fallback_defaults.cfg")
    for option in celery["celery"]:
        yield f"AIRFLOW__CELERY__{option}".upper(), option in CELERY_SENSITIVE


def _openlineage_options() -> dict[str, Any]:
    place = distribution("apache-airflow-providers-openlineage").locate_file(
        "airflow/providers/openlineage/get_provider_info.py"
    )
    spec = importlib.util.spec_from_file_location("openlineage_info", str(place))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    options: dict[str, Any] = module.get_provider_info()["config"]
    return options


def test_airflow_knows_every_option_that_is_set() -> None:
    known = dict(airflow_options())
    sensitive = {name for name, is_sensitive in known.items() if is_sensitive}
    set_here = {key for name in SERVICES for key in environment_of(name) if key.startswith("AIRFLOW__")}
    assert len(set_here) > 20
    for name in set_here:
        if name.endswith("_CMD"):
            assert name.removesuffix("_CMD") in sensitive, f"Airflow runs no command for {name}"
        else:
            assert name in known, f"Airflow does not know {name}"
