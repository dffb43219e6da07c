"""Errors that serving raises on purpose; the two branches are those of ``features/errors.py``.

RetryLaterError
    IndexUnavailableError   Milvus did not answer in time, or lost the collection
        ReleaseMismatchError    parts of two releases met; nothing is answered from them
    NoReleaseError          nothing is published yet
    PublishConflictError    another publisher holds the lock or moved the pointer first
PermanentError
    VerificationError       a new collection does not hold what the bundle says
    RenewalError            a kept release did not get the videos of today
    RollbackError           there is no release to go back to
    UnknownVideoError       the release has no such video
"""

from features.errors import PermanentError, RetryLaterError


class IndexUnavailableError(RetryLaterError):
    """The vector index did not answer; the same call may work later."""


class ReleaseMismatchError(IndexUnavailableError):
    """Interests, index and vectors in memory are not of one release."""


class NoReleaseError(RetryLaterError):
    """There is no live release to answer from."""


class PublishConflictError(RetryLaterError):
    """Somebody else publishes, or published first; nothing was changed."""


class VerificationError(PermanentError):
    """A collection does not hold what its bundle says; it never goes live."""


class RenewalError(PermanentError):
    """A kept release did not get the videos of today; publish its bundles again."""


class RollbackError(PermanentError):
    """The release asked for cannot be made live."""


class UnknownVideoError(PermanentError):
    """The release knows no such video."""
