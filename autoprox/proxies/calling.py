"""The call that all proxies share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from autoprox.quantise.layers import Bits
    from autoprox.statistics import Mode, Sample
    from autoprox.statistics.outcomes import Loss, Outputs
    from autoprox.statistics.taught import Teacher
    from autoprox.statistics.trees import Inputs, Targets


class OnNetwork:
    """What is called on a network and returns its score."""

    def __call__(
        self,
        network: nn.Module,
        inputs: Inputs,
        targets: Targets = None,
        *,
        loss: Loss | None = None,
        outputs: Outputs | None = None,
        sample: Sample = "full",
        seed: int = 0,
        bits: Bits | None = None,
        mode: Mode | None = None,
        teacher: nn.Module | Teacher | None = None,
    ) -> float:
        """Return the score of a network, which is left as it was.

        The score is that of `autoprox rank` and of an exported file, which take whole tensors too
        (the file returns 0 where a score that says nothing is refused here); a search keeps a
        sample of each.

        Args:
            network: any module.
            inputs: a tensor ``(batch, …)``, a tuple of positional arguments or a dict of keyword
                arguments; as for `autoprox.measure`, as are the next three.
            targets: class numbers, or what the loss takes; needed if the proxy uses labels.
            loss: a function of outputs and targets; None for the mean cross-entropy.
            outputs: a function that takes the logits of what the network returns; None if they are
                its tensor, what it calls logits, or its first.
            sample: entries that an expression keeps of each tensor of a layer, 512 in a search;
                ``"full"`` for all. A function reads whole tensors, and a fitted proxy what it was
                fitted on, whatever is given.
            seed: of the sample's places, and of what a function draws.
            bits: what the weights of a trained network are to be quantised to, as for
                `autoprox.quantise`: a number for each layer in the order of execution, or for some
                by name, or one for all but the first and the last; what is not given is 8.
            mode: that the network runs in; by default ``"train"``, or ``"eval"`` given `bits`, as
                what is to be quantised has been trained.
            teacher: another network that this one is compared with, see `autoprox.measure`; needed
                if the proxy looks at one.

        Raises:
            QuantisationError, UnknownNameError: the bits do not fit the network.
            StatisticError: the network or the batch does not fit, or cannot be measured.
            ScoreError: the proxy fails, or has no finite value on the network; or it is an
                ensemble: one network has no rank.
        """
        from autoprox.statistics.measurement import checked_how

        sample, seed, mode = checked_how(sample, seed, mode)
        mode = mode or ("train" if bits is None else "eval")
        how: dict[str, Any] = {"loss": loss, "outputs": outputs, "sample": sample, "seed": seed}
        how |= {"bits": bits, "mode": mode, "teacher": teacher}
        return self._score(network, inputs, targets, **how)

    def _score(self, *batch: Any, **how: Any) -> float:
        """Compute what the call returns."""
        raise NotImplementedError
