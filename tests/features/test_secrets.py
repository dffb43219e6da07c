"""Settings from files: what container engines mount instead of putting secrets into the environment."""

from pathlib import Path

import pytest

from features.errors import BadInputError
from features.settings import Settings
from serving.settings import ServingSettings


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACET_SECRETS_DIR", str(tmp_path))
    (tmp_path / "facet_database_url").write_text("postgresql+psycopg://facet:pw@db/facet\n")
    (tmp_path / "FACET_ADMIN_KEY").write_text("from a file")
    (tmp_path / "airflow_fernet_key").write_text("not for Facet")
    return tmp_path


def test_a_setting_may_lie_in_a_file_named_like_its_variable(secrets: Path) -> None:
    assert Settings().database_url == "postgresql+psycopg://facet:pw@db/facet"
    key = ServingSettings().admin_key
    assert key is not None
    assert key.get_secret_value() == "from a file"


def test_the_environment_and_arguments_come_before_files(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACET_DATABASE_URL", "sqlite:///environment.db")
    assert Settings().database_url == "sqlite:///environment.db"
    assert Settings(database_url="sqlite:///argument.db").database_url == "sqlite:///argument.db"


def test_files_are_not_read_without_the_variable(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACET_SECRETS_DIR")
    assert Settings().database_url is None


def test_a_folder_that_is_not_mounted_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACET_SECRETS_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(BadInputError, match=r"FACET_SECRETS_DIR is .*nowhere, which is no folder"):
        Settings()
