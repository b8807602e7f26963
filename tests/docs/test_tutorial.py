"""docs/tutorial.md is a program: its console blocks run, in order, in an empty folder."""

import doctest
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
MATCHING = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Step:
    """A command of the tutorial, and what it must print (standard output only); ``...`` stands for anything."""

    command: str
    output: str


def steps_of(text: str) -> list[Step]:
    """Return the commands of all console blocks: a line after ``$`` and the lines that follow it."""
    steps = []
    for block in BLOCK.findall(text):
        assert block.startswith("$ "), block
        for part in block[2:].split("\n$ "):
            command, _, output = part.partition("\n")
            steps.append(Step(command.strip(), output if output.endswith("\n") or not output else f"{output}\n"))
    return steps


def matches(wanted: str, got: str) -> bool:
    """Tell whether ``got`` is as written, where a line ``...`` matches any number of lines."""
    return doctest.OutputChecker().check_output(wanted, got, MATCHING)


def test_steps_are_read_in_order() -> None:
    """A block's commands are the lines after `$`, each with the lines below it."""
    text = "a\n```console\n$ one\nx\ny\n$ two\n```\n```text\n$ no\n```\n```console\n$ three\n...\n```\n"
    assert steps_of(text) == [Step("one", "x\ny\n"), Step("two", ""), Step("three", "...\n")]


def test_dots_stand_for_anything() -> None:
    """`...` matches text within a line and whole lines, also none."""
    assert matches("a ... c\n", "a b c\n")
    assert matches("...\n", "any\nthing\n")
    assert matches("...\n", "")
    assert not matches("a\n", "b\n")


@pytest.mark.slow
@pytest.mark.tutorial
def test_the_tutorial_works(repository: Path, tmp_path: Path) -> None:
    """Every command of the tutorial succeeds and prints what the page says."""
    steps = steps_of((repository / "docs" / "tutorial.md").read_text(encoding="utf-8"))
    assert len(steps) > 10
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    folder = tmp_path
    for step in steps:
        if step.command.startswith("cd "):
            folder = folder / step.command.removeprefix("cd ").strip()
            continue
        done = subprocess.run(
            ["bash", "-c", step.command], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"$ {step.command}\n{done.stdout}\n{done.stderr}"
        assert matches(step.output, done.stdout), f"$ {step.command}\nprinted\n{done.stdout}\nnot\n{step.output}"
