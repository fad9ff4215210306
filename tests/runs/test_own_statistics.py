"""Statistics of a user's own are words of the searches that begin while they are registered."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from autoprox.benches import load_bench
from autoprox.errors import UnknownNameError
from autoprox.primitives import PRIMITIVES, primitive
from autoprox.runs.comparing import compare
from autoprox.runs.evolve import evolve
from autoprox.runs.several import evolve_several
from autoprox.runtime.schema import sealed
from autoprox.show.explorer import explore
from autoprox.statistics import STATISTICS, statistic
from tests.runs.stopping import Stopper

TINY = str(Path(__file__).parents[1] / "tiny_bench.py")
SMALL = {"evaluations": 80, "population": 20, "proposals": 40}


@pytest.fixture
def own():
    """A statistic that is registered while a test runs."""

    def filled(network, inputs, targets):
        """How many entries each parameter has, and one."""
        return {name: each.numel() + 1.0 for name, each in network.named_parameters()}

    filled.__module__ = "__main__"  # sent by value, as from a notebook
    statistic("Layer", latex="z", needs_labels=False)(filled)
    yield "filled"
    if "filled" in STATISTICS:
        STATISTICS.unregister("filled")


def proposed(folder):
    lines = (folder / "candidates.jsonl").read_text().splitlines()
    return [json.loads(line)["proposed"] for line in lines]


def test_evolution_writes_with_them_and_its_settings_say_so(own, cache, tmp_path):
    run = evolve(TINY, out=tmp_path / "run", cache=cache, **SMALL)
    assert own in run.settings.statistics
    assert {"weight", "grad", "params"} <= set(run.settings.statistics)
    assert any(own in text for text in proposed(run.folder))
    named = evolve(TINY, out=tmp_path / "named", statistics=("params",), cache=cache, **SMALL)
    assert not any(own in text for text in proposed(named.folder))


def test_a_run_goes_on_with_the_words_that_it_began_with(cache, tmp_path, request):
    stopped = evolve(TINY, out=tmp_path / "run", cache=cache, observer=Stopper(), **SMALL)
    assert stopped.settings.statistics is None
    request.getfixturevalue("own")
    evolve(resume=tmp_path / "run", cache=cache)
    assert not any("filled" in text for text in proposed(tmp_path / "run"))
    evolve(TINY, out=tmp_path / "with", cache=cache, observer=Stopper(), **SMALL)
    STATISTICS.unregister("filled")
    with pytest.raises(UnknownNameError, match="filled"):
        evolve(resume=tmp_path / "with", cache=cache)


def test_a_primitive_that_is_defined_meanwhile_is_written_by_runs_alone_that_did_not_keep_theirs(
    cache, tmp_path
):
    whole = evolve(TINY, out=tmp_path / "whole", cache=cache, **SMALL)
    for name in ("run", "old"):
        evolve(TINY, out=tmp_path / name, cache=cache, observer=Stopper(), **SMALL)
    kept = json.loads((tmp_path / "run" / "config.json").read_text())
    old = {name: value for name, value in kept.items() if name not in ("primitives", "checksum")}
    (tmp_path / "old" / "config.json").write_text(sealed(old))

    @primitive("elementwise", latex=r"c\left({0}\right)")
    def cubic(x):
        """Third power."""
        return x * x * x

    try:
        for name in ("run", "old"):
            evolve(resume=tmp_path / name, cache=cache)
    finally:
        PRIMITIVES.unregister("cubic")
    assert proposed(tmp_path / "run") == proposed(whole.folder)
    now = json.loads((tmp_path / "old" / "config.json").read_text())
    assert now["primitives"] == [*kept["primitives"], "cubic"]
    with pytest.raises(UnknownNameError, match="cubic"):
        evolve(resume=tmp_path / "old", cache=cache, evaluations=200)


def test_a_run_goes_on_with_its_words_whatever_its_bench_has_by_now(cache, tmp_path):
    """As after an update of autoprox that measures something more on a bench."""
    bench = load_bench(TINY)
    whole = evolve(bench, out=tmp_path / "whole", cache=cache, **SMALL)
    evolve(bench, out=tmp_path / "run", cache=cache, observer=Stopper(), **SMALL)
    other = replace(bench, default_statistics=("params", "act"))
    run = evolve(other, resume=tmp_path / "run", cache=cache)
    assert proposed(run.folder) == proposed(whole.folder)
    several = {"seed-0": {"seed": 0}, "seed-1": {"seed": 1}}
    evolve_several(bench, several, out=tmp_path / "several", cache=cache, **SMALL)
    evolve_several(other, {}, resume=tmp_path / "several", cache=cache, evaluations=120)
    assert proposed(tmp_path / "several" / "seed-0")[:80] == proposed(whole.folder)[:80]
    assert any("act_gram" in text for text in proposed(tmp_path / "several" / "seed-1")[80:])
    compared = compare([tmp_path / "run", tmp_path / "whole"], bench=other, cache=cache)
    assert compared.reason is None
    pytest.importorskip("ipywidgets")
    explorer = explore(run, bench=other, cache=cache)
    for place, pick in enumerate(explorer.picks):
        explorer.picker.index = place
        assert str(explorer.proxy) == pick.text
