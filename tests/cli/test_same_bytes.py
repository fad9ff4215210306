"""The same command writes the same bytes: in any number of processes, with any seed of hashes."""

import json
import shlex
import shutil

import pytest

from autoprox.cli import main
from tests.cli.test_terminated import COMMANDS, inputs  # noqa: F401
from tests.crashes import contents
from tests.processes import other_seed, run_python

SCRIPT = (
    "import shlex, sys\nfrom autoprox.cli import main\nfor words in sys.argv[1:]:\n"
    "    main.main(shlex.split(words), standalone_mode=False)\n"
)
JOBLESS = ("train", "quantise")
"""They work in one process."""

TIMES = {"seconds", "begun", "checksum"}
"""Keys that say how long something took, or when it was, and the checksum over them."""


def untimed(value):
    """Return JSON data without what says how long something took."""
    if isinstance(value, dict):
        return {key: untimed(each) for key, each in value.items() if key not in TIMES}
    return [*map(untimed, value)] if isinstance(value, list) else value


def files(folder):
    """Return what the files of a folder say, all but times."""
    found = contents(folder)
    for name, content in found.items():
        if name.endswith(".json"):
            found[name] = untimed(json.loads(content))
        elif name.endswith(".jsonl"):
            found[name] = [untimed(json.loads(line)) for line in content.splitlines()]
    return {name: each for name, each in found.items() if not name.endswith("generations.csv")}


def written(names, folder, sources, jobs, seed):
    """Return what commands write, one after the other in a process of its own."""
    shutil.copytree(sources, folder)
    words = [COMMANDS[name].replace("--jobs 1", f"--jobs {jobs}") for name in names]
    done = run_python("-c", SCRIPT, *words, folder=folder, hash_seed=seed)
    assert done.returncode == 0, (shlex.join(words), done.stderr)
    return files(folder)


def check(found, wanted):
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if found[name] != wanted[name]] == []


def test_ranking_fitting_and_searching_have_the_same_bytes_with_other_hashes(
    tmp_path,
    inputs,  # noqa: F811
    monkeypatch,
):
    names = ("rank", "fit", "search")
    there = written(names, tmp_path / "there", inputs, 1, other_seed())
    monkeypatch.chdir(shutil.copytree(inputs, tmp_path / "here"))
    for name in names:
        main.main(shlex.split(COMMANDS[name]), standalone_mode=False)
    check(files(tmp_path / "here"), there)


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_the_same_bytes_however_it_runs(name, tmp_path, inputs):  # noqa: F811
    jobs = (1,) if name in JOBLESS else (1, 2, 4)
    wanted = written([name], tmp_path / "first", inputs, 1, 0)
    for each in jobs:
        for seed in (0, 1, "random"):
            check(written([name], tmp_path / f"{each}-{seed}", inputs, each, seed), wanted)
