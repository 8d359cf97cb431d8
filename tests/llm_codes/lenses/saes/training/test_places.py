"""Sites are paired by layer number, inputs come before outputs, nothing is made twice."""

import pytest

from eval.errors import UserError
from llm_codes.configs.saes import DictionaryOptions
from llm_codes.lenses.saes.training.places import specifications
from llm_codes.models import load_model


@pytest.fixture(scope="module")
def model():
    return load_model("embedded")


def pairs(model, **options):
    found = specifications(DictionaryOptions(architecture="transcoder", **options), model)
    return [(spec.hook, spec.hook_out) for spec in found]


def mlp(layer):
    return f"blocks.{layer}.mlp.hook_in", f"blocks.{layer}.mlp.hook_out"


def test_sites_are_paired_by_layer(model):
    assert pairs(model, sites=("mlp_in@0", "mlp_in@1"), sites_out="mlp_out") == [mlp(0), mlp(1)]
    assert pairs(model, sites=("mlp_in@1", "mlp_in@0"), sites_out=("mlp_out@0", "mlp_out@1")) == [mlp(1), mlp(0)]
    assert pairs(model, sites="mlp_in", sites_out="mlp_out", layers=":") == [mlp(layer) for layer in range(6)]
    assert pairs(model, sites="mlp_in", sites_out="mlp_out") == [mlp(3)]  # the middle layer
    jumps = DictionaryOptions(architecture="jumprelu-transcoder", sites=("mlp_in",), sites_out=("mlp_out",), layers=":")
    found = specifications(jumps, model)
    assert [(one.hook, one.hook_out) for one in found] == [mlp(layer) for layer in range(6)]
    assert found[2].name == "blocks.2.mlp.hook_in-jumprelu-transcoder-1536" and found[2].asked_l0 == 32


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"sites": "mlp_in@4", "sites_out": "mlp_out@1"}, "expected one output in layer 4 for mlp_in@4; got mlp_out@1"),
        ({"sites": "mlp_in@4", "sites_out": ("mlp_out", "resid_post")}, "got mlp_out@4, resid_post@4; name its kind"),
        ({"sites": "mlp_out@1", "sites_out": "mlp_in"}, "computed after its input; got mlp_out@1 to mlp_in@1"),
        ({"sites": "mlp_out@1", "sites_out": "attn_out"}, "computed after its input; got mlp_out@1 to attn_out@1"),
    ],
)
def test_pairs_that_cannot_be_are_refused(model, options, text):
    with pytest.raises(UserError, match=text):
        pairs(model, **options)


def test_equal_widths_are_refused(model):
    with pytest.raises(UserError, match=r"--width 8x,1536 makes blocks.3.mlp.hook_out-topk-1536 twice; leave one out"):
        specifications(DictionaryOptions(width=("8x", "1536")), model)
    assert [s.n_features for s in specifications(DictionaryOptions(width=("8x", "192")), model)] == [1536, 192]
