"""What is left of a function when some of its values are known, and that it does what it did."""

from __future__ import annotations

import textwrap

import pytest

from autoprox.export.pruning import pruned

FACTS = {"asked": frozenset({"a", "b"}), ".asked": frozenset({"a", "b"}), "sample": "full"}
CONSTANTS = {"WHOLE": frozenset({"b", "c"}), "OTHERS": frozenset({"d"})}


def left(text: str) -> str:
    """The body of a function of `asked`, `sample`, `x` and `log` after pruning."""
    body = textwrap.indent(textwrap.dedent(text).strip(), "    ")
    return pruned(f"def f(asked, sample, x, log):\n{body}", FACTS, CONSTANTS)


def done(text: str, x: object) -> object:
    """What such a function returns and logs."""
    space: dict[str, object] = {**CONSTANTS}
    exec(text, space)
    log: list[object] = []
    return space["f"](FACTS["asked"], "full", x, log), log  # type: ignore[operator]


CASES = {
    "a branch that is taken": (
        """
        if "a" in asked:
            log.append(1)  # a comment
        return x
        """,
        """
        log.append(1)  # a comment
        return x
        """,
    ),
    "a branch that is not": (
        """
        if "c" in asked:
            log.append(1)
        return x
        """,
        "return x",
    ),
    "the other branch": (
        """
        if "c" in asked:
            log.append(1)
        else:
            for each in range(2):
                log.append(each)
        """,
        """
        for each in range(2):
            log.append(each)
        """,
    ),
    "an elif of a condition that is not known": (
        """
        if x:
            log.append(1)
        elif asked & WHOLE:
            log.append(2)
        else:
            log.append(3)
        """,
        """
        if x:
            log.append(1)
        else:
            log.append(2)
        """,
    ),
    "an elif that is never reached": (
        """
        if x:
            log.append(1)
        elif asked & OTHERS:
            log.append(2)
        elif x is None:
            log.append(3)
        """,
        """
        if x:
            log.append(1)
        elif x is None:
            log.append(3)
        """,
    ),
    "an if that is never taken, with an elif": (
        """
        if "c" in asked:
            log.append(1)
        elif x:
            log.append(2)
        else:
            log.append(3)
        """,
        """
        if x:
            log.append(2)
        else:
            log.append(3)
        """,
    ),
    "what follows a return": (
        """
        if sample == "full":
            return x
        log.append(1)
        return None
        """,
        "return x",
    ),
    "operands that do not matter": (
        """
        if "a" in asked and x:
            log.append(1)
        if "c" in asked or (x and log):
            log.append(2)
        """,
        """
        if x:
            log.append(1)
        if x and log:
            log.append(2)
        """,
    ),
    "operands that may be the result": (
        """
        log.append("c" in asked or x or None)
        log.append(x or "a" in asked)
        return "a" in asked and x
        """,
        """
        log.append(x or None)
        log.append(x or "a" in asked)
        return x
        """,
    ),
    "operands in brackets": (
        """
        if (x or log) and "a" in asked and not (x and "c" not in asked):
            log.append(1)
        """,
        """
        if (x or log) and not (x and "c" not in asked):
            log.append(1)
        """,
    ),
    "a loop that does nothing": (
        """
        for each in range(2):
            if "c" in asked:
                log.append(each)
        return x
        """,
        "return x",
    ),
    "a block that must not be empty": (
        """
        with memoryview(b""):
            if "c" in asked:
                log.append(1)
        """,
        """
        with memoryview(b""):
            pass
        """,
    ),
    "variables": (
        """
        log.append(x)
        some = log.copy if asked & OTHERS else None
        if some:
            log.append(some)

        def unused():
            return some

        width = x
        return x
        """,
        """
        log.append(x)

        return x
        """,
    ),
    "a variable that is set again": (
        """
        some = None
        if x:
            some = x
        if some and "a" in asked:
            log.append(some)
        """,
        """
        some = None
        if x:
            some = x
        if some and "a" in asked:
            log.append(some)
        """,
    ),
    "a name that is another value's": (
        """
        asked = [x]
        if "a" in asked:
            log.append(1)
        """,
        """
        asked = [x]
        if "a" in asked:
            log.append(1)
        """,
    ),
    "letters of several bytes": (
        """
        log.append("für" if "a" in asked else "gegen"); log.append("ä" if "c" in asked else "ö")
        """,
        """
        log.append("für"); log.append("ö")
        """,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_happen_goes_and_the_rest_stays_as_it_is(case) -> None:
    before, expected = CASES[case]
    body = textwrap.indent(textwrap.dedent(expected).strip(), "    ")
    assert left(before) == f"def f(asked, sample, x, log):\n{body}"


@pytest.mark.parametrize("x", [None, 0, 1, "a"])
@pytest.mark.parametrize("case", CASES)
def test_what_is_left_does_the_same(case, x) -> None:
    body = textwrap.indent(textwrap.dedent(CASES[case][0]).strip(), "    ")
    whole = f"def f(asked, sample, x, log):\n{body}"
    assert done(left(CASES[case][0]), x) == done(whole, x)


def test_a_method_keeps_its_place() -> None:
    text = '    def f(self):\n        if "c" in self.asked:\n            return 1\n        return 2'
    assert pruned(text, FACTS, CONSTANTS) == "    def f(self):\n        return 2"
