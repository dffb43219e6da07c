"""Expectations about every day of the data, before anybody can see it.

A failing expectation of severity ``block`` stops the stage: the error names it with example rows. One of
severity ``warn`` is stored, logged and charted. Limits and severities: ``features/config.py``.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from features.days import add_days
from features.errors import BadInputError, InvalidDataError
from features.links import DATA_DOCS, note_link
from features.schema import EXPOSURES, WATCHES
from features.settings import Settings
from features.stage import VALIDATED_FILE, Counts, Stage, mark, require_validated
from features.task_metrics import VALIDATION_FAILURES, record, recorded
from features.validation import suites
from features.validation.checks import Check, Figure, find_examples, measure
from features.validation.judge import Judge
from features.validation.profile import Profile, drift_checks, lake_profile, profile_of
from features.validation.results import Result, Run, read_runs
from features.validation.subjects import (
    Rows,
    Subject,
    committed_counts,
    committed_subjects,
    staged_subjects,
)

log = structlog.get_logger(__name__)

EVENTS = (WATCHES, EXPOSURES)
"""Tables of events, which name videos and users."""


@recorded("validate")
def validate(folder: str, *, settings: Settings | None = None) -> str:
    """Check every partition of a stage and return ``folder``; only then it can be committed.

    Raises:
        InvalidDataError: names every failing expectation with example rows, and the Data Docs.
    """
    settings = settings or Settings()
    place = Path(folder)
    run = check_stage(place, settings)
    record(VALIDATION_FAILURES, len(run.blocking), severity="block")
    record(VALIDATION_FAILURES, len(run.warnings), severity="warn")
    if run.blocking:
        listed = "\n  - ".join(str(result) for result in run.blocking)
        raise InvalidDataError(
            f"{len(run.blocking)} expectations failed; nothing of {place.name} was made visible:\n"
            f"  - {listed}\n"
            f"All results: {run.data_docs}\n"
            "Mend the landing files (or the limits, FACET_VALIDATION__*) and run again."
        )
    mark(place, VALIDATED_FILE, partitions=len(Stage.open(place).partitions), data_docs=run.data_docs)
    return folder


def run_of(folder: Path, settings: Settings) -> Run:
    """The results that let the stage in ``folder`` pass.

    Raises:
        InvalidDataError: none did.
    """
    require_validated(folder)
    data_docs = json.loads((folder / VALIDATED_FILE).read_text())["data_docs"]
    for run in reversed(read_runs(settings)):
        if run.data_docs == data_docs:
            return run
    raise InvalidDataError(f"the results of {folder.name} are not kept any more; validate it again")


def check_stage(folder: Path, settings: Settings) -> Run:
    """Judge the partitions of a stage; stores and returns the results, whatever they are."""
    staged = Stage.open(folder)
    checker = _Checker(staged_subjects(staged, folder), staged.counts, staged.landing_days, settings)
    return checker.run("stage", folder.name)


def check_days(days: Sequence[str], settings: Settings) -> Run:
    """Judge the partitions of ``days`` that the lake holds; stores and returns the results.

    Raises:
        BadInputError: it holds none.
    """
    subjects = committed_subjects(days, settings)
    if not subjects:
        raise BadInputError(f"the lake holds nothing of {days[0]}..{days[-1]}; run `facet ingest` first")
    counts = committed_counts(days, settings)
    landed = sorted({count.landing_day for count in counts})
    return _Checker(subjects, counts, landed, settings).run("lake", f"lake {days[0]}..{days[-1]}")


class _Checker:
    """The checks of some subjects, and what they need to know of other days."""

    def __init__(
        self, subjects: Sequence[Subject], counts: Sequence[Counts], landed: Sequence[str], settings: Settings
    ) -> None:
        self._rows = Rows(subjects, settings)
        self._counts = counts
        self._landed = landed
        self._settings = settings
        self._limits = settings.validation
        self._profiles: dict[tuple[str, str], Profile] = {}

    def run(self, source: str, name: str) -> Run:
        """Measure and judge, day by day."""
        started = time.perf_counter()
        judge = Judge(self._settings.reports / "data_docs" / name, self._limits)
        subjects = sorted(self._rows.subjects, key=lambda subject: (subject.day, subject.table))
        days = sorted({*(s.day for s in subjects), *(c.landing_day for c in self._counts)})
        for subject in subjects:  # before any is judged: days of one call are each other's past
            self._profile(subject)
        results = []
        for day in days:
            results += self._judge_day(judge, day, [subject for subject in subjects if subject.day == day])
        run = Run.finished(source, results, judge.build_docs(), list(self._counts))
        run.write(self._settings)
        note_link(DATA_DOCS, run.data_docs)
        log.info(
            "data validated",
            source=source,
            expectations=len(results),
            failures=len(run.blocking),
            warnings=len(run.warnings),
            seconds=round(time.perf_counter() - started, 2),
            data_docs=run.data_docs,
        )
        return run

    def _judge_day(self, judge: Judge, day: str, subjects: Sequence[Subject]) -> list[Result]:
        figures: dict[Subject, list[Figure]] = {}
        for subject in subjects:
            checks = self._checks(subject)
            figures[subject] = measure(self._rows.sql, checks)
        for count in self._counts:
            if count.landing_day == day:
                check = suites.quarantined(count, self._limits)
                landing = Figure(check, float(check.sql), count.read, count.quarantined)
                figures.setdefault(Subject(count.table, day), []).append(landing)
        failing = judge.failing(day, [figure for found in figures.values() for figure in found])
        return [
            self._result(subject, figure, failing) for subject, found in figures.items() for figure in found
        ]

    def _checks(self, subject: Subject) -> list[Check]:
        table, day = subject.table, subject.day
        checks = suites.structure(table, day, self._open(subject))
        if table in EVENTS:
            checks += suites.known_ids(table, self._limits, with_users=self._rows.has_users())
        if day not in self._landed:
            return checks  # late events have no volume or spread of their own
        if table == WATCHES:
            checks.append(suites.freshness(day, self._limits))
        if table != EXPOSURES:  # a day without any is fine
            checks += suites.volume(table, day, self._rows.counts[table], self._limits)
        past = self._past_profiles(subject)
        now = self._profile(subject)
        self._open(subject)
        return checks + drift_checks(self._rows.sql, table, now, past, self._limits)

    def _open(self, subject: Subject) -> list[str]:
        if subject.table in EVENTS:
            self._rows.open_snapshots(subject.day)
        return self._rows.open(subject)

    def _profile(self, subject: Subject) -> Profile:
        key = (subject.table, subject.day)
        if key not in self._profiles:
            self._open(subject)
            self._profiles[key] = (
                profile_of(self._rows.sql, subject.table)
                if subject.path
                else lake_profile(self._rows.sql, self._rows.lake, self._settings, *key)
            )
        return self._profiles[key]

    def _past_profiles(self, subject: Subject) -> list[Profile]:
        first = add_days(subject.day, -self._limits.baseline_days)
        days = [day for day in self._rows.counts[subject.table] if first <= day < subject.day]
        return [self._profile(Subject(subject.table, day)) for day in days]

    def _result(self, subject: Subject, figure: Figure, failing: set[str]) -> Result:
        failed = figure.check.name in failing
        if failed and figure.check.examples:
            self._open(subject)
        shown = find_examples(self._rows.sql, figure.check, self._limits.num_examples) if failed else []
        return Result.of(
            figure,
            table=subject.table,
            day=subject.day,
            limits=self._limits,
            success=not failed,
            examples=shown,
        )
