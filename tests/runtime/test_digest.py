"""Digests of functions: other code that gives another result never has the same one."""

import textwrap

import pytest

from autoprox.runtime.digest import digest
from tests.processes import other_seed, run_python

HEAD = """
import functools
import torch
import torch.nn.functional as F
def nothing(): pass
def fail(): raise ValueError
"""

PAIRS = {
    "what is tried": (
        """
        def f():
            try:
                try:
                    nothing()
                    fail()
                except ValueError:
                    return 1
            except Exception:
                return 2
        """,
        """
        def f():
            try:
                try:
                    nothing()
                except ValueError:
                    return 1
                else:
                    fail()
            except Exception:
                return 2
        """,
    ),
    "names of parameters": (
        "def less(a, b): return a - b\ndef f(): return less(a=1, b=5)",
        "def less(b, a): return b - a\ndef f(): return less(a=1, b=5)",
    ),
    "kinds of parameters": (
        "def size(*a): return len(a)\ndef f(): return size([1, 2, 3])",
        "def size(a): return len(a)\ndef f(): return size([1, 2, 3])",
    ),
    "what torch wraps": (
        "g = F.softplus\ndef f(): return g(torch.zeros(())).item()",
        "g = torch.func.grad(F.softplus)\ndef f(): return g(torch.zeros(())).item()",
    ),
    "how torch wraps": (
        "g = torch.vmap(F.softsign, out_dims=0)\ndef f(): return g(torch.ones(2, 3)).shape",
        "g = torch.vmap(F.softsign, out_dims=1)\ndef f(): return g(torch.ones(2, 3)).shape",
    ),
    "what has another's name": (
        "@functools.wraps(F.relu)\ndef g(x): return x + 1\ndef f(): return g(1)",
        "@functools.wraps(F.relu)\ndef g(x): return x + 2\ndef f(): return g(1)",
    ),
    "attributes of functions": (
        "def g(): return g.k\ng.k = 1\ndef f(): return g()",
        "def g(): return g.k\ng.k = 2\ndef f(): return g()",
    ),
}


def made(source):
    names = {"__name__": "a_file_of_mine"}
    exec(HEAD + textwrap.dedent(source), names)
    return names["f"]


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_functions_that_give_something_else_have_other_digests(pair):
    one, other = map(made, pair)
    assert one() != other()
    assert digest(one) != digest(other)
    for function, source in zip((one, other), pair, strict=True):
        assert digest(function) == digest(made(source))
        assert not digest(function).missing


@pytest.mark.parametrize(
    "flags",
    [
        ("-OO",),
        pytest.param((), marks=pytest.mark.slow),
        pytest.param(("-O",), marks=pytest.mark.slow),
    ],
)
def test_the_same_source_has_the_same_digest_in_every_process(flags, tmp_path):
    sources = [source for pair in PAIRS.values() for source in pair]
    file = tmp_path / "digests.py"
    file.write_text(
        "import textwrap\nfrom autoprox.runtime.digest import digest\n"
        f"for source in {sources!r}:\n"
        "    names = {'__name__': 'a_file_of_mine'}\n"
        f"    exec({HEAD!r} + textwrap.dedent(source), names)\n"
        "    print(digest(names['f']).text)\n"
    )
    there = run_python(*flags, str(file), hash_seed=other_seed())
    assert there.stdout.split() == [digest(made(source)).text for source in sources], there


@pytest.mark.parametrize("name", ["max_pool2d", "adaptive_avg_pool2d", "conv2d", "softplus"])
def test_functions_of_torch_have_digests_whoever_defines_them(name):
    called = digest(made(f"from torch.nn.functional import {name} as g\ndef f(): return g"))
    assert not called.missing
