"""``trademl export``: write a model as ONNX, with the proof that it scores alike."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from trademl.training.export import Exported


@click.group(short_help="Write a model as ONNX, proved bit-equal to its native file.")
def export() -> None:
    """Models for other programs: one ONNX file, from float32 features in the run's order to scores."""


@export.command(short_help="Write the ONNX graph of a run or of a model file.")
@click.argument("model", metavar="RUN|FILE")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write.  [default: RUN.onnx, here]",
)
@click.option("--calibrated", is_flag=True, help="Add the run's calibrator: a second output, `probability`.")
def onnx(model: str, output: Path | None, calibrated: bool) -> None:
    """Write the final model of RUN as ONNX; or the model in FILE, a LightGBM text or a JSON of XGBoost or CatBoost.

    The graph is made from the native file and proved on golden vectors and on every threshold before it is written.
    What has no exact equal in ONNX is refused, with the reason.
    """
    from trademl.config.home import find_home
    from trademl.errors import ConfigError
    from trademl.reports.predictions import find_run
    from trademl.training.export import export_file, export_run
    from trademl.warehouse.read import read_snapshot

    file = Path(model)
    if file.is_file():
        if calibrated:
            raise ConfigError(f"--calibrated with the file {file}: it has no calibrator", remedy="give a run instead")
        done = export_file(file, output or Path(f"{file.stem}.onnx"))
    else:
        home = find_home()
        with read_snapshot(home) as snapshot:
            run = find_run(snapshot.con, home, model)
        done = export_run(run.folder, output or Path(f"{model}.onnx"), calibrated=calibrated)
    click.echo("\n".join(describe(done)))


def describe(done: "Exported") -> list[str]:
    """Return what was written, and its proof, as lines of text."""
    parity = done.parity
    lines = [
        f"wrote      {done.path}: {done.path.stat().st_size:,} bytes",
        f"model      {done.kind}, {done.features} features in, {', '.join(done.outputs)} out",
        f"parity     {parity.mismatches} of {parity.rows:,} rows differ, {parity.boundary_rows:,} of them on or beside "
        f"{parity.thresholds:,} thresholds of {parity.trees:,} trees; largest difference {parity.max_abs_difference:g}",
    ]
    if done.golden_rows:
        lines.append(f"golden     {done.golden_rows} recorded vectors score as recorded, bit for bit")
    else:
        lines.append(f"canonical  rounding the leaves moved a score by at most {done.moved:.3g} on made-up rows")
    if done.calibrated_rows:
        lines.append(f"calibrated {done.calibrated_rows} probabilities as in Python, bit for bit")
    lines.append(
        f"latency    500 rows: native {parity.native_ms_500_rows} ms, ONNX {parity.onnx_ms_500_rows} ms; "
        f"1 row: native {parity.native_ms_1_row} ms, ONNX {parity.onnx_ms_1_row} ms"
    )
    return lines
