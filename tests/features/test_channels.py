"""How people name bundles on the command line."""

from pathlib import Path

import pytest

from features.channels import locate_bundles
from features.settings import Settings


@pytest.fixture
def bundles(settings: Settings) -> Path:
    """Two bundles of one model, and a third that is being built."""
    for version in ("20260301T000000-000001", "20260302T000000-000002", ".building-20260303T000000-000003"):
        folder = settings.bundles / "ease" / version
        folder.mkdir(parents=True)
        (folder / "manifest.json").touch()
    return settings.bundles


def test_a_model_is_its_newest_complete_bundle(settings: Settings, bundles: Path) -> None:
    assert locate_bundles(["ease"], settings) == [f"{bundles}/ease/20260302T000000-000002"]


def test_a_version_or_a_path_is_that_bundle_and_channels_keep_their_names(
    settings: Settings, bundles: Path
) -> None:
    older = f"{bundles}/ease/20260301T000000-000001"
    assert locate_bundles(["other=ease/20260301T000000-000001", older], settings) == [f"other={older}", older]


def test_what_is_no_bundle_is_left_to_whoever_opens_it(settings: Settings, bundles: Path) -> None:
    assert locate_bundles(["magic", "a=elsewhere"], settings) == ["magic", "a=elsewhere"]
