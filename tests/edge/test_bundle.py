"""A bundle from a release: the same checks as from a run folder, which test_score.py has."""

import json

import pytest

from tests.edge.device_home import write_release
from tests.edge.scoring_home import RUN
from trademl.config.home import Home
from trademl.edge.bundle import ASSETS, asset_file, open_bundle, open_release_bundle
from trademl.errors import ArtifactError
from trademl.lake.layout import layout_of
from trademl.lake.release import Asset


def test_folder_and_release_give_the_same_bundle(home: Home) -> None:
    """Both ways lead to the same model, features and calibrator."""
    release = write_release(home)
    ours = open_release_bundle(layout_of(home), release)
    theirs = open_bundle(home.models_artifacts / "equities" / RUN)
    for name in ("run_id", "sleeve", "label", "horizon", "features_table", "entity", "feature_names"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.calibrator.to_dict() == theirs.calibrator.to_dict()
    assert ours.residuals.to_dict() == theirs.residuals.to_dict()


def facts(**more: object) -> bytes:
    """What scoring.json of the released run says, with more."""
    told = {"sleeve": "equities", "run_id": RUN, "label": "fwd_5d", "horizon": 5, "entity": "symbol"}
    return json.dumps({**told, "features_table": "gold.equities_features", **more}).encode()


def test_a_model_says_in_which_tables_its_features_lie(home: Home) -> None:
    """Without a word of others, all lie in one; further tables are listed with what they have."""
    release = write_release(home, assets={"model/scoring.json": facts()})
    plain = open_release_bundle(layout_of(home), release)
    assert (plain.feature_tables, plain.tables) == ({}, ("gold.equities_features",))
    tables = {"gold.equities_alpha158": ["beta"]}
    release = write_release(home, seq=2, assets={"model/scoring.json": facts(feature_tables=tables)})
    wide = open_release_bundle(layout_of(home), release)
    assert wide.feature_tables == {"gold.equities_alpha158": ("beta",)}
    assert wide.tables == ("gold.equities_features", "gold.equities_alpha158")


@pytest.mark.parametrize("tables", [["gold.x"], "gold.x", {"gold.x": 3}])
def test_a_damaged_list_of_tables_is_refused(home: Home, tables: object) -> None:
    """The list of tables is a mapping of lists, or the file is damaged."""
    release = write_release(home, assets={"model/scoring.json": facts(feature_tables=tables)})
    with pytest.raises(ArtifactError, match=r"scoring.json of .* is damaged"):
        open_release_bundle(layout_of(home), release)


def test_the_assets_are_those_of_the_contract() -> None:
    """A release names the model's files without their folders."""
    assert sorted(ASSETS.values()) == [
        "model/calibrator.json",
        "model/feature_list.json",
        "model/golden.json",
        "model/model.onnx",
        "model/scoring.json",
        "model/yhat_std.json",
    ]


def test_a_feature_list_in_another_order_is_refused(home: Home) -> None:
    """The list of the release and the graph's own must agree in order."""
    release = write_release(home, assets={"model/feature_list.json": b'["beta", "alpha"]'})
    with pytest.raises(ArtifactError, match="is not the list of features, in order"):
        open_release_bundle(layout_of(home), release)


@pytest.mark.parametrize("name, value", [("run_id", "other"), ("sleeve", "traders"), ("label", "x"), ("horizon", 6)])
def test_a_model_of_another_run_is_refused(home: Home, name: str, value: object) -> None:
    """What the model's own file says must be what the release says."""
    facts = {
        "sleeve": "equities",
        "run_id": RUN,
        "label": "fwd_5d",
        "horizon": 5,
        "features_table": "gold.equities_features",
        "entity": "symbol",
    }
    release = write_release(home, assets={"model/scoring.json": json.dumps({**facts, name: value}).encode()})
    with pytest.raises(ArtifactError, match=r"model/scoring.json of release 1 is of .*the release of equities/"):
        open_release_bundle(layout_of(home), release)


def test_a_damaged_description_is_refused(home: Home) -> None:
    """A description without a horizon is an error that names the file."""
    release = write_release(home, assets={"model/scoring.json": b'{"run_id": "x"}'})
    with pytest.raises(ArtifactError, match=r"config/scoring.json of .* is damaged"):
        open_release_bundle(layout_of(home), release)


def test_an_asset_is_compared_with_size_and_hash(home: Home) -> None:
    """An asset that the release does not have, and one of another size, are refused by name."""
    release = write_release(home)
    with pytest.raises(ArtifactError, match=r"release 1 has no asset model/other\.json"):
        asset_file(layout_of(home), release, "model/other.json")
    real = release.assets["model/golden.json"]
    wrong = release.model_copy(update={"assets": {"model/golden.json": Asset(real.sha256, real.bytes + 1)}})
    with pytest.raises(ArtifactError, match=r"model/golden.json of release 1 was altered"):
        asset_file(layout_of(home), wrong, "model/golden.json")
