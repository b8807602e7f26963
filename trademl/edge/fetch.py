"""The day's report over the wire: signed by the server that scored, checked by the device that only orchestrates.

A device in mode ``fetch`` has no model and no features: it takes the server's ``equities_YYYY-MM-DD.json``. The
signature is over the exact bytes, and the bytes name the session: an older day's report cannot arrive under another
name. The page for eyes is made here from the checked document; the server's own is not read.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from trademl.artifacts.files import write_atomic
from trademl.clock import Clock, sql_utc, utc_now
from trademl.config.home import Home
from trademl.config.lake import LakeConfig, read_lake_config
from trademl.edge.daily import FORMAT, Report, to_markdown
from trademl.errors import TripwireError
from trademl.lake.keys import KEY_VARIABLE, MAX_SIGNATURE, load_private_key, sign, verify
from trademl.lake.layout import Layout, layout_of
from trademl.lake.transport import Transport, transport_of

MAX_REPORT = 16 * 2**20
SLEEVE = "equities"

_WRITABLE = 0o644
_SCORE = "score that session on the server (`trademl score equities`) with TRADEML_RELEASE_KEY set, and fetch again"

Number = Annotated[float, Field(allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, protected_namespaces=())


class _Pick(_Part):
    rank: Annotated[int, Field(ge=1)]
    symbol: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._ -]{1,32}$")]
    yhat: Number
    yhat_std: Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
    prob_up: Probability
    rank_pct: Probability
    rank_change: int | None


class _Model(_Part):
    run_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,120}$")]
    status: Text


class _Snapshot(_Part):
    seq: Annotated[int, Field(ge=1)]
    build_id: Text


class _Coverage(_Part):
    status: str
    expected: int
    present: int
    universe_coverage: Number | None


class _Counts(_Part):
    scored: int
    likely_up: int


class _Report(_Part):
    format: int
    sleeve: str
    as_of: date
    label: Text
    horizon: Annotated[int, Field(ge=1)]
    scored_at: datetime
    model: _Model
    snapshot: _Snapshot
    coverage: _Coverage
    regime: Literal["low", "mid", "high"] | None
    previous_date: date | None
    counts: _Counts
    picks: tuple[_Pick, ...]


@dataclass(frozen=True)
class FetchResult:
    """A report that was fetched.

    Attributes:
        as_of: its session.
        run_id: the model that scored it.
        rows: how many picks it has.
        written: False when exactly these bytes were here before.
        key: the name of the key that signed it.
        report: the document; ``json_path`` and ``markdown_path`` hold it.
    """

    as_of: date
    run_id: str
    rows: int
    written: bool
    key: str
    report: Report
    json_path: Path
    markdown_path: Path


def sign_report(layout: Layout, path: Path, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Write ``<path>.sig``, made with the key that ``TRADEML_RELEASE_KEY`` names; without a key remove that file.

    Returns:
        The signature's path; None when no key is set.

    Raises:
        ConfigError: the key cannot be used.
    """
    place = _signature_of(path)
    if not environment.get(KEY_VARIABLE):
        # A signature of earlier bytes would only be refused by everyone who fetches.
        place.unlink(missing_ok=True)
        return None
    write_atomic(place, sign(path.read_bytes(), load_private_key(layout.root, environment)), _WRITABLE)
    return place


def fetch_report(
    home: Home,
    as_of: date | None = None,
    run_id: str | None = None,
    *,
    now: Clock = utc_now,
    transport: Transport | None = None,
) -> FetchResult:
    """Fetch the server's report of one session, check it, and write it to ``lake/reports``.

    Args:
        home: the device's home.
        as_of: the session; None is today (UTC).
        run_id: the model that must have scored it; None accepts whichever the server's router named.
        now: the clock.
        transport: how to reach the server; None asks configs/lake.yml.

    Raises:
        ReleaseError: the source has no such report or no signature of it, or no trusted key signed these bytes.
        TripwireError: the document is not the report of that session and model, is not GREEN, has too few rows,
            contradicts itself, or is older than the one already here. Nothing was written.
        ConfigError: configs/lake.yml is wrong or names no source.
    """
    config = read_lake_config(home)
    source = transport or transport_of(config)
    day = as_of or now().date()
    name = f"reports/{SLEEVE}_{day.isoformat()}.json"
    signature = source.read(f"{name}.sig", MAX_SIGNATURE)
    raw = source.read(name, MAX_REPORT)
    key = verify(raw, signature, config.trusted_keys)
    report = _checked(raw, day, run_id, config, now())
    path = layout_of(home).root / name
    old = path.read_bytes() if path.is_file() else None
    if old is not None and old != raw:
        _refuse_older(old, report, path)
    document: Report = json.loads(raw)
    markdown = path.with_suffix(".md")
    write_atomic(_signature_of(path), signature, _WRITABLE)
    write_atomic(markdown, to_markdown(document).encode(), _WRITABLE)
    # Last: programs read this one.
    write_atomic(path, raw, _WRITABLE)
    return FetchResult(day, report.model.run_id, len(report.picks), old != raw, key, document, path, markdown)


def _checked(raw: bytes, day: date, run_id: str | None, config: LakeConfig, now: datetime) -> _Report:
    """Return the report, which must be what its name says and fit to be served."""
    try:
        report = _Report.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise _refused(day, f"it is no report: {place}: {first['msg']}") from error
    if (report.format, report.sleeve) != (FORMAT, SLEEVE):
        raise _refused(
            day, f"it is a report of {report.sleeve} in format {report.format}, expected {SLEEVE} in {FORMAT}"
        )
    if report.as_of != day:
        raise _refused(day, f"under that name the source has the report of {report.as_of}")
    if run_id is not None and report.model.run_id != run_id:
        raise _refused(day, f"{report.model.run_id} scored it, asked for is {run_id}")
    if report.coverage.status != "GREEN":
        raise _refused(day, f"its coverage is {report.coverage.status}, limit: GREEN")
    if len(report.picks) < config.scoring.min_rows:
        raise _refused(day, f"it has {len(report.picks)} rows, limit at least {config.scoring.min_rows}")
    latest = sql_utc(now) + timedelta(minutes=config.max_clock_skew_minutes)
    if not day <= report.scored_at.date() or sql_utc(report.scored_at) > latest:
        raise _refused(day, f"it was scored at {report.scored_at} UTC, and it is {sql_utc(now)} UTC now")
    names = {pick.symbol for pick in report.picks}
    falling = all(
        (above.yhat > below.yhat and above.rank < below.rank) or (above.yhat, above.rank) == (below.yhat, below.rank)
        for above, below in pairwise(report.picks)
    )
    if len(names) != len(report.picks) or report.counts.scored != len(report.picks) or not falling:
        raise _refused(day, "its picks are not one row per symbol by falling score")
    return report


def _refuse_older(old: bytes, report: _Report, path: Path) -> None:
    """Refuse to replace a report by one that the same model made before it."""
    try:
        here = _Report.model_validate_json(old)
    except ValidationError:
        return
    if here.as_of == report.as_of and here.model == report.model and here.scored_at > report.scored_at:
        raise _refused(report.as_of, f"it was scored at {report.scored_at} UTC, {path} is newer: {here.scored_at} UTC")


def _refused(day: date, why: str) -> TripwireError:
    return TripwireError(f"the report of {day} is not served: {why}; nothing was written", remedy=_SCORE)


def _signature_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sig")
