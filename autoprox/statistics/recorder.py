"""What the layers' outputs show while a batch runs, part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain

import torch
from torch import Tensor, nn

from autoprox.errors import StatisticError
from autoprox.runtime.hooks import hooked
from autoprox.statistics.activations import ActivationInputs
from autoprox.statistics.attention import AttentionMaps
from autoprox.statistics.findings import Findings, Picker
from autoprox.statistics.hooks import first_tensor
from autoprox.statistics.outputs import (
    agreement,
    by_channel,
    by_sample,
    channel_spectrum,
    channels_last,
    samples_first,
)
from autoprox.statistics.sampling import spread
from autoprox.statistics.structure import Structure
from autoprox.statistics.words import STATISTICS

WHOLE = frozenset({"act_gram", "act_spectrum"})
"""The statistics that need the outputs of the whole batch."""

HELD = WHOLE | {"code_gram"}
"""The statistics for which something is held of every output of the batch."""

BACKWARD = frozenset({"act_grad", "channel_saliency"})
"""The statistics that need the gradients of the outputs."""

POOLED = frozenset({"act", "act_error", "act_grad", "attention", "channel_saliency"})
"""The statistics of which entries are kept as the parts of the batch run."""

RECORDED = BACKWARD | {name for name, word in STATISTICS.items() if word.group == "forward"}
"""The statistics that need the outputs."""

OF_MODULES = RECORDED - {"attention", "code_total"}
"""Those of them that are measured on what the layers' modules return."""

REFERENCES = {"act_error": "act", "act_grad": "act"}
"""The statistic whose values decide which entries are kept, where it is another one's."""


def by_chance(owner: str, how: str) -> str:
    """Say that a layer does not run for all samples, and what to do."""
    return (
        f"{owner!r} {how}: it runs by chance, or for some samples only, and its output cannot be "
        "measured; use mode='eval' if it is dropped in training alone, or leave out what is "
        "measured on outputs for this network"
    )


class Recorder:
    """Keeps, of the outputs of the layers, what the statistics `asked` for need.

    Where a module runs several times, its last run counts. Nothing but the entries to choose from
    stays in memory, except for `WHOLE` and, as booleans, for `code_gram` and `code_total`.
    """

    def __init__(
        self, structure: Structure, asked: frozenset[str], picker: Picker, batch: int
    ) -> None:
        """Prepare to record a batch of `batch` samples."""
        self.structure, self.asked, self.picker, self.batch = structure, asked, picker, batch
        self._showing = structure.showing()
        self._parts: list[tuple[int, int]] = []
        self._pooled: dict[tuple[str, int], dict[int, Tensor]] = {}
        self._outputs: dict[str, dict[int, Tensor]] = {}
        self._widths: dict[tuple[str, int], dict[int, int]] = {}
        self._runs: dict[str, int] = {}
        self._unfit: dict[str, StatisticError] = {}
        self._codes: dict[int, list[Tensor]] = {}
        self._spectra: dict[str, Tensor] = {}
        self._activated = 0
        self._current: str | None = None
        self._maps: list[Tensor] = []

    @contextmanager
    def part(self, network: nn.Module, low: int, high: int) -> Iterator[None]:
        """Record the samples `low` to `high` while they run forward."""
        self._parts.append((low, high))
        self._runs.clear()
        self._maps.clear()
        self._activated = 0
        modules = dict(network.named_modules())
        hooks = chain(
            (
                modules[owner].register_forward_pre_hook(partial(self._enter, owner))
                for owner in (self._showing if "attention" in self.asked else ())
            ),
            (
                modules[owner].register_forward_hook(partial(self._leave, owner))
                for owner in (self._showing if self.asked & OF_MODULES else ())
            ),
        )
        with hooked(hooks), ExitStack() as modes:
            if "attention" in self.asked:
                modes.enter_context(AttentionMaps(self._attended))
            if "code_total" in self.asked:
                modes.enter_context(ActivationInputs(self._activating))
            yield

    def _enter(self, owner: str, _module: nn.Module, _inputs: object) -> None:
        """Note which layer runs."""
        self._current = owner
        self._maps.clear()

    def _leave(self, owner: str, _module: nn.Module, _inputs: object, output: object) -> None:
        """Record the output of the module `owner`."""
        tensor = first_tensor(output)
        if tensor is None:
            return
        if owner not in self.structure.shapes:
            raise StatisticError(by_chance(owner, "did not run on the first sample alone"))
        self._output(owner, tensor)

    def error(self, owner: str, output: Tensor, error: Tensor) -> None:
        """Keep what is needed of an output of `owner`, and of what is taken for its error."""
        rows = self._fitting(owner, output)
        if rows is not None:
            self._keep("act", owner, rows)
            self._keep("act_error", owner, self._rows(owner, error, len(rows)))

    def _fitting(self, owner: str, output: Tensor) -> Tensor | None:
        """View an output of `owner` as ``(samples, entries)``; None, and note why, if it is none.

        Of a module that runs again the last run counts.
        """
        low, high = self._parts[-1]
        self._runs[owner] = run = self._runs.get(owner, 0) + 1
        self._unfit.pop(owner, None)
        try:
            more = high - low > 1 and run > self.structure.runs[owner]
            if more and output.shape == self.structure.shapes[owner]:  # a run for each sample
                raise self._mixed(owner)
            return self._rows(owner, output.detach(), high - low)
        except StatisticError as error:
            self._unfit[owner] = error
            return None

    def _output(self, owner: str, output: Tensor) -> None:
        """Keep what is needed of an output, now, since later modules may overwrite it in place."""
        rows = self._fitting(owner, output)
        if rows is None:
            return
        part, run = len(self._parts) - 1, self._runs[owner]
        low, high = self._parts[part]
        if {"act", "act_grad"} & self.asked:
            self._keep("act", owner, rows)
        if self.asked & WHOLE:
            self._outputs.setdefault(owner, {})[part] = output.detach().clone()
        elif "code_gram" in self.asked:
            self._outputs.setdefault(owner, {})[part] = rows > 0
        if low == 0 and "channel_spectrum" in self.asked:
            self._correlate(owner, output)
        if self.asked & BACKWARD and output.requires_grad:
            whole = output.detach().clone() if "channel_saliency" in self.asked else None

            def arrived(grad: Tensor | None) -> None:
                if grad is not None and self._runs[owner] == run:
                    rows = self._samples_first(owner, grad, high - low)
                    copies = max(1, rows.numel() // max(1, grad.numel()))
                    share = (high - low) / self.batch / copies
                    if "act_grad" in self.asked:
                        self._keep("act_grad", owner, rows.flatten(1), share)
                    if whole is not None:
                        shown = self._samples_first(owner, whole, high - low)
                        self._saliency(owner, rows * share * shown)

            output.register_hook(arrived)  # type: ignore[no-untyped-call]  # as torch has it

    def _samples_first(self, owner: str, output: Tensor, samples: int) -> Tensor:
        """View an output of `owner`, or its gradient, as ``(samples, ...)``."""
        structure = self.structure
        if structure.mixed(owner, output, samples):
            raise self._mixed(owner)
        return samples_first(output, structure.shapes[owner], samples, owner in structure.stacked)

    def _mixed(self, owner: str) -> StatisticError:
        """The error for an output that cannot be told apart by sample."""
        return StatisticError(
            f"the rows of the output of {owner!r} follow no order of samples, so that "
            f"{', '.join(map(repr, sorted(self.asked & OF_MODULES or self.asked)))} cannot tell "
            "the samples apart; leave them out for this network"
        )

    def _rows(self, owner: str, output: Tensor, samples: int) -> Tensor:
        """View an output of `owner` as ``(samples, entries)``."""
        return self._samples_first(owner, output, samples).reshape(samples, -1)

    def _saliency(self, owner: str, products: Tensor) -> None:
        """Keep `products`, outputs times their gradients, summed over the positions."""
        dims = self.structure.dims[self._showing[owner]]
        self._keep("channel_saliency", owner, channels_last(products, dims).sum(1))

    def _correlate(self, owner: str, output: Tensor) -> None:
        """Keep what the channels of the first sample's output have in common."""
        low, high = self._parts[-1]
        first = self._samples_first(owner, output.detach(), high - low)[:1]
        positions = channels_last(first, self.structure.dims[self._showing[owner]])[0].cpu()
        if len(positions) > 1:  # a channel of one number correlates with nothing
            self._spectra[owner] = channel_spectrum(positions)

    def _activating(self, argument: Tensor) -> None:
        """Keep the signs of the argument of an activation function."""
        low, high = self._parts[-1]
        place, shapes = self._activated, self.structure.activated
        if place >= len(shapes) or argument.ndim != len(shapes[place]):
            raise StatisticError(
                "'code_total' cannot be measured: this network calls other activation functions "
                "on a batch than on a single sample; leave it out for this network"
            )
        if self.structure.mixed(place, argument, high - low):
            raise StatisticError(
                "'code_total' cannot be measured: the rows of an activation function's argument "
                "follow no order of samples; leave it out for this network"
            )
        self._activated += 1
        stacked = place in self.structure.stacked
        rows = by_sample(argument, shapes[place], high - low, stacked) > 0
        self._codes.setdefault(place, []).append(rows)

    def _attended(self, _shape: torch.Size, maps: Callable[[], Tensor]) -> None:
        """Keep what is needed of the attention maps of the layer that runs, heads in a loop too."""
        low, high = self._parts[-1]
        tensor = maps()
        if self._current is not None and tensor.shape[0] % (high - low) == 0:
            self._maps.append(tensor.reshape(high - low, -1))
            rows = self._maps[0] if len(self._maps) == 1 else torch.cat(self._maps, 1)
            self._keep("attention", self._current, rows)

    def _keep(self, name: str, owner: str, rows: Tensor, share: float = 1.0) -> None:
        """Keep, for the layer of `owner`, what may be kept of the current part's ``rows * share``.

        The product is taken of the few kept entries: it is the same.
        """
        part, kind = len(self._parts) - 1, STATISTICS[name].kind.__name__
        layer = self._showing[owner]
        pooled = self.picker.pooled(rows, self._parts[part][0], self.batch, kind, layer)
        pooled = pooled if share == 1 else pooled * share
        self._pooled.setdefault((name, layer), {})[part] = pooled
        self._widths.setdefault((name, layer), {})[part] = rows.shape[1]

    def finish(self, findings: Findings) -> None:
        """Put what was recorded into `findings`."""
        if self._unfit:
            raise next(iter(self._unfit.values()))
        if self.asked & POOLED:
            self._finish_entries(findings)
        if "channel_spectrum" in self.asked:
            for owner, values in self._spectra.items():
                kept = spread(values, self.picker.sample)
                findings.put("channel_spectrum", self._showing[owner], kept, len(values))
        if "code_total" in self.asked:
            self._finish_codes(findings)
        if self.asked & HELD:
            while self._outputs:
                owner, outputs = self._outputs.popitem()
                self._finish_outputs(findings, owner, outputs)

    def _finish_entries(self, findings: Findings) -> None:
        """Put the kept ones of the entries to choose from into `findings`."""
        for (name, layer), parts in self._pooled.items():
            owner = self.structure.owners[layer]
            self._check_parts(owner, parts)
            if len(set(self._widths[name, layer].values())) > 1:
                raise StatisticError(
                    f"{name!r} cannot be measured: the output of {owner!r} has another number of "
                    "entries for some samples than for others; leave it out for this network"
                )
        entries = {
            key: torch.cat([parts[part] for part in sorted(parts)])
            for key, parts in self._pooled.items()
        }
        self._pooled.clear()
        chosen: dict[tuple[str, int], Tensor | slice] = {}
        for (name, layer), pooled in entries.items():
            if name not in self.asked:
                continue
            first = REFERENCES.get(name, name), layer
            size = self.batch * next(iter(self._widths[name, layer].values()))
            kind = STATISTICS[name].kind.__name__
            if first not in chosen:
                shape = (self.batch, size // self.batch)
                chosen[first] = self.picker.kept(entries[first], shape, kind, layer)
            findings.put(name, layer, pooled[chosen[first]], size)

    def _finish_codes(self, findings: Findings) -> None:
        """Put the agreement of the samples over all activation functions into `findings`."""
        if not self._codes:
            raise StatisticError(
                "'code_total' needs activation functions that keep the sign (ReLU, GELU, SiLU and "
                "the like, as modules or functions); this network calls none: leave it out for "
                "this network"
            )
        if len({len(parts) for parts in self._codes.values()}) > 1:
            raise StatisticError(
                "'code_total' cannot be measured: this network calls other activation functions "
                "for some samples than for others; leave it out for this network"
            )
        total = torch.zeros(self.batch, self.batch, dtype=torch.float64)
        while self._codes:
            total += agreement(torch.cat(self._codes.popitem()[1])).cpu()
        findings.put("code_total", 0, total, total.numel())

    def _finish_outputs(self, findings: Findings, owner: str, outputs: dict[int, Tensor]) -> None:
        """Put the statistics of the whole batch's outputs of one module into `findings`."""
        self._check_parts(owner, outputs)
        rows, layer = [], self._showing[owner]
        for part, output in outputs.items():
            low, high = self._parts[part]
            rows.append(self._rows(owner, output, high - low) if self.asked & WHOLE else output)
        whole = torch.cat(rows)
        if "act_gram" in self.asked:
            gram = whole.float() @ whole.float().T
            findings.put("act_gram", layer, gram, gram.numel())
        if "code_gram" in self.asked:
            codes = agreement(whole)
            findings.put("code_gram", layer, codes, codes.numel())
        if "act_spectrum" in self.asked:
            dims = self.structure.dims[layer]
            matrix = torch.cat([by_channel(output, dims) for output in outputs.values()])
            findings.put_spectrum("act_spectrum", layer, matrix, self.picker.sample)

    def _check_parts(self, owner: str, parts: Mapping[int, object]) -> None:
        """Raise `StatisticError` unless a layer ran in all parts of the batch."""
        if len(parts) != len(self._parts):
            ran = f"ran in {len(parts)} of {len(self._parts)} parts of the batch"
            raise StatisticError(by_chance(owner, ran))
