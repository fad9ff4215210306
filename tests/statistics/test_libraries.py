"""Networks of transformers and timm, built from configurations without weights.

They are slow, and skipped where a library is not installed; nothing is downloaded.
"""

import copy
import importlib
import math
import os

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import autoprox
from autoprox import proxies
from autoprox.statistics import measure
from autoprox.statistics.trees import arguments, rows
from tests.known_networks import left, random_states

pytestmark = [
    pytest.mark.slow, pytest.mark.timeout(1200), pytest.mark.usefixtures("one_thread", "seeded"),
]  # fmt: skip

PROXIES = [name for name in proxies.names() if not proxies.get(name).needs_bits]
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
IDS = {"vocab_size": 50}


def library(name):
    """Import a library, or skip: some builds of torchvision, which timm needs, do not load."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        return importlib.import_module(name)
    except Exception as error:
        pytest.skip(f"{name} cannot be imported: {type(error).__name__}: {error}")


def tokens(length=12):
    return torch.randint(0, 50, (8, length))


def images():
    return torch.randn(8, 3, 32, 32)


def classes():
    return torch.randint(0, 2, (8,))


TRANSFORMERS = {
    "BertForSequenceClassification": (
        "BertConfig", {**SMALL, **IDS, "intermediate_size": 32, "max_position_embeddings": 16},
        lambda: ({"input_ids": tokens()}, classes()),
    ),
    "GPT2LMHeadModel": (
        "GPT2Config", {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16, **IDS},
        lambda: ({"input_ids": tokens()}, tokens()),
    ),
    "ViTForImageClassification": (
        "ViTConfig", {**SMALL, "intermediate_size": 32, "image_size": 32, "patch_size": 8},
        lambda: ({"pixel_values": images()}, classes()),
    ),
    "SwinForImageClassification": (
        "SwinConfig",
        {"embed_dim": 8, "depths": [1, 2], "num_heads": [1, 2], "image_size": 32, "patch_size": 4,
         "window_size": 4},
        lambda: ({"pixel_values": images()}, classes()),
    ),
    "MixtralForCausalLM": (
        "MixtralConfig",
        {**SMALL, **IDS, "intermediate_size": 24, "num_key_value_heads": 1, "num_local_experts": 3,
         "head_dim": 8},
        lambda: ({"input_ids": tokens()}, tokens()),
    ),
    "WhisperForConditionalGeneration": (
        "WhisperConfig",
        {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
         "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24,
         "num_mel_bins": 8, "max_source_positions": 10, "max_target_positions": 12, **IDS,
         "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1},
        lambda: (
            {"input_features": torch.randn(8, 8, 20), "decoder_input_ids": tokens(6)}, tokens(6)
        ),
    ),
}  # fmt: skip
TIMM = {
    "resnet10t": {},
    "mobilenetv3_small_050": {},
    "convnext_atto": {},
    "vit_tiny_patch16_224": {"img_size": 64},
    "mixer_s32_224": {"img_size": 64},
    "swin_tiny_patch4_window7_224": {"img_size": 64, "window_size": 4, "depths": (1, 1, 1, 1)},
}


def of_transformers(name):
    transformers = library("transformers")
    config, options, batch = TRANSFORMERS[name]
    config = getattr(transformers, config)(**options)
    return getattr(transformers, name)(config), *batch()


def of_timm(name):
    network = library("timm").create_model(name, num_classes=10, **TIMM[name])
    head = network.get_classifier().weight
    if not head.any():  # it says nothing
        torch.nn.init.normal_(head)
    return network, torch.randn(8, 3, 64, 64), torch.randint(0, 10, (8,))


BUILDERS = {
    **{name: of_transformers for name in TRANSFORMERS},
    **{name: of_timm for name in TIMM},
}


@pytest.fixture(params=BUILDERS)
def built(request):
    return BUILDERS[request.param](request.param)


def test_parameters_are_all_seen_or_named_and_nothing_changes(built):
    network, inputs, targets = built
    before, states = left(network), random_states()
    names = ["weight", "params", "grad", "act"]
    found = measure(network, inputs, targets, names, sample="full")
    assert left(network) == before
    assert random_states() == states
    parameters = {name: each.numel() for name, each in network.named_parameters()}
    assert found.values["params"].sum() == sum(parameters.values())
    seen = sum(len(weight) for weight in found.values["weight"])
    assert seen + sum(parameters[name] for name in found.unseen) == sum(parameters.values())
    assert seen > 0.8 * sum(parameters.values())
    weights = dict(network.named_parameters())
    for name in found.unseen:  # biases, norms, scales, and tables of positions and class tokens
        table = any(part in name for part in ("pos", "wpe", "token"))
        assert weights[name].ndim < 2 or table, name
    for name in ("grad", "act"):
        assert all(torch.isfinite(each).all() for each in found.values[name] if each is not None)


def test_every_proxy_has_a_finite_score_or_a_reason(built):
    network, inputs, targets = built
    frame = autoprox.score({"it": network}, PROXIES, inputs, targets)
    for name in PROXIES:
        reason = frame.failures.get(("it", name))
        assert (reason is None) == math.isfinite(frame[name]["it"])
        assert reason is None or "\n" not in reason
    assert {"params", "l2_norm", "snip", "grad_norm", "zico"} <= {
        name for name in PROXIES if ("it", name) not in frame.failures
    }


def test_operations_are_those_that_torch_counts(built):
    network, inputs, targets = built
    own = copy.deepcopy(network).train()
    for module in own.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()
    positional, keywords = arguments(rows(inputs, slice(0, 1)))
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        own(*positional, **keywords)
    flops = measure(network, inputs, targets, "flops").values["flops"]
    experts = 0
    if type(network).__name__ == "MixtralForCausalLM":  # products by groups, which torch leaves out
        experts = 2 * 12 * 2 * (2 * 16 * 48 + 2 * 24 * 16)  # layers, tokens, experts a token
    assert flops.sum() == counter.get_total_flops() + experts > 0
