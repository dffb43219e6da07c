"""Every environment variable that Facet reads stands in the operator's table, with default and meaning."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from features.settings import Settings
from serving.settings import ServingSettings
from serving.stack_settings import DemoSettings, StackSettings
from training.settings import TrainingSettings

OPERATING = Path(__file__).parents[1] / "docs" / "operating.md"
SETTINGS = [Settings, ServingSettings, StackSettings, TrainingSettings]


def fields_of(model: type[BaseModel], prefix: str = "FACET_") -> Iterator[tuple[str, FieldInfo]]:
    """Environment variable and field, nested models included."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from fields_of(inner, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}", field


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.__name__)
def test_a_setting_stands_in_the_operators_table(settings: type[BaseModel]) -> None:
    lines = OPERATING.read_text().splitlines()
    for name, field in fields_of(settings):
        default = "" if field.default is None else f"`{field.default}`"
        assert f"| `{name}` | {default} | {field.description} |" in lines


def test_the_operators_table_names_nothing_that_nobody_reads() -> None:
    read = {name for settings in [*SETTINGS, DemoSettings] for name, _ in fields_of(settings)}
    named = {
        line.split("`")[1] for line in OPERATING.read_text().splitlines() if line.startswith("| `FACET_")
    }
    assert named <= read
