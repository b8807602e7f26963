"""Mode fetch: the server's report of the day, signed, of that day, and nothing else."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.edge.scoring_home import RUN, WEDNESDAY, write_run, write_warehouse
from trademl.cli.init import bundle, make_home
from trademl.config.home import Home
from trademl.edge.daily import to_markdown
from trademl.edge.fetch import fetch_report, sign_report
from trademl.errors import ConfigError, ReleaseError, TripwireError
from trademl.lake.keys import KEY_VARIABLE, keygen, load_private_key, sign
from trademl.lake.layout import layout_of
from trademl.sleeves.equities_scoring import score_equities

NOW = datetime(2024, 1, 5, 22, 30, tzinfo=UTC)
NAME = "equities_2024-01-03.json"


@dataclass
class Setting:
    """A server that scored Wednesday's four names, and a device that trusts its key."""

    server: Home
    device: Home
    key: Path
    reads: list[str] = field(default_factory=list)

    @property
    def reports(self) -> Path:
        return self.server.lake / "reports"

    def fetch(self, day: date = WEDNESDAY, **options: Any) -> Any:
        return fetch_report(self.device, day, now=options.pop("now", lambda: NOW), **options)

    def resign(self, change: Callable[[dict[str, Any]], None], name: str = NAME) -> None:
        """Change the report as the holder of the key could, and sign it."""
        document = json.loads((self.reports / NAME).read_text())
        change(document)
        raw = json.dumps(document).encode()
        (self.reports / name).write_bytes(raw)
        (self.reports / f"{name}.sig").write_bytes(sign(raw, load_private_key(self.server.lake, self.environment)))

    @property
    def environment(self) -> dict[str, str]:
        return {KEY_VARIABLE: str(self.key)}

    def written(self) -> list[str]:
        folder = self.device.lake / "reports"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


@pytest.fixture
def setting(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    key = tmp_path / "key.pem"
    public = keygen(key, home.lake)
    write_run(home)
    write_warehouse(home)
    monkeypatch.setenv(KEY_VARIABLE, str(key))
    score_equities(home, WEDNESDAY, now=lambda: NOW)
    monkeypatch.delenv(KEY_VARIABLE)
    device = Home(tmp_path / "device")
    make_home(device.root, bundle())
    (device.configs / "lake.yml").write_text(
        f"source: {home.lake}\ntrusted_keys: ['{public}']\nscoring: {{mode: fetch, min_rows: 4}}\n", encoding="utf-8"
    )
    return Setting(home, device, key)


def test_the_servers_report_arrives_byte_for_byte(setting: Setting) -> None:
    """JSON and signature are the server's bytes; the page is made here and says what the server's says."""
    result = setting.fetch()
    assert (result.as_of, result.run_id, result.rows, result.written) == (WEDNESDAY, RUN, 4, True)
    assert setting.written() == ["equities_2024-01-03.json", "equities_2024-01-03.json.sig", "equities_2024-01-03.md"]
    for name in (NAME, f"{NAME}.sig", "equities_2024-01-03.md"):
        assert (setting.device.lake / "reports" / name).read_bytes() == (setting.reports / name).read_bytes()
    assert result.markdown_path.read_text() == to_markdown(result.report)


def test_fetching_twice_says_that_it_was_there(setting: Setting) -> None:
    """The second time the bytes are the same."""
    setting.fetch()
    assert not setting.fetch().written


def test_a_day_without_a_report_is_refused(setting: Setting) -> None:
    """Today's report is not there: yesterday's is not taken, and nothing is written."""
    with pytest.raises(ReleaseError, match=r"equities_2024-01-05\.json"):
        fetch_report(setting.device, now=lambda: NOW)
    assert setting.written() == []


def test_an_older_report_under_todays_name_is_refused(setting: Setting) -> None:
    """Wednesday's signed bytes under Friday's name: the signature holds and the date does not."""
    for suffix in ("", ".sig"):
        (setting.reports / f"equities_2024-01-05.json{suffix}").write_bytes(
            (setting.reports / f"{NAME}{suffix}").read_bytes()
        )
    with pytest.raises(TripwireError, match="the source has the report of 2024-01-03") as caught:
        setting.fetch(date(2024, 1, 5))
    assert caught.value.exit_code == 5
    assert setting.written() == []


def test_an_unsigned_report_is_refused(setting: Setting) -> None:
    """Without its signature beside it a report is not read."""
    (setting.reports / f"{NAME}.sig").unlink()
    with pytest.raises(ReleaseError, match=r"equities_2024-01-03\.json\.sig"):
        setting.fetch()
    assert setting.written() == []


def test_an_altered_report_is_refused(setting: Setting) -> None:
    """One digit of one score changed."""
    path = setting.reports / NAME
    path.write_text(path.read_text().replace('"yhat": 0.5', '"yhat": 0.6'))
    with pytest.raises(ReleaseError, match="one of the two was altered"):
        setting.fetch()
    assert setting.written() == []


def test_another_publishers_report_is_refused(setting: Setting, tmp_path: Path) -> None:
    """A key that the device does not list signs in vain."""
    other = tmp_path / "other.pem"
    keygen(other, setting.server.lake)
    sign_report(layout_of(setting.server), setting.reports / NAME, {KEY_VARIABLE: str(other)})
    with pytest.raises(ReleaseError, match="trusted are"):
        setting.fetch()


def change(*path: str | int, to: Any) -> Callable[[dict[str, Any]], None]:
    """Return what sets one place of a report."""

    def apply(document: Any) -> None:
        for part in path[:-1]:
            document = document[part]
        document[path[-1]] = to

    return apply


@pytest.mark.parametrize(
    "what, told",
    [
        (change("sleeve", to="traders"), "a report of traders"),
        (change("format", to=2), "in format 2"),
        (change("coverage", "status", to="AMBER"), "its coverage is AMBER"),
        (change("coverage", "status", to=None), r"coverage\.status"),
        (change("picks", to=[]), "it has 0 rows, limit at least 4"),
        (change("picks", 0, "yhat", to=None), r"picks\.0\.yhat"),
        (change("picks", 0, "prob_up", to=1.5), r"picks\.0\.prob_up"),
        (change("picks", 0, "symbol", to="<script>"), r"picks\.0\.symbol"),
        (change("picks", 1, "symbol", to="A"), "not one row per symbol"),
        (change("picks", 3, "yhat", to=9.0), "by falling score"),
        (change("counts", "scored", to=5), "not one row per symbol"),
        (change("scored_at", to="2024-01-05T22:41:00"), "scored at 2024-01-05 22:41:00"),
        (change("scored_at", to="2024-01-02T22:00:00"), "scored at 2024-01-02 22:00:00"),
        (change("model", "run_id", to="../x"), r"model\.run_id"),
        (change("as_of", to=5), "as_of"),
    ],
)
def test_a_signed_report_that_is_not_fit_to_serve_is_refused(
    setting: Setting, what: Callable[[dict[str, Any]], None], told: str
) -> None:
    """Signed by the right key, and wrong in one place: a tripwire names it, and nothing is written."""
    setting.resign(what)
    with pytest.raises(TripwireError, match=told):
        setting.fetch()
    assert setting.written() == []


def test_what_is_no_json_is_refused(setting: Setting) -> None:
    """Signed bytes that are no document are refused without a traceback."""
    raw = b"\xff{"
    (setting.reports / NAME).write_bytes(raw)
    key = load_private_key(setting.server.lake, setting.environment)
    (setting.reports / f"{NAME}.sig").write_bytes(sign(raw, key))
    with pytest.raises(TripwireError, match="it is no report"):
        setting.fetch()


def test_the_model_may_be_demanded(setting: Setting) -> None:
    """With a run named, a report of another model is refused."""
    assert setting.fetch(run_id=RUN).rows == 4
    with pytest.raises(TripwireError, match="asked for is equities-fwd_5d-ffffffffffff"):
        setting.fetch(run_id="equities-fwd_5d-ffffffffffff")


def test_an_older_version_of_the_same_day_is_refused(setting: Setting) -> None:
    """After a correction was fetched, the report from before it is a replay."""
    setting.resign(change("scored_at", to="2024-01-05T22:35:00"))
    assert setting.fetch().written
    setting.resign(change("scored_at", to="2024-01-05T22:31:00"))
    before = (setting.device.lake / "reports" / NAME).read_bytes()
    with pytest.raises(TripwireError, match="is newer: 2024-01-05 22:35:00"):
        setting.fetch()
    assert (setting.device.lake / "reports" / NAME).read_bytes() == before


def test_too_large_a_report_is_refused(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report beyond the limit is not read to its end."""
    monkeypatch.setattr("trademl.edge.fetch.MAX_REPORT", 100)
    with pytest.raises(ReleaseError, match="more than 100 bytes"):
        setting.fetch()


def test_without_a_source_nothing_can_be_fetched(home: Home) -> None:
    """The default configuration names no source."""
    with pytest.raises(ConfigError, match="names no source"):
        fetch_report(home, WEDNESDAY, now=lambda: NOW)


def test_scoring_without_a_key_leaves_no_stale_signature(setting: Setting) -> None:
    """A report that is scored again without the key has no signature rather than one of other bytes."""
    assert (setting.reports / f"{NAME}.sig").exists()
    score_equities(setting.server, WEDNESDAY, now=lambda: NOW + timedelta(minutes=1))
    assert not (setting.reports / f"{NAME}.sig").exists()


def test_a_key_that_others_can_read_is_refused(setting: Setting) -> None:
    """Signing needs a private key of mode 0600."""
    setting.key.chmod(0o644)
    with pytest.raises(ConfigError, match="others can read"):
        sign_report(layout_of(setting.server), setting.reports / NAME, setting.environment)
