"""Errors of training. Anything else is a bug.

PermanentError
    TrainingDivergedError  the loss is no number any more
    ExportError            the exported program does not do what the trained one does
    GateRefusedError       the candidate must not be released; the text lists the reasons
"""

from features.errors import PermanentError


class TrainingDivergedError(PermanentError):
    """The loss is NaN or infinite; the text says at which step and what to try."""


class ExportError(PermanentError):
    """The exported program and the trained one disagree, so it must not be released."""


class GateRefusedError(PermanentError):
    """The gate refused a candidate; its bundle stays for inspection and is not published."""
