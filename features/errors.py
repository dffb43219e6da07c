"""Errors that Facet raises on purpose. Anything else is a bug.

FacetError
    PermanentError            time does not heal it: the input or the setting must change
        BadInputError         a file, argument or setting that cannot be used
        InvalidDataError      data that failed validation
        BundleError           a bundle that is half written, altered, or of a kind we do not know
    RetryLaterError           the same call may work later
        StaleStageError       the lake changed since the rows were staged
        StoreUnavailableError the feature store or a database did not answer
        DiskFullError         no space is left
"""

from pydantic import ValidationError


class FacetError(Exception):
    """Base of every expected failure; its text says what to do."""


class PermanentError(FacetError):
    """Trying again without a change is pointless."""


class BadInputError(PermanentError):
    """A file, argument or setting cannot be used as it is."""


class InvalidDataError(PermanentError):
    """Data failed their validation and nobody may see them."""


class BundleError(PermanentError):
    """A bundle is half written, altered, of an unknown format or of wrong dimensions."""


class RetryLaterError(FacetError):
    """The same call may work later."""


class StaleStageError(RetryLaterError):
    """The lake changed between staging and commit; stage again."""


class StoreUnavailableError(RetryLaterError):
    """A store did not answer, or does not hold what was asked yet."""


class DiskFullError(RetryLaterError):
    """No space is left where Facet writes."""


def problems_of(error: ValidationError) -> str:
    """What pydantic found wrong, as one line: ``field.inner: message; field: message``."""
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
