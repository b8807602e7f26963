"""Releases made by hand from tiny parquet objects: a server's lake, its key, and a device that trusts it."""

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trademl.clock import Clock
from trademl.config.lake import LakeConfig
from trademl.lake.files import write_atomic
from trademl.lake.keys import public_text, sign
from trademl.lake.layout import Layout
from trademl.lake.manifest import current_seq
from trademl.lake.reading import open_snapshot
from trademl.lake.release import Asset, Part, Release, ReleaseModel, ReleaseTable

CREATED = datetime(2024, 3, 1, 21, 30, tzinfo=UTC)
NOON_AFTER = datetime(2024, 3, 2, 12, tzinfo=UTC)
FIRST_SESSION = date(2024, 1, 1)
BARS = "silver.equity_bar_window"
CALENDAR = "silver.calendar"
MODEL = "model/model.onnx"
SQL = "sql/features.json"
SYMBOLS = 5

BARS_COLUMNS = {"symbol": "VARCHAR", "date": "DATE", "close": "DOUBLE", "reasons": "VARCHAR[]"}
CALENDAR_COLUMNS = {"date": "DATE", "number": "HUGEINT"}


def at(moment: datetime) -> Clock:
    """Return a clock that stands at ``moment``."""
    return lambda: moment


@dataclass
class Server:
    """A lake that publishes. ``close`` of every bar is the session's number plus the release's ``shift``.

    The newest session alone depends on the shift, so two releases share all older sessions.
    """

    layout: Layout
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public(self) -> str:
        return public_text(self.key)

    def config(self, **changed: Any) -> LakeConfig:
        """Return the configuration of a device that pulls from here."""
        return LakeConfig(**{"source": str(self.layout.root), "trusted_keys": (self.public,), **changed})

    def table_object(self, select: str) -> tuple[str, int, int]:
        """Write the rows of ``select`` as an object; return its sha256, bytes and rows."""
        self.layout.objects.mkdir(parents=True, exist_ok=True)
        path = self.layout.objects / "new"
        with duckdb.connect(config={"threads": 1}) as con:
            rows = con.execute(f"copy ({select}) to '{path}' (format parquet)").fetchall()[0][0]
        raw = path.read_bytes()
        path.unlink()
        digest = sha256(raw).hexdigest()
        if not self.layout.object(digest).exists():
            write_atomic(self.layout.object(digest), raw)
        return digest, len(raw), rows

    def asset_object(self, raw: bytes) -> Asset:
        """Write ``raw`` as an object."""
        digest = sha256(raw).hexdigest()
        if not self.layout.asset(digest).exists():
            write_atomic(self.layout.asset(digest), raw)
        return Asset(digest, len(raw))

    def make(self, seq: int, sessions: int = 3, shift: float = 0.0, model: bytes | None = None) -> Release:
        """Write the objects of a release and return what documents them; nothing is published."""
        bars = []
        for number in range(1, sessions + 1):
            day = FIRST_SESSION + timedelta(days=number)
            moved = shift if number == sessions else 0.0
            digest, size, rows = self.table_object(
                f"select 'S' || s as symbol, date '{day}' as date, ({number} + {moved})::double as close, "
                f"['r' || s] as reasons from range({SYMBOLS}) r(s) order by 1"
            )
            bars.append(Part(day.isoformat(), digest, size, rows))
        digest, size, rows = self.table_object(
            f"select date '{FIRST_SESSION}' + n::int as date, n::decimal(38, 0) as number "
            f"from range(1, {sessions + 1}) r(n)"
        )
        return Release(
            seq=seq,
            created=CREATED,
            expires=CREATED + timedelta(days=5),
            as_of=FIRST_SESSION + timedelta(days=sessions),
            git_revision="abc",
            build_id=f"b{seq}",
            definition_hash="d1",
            duckdb_version=duckdb.__version__,
            versions={"duckdb": duckdb.__version__},
            sleeve="equities",
            model=ReleaseModel(run_id=f"run-{seq}", label="fwd_5d", horizon=5, status="champion"),
            tables={
                BARS: ReleaseTable(columns=BARS_COLUMNS, grain=("symbol", "date"), files=tuple(bars)),
                CALENDAR: ReleaseTable(
                    columns=CALENDAR_COLUMNS, grain=("date",), files=(Part("all", digest, size, rows),)
                ),
            },
            assets={
                MODEL: self.asset_object(model or f"model of {seq}".encode() * 100),
                SQL: self.asset_object(b'[{"relation": "gold.f", "sql": "select 1"}]'),
            },
            coverage={"equity_bars": {"status": "GREEN"}},
        )

    def publish_raw(self, seq: int, raw: bytes, signature: bytes | None = None) -> None:
        """Publish any bytes as the document of release ``seq``, signed unless a signature is given."""
        write_atomic(self.layout.release(seq), raw)
        write_atomic(self.layout.signature(seq), sign(raw, self.key) if signature is None else signature)
        write_atomic(self.layout.released, f"{seq}\n".encode(), mode=0o644)

    def publish(self, seq: int, **made: Any) -> Release:
        """Make, sign and publish a release."""
        release = self.make(seq, **made)
        self.publish_raw(seq, release.to_bytes())
        return release

    def publish_changed(self, seq: int, change: Any, **made: Any) -> None:
        """Publish a release whose JSON document ``change`` has edited in place, signed as it is then."""
        document = json.loads(self.make(seq, **made).to_bytes())
        change(document)
        self.publish_raw(seq, json.dumps(document).encode())


def server_in(folder: Path) -> Server:
    """Return a server whose lake is in ``folder``."""
    return Server(Layout(folder / "server"))


def state(layout: Layout) -> dict[str, bytes]:
    """Return every file of a lake but its lock, by its path in it; what a link points to is part of it."""
    found = {}
    for path in sorted(layout.root.rglob("*")):
        name = path.relative_to(layout.root).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}".encode()
        elif path.is_file() and path != layout.publish_lock:
            found[name] = path.read_bytes()
    return found


def newest_close(layout: Layout) -> tuple[int, float]:
    """Open the current snapshot with all hashes checked; return its number and the close of its last session."""
    with open_snapshot(layout, verify=True) as opened:
        ((close,),) = opened.con.execute(f"select max_by(close, date) from {BARS}").fetchall()
        ((rows,),) = opened.con.execute(f"select count(*) from {BARS}").fetchall()
        assert rows == SYMBOLS * len(opened.manifest.tables[BARS].files)
        assert current_seq(layout) is not None
        return opened.manifest.seq, close
