"""Files of every kind, mutated: read as they are, or refused in one sentence; nothing else."""

import json
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoprox.evolution.settings import Settings
from autoprox.hardware.cost import CostModel, cost_model
from autoprox.language.text import parse
from autoprox.measuring.score_store import Kept, ScoreStore
from autoprox.proxies.loading import load
from autoprox.runs.evolve import evolve
from autoprox.runs.folder import RunFolder
from autoprox.runs.record import read_run
from autoprox.runs.schemas import CHECKPOINT, CONFIG, PERMUTATIONS, REPORT, SEVERAL
from autoprox.runs.series import evolve_seeds
from autoprox.runs.several_record import asked_in, read_runs
from autoprox.runtime.schema import sealed
from autoprox.search.architectures.folder import SEARCH, STATE, SearchFolder
from autoprox.search.architectures.search import search_architectures
from autoprox.show.page import page
from tests.fuzz.limits import read_or_refused

TINY = str(Path(__file__).parents[1] / "tiny_bench.py")
KEY = {"a": 1}
STRANGE = (
    *(None, True, -1, 2**70, 10**400, 0.5, -1e308, "", "x", "\ud800", "sum(params)", "[" * 500),
    *([], {}, [1], [[]], {"a": None}, [None] * 3, {"": {"": []}}),
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A folder as `make_sound` makes it."""
    return make_sound(tmp_path_factory.mktemp("sound"))


def make_sound(folder):
    """A run, several, a search, a proxy's file and a cache, all of them sound."""
    cache = folder / "cache"
    evolve(
        TINY, out=folder / "run", cache=cache, evaluations=40, population=10, proposals=20,
        permutations=1,
    )  # fmt: skip
    small = {"evaluations": 10, "population": 5, "proposals": 5}
    evolve_seeds(TINY, 2, out=folder / "several", cache=cache, **small)
    (folder / "cost").mkdir()
    CostModel("phone", "ms", "any", {"flops": 1e-9, "layers": 0.5}, 10, 0.1, 0.9).save(
        folder / "cost" / "phone.json"
    )
    search_architectures("nb201", "params", out=folder / "search", cache=cache, evaluations=4)
    ScoreStore(folder / "scores").save(KEY, Kept({"p": 1.25}, {"q": "why"}, {"p": 0.5}))
    return folder


def resumable(folder):
    """Read all that a resumed run reads."""
    with RunFolder(folder) as files:
        files.settings()
        files.check_bench("")


def checkpoint(folder):
    with RunFolder(folder) as files:
        files.checkpoint()


def asked(folder):
    """Read what several runs are resumed from."""
    for config in asked_in(folder).values():
        Settings.from_json(config.settings)
    assert isinstance(read_runs(folder).written, bool)


def searched(folder):
    files = SearchFolder(folder)
    files.settings()
    files.state()


def scores(folder):
    found = ScoreStore(folder).load(KEY)
    assert found.scores in ({}, {"p": 1.25})
    assert found.failures in ({}, {"q": "why"})


TARGETS = {
    "run/config.json": (lambda folder: page(folder / "run"), lambda f: resumable(f / "run")),
    "run/candidates.jsonl": (lambda f: read_run(f / "run"), lambda f: checkpoint(f / "run")),
    "run/checkpoint.json": (lambda f: page(f / "run"), lambda f: checkpoint(f / "run")),
    "run/checkpoints.jsonl": (lambda f: checkpoint(f / "run"),),
    "run/permutations.json": (lambda f: RunFolder(f / "run").permutations(),),
    "run/report.json": (lambda f: page(f / "run"), lambda f: RunFolder(f / "run").finished()),
    "run/best.json": (lambda f: load(f / "run"),),
    "several/runs.json": (lambda f: page(f / "several"), lambda f: asked(f / "several")),
    "several/report.json": (lambda f: read_runs(f / "several").written,),
    "several/best.json": (lambda f: load(f / "several"), lambda f: asked(f / "several")),
    "several/seed-1/report.json": (lambda f: read_runs(f / "several").to_json(),),
    "cost/phone.json": (lambda f: cost_model(f / "cost" / "phone.json"),),
    "search/settings.json": (lambda f: searched(f / "search"),),
    "search/scored.jsonl": (lambda f: searched(f / "search"),),
    "search/state.json": (lambda f: searched(f / "search"),),
    "search/states.jsonl": (lambda f: searched(f / "search"),),
    "scores": (lambda f: scores(f / "scores"),),
}


KINDS = {
    "run/config.json": CONFIG,
    "run/checkpoint.json": CHECKPOINT,
    "run/permutations.json": PERMUTATIONS,
    "run/report.json": REPORT,
    "several/runs.json": SEVERAL,
    "several/seed-1/report.json": REPORT,
    "search/settings.json": SEARCH,
    "search/state.json": STATE,
}
"""Those whose checksum tells every change."""


def flipped(data, content):
    """Change bytes, cut some out, or put some in."""
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(0, len(changed) - 1)))
        kind = data.draw(st.sampled_from(("change", "cut", "insert", "end", "repeat", "digit")))
        if kind == "change" and changed:
            changed[at] = data.draw(st.integers(0, 255))
        elif kind == "repeat":
            changed[at:at] = changed[at : at + data.draw(st.integers(1, 400))]
        elif kind == "digit" and (digits := [*re.finditer(rb"[0-9]", changed)]):
            at = data.draw(st.sampled_from([each.start() for each in digits]))
            changed[at] = data.draw(st.sampled_from(b"0123456789"))
        elif kind == "cut":
            del changed[at : at + data.draw(st.integers(1, 40))]
        elif kind == "insert":
            changed[at:at] = data.draw(st.sampled_from((b"[" * 5000, b"\0", b"\n", b'"', b"1e999")))
        else:
            del changed[at:]
    return bytes(changed)


def places(value, path=()):
    """Return the paths to all values below a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, each in inner:
        found.append((*path, key))
        if isinstance(each, dict | list):
            found += places(each, (*path, key))
    return found


def replaced(data, content):
    """Replace a value of a line by a strange one or remove it; the checksum is set right."""
    lines = content.decode().splitlines() if content.count(b'"checksum"') > 1 else [content]
    number = data.draw(st.integers(0, len(lines) - 1))
    whole = json.loads(lines[number])
    seal = whole.pop("checksum", None) is not None
    *path, last = data.draw(st.sampled_from(places(whole)))
    inner = whole
    for key in path:
        inner = inner[key]
    if data.draw(st.booleans()) and isinstance(inner, dict):
        del inner[last]
    else:
        inner[last] = data.draw(st.sampled_from(STRANGE))
    if seal:
        lines[number] = sealed(whole)
    else:
        lines[number] = json.dumps(whole)
    return "\n".join([*map(str, lines), ""]).encode()


def check(sound, name, data, tmp_path):
    where = tmp_path / "copy"
    shutil.rmtree(where, ignore_errors=True)
    part = name.partition("/")[0]
    shutil.copytree(sound / part, where / part)
    (path,) = [where / name] if "/" in name else (where / name).glob("scores/??/*.json")
    mutate = data.draw(st.sampled_from((flipped, replaced) if name != "scores" else (flipped,)))
    path.write_bytes(mutate(data, path.read_bytes()))
    for target in TARGETS[name]:
        read_or_refused(target, where)
    if name in KINDS and mutate is flipped:  # a checksum is there, and does not fit
        whole = KINDS[name].read(sound / name)
        assert read_or_refused(KINDS[name].read, path) in (None, whole)


def fuzz(examples):
    return settings(max_examples=examples, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", TARGETS)
def test_a_mutated_file_is_read_or_refused(name, sound, tmp_path):
    @fuzz(15)
    @given(st.data())
    def run(data):
        check(sound, name, data, tmp_path)

    run()


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_a_mutated_file_is_read_or_refused_many_times(name, sound, tmp_path):
    @fuzz(1000)
    @given(st.data())
    def run(data):
        check(sound, name, data, tmp_path)

    run()


WORDS = st.sampled_from(
    ("sum", "mean", "add", "multiply", "grad", "params", "(", ")", ",", " ", "1e5", "-", "\n", "$")
)


@fuzz(200)
@given(st.lists(WORDS, max_size=40))
def test_any_text_is_an_expression_or_a_mistake(words):
    text = "".join(words)
    graph = read_or_refused(parse, text)
    if graph is not None:
        assert parse(graph.text) is graph
