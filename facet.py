"""The command line. Parses, calls one function of a library folder, prints; no logic of its own.

Every command takes ``--json``: logs go to stderr, and the last line of stdout is one JSON object.
Exit codes: 0 done, 1 failed, 2 wrong use. Heavy libraries are imported inside the commands.
"""

import logging
import sys

import structlog
import typer
from pydantic import ValidationError

from features import commands as features_commands
from features.disk import FullDiskExplained
from features.errors import BadInputError, FacetError
from serving import commands as serving_commands
from training import commands as training_commands

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)
for part in (features_commands, training_commands, serving_commands):
    app.add_typer(part.app)


def main() -> None:
    """Run the command line and turn expected failures into one line on stderr."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        with FullDiskExplained():
            app()
    except FacetError as error:
        _fail(str(error), 2 if isinstance(error, BadInputError) else 1)
    except ValidationError as error:
        _fail(f"wrong setting: {error}", 2)


def _fail(text: str, code: int) -> None:
    sys.stderr.write(f"error: {text}\n")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
