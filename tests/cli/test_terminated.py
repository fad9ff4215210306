"""SIGTERM at any point of any command that works for long: one sentence, exit status 143.

It comes at a rename of a file, the first, the last and some in between, which all phases have:
measuring, the generations, the report. The command that the sentence tells goes on, or else the
same command does, and in the end every file has the bytes that it has when nothing happens.
"""

import os
import shlex
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from autoprox.benches.cifar import NETWORKS
from autoprox.cli import main
from autoprox.training.checkpoint import half, write_weights
from tests.crashes import contents
from tests.training.two_colours import two_colours

TINY = str(Path(__file__).parents[1] / "tiny_bench.py")
TOY = str(Path(__file__).parents[1] / "search/architectures/toy_space.py")
SHOWN = "--batch 4 --jobs 1 --quiet --cache cache"
COMMANDS = {
    "evolve": f"evolve --bench {TINY} --evaluations 40 --population 10 --proposals 20 "
    f"--permutations 1 --out run {SHOWN}",
    "several": f"evolve --bench {TINY} --evaluations 20 --population 10 --proposals 20 --seeds 2 "
    f"--out runs {SHOWN}",
    "rank": f"rank --bench {TINY} snip --json board.json {SHOWN}",
    "search": f"search --space {TOY} --proxy sum(norm(grad)) --evaluations 30 --out found {SHOWN}",
    "fit": f"fit --bench {TINY} --model gp --labels 12 --out fitted.safetensors --json fit.json "
    f"{SHOWN}",
    "train": "bench train resnet20 --data train.npz --test test.npz --epochs 2 --batch 8 "
    "--precision float32 --threads 1 --out trained --quiet",
    "quantise": "bench quantise resnet20 --data train.npz --test test.npz --weights weights "
    "--calibration 8 --rounding plain --precision float32 --threads 1 --rows 4 --out table "
    "--quiet",
}
STILL = "autoprox.runs.running.time.monotonic", "time.thread_time", "time.perf_counter"
"""Clocks: what they say is in the files."""

POINTS = {"evolve": (0.3, 1), "rank": (0.5,), "search": (1,), "train": (0.5,), "quantise": (0.7,)}
"""After which shares of the renames it comes in the fast test."""


class Exited(BaseException):
    """The process is no more."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Images and weights."""
    folder = tmp_path_factory.mktemp("inputs")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        write_weights(folder / "weights", half(NETWORKS["resnet20"]()), {})
    for name, count in (("train", 16), ("test", 8)):
        given = two_colours(count, 0)
        np.savez(folder / f"{name}.npz", x=given.images, y=given.labels)
    return folder


@pytest.fixture
def called(tmp_path, inputs, monkeypatch, capfd):
    """Runs a command in a folder of its own; gives its status, its stderr, and its renames."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    threads, replace = torch.get_num_threads(), os.replace
    for clock in STILL:
        monkeypatch.setattr(clock, lambda: 0.0)

    def exited(status):
        raise Exited(status)

    def call(words, folder, last=None):
        where, renames = tmp_path / folder, 0
        if not where.exists():
            shutil.copytree(inputs, where)

        def counted(source, target):
            nonlocal renames
            replace(source, target)
            renames += 1
            if renames == last:
                signal.raise_signal(signal.SIGTERM)

        with monkeypatch.context() as patch:
            patch.chdir(where)
            patch.setattr(os, "replace", counted)
            patch.setattr(os, "_exit", exited)
            try:
                main(shlex.split(words), prog_name="autoprox")
            except (SystemExit, Exited) as ended:
                status = ended.args[0]
            finally:
                for each, handler in before.items():
                    signal.signal(each, handler)
        return status, capfd.readouterr().err, renames

    yield call
    torch.set_num_threads(threads)


def check(name, called, folder, last, wanted):
    """Let SIGTERM come at a rename, go on as the sentence says, and compare."""
    status, said, _ = called(COMMANDS[name], folder.name, last)
    assert status == 143, said
    assert said.count("\n") == 1, said
    assert "interrupted" in said
    _, told, hint = said.partition("go on with: autoprox ")
    status, said, _ = called(hint if told else COMMANDS[name], folder.name)
    if "already holds a run" in said:  # it came before the work began
        _, _, hint = said.partition("go on with --resume ")
        bench = TOY if name == "search" else TINY
        option = "--space" if name == "search" else "--bench"
        kind = COMMANDS[name].partition(" ")[0]
        resume = f"{kind} --resume {hint.partition(',')[0]} {option} {bench} --jobs 1 --cache cache"
        status, said, _ = called(resume, folder.name)
    if status:
        assert "finished" in said, said  # it came when all was done
    assert contents(folder) == wanted, last
    shutil.rmtree(folder)


def run_through(name, called, tmp_path, shares=None):
    status, said, renames = called(COMMANDS[name], "whole")
    assert status == 0, said
    wanted = contents(tmp_path / "whole")
    every = range(1, renames + 1)
    for last in every if shares is None else [max(1, round(share * renames)) for share in shares]:
        check(name, called, tmp_path / str(last), last, wanted)


@pytest.mark.parametrize("name", POINTS)
def test_sigterm_is_one_sentence_and_nothing_is_lost(name, called, tmp_path):
    run_through(name, called, tmp_path, POINTS[name])


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("name", COMMANDS)
def test_sigterm_at_any_point_is_one_sentence_and_nothing_is_lost(name, called, tmp_path):
    run_through(name, called, tmp_path)
