"""A small dbt project with two feature tables, whose macros are the house's own constructor and a few definitions."""

import shutil
from pathlib import Path

import yaml

from trademl.config.home import Home
from trademl.warehouse.feature_macros import evaluate
from trademl.warehouse.feature_sets import freeze

REPOSITORY = Path(__file__).resolve().parents[2]

TABLES = """\
{% macro feature_tables() -%}
    {{ return([
        {'name': 'equities_features', 'features': core_features, 'twins': ['dm', 'rank']},
        {'name': 'equities_second', 'features': second_features, 'twins': {'_rank': ['slow_20'], '_wz': 'all'}}
    ]) }}
{%- endmacro %}

{% macro feature_columns_of(table) -%}
    {%- set steps = [{'sum_5': 'sum(close) over w', 'spare': '0'}, {'mean_5': 'sum_5 / 5'}] -%}
    {{ return(steps if table == 'equities_features' else []) }}
{%- endmacro %}
"""

CORE = """\
{# Two core features. #}
{% macro core_features() -%}
    {{ return([
        feature(
            name='change_1d', family='core', window=1, unit='return', lookback=1, quantum='1e-12',
            formula='C[t] / C[t-1] - 1', sources='close', sql='close / previous_close - 1'
        ),
        feature(
            name='mean_5d', family='core', window=5, unit='USD', lookback=4,
            formula='mean(C, 5)', sources='close', sql='mean_5'
        )
    ]) }}
{%- endmacro %}
"""

SECOND = """\
{# Definitions in a loop, through a macro of another file. #}
{% macro second_features() -%}
    {%- set features = [] -%}
    {%- for n in [10, 20] -%}
        {%- do features.append(slow_feature(n)) -%}
    {%- endfor -%}
    {{ return(features) }}
{%- endmacro %}
"""

HELPERS = """\
{% materialization special, adapter='duckdb' -%}
    {%- call statement('main') -%}select 1{%- endcall -%}
    {{ return({'relations': []}) }}
{%- endmaterialization %}

{% macro slow_feature(n) -%}
    {{ return(feature(
        name='slow_' ~ n, family='second', window=n, unit='ratio', lookback=n - 1, quantum='1e-9', alias='SLOW' ~ n,
        formula='mean(C, ' ~ n ~ ') / C[t]', sources='close, dividend_amount', sql='close_' ~ n ~ ' / close',
        description='Slow.'
    )) }}
{%- endmacro %}
"""

MODELS = {
    "bronze/brz_equities__bars.sql": "select * from {{ landed('equity_bars') }}",
    "silver/slv_panel.sql": "{{ config(schema='work') }}\nselect *, close as previous_close, 1.0 as mean_5, "
    "close as close_10, close as close_20 from {{ ref('brz_equities__bars') }}",
    "gold/gld_equities_features.sql": "-- not ref('brz_nothing')\nselect symbol, date"
    "{% for one in core_features() %}, {{ one.sql }} as {{ one.name }}{% endfor %} from {{ ref('slv_panel') }}",
    "gold/gld_equities_second.sql": "select symbol, date"
    "{% for one in second_features() %}, {{ one.sql }} as {{ one.name }}{% endfor %} from {{ ref('slv_panel') }}",
}

YML = """\
models:
  - name: gld_equities_features
    data_tests:
      - unique_grain:
          arguments:
            columns: [symbol, date]
      - known_by
      - in_range:
          arguments:
            column: mean_5d
    columns:
      - name: change_1d
        data_tests: [not_null]
      - name: mean_5d
  - name: slv_panel
    columns: [{name: symbol}, {name: date}, {name: close}, {name: previous_close}, {name: mean_5}]
unit_tests:
  - name: rows_by_dict
    model: gld_equities_features
    expect:
      rows: [{symbol: a, change_1d: 0.5}]
  - name: rows_by_csv
    model: slv_panel
    expect:
      format: csv
      rows: |
        symbol,mean_5d
        a,1
  - name: rows_by_fixture
    model: gld_equities_second
    expect:
      format: csv
      fixture: slow
  - name: of_another_model
    model: brz_equities__bars
    expect:
      rows: [{change_1d: 0.5}]
"""


def write_project(folder: Path, **files: str) -> Home:
    """Write the home, with ``files`` (macro files by stem) in place of those of this module or beside them."""
    home = Home(folder)
    features = home.dbt_project / "macros" / "features"
    features.mkdir(parents=True)
    (home.configs / "features").mkdir(parents=True)
    written = {"tables": TABLES, "core": CORE, "second": SECOND, **files}
    for stem, text in written.items():
        (features / f"{stem}.sql").write_text(text)
    (home.dbt_project / "macros" / "helpers.sql").write_text(HELPERS)
    shutil.copy(REPOSITORY / "dbt_project/macros/features/feature.sql", features)
    shutil.copy(REPOSITORY / "dbt_project/macros/feature_definition.sql", home.dbt_project / "macros")
    settings = {"name": "trademl", "vars": {"longest_lookback": 130, "feature_tables": [], "for_device": False}}
    (home.dbt_project / "dbt_project.yml").write_text(yaml.safe_dump(settings))
    for name, text in MODELS.items():
        path = home.dbt_project / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (home.dbt_project / "models" / "gold" / "tests.yml").write_text(YML)
    (home.dbt_project / "tests" / "fixtures").mkdir(parents=True)
    (home.dbt_project / "tests" / "fixtures" / "slow.csv").write_text("symbol,slow_10\na,1\n")
    return home


def write_set(home: Home, name: str, *columns: str) -> Path:
    """Write a feature set that pins the definitions as they are."""
    return freeze(home, evaluate(home.dbt_project), name, columns, "for tests")[0]
