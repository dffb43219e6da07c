"""The daily DAG challenges the bundle of the same model that serves now."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.errors import BadInputError
from features.release import POINTER, RELEASES, open_registry
from features.settings import Settings
from tests.training.logs import planted_log
from training.challenger import find_champion, models_to_train, require_passed, train_challenger
from training.errors import GateRefusedError
from training.settings import TrainingSettings


def release(settings: Settings, version: str, bundles: dict[str, str]) -> None:
    """Make ``version`` the live release."""
    with open_registry(settings).begin() as connection:
        connection.execute(
            RELEASES.insert().values(
                version=version,
                state="live",
                bundles=bundles,
                collections={},
                created_at=datetime(2026, 3, 1, tzinfo=UTC),
                created_by="test",
            )
        )
        connection.execute(POINTER.delete())
        connection.execute(POINTER.insert().values(id=1, version=version, revision=1))


def test_before_the_first_release_nobody_is_champion(tmp_path: Path) -> None:
    assert find_champion("single_activation", Settings(home=tmp_path)) is None


def test_the_live_bundle_of_the_same_model_is_the_champion(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    release(settings, "r1", {"interests": "single_activation/1", "popular": "popularity/1"})
    release(settings, "r2", {"interests": "single_activation/2", "popular": "popularity/1"})
    assert find_champion("single_activation", settings) == settings.bundles / "single_activation" / "2"
    assert find_champion("popularity", settings) == settings.bundles / "popularity" / "1"
    assert find_champion("mind", settings) is None, "a new model is compared with popularity"


def test_the_daily_training_uses_its_settings(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    planted_log(settings, noise=0.5, num_users=40, num_videos=60, num_days=4)
    training = TrainingSettings(mlflow_uri="off", train_set={"popularity": ("magic=1",)})
    with pytest.raises(BadInputError, match="magic=1"):
        train_challenger("popularity", "2026-03-04", settings=settings, training=training)


def test_what_is_trained_comes_from_the_setting_or_from_whom_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert models_to_train() == ["popularity", "single_activation"]
    monkeypatch.setenv("FACET_TRAIN_MODELS", "single_activation, ease,popularity")
    assert models_to_train() == ["single_activation", "ease", "popularity"]
    assert models_to_train("item_cf") == ["item_cf"]
    with pytest.raises(BadInputError, match="no_such_model"):
        models_to_train("ease,no_such_model")
    with pytest.raises(BadInputError, match="no model is named"):
        models_to_train(" ,")


def test_bundles_that_passed_go_on_without_those_that_were_refused() -> None:
    assert require_passed(["bundles/ease/1", None]) == ["bundles/ease/1"]
    with pytest.raises(GateRefusedError, match="no model passed the gate"):
        require_passed([])
