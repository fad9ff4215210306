"""``autoprox export``: four forms, to standard output or into a file."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from autoprox.cli import main
from autoprox.errors import AutoproxError
from autoprox.export import FORMS, exported
from autoprox.proxies.loading import load


def call(*words: str) -> Result:
    return CliRunner().invoke(main, ["export", *words])


@pytest.mark.parametrize("form", FORMS)
def test_standard_output_and_a_file_hold_the_same(form: str, tmp_path: Path) -> None:
    if form == "svg":
        pytest.importorskip("matplotlib")
    printed = call("snip", "--to", form)
    assert printed.exit_code == 0, printed.output
    assert printed.stdout == exported(load("snip"), form)
    file = tmp_path / "new" / "snip"
    written = call("snip", "--to", form, "--out", str(file))
    assert written.exit_code == 0, written.output
    assert file.read_text(encoding="utf-8") == printed.stdout
    assert written.stdout == ""
    assert f"written to {file}" in written.stderr


def test_each_form_is_what_it_says(tmp_path: Path) -> None:
    proxy = load("sum(mean(absolute(grad)))")
    compile(exported(proxy, "python"), "proxy.py", "exec")
    assert exported(proxy, "latex") == proxy.latex() + "\n"
    file = tmp_path / "proxy.json"
    file.write_text(exported(proxy, "json"), encoding="utf-8")
    assert load(file) == proxy
    pytest.importorskip("matplotlib")
    assert ElementTree.fromstring(exported(proxy, "svg")).tag.endswith("svg")


def test_an_expression_is_exported_too() -> None:
    assert call("sum(mean(absolute(grad)))", "--to", "python").exit_code == 0


def test_a_function_has_only_its_facts() -> None:
    data = json.loads(call("zen_score", "--to", "json").stdout)
    assert data["function"].startswith("autoprox.proxies.functions.zen.")
    for form in set(FORMS) - {"json"}:
        refused = call("zen_score", "--to", form)
        assert refused.exit_code == 1
        assert "error: zen_score is no expression" in refused.stderr
        assert data["function"] in refused.stderr


def test_mistakes_are_explained(tmp_path: Path) -> None:
    assert "did you mean 'snip'" in call("snpi", "--to", "latex").stderr
    assert "'latex'" in call("snip", "--to", "tex").stderr
    (tmp_path / "file").touch()
    assert (
        "choose another --out"
        in call("snip", "--to", "latex", "--out", str(tmp_path / "file" / "x")).stderr
    )
    with pytest.raises(AutoproxError, match="is exported to python, latex, json, svg; got 'tex'"):
        exported(load("snip"), "tex")


def test_the_help_has_an_example() -> None:
    assert "autoprox export zico --to python --out zico.py" in call("--help").output
