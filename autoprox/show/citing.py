"""What to cite: BibTeX of the papers behind proxies, statistics and benches, and of autoprox.

Nothing is looked up: entries say what the proxies, statistics and benches say of their papers
themselves. Where authors are "Lee et al." they are in `AUTHORS`, or ``and others`` stands for the
rest.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from autoprox import __version__
from autoprox.benches import Bench, several
from autoprox.benches.registry import known_bench
from autoprox.errors import AutoproxError
from autoprox.predictors.models import MODELS
from autoprox.proxies import shipped
from autoprox.proxies.fitted import FittedProxy
from autoprox.proxies.function import Ensemble
from autoprox.proxies.loading import AnyProxy, load
from autoprox.proxies.proxy import Proxy
from autoprox.runs.record import Run
from autoprox.show.latex import escaped
from autoprox.statistics import STATISTICS

ALGORITHMS = {"autoprox": "auto_prox_a", "emq": "emq"}
"""The algorithms that are from papers, and a proxy of the same paper."""

AUTHORS = {
    "1810.02340": "Namhoon Lee, Thalaiyasingam Ajanthan, Philip H. S. Torr",
    "1906.04113": "Jack Turner, Elliot J. Crowley, Michael O'Boyle, Amos Storkey, Gavin Gray",
    "2002.07376": "Chaoqi Wang, Guodong Zhang, Roger Grosse",
    "2006.04647": "Joseph Mellor, Jack Turner, Amos Storkey, Elliot J. Crowley",
    "2006.05467": "Hidenori Tanaka, Daniel Kunin, Daniel L. K. Yamins, Surya Ganguli",
    "2101.08134": r"Mohamed S. Abdelfattah, Abhinav Mehrotra, {\L}ukasz Dudziak, Nicholas D. Lane",
    "2102.01063": "Ming Lin, Pichao Wang, Zhenhong Sun, Hesen Chen, Xiuyu Sun, Qi Qian, Hao Li, "
    "Rong Jin",
    "2102.11535": "Wuyang Chen, Xinyu Gong, Zhangyang Wang",
    "2203.12217": "Qinqin Zhou, Kekai Sheng, Xiawu Zheng, Ke Li, Xing Sun, Yonghong Tian, "
    "Jie Chen, Rongrong Ji",
    "2207.05135": "Niccol{\\`o} Cavagnero, Luca Robbiano, Barbara Caputo, Giuseppe Averta",
    "2301.11300": "Guihong Li, Yuedong Yang, Kartikeya Bhardwaj, Radu Marculescu",
    "2303.15678": "Peijie Dong, Lujun Li, Zimian Wei",
    "2307.10554": "Peijie Dong, Lujun Li, Zimian Wei, Xin Niu, Zhiliang Tian, Hengyue Pan",
    "2312.09059": "Zimian Wei, Peijie Dong, Zheng Hui, Anggeng Li, Lujun Li, Menglong Lu, "
    "Hengyue Pan, Dongsheng Li",
    "2406.02924": "Peijie Dong, Lujun Li, Zhenheng Tang, Xiang Liu, Xinglin Pan, Qiang Wang, "
    "Xiaowen Chu",
    "2410.04808": "Peijie Dong, Lujun Li, Xiang Liu, Zhenheng Tang, Xuebo Liu, Qiang Wang, "
    "Xiaowen Chu",
}
"""All authors of the papers that runs cite most, by the number at arXiv."""

YEAR = 2026
"""Of this version of autoprox."""

DEAP = (
    r"""@article{fortin2012deap,
  title = {{DEAP: Evolutionary Algorithms Made Easy}},
  author = {F{\'e}lix-Antoine Fortin and Fran{\c{c}}ois-Michel {De Rainville} and """
    r"""Marc-Andr{\'e} Gardner and Marc Parizeau and Christian Gagn{\'e}},
  journal = {Journal of Machine Learning Research},
  volume = {13},
  pages = {2171--2175},
  year = {2012},
}
"""
)
"""What every run is bred by."""

_AUTHORS = r"[A-Z][\w-]+(?: et al\.| and [A-Z][\w-]+)?"
_PAPER = re.compile(rf"(?P<title>.+) \((?:[^()]+, )?(?P<authors>{_AUTHORS}), (?P<venue>[^()]+)\)")
"""How proxies and statistics name a paper: ``TITLE (SHORT NAME, AUTHORS, VENUE YEAR)``."""

_OF_BENCH = re.compile(
    r"(?:after |on \w+ of )?"
    r"(?P<authors>[A-Z][\w-]+(?: et al\.|(?:, [A-Z][\w-]+)* and [A-Z][\w-]+)?), "
    r"(?P<title>.+), (?P<venue>(?:[A-Z]\w+ )*\d{4})(?:, arXiv:(?P<arxiv>[\d.]+))?"
)
"""How benches do, between semicolons: ``AUTHORS, TITLE, VENUE YEAR, arXiv:NUMBER``."""

_TABLES = re.compile(r"(?P<title>[^,]+), (?P<url>https://\S+)")
"""How benches name tables without a paper."""


@dataclass(frozen=True)
class Reference:
    """A paper, as far as the project knows it.

    Attributes:
        title: its own, or what is known of it if there is no more.
        authors: ``"Lee et al."``, ``"Zhang and Jia"``; empty if they are not known.
        venue: where it was published, with the year: ``"ICLR 2019"``.
        url: its address, or empty.
    """

    title: str
    authors: str = ""
    venue: str = ""
    url: str = ""

    @property
    def key(self) -> str:
        """What it is cited by: ``lee2019snip``."""
        first = re.sub(r"\W", "", self.authors.split(" ")[0]).lower()
        words = re.findall(r"[a-z0-9]+", self.title.lower())
        word = next((word for word in words if word not in ("a", "an", "on", "the")), "")
        return f"{first}{''.join(re.findall(r'[0-9]{4}', self.venue)[-1:])}{word}"

    def bibtex(self) -> str:
        """Return the entry."""
        published = re.fullmatch(r"[A-Z][A-Za-z]+ (\d{4})", self.venue)
        year = re.findall(r"\d{4}", self.venue)[-1:]
        arxiv = re.search(r"arxiv\.org/abs/([\d.]+)(v\d+)?", self.url)
        authors = _flat(self.authors).replace(" et al.", " and others")
        if authors.endswith(" and others") and arxiv:
            authors = AUTHORS.get(arxiv[1], authors)
        authors = authors.replace(", ", " and ")
        fields = {
            "title": f"{{{escaped(_flat(self.title))}}}",
            "author": authors,
            "key": "" if authors else escaped(_flat(self.title)),  # what it is sorted by
            "booktitle" if published else "note": escaped(_flat(self.venue)),
            "year": "".join(year),
            "eprint": f"{arxiv[1]}{arxiv[2] or ''}" if arxiv else "",
            "archiveprefix": "arXiv" if arxiv else "",
            "url": _flat(self.url),
        }
        lines = (f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
        return f"@{'inproceedings' if published else 'misc'}{{{self.key},\n{''.join(lines)}}}\n"


PREDICTORS = {
    "parzc": Reference(
        "ParZC: Parametric Zero-Cost Proxies for Efficient NAS",
        "Dong et al.",
        "AAAI 2025",
        "https://arxiv.org/abs/2402.02105",
    ),
    "robot": Reference(
        "Robustifying and Boosting Training-Free Neural Architecture Search",
        "He et al.",
        "ICLR 2024",
        "https://arxiv.org/abs/2403.07591",
    ),
}
"""The papers that modules of `autoprox.predictors` name, by these."""


def _flat(text: str) -> str:
    """Return a text on one line and without braces, which would end the field of an entry."""
    return " ".join(re.sub(r"[{}]", " ", text).split())


def itself() -> str:
    """Return the entry of autoprox."""
    return (
        "@misc{autoprox,\n"
        "  title = {{autoprox: automatic discovery of zero-cost proxies}},\n"
        "  author = {{autoprox maintainers}},\n"
        f"  year = {{{YEAR}}},\n  note = {{Software, version {__version__}}},\n}}\n"
    )


def bibliography(sources: Iterable[Run | AnyProxy]) -> str:
    """Return the BibTeX of autoprox and of all that runs and proxies stand on, each once.

    Of a run these are DEAP, its benches, its algorithm, the statistics of its best proxies, and the
    known proxies that its tables compare with.
    """
    by_key: dict[str, Reference] = {}
    bred = False
    for source in sources:
        bred |= isinstance(source, Run)
        references = _of_run(source) if isinstance(source, Run) else _of_proxy(source)
        for reference in references:
            by_key.setdefault(reference.key, reference)
    entries = sorted(by_key.values(), key=lambda reference: reference.key)
    of_autoprox = [itself(), *([DEAP] if bred else [])]
    return "\n".join([*of_autoprox, *(reference.bibtex() for reference in entries)])


def _of_run(run: Run) -> list[Reference]:
    references = [paper for name in several(run.settings.bench) for paper in _of_bench(name)]
    if run.settings.algorithm in ALGORITHMS:
        references += _of_paper(load(ALGORITHMS[run.settings.algorithm]))
    for proxy in run.proxies:
        references += _of_statistics(proxy)
    for row in run.held_out:
        if row.known:
            references += _of_proxy(load(row.name))
    return references


def _of_proxy(proxy: AnyProxy) -> list[Reference]:
    """Return the papers of a proxy, its statistics, its model or parts, and its benches."""
    references = _of_paper(proxy)
    if isinstance(proxy, Proxy | FittedProxy):
        references += _of_statistics(proxy)
    if isinstance(proxy, FittedProxy):
        references += filter(None, [PREDICTORS.get(MODELS[proxy.model].home)])
    references += [paper for part in _parts(proxy) for paper in _of_proxy(part)]
    return references + [paper for name in _benches(proxy.provenance) for paper in _of_bench(name)]


def _parts(proxy: AnyProxy) -> list[AnyProxy]:
    """Return the known proxies that an ensemble is made of, or whose scores a fitted one reads."""
    if isinstance(proxy, Ensemble):
        return list(map(load, proxy.parts))
    inputs = proxy.inputs if isinstance(proxy, FittedProxy) else ()
    known = map(load, shipped.expressions() if inputs else ())
    return [part for part in known if isinstance(part, Proxy) and part.graph in inputs]


def _benches(provenance: Mapping[str, Any]) -> list[str]:
    """Return the benches of a proxy's search or labels, and of the searches that found its inputs.

    None if that is not said, or said wrongly.
    """
    searches = provenance.get("searches")
    records = [provenance.get("settings"), provenance.get("labels")]
    records += searches if isinstance(searches, list) else []
    benches = [record.get("bench") for record in records if isinstance(record, Mapping)]
    try:
        command = shlex.split(str(provenance.get("command", "")))
        if "--bench" in command[:-1]:
            benches = [command[command.index("--bench") + 1]]
        known = (bench for bench in benches if isinstance(bench, str) and bench)
        return [name for bench in known for name in several(bench)]
    except (AutoproxError, ValueError):  # a ValueError: a quotation mark stands alone
        return []


def _of_paper(proxy: AnyProxy) -> list[Reference]:
    facts = proxy.provenance
    return [_read(str(facts["paper"]), str(facts.get("url", "")))] if "paper" in facts else []


def _of_statistics(proxy: Proxy | FittedProxy) -> list[Reference]:
    stated = (STATISTICS[name].reference for name in proxy.statistics)
    return [_whole(_read(text)) for text in stated if text]


def _of_bench(name: str | Bench) -> list[Reference]:
    """Return the papers that a bench cites; of a bench that cannot be loaded none."""
    bench = known_bench(name) if isinstance(name, str) else name
    if bench is None:
        return []
    cited = (_cited(text) for text in bench.citation.split("; "))
    known = [reference for reference in cited if reference]
    return known if known or not bench.citation else [Reference(bench.citation)]


def _cited(text: str) -> Reference | None:
    """Return the paper or the tables that a part of a bench's citation names; None if neither."""
    if match := _OF_BENCH.fullmatch(text):
        url = f"https://arxiv.org/abs/{match['arxiv']}" if match["arxiv"] else ""
        return Reference(match["title"], match["authors"], match["venue"], url)
    match = _TABLES.fullmatch(text)
    return Reference(match["title"], url=match["url"]) if match else None


def _read(text: str, url: str = "") -> Reference:
    """Return what a text says of a paper; the text itself where it is of another form."""
    match = _PAPER.match(text)
    if match is None:
        return Reference(text, url=url)
    return Reference(match["title"], match["authors"], match["venue"], url)


def _whole(short: Reference) -> Reference:
    """Return the paper of the same authors and venue that some proxy names in full, if any."""
    for known in _known():
        if known.authors == short.authors and known.venue.endswith(short.venue):
            return known
    return short


@cache
def _known() -> tuple[Reference, ...]:
    """Return the papers of all proxies that ship."""
    return tuple(paper for name in shipped.names() for paper in _of_paper(shipped.get(name)))
