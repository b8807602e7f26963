"""A stored calibrator as a DuckDB expression: the same probabilities as in Python, bit for bit.

The text repeats the operations of :func:`trademl.validation.calibration.apply` in its order. Knots are constant lists,
found by a binary search whose steps are a short list, so the work per row grows with the logarithm of the knots and
no branch per knot is planned. A value that is needed twice is bound by the lambda of a ``list_transform`` over one
element. The expression is evaluated once per row, and its column names cannot meet the names bound here.

The probability of NULL is NULL, and that of NaN is NaN, as in numpy. DuckDB must compute as IEEE 754 says, which is its
default (``ieee_floating_point_ops``).
"""

from collections.abc import Iterable

from trademl.errors import ModelError
from trademl.validation.calibration import Calibrator, Clip, Knots, Platt
from trademl.validation.sigmoid import LARGEST, LN2_HIGH, LN2_LOW, LOG2_E, TAYLOR

_BASE = 32
"""2^-k is the product of two list elements: k = 32 a + b needs two lists of 32 instead of one of 1,011."""


def calibration_sql(calibrator: Calibrator, score: str, *, clip: Clip | None = None) -> str:
    """Return a DuckDB expression of the probability of ``score``.

    Args:
        calibrator: as fitted or as read back from its JSON.
        score: a SQL expression of type DOUBLE, such as a column; it is used as it stands, so it must be trusted text.
        clip: bounds of the result, as ``PROBABILITY_RANGE``.

    Raises:
        ModelError: ``score`` is blank, or a coefficient is not a finite number.

    >>> "yhat" in calibration_sql(Platt(-2.0, 0.5), "yhat")
    True
    """
    if not score.strip():
        raise ModelError("a calibrator of no score", remedy="give a SQL expression, such as yhat")
    body = _knots(calibrator) if isinstance(calibrator, Knots) else _platt(calibrator)
    if clip is not None:
        # Greatest and least skip NULL, and NaN is the greatest of all: neither may pass through them.
        bounded = f"least(greatest(p, {_number(clip[0])}), {_number(clip[1])})"
        body = _bind("p", body, f"case when isnan(p) then p when p is not null then {bounded} end")
    return _bind("v", f"cast(({score}) as double)", body)


def _knots(knots: Knots) -> str:
    """Return the curve at ``v``: which knot is the last not above it, then the line that begins there."""
    x = _list(knots.x.tolist())
    inside = f"least(greatest(v, {_number(knots.x[0])}), {_number(knots.x[-1])})"
    steps = ", ".join(str(1 << bit) for bit in reversed(range(len(knots.x).bit_length())))
    # Position 0, the start, is before the first knot; a position past the last has no element, and NULL is no step.
    found = f"list_reduce([0, {steps}], lambda p, s: p + case when ({x})[p + s] <= u then s else 0 end)"
    line = f"{_list(knots.slope.tolist())}[j] * (u - {x}[j]) + {_list(knots.y.tolist())}[j]"
    curve = _bind("u", inside, _bind("j", found, f"least({line}, {_list(knots.ceiling.tolist())}[j])"))
    return f"case when isnan(v) then v when v is not null then {curve} end"


def _platt(platt: Platt) -> str:
    """Return the sigmoid of ``-(a v + b)`` as :func:`trademl.validation.sigmoid.sigmoid` computes it."""
    power = _number(TAYLOR[0])
    for coefficient in TAYLOR[1:]:
        power = f"({power} * r + {_number(coefficient)})"
    coarse, fine = _list(2.0 ** -(_BASE * part) for part in range(_BASE)), _list(2.0**-part for part in range(_BASE))
    scale = f"({coarse}[k // {_BASE} + 1] * {fine}[k % {_BASE} + 1])"
    small = f"case when abs(z) > {_number(LARGEST)} then {_number(0.0)} else {power} * {scale} end"
    share = f"(case when z >= 0 then {_number(1.0)} else q end) / ({_number(1.0)} + q)"
    rest = f"(k * {_number(LN2_HIGH)} - n) + k * {_number(LN2_LOW)}"
    whole = f"cast(floor(n * {_number(LOG2_E)} + {_number(0.5)}) as integer)"
    curve = _bind(
        "n", f"least(abs(z), {_number(LARGEST)})", _bind("k", whole, _bind("r", rest, _bind("q", small, share)))
    )
    guarded = f"case when isnan(z) then z when z is not null then {curve} end"
    return _bind("z", f"-({_number(platt.a)} * v + {_number(platt.b)})", guarded)


def _bind(name: str, value: str, body: str) -> str:
    """Return ``body`` with ``name`` standing for ``value``, which is computed once."""
    return f"list_transform([{value}], lambda {name}: {body})[1]"


def _list(values: Iterable[float]) -> str:
    return f"[{', '.join(map(_number, values))}]"


def _number(value: float) -> str:
    """Return a literal that DuckDB reads as exactly this DOUBLE: without an exponent it would be a DECIMAL."""
    number = float(value)
    if number - number != 0.0:
        raise ModelError(f"{number} is no coefficient of a calibrator", remedy="fit it again on finite scores")
    text = repr(number)
    return f"({text if 'e' in text else text + 'e0'})"
