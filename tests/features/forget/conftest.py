"""A Redis of our own, as the tests of the online store have."""

from tests.features.test_redis import server

__all__ = ["server"]
