"""The daily DAG challenges the bundle of the same model that serves now."""

from datetime import UTC, datetime
from pathlib import Path

from features.release import POINTER, RELEASES, open_registry
from features.settings import Settings
from training.challenger import find_champion


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
