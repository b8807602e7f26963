"""Read the numbers of a pickle without unpickling: nothing in it can be imported, called or run.

A pickle is a program for a stack machine. This is such a machine with the instructions that a dictionary of plain
values, numpy arrays, a ``Ridge`` and a ``StandardScaler`` need, and no others. A class is a name from the list below;
to make an object is to note its name and its state; numpy's constructors are taken for what they mean. Whatever else
a file asks for is refused at the first such instruction, before anything of it has had an effect.

Reference: the standard library's ``pickletools``, whose table of opcodes parses the file.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError

MAX_BYTES = 64 * 1024 * 1024
"""Largest file that is read: the pickle of a pipeline has some kilobytes."""

OBJECTS: dict[str, str] = {
    "sklearn.linear_model._ridge.Ridge": "Ridge",
    "sklearn.preprocessing._data.StandardScaler": "StandardScaler",
}
"""Classes whose state is noted, and what they are called here."""

_ARRAY, _DTYPE, _MAKE_ARRAY, _MAKE_NUMBER, _FROM_BUFFER = "ndarray", "dtype", "make array", "make number", "from buffer"
_NUMPY: dict[str, str] = {
    "numpy.ndarray": _ARRAY,
    "numpy.dtype": _DTYPE,
    **{f"numpy.{core}.multiarray._reconstruct": _MAKE_ARRAY for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _MAKE_NUMBER for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _FROM_BUFFER for core in ("core", "_core")},
}
_KINDS = {f"{kind}{size}" for kind in "fiu" for size in (1, 2, 4, 8)} - {"f1"} | {"b1"}
_MARK = object()
_SAFE = "give the stacked_pipeline.pkl that the first system wrote, or train again"


@dataclass(frozen=True)
class Name:
    """A class or function of the lists above: a word, not the thing."""

    word: str


@dataclass(eq=False)
class Plain:
    """An object as its file states it: the class's short name and its attributes."""

    kind: str
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class _Array:
    """An array that is to be told its shape, type and bytes."""

    values: NDArray[Any] | None = None


@dataclass(eq=False)
class _Type:
    """A numpy type of plain numbers, such as f8."""

    code: str
    order: str = "<"

    def read(self, raw: bytes) -> NDArray[Any]:
        return np.frombuffer(raw, dtype=np.dtype(self.order + self.code))


def read_plain(raw: bytes, origin: str) -> Any:
    """Return what a pickle describes: plain values, arrays and :class:`Plain` objects.

    Args:
        raw: the file.
        origin: begins the message of a refusal.

    Raises:
        ModelError: the file is cut off, too large, or has an instruction, class or function that is not on the lists.
    """
    if len(raw) > MAX_BYTES:
        raise ModelError(f"{origin} has {len(raw):,} bytes; at most {MAX_BYTES:,} are read", remedy=_SAFE)
    machine = _Machine(origin)
    try:
        for opcode, argument, _ in pickletools.genops(raw):
            step = _STEPS.get(opcode.name)
            if step is None:
                raise ModelError(
                    f"{origin} uses the pickle instruction {opcode.name}, which a pipeline does not need; nothing was "
                    "run",
                    remedy=_SAFE,
                )
            step(machine, argument)
        return _finished(machine.result, {})
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ModelError(f"{origin} is cut off or damaged: {error!r}", remedy=_SAFE) from error


class _Machine:
    """The stack and the memory of one reading."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}
        self.result: Any = None

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        """Take what lies above the last mark, and the mark."""
        for at in range(len(self.stack) - 1, -1, -1):
            if self.stack[at] is _MARK:
                items = self.stack[at + 1 :]
                del self.stack[at:]
                return items
        raise ValueError("no mark")

    def name(self, module: str, attribute: str) -> None:
        """Look a class or function up in the lists; it is never imported."""
        full = f"{module}.{attribute}"
        word = OBJECTS.get(full) or _NUMPY.get(full)
        if word is None:
            raise ModelError(
                f"{self.origin} names {full}, which is none of Ridge, StandardScaler and numpy's arrays; nothing was "
                "imported or run",
                remedy=_SAFE,
            )
        self.push(Name(word))

    def make(self) -> None:
        """Take an instruction to call: only numpy's constructors are known, by what they mean."""
        arguments, called = self.pop(), self.pop()
        if not isinstance(called, Name) or not isinstance(arguments, tuple):
            raise TypeError("a call of something that is no known constructor")
        if called.word == _DTYPE:
            self.push(_type(str(arguments[0])))
        elif called.word == _MAKE_ARRAY:
            self.push(_Array())
        elif called.word == _MAKE_NUMBER:
            kind, content = arguments
            self.push(kind.read(_bytes(content))[0].item())
        elif called.word == _FROM_BUFFER:
            content, kind, shape, order = arguments
            self.push(_Array(_shaped(kind.read(_bytes(content)), shape, order == "F")))
        else:
            raise ModelError(f"{self.origin} calls {called.word}, which is not called; nothing was run", remedy=_SAFE)

    def new(self) -> None:
        """Note a new object of a class on the list."""
        arguments, kind = self.pop(), self.pop()
        if not isinstance(kind, Name) or kind.word not in OBJECTS.values() or arguments != ():
            raise TypeError("a new object of something that is no known class")
        self.push(Plain(kind.word))

    def build(self) -> None:
        """Give the object on the stack its state."""
        state, target = self.pop(), self.stack[-1]
        if isinstance(target, Plain) and isinstance(state, dict):
            target.state.update(state)
        elif isinstance(target, _Array):
            _, shape, kind, fortran, content = state
            target.values = _shaped(kind.read(_bytes(content)), shape, bool(fortran))
        elif isinstance(target, _Type):
            target.order = {"|": "<", "=": "<"}.get(state[1], state[1])
        else:
            raise TypeError(f"a state for a {type(target).__name__}")

    def set_items(self, items: list[Any]) -> None:
        """Put keys and values into the dictionary on the stack."""
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str):
                raise TypeError(f"a key {key!r}")
            self.stack[-1][key] = value

    def append(self, items: list[Any]) -> None:
        """Lengthen the list on the stack."""
        if not isinstance(self.stack[-1], list):
            raise TypeError("items for what is no list")
        self.stack[-1].extend(items)

    def join(self, count: int) -> None:
        """Make a tuple of the last ``count`` values."""
        items = [self.pop() for _ in range(count)][::-1]
        self.push(tuple(items))

    def stop(self) -> None:
        """Note the result."""
        self.result = self.pop()


def _type(code: str) -> _Type:
    if code not in _KINDS:
        raise TypeError(f"a numpy type {code!r}; only numbers are read")
    return _Type(code)


def _bytes(content: Any) -> bytes:
    if isinstance(content, str):
        # Protocols before 3 have no bytes.
        return content.encode("latin-1")
    if not isinstance(content, bytes | bytearray):
        raise TypeError(f"numbers in a {type(content).__name__}")
    return bytes(content)


def _shaped(values: NDArray[Any], shape: Any, fortran: bool) -> NDArray[Any]:
    size = tuple(int(one) for one in shape)
    if any(one < 0 for one in size):
        raise ValueError(f"a shape {size}")
    return values.reshape(size, order="F" if fortran else "C")


def _finished(value: Any, done: dict[int, Any]) -> Any:
    """Return a value with arrays in place of what stood for them; ``done``: those already made, each of them once."""
    if isinstance(value, _Array):
        if value.values is None:
            raise ValueError("an array without numbers")
        return value.values
    if isinstance(value, Name | _Type):
        raise TypeError("a class or a type where a value is due")
    if not isinstance(value, dict | list | tuple | Plain):
        return value
    if id(value) not in done:
        done[id(value)] = _MARK
        done[id(value)] = _made(value, done)
    if done[id(value)] is _MARK:
        raise ValueError("a value holds itself")
    return done[id(value)]


def _made(value: Any, done: dict[int, Any]) -> Any:
    if isinstance(value, Plain):
        return Plain(value.kind, _finished(value.state, done))
    if isinstance(value, dict):
        return {key: _finished(item, done) for key, item in value.items()}
    return [_finished(item, done) for item in value]


def _remember(machine: _Machine, argument: Any) -> None:
    machine.memory[int(argument)] = machine.stack[-1]


def _recall(machine: _Machine, argument: Any) -> None:
    machine.push(machine.memory[int(argument)])


def _global(machine: _Machine, argument: Any) -> None:
    module, _, attribute = str(argument).partition(" ")
    machine.name(module, attribute)


def _stack_global(machine: _Machine, _argument: Any) -> None:
    attribute, module = machine.pop(), machine.pop()
    machine.name(str(module), str(attribute))


def _value(machine: _Machine, argument: Any) -> None:
    machine.push(argument)


Step = Callable[[_Machine, Any], None]

_STEPS: dict[str, Step] = {
    **dict.fromkeys(("PROTO", "FRAME"), lambda machine, argument: None),
    **dict.fromkeys(
        (
            "BININT",
            "BININT1",
            "BININT2",
            "LONG1",
            "BINFLOAT",
            "SHORT_BINUNICODE",
            "BINUNICODE",
            "BINUNICODE8",
            "SHORT_BINBYTES",
            "BINBYTES",
            "BINBYTES8",
            "BYTEARRAY8",
        ),
        _value,
    ),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _remember),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _recall),
    "NONE": lambda machine, argument: machine.push(None),
    "NEWTRUE": lambda machine, argument: machine.push(True),
    "NEWFALSE": lambda machine, argument: machine.push(False),
    "MEMOIZE": lambda machine, argument: _remember(machine, len(machine.memory)),
    "MARK": lambda machine, argument: machine.push(_MARK),
    "EMPTY_DICT": lambda machine, argument: machine.push({}),
    "EMPTY_LIST": lambda machine, argument: machine.push([]),
    "EMPTY_TUPLE": lambda machine, argument: machine.push(()),
    "TUPLE1": lambda machine, argument: machine.join(1),
    "TUPLE2": lambda machine, argument: machine.join(2),
    "TUPLE3": lambda machine, argument: machine.join(3),
    "TUPLE": lambda machine, argument: machine.push(tuple(machine.pop_to_mark())),
    "SETITEM": lambda machine, argument: machine.set_items([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, argument: machine.set_items(machine.pop_to_mark()),
    "APPEND": lambda machine, argument: machine.append([machine.pop()]),
    "APPENDS": lambda machine, argument: machine.append(machine.pop_to_mark()),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": lambda machine, argument: machine.make(),
    "NEWOBJ": lambda machine, argument: machine.new(),
    "BUILD": lambda machine, argument: machine.build(),
    "STOP": lambda machine, argument: machine.stop(),
}
