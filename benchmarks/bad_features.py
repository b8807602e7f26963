"""Wrong definitions of features, one after another: is each refused with its file, its line and the remedy?

    python -m benchmarks.bad_features              # prints every message
    python -m benchmarks.bad_features --quiet      # only those that fall short
    python -m benchmarks.bad_features --dbt        # and what a plain `dbt parse` says of each

Each case is a copy of this checkout's dbt_project and feature sets with one edit, and goes through what
`trademl features check` and `trademl build` go through. The message must hold the file and the line of the edit, what
is wrong, the limit, and the remedy. Exit code 1 when one does not, or when nothing is refused.
"""

import argparse
import contextlib
import io
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from trademl.config.home import Home
from trademl.errors import TrademlError
from trademl.warehouse.feature_check import check_features

REPOSITORY = Path(__file__).resolve().parents[1]
MACROS = "dbt_project/macros/features"


@dataclass(frozen=True)
class Case:
    """One wrong definition.

    Attributes:
        wrong: what it is, in words.
        file: the file that is edited, below dbt_project/macros/features unless it has a folder.
        old, new: the text that is replaced, once, and by what.
        what, limit, remedy: what the message must hold.
        at: text of the line that the message must name, where it is not the edited one.
        told: the file that it must name, where it is not the edited one.
    """

    wrong: str
    file: str
    old: str
    new: str
    what: str
    limit: str
    remedy: str
    at: str = ""
    told: str = ""

    def edit(self, home: Home) -> Path:
        """Make the edit in a home; return the edited file."""
        path = home.root / (self.file if "/" in self.file else f"{MACROS}/{self.file}")
        text = path.read_text(encoding="utf-8")
        if self.old not in text:
            raise AssertionError(f"{self.wrong}: {path} has no {self.old!r}; the case must follow the file")
        path.write_text(text.replace(self.old, self.new, 1), encoding="utf-8")
        return path

    def place(self, home: Home) -> str:
        """Return the file and line that the message must name; after the edit."""
        file = self.told or self.file
        path = home.root / (file if "/" in file else f"{MACROS}/{file}")
        wanted = (self.at or self.new).splitlines()[0]
        lines = path.read_text(encoding="utf-8").splitlines()
        number = next(at for at, line in enumerate(lines, start=1) if wanted in line)
        relative = path.relative_to(home.root).as_posix().removeprefix("dbt_project/")
        return f"{relative}:{number}"

    def message(self, home: Home) -> str:
        """Return the message that it is refused with; empty when it is not."""
        self.edit(home)
        try:
            check_features(home)
        except TrademlError as error:
            return str(error)
        return ""

    def lacks(self, message: str, home: Home) -> list[str]:
        """Return what the message does not hold."""
        told = {"the place": self.place(home), "what": self.what, "the limit": self.limit, "the remedy": self.remedy}
        return [name for name, text in told.items() if text not in message] if message else ["any refusal"]


_WHOLE = "a whole number of sessions, at least 1"
_COLUMN = "what it is made from do not compute"
_PAST = "a row reads sessions up to its own"

CASES: tuple[Case, ...] = (
    Case(
        "an unknown column, core table",
        "momentum.sql",
        "log_index - log_index_",
        "log_index - log_indx_",
        "reads the column log_indx_5",
        _COLUMN,
        "correct the name",
    ),
    Case(
        "an unknown column, Alpha158",
        "candles.sql",
        "'close - open'",
        "'closs - open'",
        "feature candle_body: its expression reads the column closs",
        _COLUMN,
        "correct the name",
    ),
    Case(
        "an unknown column, Alpha360",
        "price_lags.sql",
        "else ' / close')",
        "else ' / clse')",
        "reads the column clse",
        _COLUMN,
        "correct the name",
    ),
    Case(
        "window 0",
        "equities_features.sql",
        "realised_volatility_features([20, 60])",
        "realised_volatility_features([0, 60])",
        "window is 0",
        _WHOLE,
        "its own included",
        at="feature(",
        told="volatility.sql",
    ),
    Case(
        "a window of one and a half sessions",
        "beta.sql",
        "window=n,",
        "window=1.5,",
        "window is 1.5",
        _WHOLE,
        "its own included",
        at="feature(",
    ),
    Case(
        "lookahead by a negative window",
        "equities_features.sql",
        "momentum_features([5, 20,",
        "momentum_features([-5, 20,",
        "window is -5",
        _WHOLE,
        "its own included",
        at="feature(",
        told="momentum.sql",
    ),
    Case(
        "lookahead by a negative lookback",
        "drawdown.sql",
        "lookback=n - 1",
        "lookback=0 - n",
        "lookback is -126",
        "a whole number, at least 0",
        "would read the future",
        at="feature(",
    ),
    Case(
        "lookahead by a negative lag",
        "price_lags.sql",
        "set value = lagged(field, k)",
        "set value = lagged(field, 0 - k)",
        "the lag is -59",
        "a whole number, at least 0",
        "a later session",
    ),
    Case(
        "lookahead by a negative lag in SQL",
        "equities_feature_columns.sql",
        "'lag(log_index, ' ~ n",
        "'lag(log_index, -' ~ n",
        "looks ahead (lag(log_index, -)",
        _PAST,
        "take a lag of 0 sessions or more",
    ),
    Case(
        "lookahead by lead()",
        "equities_feature_columns.sql",
        "'lag(log_index, ' ~ n",
        "'lead(log_index, ' ~ n",
        "looks ahead (lead()",
        _PAST,
        "take a lag of 0 sessions or more",
    ),
    Case(
        "lookahead by lead() in a definition",
        "gaps.sql",
        "sql=from_fixed('log_gap')",
        "sql='le' ~ 'ad(log_gap) over (partition by series_key order by session_index)'",
        "feature gap_1d: its expression looks ahead: lead()",
        _PAST,
        "take a lag of 0 sessions or more",
        at="feature(",
    ),
    Case(
        "lookahead by a frame",
        "equities_feature_columns.sql",
        "preceding and current row",
        "preceding and 1 following",
        "looks ahead (following)",
        _PAST,
        "a frame that ends with the current row",
    ),
    Case(
        "lookahead by a frame in a model",
        "dbt_project/models/gold/equities/gld_equities_alpha158.sql",
        "from windows",
        "from windows window w as (order by date rows between current row and 5 following)",
        "looks ahead (following)",
        _PAST,
        "a frame that ends with the current row",
    ),
    Case(
        "a lookback beyond what builds read",
        "equities_features.sql",
        "drawdown_features(126)",
        "drawdown_features(300)",
        "lookback is 299",
        "at most 130 sessions",
        "raise longest_lookback",
        at="feature(",
        told="drawdown.sql",
    ),
    Case(
        "a name twice",
        "equities_features.sql",
        "+ beta_features(60)",
        "+ beta_features(60) + beta_features(60)",
        "feature beta_60d: the name is taken in equities_features",
        "names are unique in a table",
        "delete one of the two",
        at="feature(",
        told="beta.sql",
    ),
    Case(
        "the name of another feature's twin",
        "gaps.sql",
        "name='gap_1d'",
        "name='momentum_5d_rank'",
        "a twin of momentum_5d",
        "names are unique in a table",
        "name it otherwise",
        at="feature(",
    ),
    Case(
        "the name of a key",
        "gaps.sql",
        "name='gap_1d'",
        "name='known_at'",
        "feature known_at: the name is taken",
        "a column that every feature table has",
        "name it otherwise",
        at="feature(",
    ),
    Case(
        "a name in capitals",
        "gaps.sql",
        "name='gap_1d'",
        "name='Gap_1d'",
        "the name is Gap_1d",
        "lower case letters, digits and underscores",
        "rename it",
        at="feature(",
    ),
    Case(
        "a name with a blank",
        "gaps.sql",
        "name='gap_1d'",
        "name='gap 1d'",
        "the name is gap 1d",
        "lower case letters, digits and underscores",
        "rename it",
        at="feature(",
    ),
    Case(
        "no unit",
        "beta.sql",
        "unit='ratio'",
        "unit=''",
        "unit is nothing",
        "some text",
        "every feature says its unit",
        at="feature(",
    ),
    Case(
        "no formula",
        "drawdown.sql",
        "formula='exp(L[t] - max(L, ' ~ n ~ ')) - 1'",
        "formula=' '",
        "formula is nothing",
        "some text",
        "every feature says its formula",
        at="feature(",
    ),
    Case(
        "no sources",
        "drawdown.sql",
        "sources='close, dividend_amount, split_coefficient'",
        "sources=''",
        "sources is nothing",
        "some text",
        "every feature says its sources",
        at="feature(",
    ),
    Case(
        "an expression that is no SQL",
        "momentum.sql",
        " ~ ') - 1 end'",
        " ~ ')) - 1 end'",
        "its expression is no SQL",
        "syntax error",
        "correct it: case when",
        at="feature(",
    ),
    Case(
        "an unknown function",
        "momentum.sql",
        "then exp('",
        "then expp('",
        "its expression calls expp(), which DuckDB does not know",
        "did you mean exp()?",
        "correct the name",
        at="feature(",
    ),
    Case(
        "a value that changes every time",
        "gaps.sql",
        "sql=from_fixed('log_gap')",
        "sql='random()'",
        "its expression calls random()",
        "a feature is a function of its row",
        "leave the call out",
        at="feature(",
    ),
    Case(
        "a table of its own",
        "gaps.sql",
        "sql=from_fixed('log_gap')",
        "sql='(select max(close) from silver.equity_bars)'",
        "reads a table of its own",
        "a value of the row's columns",
        "compute what it reads in the model",
        at="feature(",
    ),
    Case(
        "an argument that the constructor does not have",
        "beta.sql",
        "lookback=n,",
        "lookbak=n,",
        "the constructor takes no keyword argument 'lookbak'",
        "feature beta_60d",
        "give the fields it takes",
        at="feature(",
    ),
    Case(
        "a definition without the constructor",
        "beta.sql",
        "return([feature(",
        "return([dict(",
        "feature beta_60d of equities_features was not made by the constructor",
        "feature()",
        "define it with feature(name=",
        at="{# Slope of",
    ),
    Case(
        "a macro that does not exist",
        "equities_features.sql",
        "momentum_features(",
        "momentum_featurs(",
        "'momentum_featurs' is undefined",
        "the features of equities_features",
        "mend the line named here",
        at="return(",
    ),
    Case(
        "no jinja",
        "beta.sql",
        "{%- endmacro %}",
        "{%- endmacro",
        "unexpected",
        "macros/features/beta.sql",
        "mend the line named here",
        at="{%- endmacro",
    ),
    Case(
        "a table that does not exist, switched on",
        "dbt_project/dbt_project.yml",
        "feature_tables: []",
        "feature_tables: [equities_alpha185]",
        "feature_tables has 'equities_alpha185'",
        "did you mean equities_alpha158?",
        "feature tables are equities_features",
    ),
    Case(
        "another definition under a name that a set pins",
        "momentum.sql",
        " ~ ') - 1 end'",
        " ~ ') - 1.0 end'",
        "the definition of momentum_5d_rank changed under its name",
        "core_v1 pins",
        "momentum_5d_rank_v2",
        at="- momentum_5d_rank",
        told="configs/features/core_v1.yml",
    ),
    Case(
        "a set with a column that does not exist",
        "configs/features/core_v1.yml",
        "- beta_60d_rank",
        "- beta_61d_rank",
        "definitions has no hash of beta_61d_rank",
        "core_v1.yml",
        "correct the fields",
        at="# A feature set",
    ),
)


def copy_home(folder: Path) -> Home:
    """Return a home in ``folder`` with a copy of this checkout's dbt_project and feature sets."""
    for part in ("dbt_project/macros", "dbt_project/models", "dbt_project/tests", "configs/features"):
        shutil.copytree(REPOSITORY / part, folder / part)
    for file in ("dbt_project/dbt_project.yml", "dbt_project/profiles.yml"):
        shutil.copy(REPOSITORY / file, folder / file)
    return Home(folder)


def dbt_says(home: Home) -> str:
    """Return what `dbt parse` answers; empty when it parses."""
    from dbt.cli.main import dbtRunner

    from trademl.warehouse.dbt import dbt_environment

    project = str(home.dbt_project)
    settings = {"TRADEML_LAKE": str(home.root), "TRADEML_WAREHOUSE": str(home.root / "warehouse.duckdb")}
    arguments = ["--quiet", "parse", "--project-dir", project, "--profiles-dir", project]
    with dbt_environment(settings), contextlib.redirect_stdout(io.StringIO()):
        outcome = dbtRunner().invoke([*arguments, "--target-path", os.path.join(home.root, "target")])
    return "" if outcome.success else " ".join(str(outcome.exception).split())


def main() -> int:
    """Make every edit; return 1 if a message falls short."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bad_features",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quiet", action="store_true", help="print only the messages that fall short")
    parser.add_argument("--dbt", action="store_true", help="ask `dbt parse` too")
    options = parser.parse_args()
    short = parsed = 0
    for number, case in enumerate(CASES, start=1):
        with tempfile.TemporaryDirectory() as folder:
            home = copy_home(Path(folder))
            message = case.message(home)
            lacks = case.lacks(message, home)
            said = dbt_says(home) if options.dbt else ""
        short += bool(lacks)
        parsed += bool(said)
        if lacks or not options.quiet:
            print(f"{number:>3} {case.wrong}\n    {message.replace(chr(10), chr(10) + '    ').replace(folder, '')}")
            print(f"    LACKS {', '.join(lacks)}" if lacks else "", flush=True)
            if options.dbt:
                print(f"    dbt parse: {said[:300] or 'parses it'}\n", flush=True)
    told = (
        f"{len(CASES)} wrong definitions, {len(CASES) - short} refused with place, fault, limit and remedy, {short} not"
    )
    print(told + (f"; dbt parse alone refuses {parsed}" if options.dbt else ""))
    return int(short > 0)


if __name__ == "__main__":
    sys.exit(main())
