"""Every test has its own home; nothing reads or writes the real one."""

import os
from pathlib import Path

import pytest

from features.settings import Settings

pytest_plugins = ["tests.browser"]

for name in [name for name in os.environ if name.startswith("FACET_")]:
    del os.environ[name]  # a developer's settings must not decide a test


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")
