"""The statistics: what one batch shows of an untrained network, a tensor a layer.

`STATISTICS` holds their names, kinds and definitions and imports no torch, so that expressions
can be read and checked without it; `autoprox.statistics.measuring` measures them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from autoprox.primitives.kinds import (
    Activation,
    Attention,
    Channel,
    Channels,
    ClassGrad,
    Feature,
    Kind,
    Layer,
    Logit,
    Place,
    Relation,
    Spectrum,
    Weight,
)
from autoprox.runtime.registry import Registry

STATISTICS_VERSION = 6
"""Raised whenever a definition below, or the way of measuring or sampling it, changes a number."""

MICRO_BATCHES = 4
"""How many parts the batch is cut into for `grad_abs_mean`, `grad_std` and `grad_abs_std`."""

PRODUCTS = 9
"""How many products of a layer's Hessian with a vector `hessian_trace` takes."""

ITERATIONS = 20
"""The most steps of the power iteration of `hessian_top`."""

DEFAULT_SAMPLE = 512
"""Entries that a sampled measurement keeps of each tensor of a layer."""


@dataclass(frozen=True, slots=True)
class Group:
    """Statistics that one way of running the network measures, however many are asked for.

    Attributes:
        passes: what is run, in words.
        needs_labels: whether it runs the loss.
    """

    passes: str
    needs_labels: bool = False


GROUPS: dict[str, Group] = {
    "static": Group("none: read from the weights"),
    "count": Group("one forward pass of one sample, which every measurement takes"),
    "forward": Group("one forward pass of the batch"),
    "loss": Group("one forward and backward pass of the loss", needs_labels=True),
    "micro": Group(
        f"one forward and backward pass of the loss in {MICRO_BATCHES} micro-batches: that of "
        "`loss`, unless batch norm couples the samples",
        needs_labels=True,
    ),
    "flow": Group(
        "one forward and backward pass of one input of ones, absolute parameters, in float64"
    ),
    "hessian": Group(
        "that of `loss`, and one forward and two backward passes more", needs_labels=True
    ),
    "jacobian": Group("one forward pass of the batch, and one backward pass to the inputs"),
    "sample": Group(
        "one forward and backward pass of each sample's loss, by itself; where batch norm couples "
        "the samples, one forward pass of the batch",
        needs_labels=True,
    ),
    "logits": Group(
        "one forward and backward pass of each sample's logits, by itself; where batch norm "
        "couples the samples, one forward pass of the batch"
    ),
    "ones": Group("one forward and backward pass of one input of ones, in float64"),
    "curvature": Group(
        "one forward and backward pass of the loss, and as many backward passes for each layer as "
        "its definition says products or steps",
        needs_labels=True,
    ),
    "bits": Group(
        "none for `bits` and `weight_error`; one forward pass of the batch, in which every layer "
        "runs twice, for `act_error`"
    ),
    "teacher": Group("one forward pass of the batch; one of the teacher for all networks"),
}
"""The passes over the network that measure statistics."""


@dataclass(frozen=True, slots=True)
class Own:
    """How a statistic that does not come with autoprox is measured; see `statistic`.

    Attributes:
        function: ``(network, inputs, targets) -> {name of a parameter: tensor or number}``.
        needs_labels: whether it uses the targets.
        version: tells its code from that of others; what was measured is kept under it.
    """

    function: Callable[..., Any]
    needs_labels: bool
    version: str


@dataclass(frozen=True, slots=True)
class Statistic:
    """One word of the language: a tensor (or a number) that every layer of a network shows.

    Attributes:
        name: the word.
        kind: what its numbers are entries of.
        group: the pass that measures it, a key of `GROUPS`; a group costs the same however many of
            its statistics are asked for. ``"own"`` if it does not come with autoprox.
        latex: the symbol in formulas.
        description: the definition in one line.
        reference: the paper that introduced it as a part of a proxy, or nothing.
        own: how it is measured if it does not come with autoprox; None if it does.
        unexportable: why a file that needs torch alone cannot measure it; nothing if it can.
        nonnegative: whether no entry is below 0, which may save computing absolute values.
        version: raised when the definition of this statistic alone changes a number.
    """

    name: str
    kind: type[Kind]
    group: str
    latex: str
    description: str
    reference: str = ""
    own: Own | None = None
    unexportable: str = ""
    nonnegative: bool = False
    version: int = 0

    @property
    def needs_labels(self) -> bool:
        """Say whether it is measured on the loss."""
        if self.own:
            return self.own.needs_labels
        return GROUPS[self.group].needs_labels or self.kind is ClassGrad

    @property
    def stored_name(self) -> str:
        """The name that it is kept under, another one for other code or another definition."""
        version = self.own.version if self.own else self.version
        return f"{self.name} {version}" if version else self.name

    @property
    def needs_teacher(self) -> bool:
        """Say whether it compares the network with a teacher, or is the teacher's."""
        return self.group == "teacher"

    @property
    def needs_bits(self) -> bool:
        """Say whether it depends on the bits that the layers' weights are quantised to."""
        return self.group == "bits"


STATISTICS: Registry[Statistic] = Registry("statistic", lambda word: word.own is not None)
"""Every statistic by name."""

_SNIP = "SNIP (Lee et al., ICLR 2019)"
_SYNFLOW = "SynFlow (Tanaka et al., NeurIPS 2020)"
_GRASP = "GraSP (Wang et al., ICLR 2020), eq. 8"
_ZICO = "ZiCo (Li et al., ICLR 2023), eq. 15"
_NASWOT = "NASWOT (Mellor et al., ICML 2021), eq. 2"
_FISHER = "Fisher pruning (Turner et al., ICLR 2020)"
_DSS = "DSS (Zhou et al., CVPR 2022)"
_JACOV = "jacob_cov (Mellor et al., 2020)"
_GRADSIGN = "GradSign (Zhang and Jia, ICLR 2022)"
_KNAS = "KNAS (Xu et al., ICML 2021)"
_TENAS = "TE-NAS (Chen et al., ICLR 2021)"
_EMQ = "EMQ (Dong et al., ICCV 2023)"
_HAWQ = "HAWQ (Dong et al., ICCV 2019)"
_HAWQ2 = "HAWQ-V2 (Dong et al., NeurIPS 2020)"
_MECO = "MeCo (Jiang et al., NeurIPS 2023)"

for _statistic in (
    Statistic("weight", Weight, "static", "W", "the layer's weight", _SNIP),
    Statistic("grad", Weight, "loss", "G",
              "gradient of the batch's mean cross-entropy with respect to the weight", _SNIP),
    Statistic("grad_abs_mean", Weight, "micro", r"\overline{|G|}",
              "mean over micro-batches of the absolute gradient", _ZICO, nonnegative=True),
    Statistic("grad_std", Weight, "micro", "S_G",
              "standard deviation over micro-batches of the signed gradient", _ZICO,
              nonnegative=True),
    Statistic("grad_abs_std", Weight, "micro", "S_{|G|}",
              "standard deviation over micro-batches of the absolute gradient", _ZICO,
              nonnegative=True),
    Statistic("grad_sign", Weight, "sample", r"\sum\operatorname{sign} G_i",
              "sum over the samples of the signs of their loss's gradient", _GRADSIGN),
    Statistic("flow_grad", Weight, "flow", "G^{+}",
              "gradient of the summed outputs for absolute parameters and an input of "
              "ones", _SYNFLOW, version=1),
    Statistic("ones_grad", Weight, "ones", "G^{1}",
              "gradient of the summed outputs for an input of ones: flow_grad without the absolute "
              "values", _EMQ),
    Statistic("weight_error", Weight, "bits", r"\Delta W",
              "the layer's weight minus its quantised self, at the layer's bits", _HAWQ2),
    Statistic("hessian_grad", Weight, "hessian", "HG",
              "the loss's Hessian times its gradient, over the weights of all layers", _GRASP),
    Statistic("act", Activation, "forward", "A", "the layer's output", _FISHER),
    Statistic("act_grad", Activation, "loss", "G_A",
              "gradient of the mean cross-entropy with respect to the layer's output", _FISHER),
    Statistic("act_error", Activation, "bits", r"\Delta A",
              "change of the layer's output when its own weight alone is quantised, at the layer's "
              "bits"),
    Statistic("attention", Attention, "forward", "P",
              "attention maps after the softmax, computed from what the layer gave",
              nonnegative=True),
    Statistic("channel_saliency", Channel, "loss", r"\Delta_c",
              "output times its gradient, summed over the positions: a number for each sample and "
              "channel", _FISHER),
    Statistic("weight_spectrum", Spectrum, "static", r"\sigma_W",
              "singular values of the weight as an (out, rest) matrix", _DSS, nonnegative=True),
    Statistic("grad_spectrum", Spectrum, "loss", r"\sigma_G",
              "singular values of the gradient as an (out, rest) matrix", _DSS, nonnegative=True),
    Statistic("act_spectrum", Spectrum, "forward", r"\sigma_A",
              "singular values of the output as a (batch * positions, channels) matrix",
              nonnegative=True),
    Statistic("flow_spectrum", Spectrum, "flow", r"\sigma_{G^{+}}",
              "singular values of flow_grad as an (out, rest) matrix", _DSS, nonnegative=True,
              version=1),
    Statistic("channel_spectrum", Spectrum, "forward", r"\lambda_{\rho_A}",
              "eigenvalues of the correlations of the channels over the positions of the first "
              "sample's output", _MECO),
    Statistic("jacobian_spectrum", Spectrum, "jacobian", r"\lambda_{\rho_J}",
              "eigenvalues of jacobian_correlation; on the first layer only", _JACOV),
    Statistic("ntk_spectrum", Spectrum, "logits", r"\lambda_\Theta",
              "eigenvalues of ntk; on the first layer only", _TENAS),
    Statistic("act_gram", Relation, "forward", "K_A",
              "inner products of the samples' outputs", _KNAS),
    Statistic("code_gram", Relation, "forward", "K_H",
              "number of outputs on whose sign (above zero or not) two samples agree", _NASWOT),
    Statistic("jacobian_gram", Relation, "jacobian", "K_J",
              "inner products of the samples' input gradients of the summed logits; "
              "on the first layer only", _JACOV),
    Statistic("jacobian_correlation", Relation, "jacobian", r"\rho_J",
              "Pearson correlations of the samples' input gradients of the summed logits; "
              "on the first layer only", _JACOV),
    Statistic("code_total", Relation, "forward", "K_\\Sigma",
              "number of inputs of all activation functions on whose sign (above zero or not) two "
              "samples agree; on the first layer only", _NASWOT),
    Statistic("grad_gram", Relation, "sample", "K_G",
              "inner products of the samples' gradients of their loss by all weights; "
              "on the first layer only", _KNAS),
    Statistic("ntk", Relation, "logits", r"\Theta",
              "inner products of the samples' gradients of their summed logits by all weights; "
              "on the first layer only", _TENAS),
    Statistic("params", Layer, "static", "n",
              "parameters: the layer's own and those registered between it and the next layer"),
    Statistic("flops", Layer, "count", "f",
              "floating-point operations on one sample, from entering the layer to entering "
              "the next"),
    Statistic("fan_in", Layer, "static", r"d_\mathrm{in}", "inputs to one output entry"),
    Statistic("fan_out", Layer, "static", r"d_\mathrm{out}", "output entries fed by one input",
              version=1),
    Statistic("position", Layer, "count", "p",
              "place in the order of execution: 0 for the first layer, 1 for the last"),
    Statistic("heads", Layer, "count", "h", "heads of the attention maps that the layer fed"),
    Statistic("out_entries", Layer, "count", "m", "entries of the layer's output on one sample"),
    Statistic("bits", Layer, "bits", "b", "bits that the layer's weight is quantised to"),
    Statistic("hessian_trace", Layer, "curvature", r"\operatorname{tr} H",
              f"trace of the loss's Hessian by the layer's weight, estimated with {PRODUCTS} "
              f"products", _HAWQ2),
    Statistic("hessian_top", Layer, "curvature", r"\lambda_1(H)",
              f"eigenvalue of the loss's Hessian by the layer's weight that is largest by its "
              f"size: at most {ITERATIONS} steps of power iteration", _HAWQ),
):  # fmt: skip
    STATISTICS.register(_statistic.name, _statistic)

_OF_BOTH: tuple[tuple[str, type[Kind], str, str, str], ...] = (
    ("map_gram", Relation, "K_F", "inner products of the samples' last maps",
     "DisWOT (Dong et al., CVPR 2023)"),
    ("map_energy", Place, "E_F", "mean over the channels of the squares of the last map",
     "TVT (Dong et al., 2023)"),
    ("map_channels", Channels, "C_F", "inner products of the channels of the last map, over all "
     "samples and positions", "ICKD (Liu et al., ICCV 2021)"),
    ("pooled", Feature, "F", "the vectors that the last layer takes",
     "FitNets (Romero et al., ICLR 2015)"),
    ("pooled_gram", Relation, "K_P", "inner products of the vectors that the last layer takes",
     "SP (Tung and Mori, ICCV 2019)"),
    ("logits", Logit, "Z", "the logits", "KD (Hinton et al., 2015)"),
    ("class_grad", ClassGrad, "g", "gradient of the mean cross-entropy by the last layer's weight",
     "DisWOT (Dong et al., CVPR 2023)"),
)  # fmt: skip

OF_TEACHER = "teacher_"
"""How the names of the teacher's statistics begin."""

WITHOUT_TEACHER = "it needs a teacher beside the network"

for _name, _kind, _latex, _description, _reference in _OF_BOTH:
    for _prefix, _of, _mark in (("", "", "{}"), (OF_TEACHER, "the teacher's: ", "{}^{{T}}")):
        _word = Statistic(
            f"{_prefix}{_name}", _kind, "teacher", _mark.format(_latex),
            f"{_of}{_description}; on the last layer only", _reference,
            unexportable=WITHOUT_TEACHER, nonnegative=_kind is Place,
            version=3 * _name.startswith("map_") + (_name == "class_grad"),
        )  # fmt: skip
        STATISTICS.register(_word.name, _word)

TAUGHT = tuple(name for name, word in STATISTICS.items() if word.needs_teacher)
"""The statistics of a network beside a teacher, and of the teacher."""
