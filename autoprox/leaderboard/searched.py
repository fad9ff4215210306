"""Which of the ranked architectures a discovered proxy was selected on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoprox.benches import Architecture, Bench, several
from autoprox.errors import AutoproxError
from autoprox.evolution.settings import Settings
from autoprox.proxies.fitted import FittedProxy
from autoprox.proxies.function import Ensemble
from autoprox.proxies.loading import AnyProxy, load
from autoprox.runs.ground import lay
from autoprox.runs.unseen import ancestry
from autoprox.runtime.schema import converted


class Searched:
    """Counts the ranked architectures that searches saw.

    Args:
        bench: the bench, whole.
        source: what it was loaded by, or the bench itself.
        ranked: those of its architectures that are ranked.
    """

    def __init__(self, bench: Bench, source: str | Bench, ranked: Sequence[Architecture]) -> None:
        self.bench = bench
        self.source = source
        self.ranked = [architecture.network_name(f"{bench.name}/") for architecture in ranked]
        self._parts: dict[Settings, frozenset[str]] = {}

    def __call__(self, proxy: AnyProxy) -> int | None:
        """Return how many of the architectures the proxy's search saw, or those behind it.

        Other architectures of the same isomorphism class count: they are the same network.

        Args:
            proxy: whose provenance holds the settings of its search if it was discovered; of what
                was fitted the labelled architectures, and the settings of its inputs' searches.

        Returns:
            None for a proxy that no search found, and that was not fitted.

        Raises:
            AutoproxError: the settings are damaged, or their bench is not to be had.
        """
        seen = self._seen(proxy)
        return None if seen is None else sum(network in seen for network in self.ranked)

    def _seen(self, proxy: AnyProxy) -> frozenset[str] | None:
        """Return the networks that the search saw, or the searches of an ensemble's parts.

        What was fitted saw those whose accuracies it was fitted to, and what the searches saw that
        found its inputs.
        """
        if isinstance(proxy, Ensemble):
            parts = [part for name in proxy.parts if (part := self._seen(load(name))) is not None]
            return frozenset().union(*parts) if parts else None
        if isinstance(proxy, FittedProxy):
            searches = converted(proxy.provenance.get("searches", []), list[Any], "searches")
            return self._labelled(proxy).union(*map(self._by_search, searches))
        recorded = proxy.provenance.get("settings")
        return None if recorded is None else self._by_search(recorded)

    def _by_search(self, recorded: Any) -> frozenset[str]:
        """Return the networks that a search with these settings saw, or those behind it."""
        try:
            parts = [self._part_of(settings) for settings in ancestry(recorded)]
        except (TypeError, ValueError) as error:
            raise AutoproxError(f"the settings of its search are damaged: {error}") from None
        return frozenset().union(*parts)

    def _part_of(self, recorded: Mapping[str, Any]) -> frozenset[str]:
        """Return the networks that a search with these settings saw; each part is made once."""
        settings = Settings.from_json(recorded).seeing
        if settings not in self._parts:
            self._parts[settings] = self._part(settings)
        return self._parts[settings]

    def _labelled(self, proxy: FittedProxy) -> frozenset[str]:
        """Return the networks whose accuracies a proxy was fitted to."""
        labels = proxy.provenance.get("labels")
        names: Any = ()
        if isinstance(labels, Mapping) and labels.get("bench") == self.bench.name:
            names = labels.get("architectures")
        names = {*map(str, names)} if isinstance(names, list | tuple) else ()
        rows = (row for row in self.bench.architectures if row.name in names)
        return frozenset(row.network_name(f"{self.bench.name}/") for row in rows)

    def _part(self, settings: Settings) -> frozenset[str]:
        """Return the networks that a search sees."""
        sources = several(settings.bench)
        foreign = [path for path in sources if path.endswith(".py") and not self._is_ranked(path)]
        if foreign:
            raise AutoproxError(f"its search was on {', '.join(foreign)}, which is not ranked here")
        alone = len(sources) == 1 and (self._is_ranked(sources[0]) or sources[0] == self.bench.name)
        ground = lay(self.bench if alone else settings.bench, settings, Path())
        return ground.networks(ground.search)

    def _is_ranked(self, path: str) -> bool:
        """Say whether a path is that of the ranked bench."""
        is_file = isinstance(self.source, str) and self.source.endswith(".py")
        return is_file and Path(path).resolve() == Path(str(self.source)).resolve()
