"""Ten thousand damaged inputs over all readers of files, and what became of them.

``python -m tests.fuzz.test_every_reader [INPUTS] [NUMBER]``, from the checkout, prints how many
were read and how many refused, reader by reader; another number draws other inputs.
"""

import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.limits import COUNTS
from tests.fuzz.test_data import EVERY, FEW, examined
from tests.runs.test_damaged_files import TARGETS, check, make_sound

INPUTS = 10_000


def examine(inputs, number, folder):
    """Try inputs, as many for each reader; yield a reader's name and what became of its inputs."""
    sound = make_sound(folder / "sound")
    each = -(-inputs // (len(EVERY) + len(TARGETS)))
    amount = settings(FEW, max_examples=each, deadline=None)

    def examine_run(name):
        @seed(number)
        @amount
        @given(st.data())
        def run(data):
            check(sound, name, data, folder)

        run()

    works = [
        (
            f"{one.__name__.removeprefix('check_')} {first}",
            lambda one=one, first=first, rest=rest: examined(
                amount, one, folder, first, *rest, number=number
            ),
        )
        for one, first, rest in EVERY
    ]
    works += [(name, lambda name=name: examine_run(name)) for name in TARGETS]
    for name, work in works:
        COUNTS.clear()
        work()
        yield name, COUNTS["read"], COUNTS["refused"]


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_ten_thousand_inputs_are_read_or_refused(tmp_path):
    found = [*examine(INPUTS, 1, tmp_path)]
    assert sum(read + refused for _, read, refused in found) >= INPUTS


def main(inputs=INPUTS, number=1):
    """Print the table."""
    total = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, read, refused in examine(int(inputs), int(number), Path(folder)):
            print(f"{name:50} read {read:5}  refused {refused:5}", flush=True)
            total += read + refused
    print(f"{total} readings: some inputs are read in more than one way")


if __name__ == "__main__":
    main(*sys.argv[1:])
