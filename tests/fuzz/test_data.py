"""Damaged images, archives and tables: read, or refused in one sentence, and quickly.

Each target takes a sound file and changes bytes or cells of it. What is accepted has to be sound.
"""

import dataclasses
import io
import json
import math
import tarfile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from autoprox.benches import mpnb201, read_table
from autoprox.benches.cifar import cifar10, trained
from autoprox.benches.mq101 import mq101
from autoprox.benches.teachers import _state
from autoprox.hardware.devices import measurements_of
from autoprox.language.text import parse
from autoprox.leaderboard.by_column import by_column
from autoprox.predictors.features import KNOTS
from autoprox.predictors.models import MODELS
from autoprox.proxies.fitted import FittedProxy
from autoprox.proxies.loading import load
from autoprox.quantise.table import QuantisedRow, _text, read_rows
from autoprox.runtime.files import canonical, digits
from autoprox.runtime.tensors import tensor_bytes, with_checksum
from autoprox.statistics import Store, images
from autoprox.training.checkpoint import read_checkpoint, read_weights, recorded_accuracy
from autoprox.training.settings import recipe
from tests.fuzz.limits import read_or_refused

FEW = settings(max_examples=80, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=5000)
CELLS = ["", " ", "-1", "0", "1e999", "nan", "x", "7" * 400, "[[[", "\ud7ff", "\x1b[2J", "1;2", '"']
"""What may stand in a cell that is damaged."""

TEXT = st.text("0123456789.,;-+_e\"'\n\r\0 [{N\u00e9\u2028\U0001f600", max_size=8)


@st.composite
def damages(draw):
    """Changes of a file's bytes: where (a share of its length), what, and how much is cut."""
    edits = draw(
        st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), max_size=4)
    )
    return edits, draw(st.one_of(st.none(), st.floats(0, 1)))


def damaged(content, damage):
    """Return bytes with some of them replaced, and perhaps cut off."""
    edits, cut = damage
    content = bytearray(content)
    for share, new in edits:
        place = int(share * (len(content) - 1))
        content[place : place + len(new)] = new
    return bytes(content if cut is None else content[: int(cut * len(content))])


def packed(compressed):
    content = io.BytesIO()
    x = np.random.default_rng(0).integers(0, 256, (6, 5, 5, 3), dtype=np.uint8)
    (np.savez_compressed if compressed else np.savez)(content, x=x, y=np.arange(6) % 3)
    return content.getvalue()


def check_npz(folder, compressed, damage):
    path = folder / "x.npz"
    path.write_bytes(damaged(packed(compressed), damage))
    batch = read_or_refused(images, path, (3, 4, 4), 3, 4)
    if batch is not None:
        assert batch[0].shape == (4, 3, 4, 4)
        assert batch[0].isfinite().all()
        assert set(batch[1].tolist()) <= {0, 1, 2}


def picture(form):
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    content = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    image.fromarray(pixels).save(content, form)
    return content.getvalue()


def check_picture(folder, form, damage):
    (folder / "a").mkdir(exist_ok=True)
    (folder / "a" / "0.png").write_bytes(damaged(picture(form), damage))
    batch = read_or_refused(images, folder, (3, 4, 4), 3, 1)
    assert batch is None or batch[0].isfinite().all()


def archive(form):
    files = {"cifar-10-batches-bin/test_batch.bin": bytes(3073 * 2)}
    if form == "sheets":
        sheet = io.BytesIO()
        image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
        image.fromarray(np.zeros((2, 1024, 3), np.uint8)).save(sheet, "png")
        files = {
            "package/test_batch.png": sheet.getvalue(),
            "package/test_lables.json": json.dumps([3, 4]).encode(),
        }
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as made:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
    return content.getvalue()


def check_archive(folder, form, damage):
    import gzip

    path = folder / "c.tar.gz"
    path.write_bytes(gzip.compress(damaged(archive(form), damage), mtime=0))
    read = read_or_refused(cifar10, path, "test")
    if read is not None:
        assert read.images.shape[1:] == (32, 32, 3)
        assert 0 <= read.labels.min() <= read.labels.max() <= 9


TABLES = {
    "t.csv": "name,space,accuracy,width\n" + "".join(f"n{i},s,{50 + i}.5,{i}\n" for i in range(9)),
    "t.jsonl": "".join(f'{{"name": "n{i}", "accuracy": {50 + i}, "w": [1]}}\n' for i in range(9)),
    mpnb201.FILES["50ep"]: "op0,op1,op2,op3,op4,op5,w0,w1,w2,w3,w4,w5,test_acc\n"
    + "".join(f"3,2,0,{i % 2},0,{i // 2},2,4,0,0,0,0,0.7{i}\n" for i in range(4)),
    "vit.csv": "name,set,bits,accuracy,loss,size_bytes,bops\n"
    + "".join(f"234/000{i},234,8-{2 + i % 3}-8,7{i}.5,1.5,100,200\n" for i in range(9)),
    "rows.csv": _text(
        [QuantisedRow(f"234/{i}", "234", (8, 2, 8), 70.0 + i, 1.5, 9, 9) for i in range(9)]
    ),
    "ranking.csv": "proxy,s/accuracy somers\nzico,0.5\nsnip,0.25\n",
    "measured.csv": "architecture,ms\n" + "".join(f"nb201/00000{i},{i}.5\n" for i in range(5)),
}
READERS = {
    "t.csv": lambda path: [one.accuracies["accuracy"] for one in read_table(path)],
    "t.jsonl": lambda path: [one.accuracies["accuracy"] for one in read_table(path)],
    mpnb201.FILES["50ep"]: lambda path: accuracies(mpnb201._read.__wrapped__(path.parent)),
    "vit.csv": lambda path: accuracies(mq101.__wrapped__(path.parent)),
    "rows.csv": lambda path: [row.accuracy for row in read_rows(path)],
    "ranking.csv": lambda path: by_column(path).values.ravel().tolist(),
    "measured.csv": lambda path: [*measurements_of(path)[1].values()],
}


def accuracies(bench):
    for one in bench.architectures:
        assert all(1 <= bits <= 16 for bits in bench.bits(one))
    return [figure for one in bench.architectures for figure in one.accuracies.values()]


@st.composite
def cells(draw):
    """Cells to replace: line, column, and what for."""
    return draw(
        st.lists(
            st.tuples(st.integers(0, 9), st.integers(0, 12), st.sampled_from(CELLS) | TEXT),
            max_size=3,
        )
    )


def check_table(folder, name, edits, damage):
    (folder / "vit.safetensors").write_bytes(b"weights")
    lines = [line.split(",") for line in TABLES[name].splitlines()]
    for line, column, text in edits:
        row = lines[line % len(lines)]
        row[column % len(row)] = text
    content = "\n".join(",".join(row) for row in lines).encode("utf-8", "surrogatepass")
    (folder / name).write_bytes(damaged(content, damage))
    found = read_or_refused(READERS[name], folder / name)
    assert all(figure is None or math.isfinite(figure) for figure in found or ())


def rounds(few):
    """Run a property with few examples, or with many where slow tests are asked for."""
    return pytest.mark.parametrize(
        "amount",
        [
            pytest.param(FEW, id="few"),
            pytest.param(MANY, id="many", marks=[pytest.mark.slow, pytest.mark.timeout(3000)]),
        ],
    )(few)


def examined(amount, check, folder, first, *strategies, number=0):
    """Run a check on examples that are the same every time, but for another number."""

    @seed(number)
    @amount
    @given(st.tuples(*strategies))
    def run(drawn):
        check(folder, first, *drawn)

    run()


FACTS = {
    "format": "1",
    "key": "{}",
    "layers": '["a"]',
    "roles": '["conv"]',
    "sample": "1",
    "names": '["params"]',
    "autoprox": json.dumps(
        {"settings": dataclasses.asdict(recipe("vit")), "data": "", "history": [], "accuracy": 9}
    ),
}
"""What the headers of all files of tensors say."""

TENSORS = {"present/params": torch.tensor([True]), "sizes/params": torch.ones(1).double()}
ODD = st.sampled_from([*CELLS, "null", "[]", "[1]", "{}", '{"a": 1}', '"full"', "-1", "9" * 5000])
TENSOR_READERS = {
    "checkpoint": read_checkpoint,
    "weights": lambda path: (read_weights(path), recorded_accuracy(path)),
    "trained": lambda path: trained("resnet20", path),
    "statistics": lambda path: Store(path.parents[1]).missing({}, ["params"]),
    "teacher": lambda path: _state(path),
}


def check_tensors(folder, reader, fact, odd, damage):
    """Damage a file, or write a strange one with a checksum that fits."""
    digest = digits(canonical({}), 16)
    path = folder / digest[:2] / f"{digest}.0.safetensors"
    path.parent.mkdir(exist_ok=True)
    if damage is None:
        path.write_bytes(tensor_bytes(TENSORS, {**FACTS, fact: odd}))
        read_or_refused(TENSOR_READERS[reader], path)
    else:
        sound = tensor_bytes(TENSORS, FACTS)
        path.write_bytes(damaged(sound, damage))
        found = read_or_refused(TENSOR_READERS[reader], path)
        assert found in (None, ("params",)) or path.read_bytes() == sound


def test_sound_tensors_are_read(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(tensor_bytes(TENSORS, FACTS))
    assert read_checkpoint(path)[1].settings == recipe("vit")
    assert recorded_accuracy(path) == 9


CHANGES = st.one_of(st.none(), damages())


@rounds
@pytest.mark.parametrize("reader", TENSOR_READERS)
def test_tensors(tmp_path, amount, reader):
    examined(amount, check_tensors, tmp_path, reader, st.sampled_from([*FACTS]), ODD, CHANGES)


FITTED = FittedProxy(
    "mine",
    (parse("sum(params)"), parse("sum(flops)")),
    (0, 0),
    "ridge",
    {},
    {
        "knots": np.linspace([0, 1], [1, 2], KNOTS).T,
        **MODELS["ridge"].function("fit")(np.eye(6, 2), np.arange(6.0), 0, {}),
    },
)
STRANGE = st.sampled_from(
    [None, True, -1, 2**70, 0.5, "", "x", "full", [], [1], {}, {"a": [None]}, ["sum(flops)"] * 2]
)


def check_fitted(folder, _, key, value, damage):
    """Damage the file of a fitted proxy, or write a strange one with a checksum that fits."""
    path = folder / "mine.safetensors"
    if damage is None:
        text = json.dumps({**FITTED.to_json(), key: value})
        path.write_bytes(with_checksum(save(dict(FITTED.arrays), {"autoprox": text})))
        read_or_refused(load, path)
    else:
        sound = FITTED.to_bytes()
        path.write_bytes(damaged(sound, damage))
        assert read_or_refused(load, path) in (None, FITTED) or path.read_bytes() == sound


@rounds
def test_fitted_proxies(tmp_path, amount):
    keys = st.sampled_from([*FITTED.to_json()])
    examined(amount, check_fitted, tmp_path, None, keys, STRANGE, CHANGES)


def check_weights(folder, _, damage):
    content = io.BytesIO()
    torch.save({"a.weight": torch.arange(6.0).reshape(2, 3)}, content)
    path = folder / "w.th"
    path.write_bytes(damaged(content.getvalue(), damage))
    state = read_or_refused(_state, path)
    assert state is None or sum(each.numel() for each in state.values()) < 100


@rounds
def test_weights_of_torch(tmp_path, amount):
    examined(amount, check_weights, tmp_path, None, damages())


@rounds
@pytest.mark.parametrize("compressed", [False, True])
def test_npz(tmp_path, amount, compressed):
    examined(amount, check_npz, tmp_path, compressed, damages())


PICTURES = ["png", "jpeg", "bmp", "gif", "webp"]


@pytest.mark.parametrize("form", PICTURES)
def test_sound_pictures_are_read(tmp_path, form):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").write_bytes(picture(form))
    assert images(tmp_path, (3, 4, 4), 1, 1)[0].shape == (1, 3, 4, 4)


@rounds
@pytest.mark.parametrize("form", PICTURES)
def test_pictures(tmp_path, amount, form):
    examined(amount, check_picture, tmp_path, form, damages())


@rounds
@pytest.mark.parametrize("form", ["binary", "sheets"])
def test_archives(tmp_path, amount, form):
    examined(amount, check_archive, tmp_path, form, damages())


@rounds
@pytest.mark.parametrize("name", TABLES)
def test_tables(tmp_path, amount, name):
    examined(amount, check_table, tmp_path, name, cells(), damages())


EVERY = [
    *((check_tensors, one, (st.sampled_from([*FACTS]), ODD, CHANGES)) for one in TENSOR_READERS),
    (check_fitted, "fitted", (st.sampled_from([*FITTED.to_json()]), STRANGE, CHANGES)),
    (check_weights, "weights of torch", (damages(),)),
    *((check_npz, one, (damages(),)) for one in (False, True)),
    *((check_picture, one, (damages(),)) for one in PICTURES),
    *((check_archive, one, (damages(),)) for one in ("binary", "sheets")),
    *((check_table, one, (cells(), damages())) for one in TABLES),
]
"""Every check here, with its first argument and what the others are drawn from."""
