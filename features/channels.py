"""Which bundle fills which channel.

A channel is named by the role of its bundle: ``interests`` and ``popular`` for the kinds that every release
has one of, else the model, as in ``ease``. ``NAME=BUNDLE`` names it otherwise, so that two bundles of one
model can both be channels.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from features.bundle import INTERESTS_KIND, RANKING_KIND, Bundle, Manifest, open_bundle
from features.errors import BadInputError
from features.merge_config import INTERESTS, POPULAR
from features.settings import Settings

CHANNEL_OF_KIND: Final = {INTERESTS_KIND: INTERESTS, RANKING_KIND: POPULAR}
NAMED: Final = re.compile(r"([a-z][a-z0-9_]{0,31})=(.+)")


def channel_of(manifest: Manifest) -> str:
    """The channel that a bundle fills if nobody says otherwise."""
    return CHANNEL_OF_KIND.get(manifest.kind, manifest.model)


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
        for kind, role in CHANNEL_OF_KIND.items():
            if name == role and bundle.manifest.kind != kind:
                raise BadInputError(
                    f"channel {name!r} needs a bundle of kind {kind!r}, not {bundle.manifest.kind!r}"
                )
        channels[name] = bundle
    return channels


def reopen_channels(bundles: Mapping[str, str], settings: Settings) -> dict[str, Bundle]:
    """Bundles of a release by channel; ``bundles`` names them as ``<model>/<version>``."""
    return {name: open_bundle(settings.bundles / bundle) for name, bundle in bundles.items()}
