"""Which bundle fills which channel.

A channel is named by the role of its bundle: ``interests`` and ``popular`` for the kinds that every release
has one of, else the model, as in ``ease``. ``NAME=BUNDLE`` names it otherwise, so that two bundles of one
model can both be channels.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from features.bundle import INTERESTS_KIND, MANIFEST, RANKING_KIND, Bundle, Manifest, open_bundle
from features.errors import BadInputError
from features.merge_config import INTERESTS, POPULAR
from features.settings import Settings

CHANNEL_OF_KIND: Final = {INTERESTS_KIND: INTERESTS, RANKING_KIND: POPULAR}
NAMED: Final = re.compile(r"([a-z][a-z0-9_]{0,31})=(.+)")


def channel_of(manifest: Manifest) -> str:
    """The channel that a bundle fills if nobody says otherwise."""
    return CHANNEL_OF_KIND.get(manifest.kind, manifest.model)


def locate_bundles(bundles: Sequence[str], settings: Settings) -> list[str]:
    """``[NAME=]BUNDLE`` as ``[NAME=]PATH``.

    BUNDLE is a path, ``<model>/<version>``, or ``<model>`` for its newest in ``FACET_HOME/bundles``. What is
    none of these stays as it is, and whoever opens it says so.
    """
    return [_locate(each, settings) for each in bundles]


def open_channels(bundles: Sequence[str | Path]) -> dict[str, Bundle]:
    """Bundles by channel, in their order.

    Args:
        bundles: paths, or ``NAME=PATH``.

    Raises:
        BadInputError: two bundles for one channel, or one of the wrong kind for its channel.
        BundleError: a bundle is damaged.
    """
    channels: dict[str, Bundle] = {}
    for each in bundles:
        named = NAMED.fullmatch(str(each))
        bundle = open_bundle(Path(named[2]) if named else Path(each))
        name = named[1] if named else channel_of(bundle.manifest)
        if name in channels:
            raise BadInputError(
                f"{channels[name].name} and {bundle.name} both fill channel {name!r}; "
                "leave one out, or name another channel for it: NAME=BUNDLE"
            )
        if not _may_be(name, bundle.manifest.kind):
            raise BadInputError(f"{bundle.name} is of kind {bundle.manifest.kind!r} and cannot fill {name!r}")
        channels[name] = bundle
    return channels


def reopen_channels(bundles: Mapping[str, str], settings: Settings) -> dict[str, Bundle]:
    """Bundles of a release by channel; ``bundles`` names them as ``<model>/<version>``."""
    return {name: open_bundle(settings.bundles / bundle) for name, bundle in bundles.items()}


def _locate(text: str, settings: Settings) -> str:
    named = NAMED.fullmatch(text)
    name, bundle = (f"{named[1]}=", named[2]) if named else ("", text)
    if Path(bundle).is_dir():
        return text
    places = [settings.bundles / bundle, *sorted((settings.bundles / bundle).glob("[!.]*"))]
    found = [place for place in places if (place / MANIFEST).is_file()]
    return f"{name}{found[-1]}" if found else text


def _may_be(name: str, kind: str) -> bool:
    """``interests`` and ``popular`` need their kinds, and a ranking bundle is never anything else."""
    if kind == RANKING_KIND or name == POPULAR:
        return (kind, name) == (RANKING_KIND, POPULAR)
    return name != INTERESTS or kind == INTERESTS_KIND
