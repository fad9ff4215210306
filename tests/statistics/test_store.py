"""The cache on disk: what is saved comes back, and nothing else ever does."""

import errno
import json
import os
import pickle
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from autoprox.errors import CacheError
from autoprox.statistics import Measurement
from autoprox.statistics.store import FORMAT, Store, default_folder
from tests.processes import Python

KEY = {"bench": "toy", "architecture": {"depth": 3, "heads": [1, 2]}, "seed": 0}
ROOT = Path(__file__).parents[2]


def made(*names, sample=8, layers=5, scale=1.0):
    generator = torch.Generator().manual_seed(0)
    values = {name: scale * torch.randn(layers, sample, generator=generator) for name in names}
    return Measurement(
        tuple(f"layer{i}.weight" for i in range(layers)),
        ("conv",) * layers,
        sample,
        values,
        {name: torch.tensor([True] * (layers - 1) + [False]) for name in names},
        {name: torch.arange(layers, dtype=torch.float64) for name in names},
    )


def same(one, other):
    assert (one.layers, one.roles, one.sample) == (other.layers, other.roles, other.sample)
    for name in other.names:
        pairs = [
            (one.values[name], other.values[name]),
            (one.present[name], other.present[name]),
            (one.sizes[name], other.sizes[name]),
        ]
        for a, b in pairs:
            a, b = (list(x) if isinstance(x, tuple) else [x] for x in (a, b))
            for x, y in zip(a, b, strict=True):
                assert (x is None and y is None) or (x.dtype == y.dtype and torch.equal(x, y))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


def test_what_is_saved_is_loaded_by_another_store(store):
    measurement = made("weight", "grad")
    assert store.missing(KEY, ["weight", "grad"]) == ("weight", "grad")
    store.save(KEY, measurement)
    fresh = Store(store.folder)
    assert fresh.missing(KEY, ["grad", "act", "weight"]) == ("act",)
    loaded = fresh.load(KEY, ["grad", "weight"])
    assert loaded.names == ("grad", "weight")
    same(loaded, measurement)
    assert fresh.load(KEY, ["grad"]).names == ("grad",)


def test_a_full_measurement_comes_back_with_its_absent_layers(store):
    values = (torch.randn(7), None, torch.randn(3, 3))
    shared = torch.tensor([True, False, True])
    measurement = Measurement(
        ("a", "b", "c"), ("conv",) * 3, "full", {"act": values}, {"act": shared},
        {"act": shared.double()},
    )  # fmt: skip
    store.save(KEY, measurement)
    same(Store(store.folder).load(KEY, ["act"]), measurement)


def test_an_architecture_is_the_union_of_its_files(store):
    store.save(KEY, made("weight", "grad"))
    store.save(KEY, made("act"))
    store.save(KEY, made("grad", "act_grad"))
    assert store.missing(KEY, ["weight", "grad", "act", "act_grad"]) == ()
    assert store.load(KEY, ["act", "weight", "act_grad"]).names == ("act", "weight", "act_grad")
    store.save({**KEY, "seed": 1}, made("weight"))
    info = store.info()
    assert (info.files, info.architectures) == (4, 2)
    assert info.bytes == sum(f.stat().st_size for f in store.folder.rglob("*") if f.is_file())


def test_the_order_of_a_key_does_not_matter_and_its_content_does(store):
    store.save(KEY, made("weight"))
    assert store.missing(dict(reversed(KEY.items())), ["weight"]) == ()
    assert store.missing({**KEY, "seed": 1}, ["weight"]) == ("weight",)
    with pytest.raises(CacheError, match="JSON values"):
        store.missing({"seed": {1, 2}}, ["weight"])


def test_loading_maps_the_file_without_a_warning_and_writing_leaves_it_alone(store):
    path = store.save(KEY, made("weight"))
    before = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = store.load(KEY, ["weight"]).values["weight"]
        loaded += 1
    assert path.read_bytes() == before
    same(Store(store.folder).load(KEY, ["weight"]), made("weight"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_loading_does_not_read_what_is_not_used(store):
    store.save(KEY, made("weight", sample=4_000_000, layers=2))
    code = (
        "import sys, json, torch\n"
        "from autoprox.statistics.store import Store\n"
        "def resident():\n"
        "    lines = open('/proc/self/status').read().splitlines()\n"
        "    return int(next(l for l in lines if l.startswith('VmRSS')).split()[1])\n"
        "store = Store(sys.argv[1]); key = json.loads(sys.argv[2])\n"
        "store.missing(key, ['weight']); import gc; gc.collect(); a = resident()\n"
        "values = store.load(key, ['weight']).values['weight']; b = resident()\n"
        "values.sum(); c = resident()\n"
        "print(b - a, c - a)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(store.folder), json.dumps(KEY)],
        capture_output=True, text=True, cwd=ROOT, check=True, timeout=60,
    )  # fmt: skip
    mapped, read = map(int, run.stdout.split())
    assert mapped < 8_000 < 24_000 < read  # kB, of a file of 32 MB


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc and names of any bytes")
def test_what_is_loaded_keeps_no_file_open_whatever_its_folder_is_called(tmp_path):
    store = Store(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9"))
    values = (*torch.randn(20, 3).unbind(), torch.empty(0, 2), None)
    there = torch.tensor([value is not None for value in values])
    measurement = Measurement(
        tuple(map(str, range(22))), ("conv",) * 22, "full", {"act": values}, {"act": there},
        {"act": there.double()},
    )  # fmt: skip
    store.save(KEY, measurement)
    opened = len(os.listdir("/proc/self/fd"))
    kept = [store.load(KEY, ["act"]).values["act"] for _ in range(20)]
    assert len(os.listdir("/proc/self/fd")) <= opened  # others may be closed meanwhile
    same(store.load(KEY, ["act"]), measurement)
    assert len(pickle.dumps(kept[0][0])) < 1000  # and none holds more than it shows


def test_a_file_that_is_removed_or_grows_while_it_is_read_is_named(store):
    path = store.save(KEY, made("weight"))
    loaded = store.load(KEY, ["weight"])
    path.write_bytes(path.read_bytes() + b"0")
    with pytest.raises(CacheError, match="changed while it was read: it has another size; try"):
        loaded.values["weight"]
    path.unlink()
    with pytest.raises(CacheError, match=r"changed while it was read: .* No such file"):
        loaded.values["weight"]


def test_every_damage_is_noticed_reported_and_mended(store):
    path = store.save(KEY, made("weight"))
    whole = path.read_bytes()
    cuts = (0, 4, 8, 60, len(whole) // 2, len(whole) - 1)
    cases = {f"cut at {place}": whole[:place] for place in cuts}
    for place in range(0, len(whole), 37):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << (place % 8)
        cases[f"flipped at {place}"] = bytes(flipped)
    cases["foreign"] = b"hello" * 40
    cases["longer"] = whole + b"0"
    for case, content in cases.items():
        path.write_bytes(content)
        fresh = Store(store.folder)
        assert fresh.missing(KEY, ["weight"]) == ("weight",), case
        assert [file for file, _ in fresh.damaged] == [path], case
        with pytest.raises(CacheError, match="weight not in the cache"):
            fresh.load(KEY, ["weight"])
        assert path.read_bytes() == content
    fresh.save(KEY, made("weight"))
    assert fresh.damaged == []
    assert path.read_bytes() == whole
    same(fresh.load(KEY, ["weight"]), made("weight"))


def test_a_damaged_file_does_not_hide_the_others(store):
    store.save(KEY, made("weight"))
    path = store.save(KEY, made("grad"))
    path.write_bytes(path.read_bytes()[:-3])
    fresh = Store(store.folder)
    assert fresh.missing(KEY, ["weight", "grad"]) == ("grad",)
    assert "checksum" in fresh.damaged[0][1]


def test_a_file_that_is_altered_after_the_first_look_is_checked_again(store):
    path = store.save(KEY, made("weight"))
    assert store.missing(KEY, ["weight"]) == ()
    path.write_bytes(path.read_bytes()[:-1])
    assert store.missing(KEY, ["weight"]) == ("weight",)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_or_folder_in_place_of_a_file_counts_as_missing(store):
    path = store.save(KEY, made("weight"))
    for make in (os.mkfifo, os.mkdir):
        path.unlink()
        make(path)
        fresh = Store(store.folder)
        assert fresh.missing(KEY, ["weight"]) == ("weight",)
        assert fresh.damaged == [(path, "it is no file")]


def test_a_file_of_another_key_is_refused(store):
    other = store.save({**KEY, "seed": 1}, made("weight"))
    path = store.save(KEY, made("weight"))
    path.write_bytes(other.read_bytes())
    for ask in (store.missing, store.load):
        with pytest.raises(CacheError, match="belongs to"):
            ask(KEY, ["weight"])


def test_a_file_of_a_newer_version_asks_for_an_upgrade(store, monkeypatch):
    monkeypatch.setattr("autoprox.statistics.store.FORMAT", FORMAT + 1)
    store.save(KEY, made("weight"))
    monkeypatch.undo()
    with pytest.raises(CacheError, match=f"format {FORMAT + 1}.*upgrade autoprox"):
        Store(store.folder).missing(KEY, ["weight"])


def test_an_older_version_is_measured_again(store, monkeypatch):
    store.save(KEY, made("weight"))
    monkeypatch.setattr("autoprox.statistics.store.FORMAT", FORMAT + 1)
    fresh = Store(store.folder)
    assert fresh.missing(KEY, ["weight"]) == ("weight",)
    assert "old format" in fresh.damaged[0][1]


def test_files_that_disagree_on_the_layers_are_refused(store):
    store.save(KEY, made("weight"))
    store.save(KEY, made("grad", layers=4))
    with pytest.raises(CacheError, match="disagree"):
        store.load(KEY, ["weight", "grad"])


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "denied")],
)
def test_a_folder_that_cannot_be_written_is_named_with_the_way_out(
    store, monkeypatch, number, reason
):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(CacheError, match=rf"{store.folder}.*{reason}.*--cache.*AUTOPROX_CACHE"):
        store.save(KEY, made("weight"))
    assert not [file for file in store.folder.rglob("*") if file.is_file()]


def test_a_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="cannot write to the cache folder"):
        Store(tmp_path / "file" / "cache").save(KEY, made("weight"))


SAVING = (
    "import sys, json, torch\n"
    "from autoprox.statistics import Measurement\n"
    "from autoprox.statistics.store import Store\n"
    "store = Store(sys.argv[1]); key = json.loads(sys.argv[2])\n"
    "values = torch.arange(400_000.).reshape(2, -1); there = torch.ones(2, dtype=torch.bool)\n"
    "m = Measurement(('a', 'b'), ('conv',) * 2, 200_000, {'weight': values},"
    " {'weight': there}, {'weight': there.double()})\n"
    "print('ready', flush=True)\n"
    "for _ in range(int(sys.argv[3])): store.save(key, m)\n"
)


HELD = (
    "import os, time\n"
    "def held(*_):\n    print('written', flush=True)\n    time.sleep(600)\n"
    "os.replace = held\n"
)
"""Stops a process where all is written, and nothing has its name."""


def saver(store, times, before=""):
    return Python("-c", before + SAVING, store.folder, json.dumps(KEY), times)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_writer_that_is_killed_leaves_no_file_that_misleads(store):
    process = saver(store, 1, HELD)
    process.until(lambda: process.stdout == "ready\nwritten\n")
    process.kill()
    assert process.ended().returncode == -signal.SIGKILL
    (left,) = store.folder.rglob("*.tmp")
    os.utime(left, (0, 0))
    fresh = Store(store.folder)
    assert fresh.missing(KEY, ["weight"]) == ("weight",)
    assert fresh.damaged == []
    fresh.save(KEY, made("grad"))
    assert not list(store.folder.rglob("*.tmp"))


def test_temporary_files_of_live_writers_stay(store):
    path = store.save(KEY, made("weight"))
    young = path.with_name(".other.tmp")
    young.write_bytes(b"half")
    store.save(KEY, made("weight"))
    assert young.exists()
    assert store.missing(KEY, ["weight"]) == ()
    assert store.damaged == []


def test_two_processes_that_save_at_once_leave_one_whole_file(store):
    for process in [saver(store, 8) for _ in range(2)]:
        done = process.ended()
        assert done.returncode == 0, done
    files = [file for file in store.folder.rglob("*") if file.is_file()]
    assert len(files) == 1
    expected = torch.arange(400_000.0).reshape(2, -1)
    assert torch.equal(store.load(KEY, ["weight"]).values["weight"], expected)


def test_the_default_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("AUTOPROX_CACHE", str(tmp_path / "mine"))
    assert default_folder() == Store().folder == tmp_path / "mine"
    monkeypatch.delenv("AUTOPROX_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "name", "posix")
    assert default_folder() == tmp_path / "autoprox"
