"""Which of the ranked architectures a discovered proxy was selected on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autoprox.benches import Architecture, Bench, several
from autoprox.errors import AutoproxError
from autoprox.evolution.ground import lay
from autoprox.evolution.settings import Settings
from autoprox.proxies.function import Ensemble
from autoprox.proxies.loading import AnyProxy, load


class Searched:
    """Counts the ranked architectures that searches saw.

    Args:
        bench: the bench, whole.
        source: what it was loaded by, or the bench itself.
        ranked: those of its architectures that are ranked.
    """

    def __init__(self, bench: Bench, source: str | Bench, ranked: Sequence[Architecture]) -> None:
        """Lay no search's ground yet."""
        self.bench = bench
        self.source = source
        self.ranked = [_network(each, f"{bench.name}/") for each in ranked]
        self._parts: dict[Settings, frozenset[str]] = {}

    def __call__(self, proxy: AnyProxy) -> int | None:
        """Return how many of the architectures the proxy's search saw.

        Other architectures of the same isomorphism class count: they are the same network.

        Args:
            proxy: whose provenance holds the settings of its search if it was discovered.

        Returns:
            None for a proxy that no search found.

        Raises:
            AutoproxError: the settings are damaged, or their bench is not to be had.
        """
        seen = self._seen(proxy)
        return None if seen is None else sum(each in seen for each in self.ranked)

    def _seen(self, proxy: AnyProxy) -> frozenset[str] | None:
        """Return the networks that the search saw, or the searches of an ensemble's parts."""
        if isinstance(proxy, Ensemble):
            parts = [part for name in proxy.parts if (part := self._seen(load(name))) is not None]
            return frozenset().union(*parts) if parts else None
        given = proxy.provenance.get("settings")
        if given is None:
            return None
        try:
            whole = Settings.from_json(given)
            settings = Settings(  # of a search's settings these decide what it sees
                whole.bench,
                spaces=whole.spaces,
                targets=whole.targets,
                architectures=whole.architectures,
                split_seed=whole.split_seed,
                held_out=whole.held_out,
            )
            if settings not in self._parts:
                self._parts[settings] = self._part(settings)
        except (TypeError, ValueError) as error:
            raise AutoproxError(f"the settings of its search are damaged: {error}") from None
        return self._parts[settings]

    def _part(self, settings: Settings) -> frozenset[str]:
        """Return the networks that a search sees.

        Raises:
            AutoproxError: its bench is a file that is not being ranked: no proxy gets it executed.
        """
        sources = several(settings.bench)
        foreign = [each for each in sources if each.endswith(".py") and not self._is_ranked(each)]
        if foreign:
            raise AutoproxError(f"its search was on {', '.join(foreign)}, which is not ranked here")
        alone = len(sources) == 1 and (self._is_ranked(sources[0]) or sources[0] == self.bench.name)
        ground = lay(self.bench if alone else settings.bench, settings, Path())
        # A view of several benches names architectures by their benches already.
        prefix = f"{ground.bench.name}/" if len(sources) == 1 else ""
        return frozenset(_network(ground.bench.architectures[i], prefix) for i in ground.search)

    def _is_ranked(self, path: str) -> bool:
        """Say whether a path is that of the ranked bench."""
        given = isinstance(self.source, str) and self.source.endswith(".py")
        return given and Path(path).resolve() == Path(str(self.source)).resolve()


def _network(one: Architecture, prefix: str) -> str:
    """Return what the architectures of a bench that are one network share."""
    if one.isomorph is None:
        return f"alone {prefix}{one.name}"
    return f"class {prefix}{one.isomorph}"
