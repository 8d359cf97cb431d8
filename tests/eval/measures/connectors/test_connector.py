"""Connectors on features with a known sparse map: edges, weights, memory, errors."""

import pytest
import torch

from eval.errors import UserError
from eval.measures.connectors.connector import Connector
from eval.measures.connectors.fit import ConnectorFit, fit_connector
from eval.measures.dictionaries.feature_rows import FeatureRows

OPTIONS = ConnectorFit(steps=250, refit_steps=150, minimum_share=0.03)


def planted(seed, n_inputs=120, n_outputs=60, n_tokens=8000, noise=0.05):
    """OR rows (1-4 positive edges) and AND-NOT rows (one positive, one stronger negative edge) with 5% noise."""
    generator = torch.Generator().manual_seed(seed)
    on = torch.rand(n_tokens, n_inputs, generator=generator) < 0.05
    weight = torch.zeros(n_inputs, n_outputs)
    for row in range(n_outputs):
        parents = torch.randperm(n_inputs, generator=generator)
        if row % 2 == 0:
            chosen = parents[: int(torch.randint(1, 5, (1,), generator=generator))]
            weight[chosen, row] = 0.3 + 0.7 * torch.rand(len(chosen), generator=generator)
        else:
            yes, no = parents[:2].tolist()
            weight[yes, row] = 0.5 + 0.5 * float(torch.rand(1, generator=generator))
            weight[no, row] = -1.2 * weight[yes, row]
            on[on[:, yes] & (torch.rand(n_tokens, generator=generator) < 0.4), no] = True
    features = on * (0.5 + torch.rand(n_tokens, n_inputs, generator=generator))
    outputs = (features @ weight - 0.05).relu()
    outputs = (outputs * (1 + noise * torch.randn(outputs.shape, generator=generator))).relu()
    return FeatureRows.from_dense(features), FeatureRows.from_dense(outputs), weight


def edge_scores(connector, weight):
    found, true = connector.dense(), weight
    hits = ((found.sign() == true.sign()) & (true != 0)).sum().item()
    return hits / (true != 0).sum().item(), hits / max(1, (found != 0).sum().item())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_edges_are_recovered_with_their_signs(seed):
    inputs, outputs, weight = planted(seed)
    recall, precision = edge_scores(fit_connector(inputs, outputs, OPTIONS), weight)
    assert recall >= 0.95 and precision >= 0.95


def test_planted_weights_are_not_shrunk_by_the_penalty():
    inputs, outputs, weight = planted(3)
    found = fit_connector(inputs, outputs, OPTIONS).dense()
    true = weight != 0
    assert ((found - weight)[true].abs() / weight[true].abs()).median() < 0.03


def test_shuffled_tokens_leave_hardly_any_edge():
    inputs, outputs, weight = planted(4)
    shuffled = outputs.rows(torch.randperm(len(outputs), generator=torch.Generator().manual_seed(0)))
    _, precision = edge_scores(fit_connector(inputs, shuffled, OPTIONS), weight)
    assert precision < 0.2


def test_a_hard_number_of_edges_is_kept_per_output():
    inputs, outputs, _ = planted(5)
    connector = fit_connector(inputs, outputs, ConnectorFit(steps=60, refit_steps=20, edges_per_output=2, l1=0.0))
    assert int(connector.starts.diff().max()) <= 2
    assert connector.edges_per_output <= 2


def test_only_the_allowed_edges_are_used():
    inputs, outputs, weight = planted(6)
    support = torch.rand(weight.shape, generator=torch.Generator().manual_seed(0)) < 0.05
    connector = fit_connector(
        inputs, outputs, ConnectorFit(steps=20, refit_steps=10, edges_per_output=None), support=support
    )
    assert bool(support[connector.inputs, connector.outputs].all())


def test_given_edges_are_fitted_as_if_no_other_existed():
    """Least squares on the allowed columns: inputs that are not allowed must not take part while fitting."""
    inputs, outputs, _ = planted(6, n_inputs=12, n_outputs=5, n_tokens=3000)
    support = torch.rand(12, 5, generator=torch.Generator().manual_seed(1)) < 0.4
    for steps, refit in ((500, 0), (250, 250)):
        options = ConnectorFit(
            activation="linear", l1=0.0, edges_per_output=None, steps=steps, refit_steps=refit, fit_batch_size=3000
        )
        found = fit_connector(inputs, outputs, options, support=support).dense()
        x, y = inputs.dense().double(), outputs.dense().double()
        x, y = x - x.mean(0), y - y.mean(0)
        for output in range(5):
            columns = x[:, support[:, output]]
            wanted = torch.linalg.lstsq(columns, y[:, output]).solution
            assert torch.allclose(found[support[:, output], output].double(), wanted, atol=0.02)


@pytest.mark.parametrize("activation", ["relu", "linear"])
@pytest.mark.parametrize("with_metric", [False, True])
def test_the_written_out_gradient_is_autograds(activation, with_metric):
    from eval.measures.connectors.fit import _Problem, _State

    inputs, outputs, weight = planted(7, n_tokens=300)
    generator = torch.Generator().manual_seed(0)
    state = _State(torch.randn(weight.shape, generator=generator) * 0.1, torch.randn(60, generator=generator) * 0.1)
    metric = torch.randn(60, 9, generator=generator) if with_metric else None
    scales = inputs.root_mean_square(), outputs.root_mean_square()
    problem = _Problem(inputs, outputs, *scales, metric, activation)
    which = torch.arange(300)
    loss, of_weight, of_bias = problem.gradient(state, which)
    w, b = state.weight.clone().requires_grad_(), state.bias.clone().requires_grad_()
    predicted = (inputs.dense() / scales[0]) @ w + b
    predicted = predicted.relu() if activation == "relu" else predicted
    error = predicted - outputs.dense() / scales[1]
    error = error if metric is None else (error * scales[1]) @ metric
    expected = error.square().sum(1).mean()
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-4)
    assert torch.allclose(of_weight, w.grad, atol=1e-4 * float(w.grad.abs().max()))
    assert torch.allclose(of_bias, b.grad, atol=1e-4 * float(b.grad.abs().max()))


def test_prediction_equals_the_dense_formula_and_edges_read_back():
    weight = torch.tensor([[0.5, 0.0], [0.0, -2.0], [1.5, 3.0]])
    connector = Connector.from_dense(weight, torch.tensor([-0.1, 0.2]), "relu")
    features = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    expected = (features @ weight + connector.bias).relu()
    assert torch.allclose(connector.predictor()(FeatureRows.from_dense(features)), expected)
    assert connector.edges(1) == [(2, 3.0), (1, -2.0)]
    assert torch.equal(connector.dense(), weight)
    assert connector.n_edges == 4 and connector.edges_per_output == 2
    assert connector.with_weights(connector.weights * torch.tensor([1.0, 0, 1, 1])).n_edges == 3


def test_several_columns_are_the_single_ones():
    inputs, _, _ = planted(7, n_tokens=200)
    wanted = torch.stack([inputs.column(feature) for feature in (5, 0, 119)], dim=1)
    assert torch.equal(inputs.columns([5, 0, 119]), wanted) and inputs.columns([]).shape == (200, 0)


def test_feature_rows_round_trip_and_count():
    dense = torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
    rows = FeatureRows.from_dense(dense)
    assert torch.equal(rows.dense(), dense)
    assert torch.allclose(rows.density(), torch.tensor([1 / 3, 1 / 3, 1 / 3]))
    assert torch.allclose(rows.mean(), dense.mean(0))
    assert torch.equal(rows.column(2), dense[:, 2])
    assert torch.equal(FeatureRows.concatenate([rows.rows([0]), rows.rows([1, 2])]).dense(), dense)


def test_silent_outputs_have_no_part_in_the_loss():
    inputs, outputs, weight = planted(10, n_tokens=400)
    wider = FeatureRows(outputs.indices, outputs.values, outputs.width + 2)
    start = torch.randn(120, 62, generator=torch.Generator().manual_seed(0)), torch.ones(62)
    losses = []
    options = ConnectorFit(steps=2, refit_steps=1)
    connector = fit_connector(
        inputs, wider, options, initial=start, every_step=lambda step, loss, weights: losses.append(loss)
    )
    assert max(losses) < 1e6 and torch.equal(connector.bias[60:], torch.zeros(2))
    assert int(connector.starts.diff()[60:].sum()) == 0


def test_the_same_seed_gives_the_same_connector():
    inputs, outputs, _ = planted(8, n_tokens=1000)
    first, second = (fit_connector(inputs, outputs, ConnectorFit(steps=20, refit_steps=10)) for _ in range(2))
    assert torch.equal(first.dense(), second.dense())


def test_errors_say_what_to_do():
    inputs, outputs, _ = planted(9, n_tokens=200)
    silent = FeatureRows(inputs.indices, torch.zeros_like(inputs.values), inputs.width)
    with pytest.raises(UserError, match="expected at least one live input feature; got none active on 200 tokens"):
        fit_connector(silent, outputs)
    with pytest.raises(UserError, match="expected the same tokens on both sides; got 200 and 100; harvest both"):
        fit_connector(inputs, outputs.rows(slice(100)))
    with pytest.raises(UserError, match="unknown --activation 'rely': did you mean relu"):
        fit_connector(inputs, outputs, ConnectorFit(activation="rely"))
    broken = FeatureRows(inputs.indices, inputs.values * float("nan"), inputs.width)
    with pytest.raises(UserError, match="expected finite input features; got NaN"):
        fit_connector(broken, outputs)
    connector = fit_connector(inputs, outputs, ConnectorFit(steps=2, refit_steps=1))
    with pytest.raises(UserError, match=r"expected an output feature in 0\.\.59; got 60; choose one of those"):
        connector.edges(60)
    with pytest.raises(UserError, match="expected 120 input features; got 60; use the dictionary"):
        connector.predictor()(outputs)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"edges_per_output": 0}, "expected --edges-per-output a whole number of at least 1; got 0; give a value"),
        ({"fit_batch_size": 0}, "expected --fit-batch-size a whole number of at least 1; got 0; give a value"),
        ({"steps": -1}, "expected --steps a whole number of at least 0; got -1; give a value in that range"),
        ({"refit_steps": -1}, "expected --refit-steps a whole number of at least 0; got -1; give a value"),
        ({"l1": float("nan")}, "expected --l1 a number of at least 0; got nan; give a value in that range"),
        ({"learning_rate": 0.0}, "expected --learning-rate a number above 0; got 0.0; give a value in that range"),
    ],
)
def test_settings_that_mean_nothing_are_refused(options, text):
    with pytest.raises(UserError, match=text):
        ConnectorFit(**options)


def test_rows_of_few_features_keep_the_largest_and_pad_with_nothing():
    dense = torch.tensor([[0.0, 2.0, -5.0, 1.0], [0.0, 0.0, 3.0, 0.0]])
    assert FeatureRows.from_dense(dense).indices.shape == (2, 3)
    kept = FeatureRows.from_dense(dense, most=2)
    assert torch.equal(kept.dense(), torch.tensor([[0.0, 2.0, -5.0, 0.0], [0.0, 0.0, 3.0, 0.0]]))
    assert FeatureRows.from_dense(dense, most=9).indices.shape == (2, 3)
    assert FeatureRows.from_dense(torch.zeros(3, 4)).indices.shape == (3, 1)
    empty = FeatureRows.from_dense(torch.zeros(0, 4))
    assert len(empty) == 0 and empty.mean().tolist() == [0] * 4 == empty.density().tolist()
    rows = FeatureRows.from_dense(dense)
    assert rows.root_mean_square().tolist() == pytest.approx(dense.square().mean(0).sqrt().tolist())
    assert rows.mean().tolist() == pytest.approx(dense.mean(0).tolist())
    assert rows.columns([0, 2]).tolist() == dense[:, [0, 2]].tolist() and rows.column(0).tolist() == [0, 0]
    both = FeatureRows.concatenate([rows, kept])
    assert both.width == 4 and torch.equal(both.dense(), torch.cat([rows.dense(), kept.dense()]))


def test_a_connector_reads_back_with_other_weights_and_without_a_relu():
    weight = torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.0, -2.0]])
    connector = Connector.from_dense(weight, torch.tensor([0.0, 1.0, 0.5]), "linear", source="x")
    assert connector.starts.tolist() == [0, 1, 1, 2] and connector.outputs.tolist() == [0, 2]
    assert connector.description == {"source": "x"} and connector.n_outputs == 3 and connector.n_inputs == 2
    features = FeatureRows.from_dense(torch.tensor([[1.0, 1.0]]))
    assert connector.predictor()(features).tolist() == [[0.5, 1.0, -1.5]]
    halved = connector.with_weights(connector.weights / 2, kind="y")
    assert halved.dense().tolist() == (weight / 2).tolist() and halved.description == {"source": "x", "kind": "y"}
    assert connector.with_weights(torch.tensor([0.0, 1.0])).starts.tolist() == [0, 0, 0, 1]
    assert connector.edges(1) == [] and connector.edges_per_output == pytest.approx(2 / 3)
    with pytest.raises(UserError, match=r"expected an output feature in 0\.\.2; got -1"):
        connector.edges(-1)
    with pytest.raises(UserError, match="unknown connector activation 'rely': did you mean relu"):
        Connector.from_dense(weight, torch.zeros(3), "rely")


def test_edges_are_chosen_by_their_size_in_units_of_rms():
    from eval.measures.connectors.fit import _choose_edges

    weight = torch.tensor([[0.5, 0.1], [-0.6, 0.0], [0.2, -0.3], [0.0, 0.3]])
    every = torch.ones(4, 2, dtype=torch.bool)

    def chosen(allowed: torch.Tensor = every, **words) -> list[list[int]]:
        return _choose_edges(weight, ConnectorFit(**words), allowed).int().T.tolist()

    assert chosen(edges_per_output=None) == [[1, 1, 1, 0], [1, 0, 1, 1]]
    assert chosen(edges_per_output=1) == [[0, 1, 0, 0], [0, 0, 1, 1]]  # a tie keeps both
    assert chosen(edges_per_output=4) == chosen(edges_per_output=9) == chosen(edges_per_output=None)
    assert chosen(edges_per_output=None, minimum_share=0.3) == [[1, 1, 0, 0], [0, 0, 1, 1]]
    assert chosen(torch.tensor([[0, 1]] * 4).bool(), edges_per_output=None)[0] == [0] * 4


def test_a_step_is_torchs_adam_and_then_a_soft_threshold():
    from eval.measures.connectors.fit import _adam

    generator = torch.Generator().manual_seed(0)
    value, gradients = torch.randn(6, 4, generator=generator), torch.randn(5, 6, 4, generator=generator)
    moments, theirs = (torch.zeros_like(value), torch.zeros_like(value)), torch.nn.Parameter(value.clone())
    adam = torch.optim.Adam([theirs], lr=0.03, betas=(0.9, 0.99))
    for step, gradient in enumerate(gradients):
        _adam(value, gradient, *moments, 0.03, step + 1)
        theirs.grad = gradient
        adam.step()
        assert torch.allclose(value, theirs, atol=1e-6)
    shrunk = value.clone()
    _adam(shrunk, torch.zeros_like(value), *(torch.zeros_like(value) for _ in range(2)), 0.03, 1, shrink=0.2)
    assert torch.allclose(shrunk, value.sign() * (value.abs() - 0.2).relu(), atol=1e-6)


def test_the_penalty_has_no_part_in_the_refit():
    """From the least squares solution a refit stays there, however large the penalty of the first steps was."""
    inputs, outputs, _ = planted(11, n_inputs=8, n_outputs=3, n_tokens=2000)
    x, y = inputs.dense(), outputs.dense()
    solution = torch.linalg.lstsq(torch.cat([x, torch.ones(2000, 1)], 1), y).solution
    options = ConnectorFit(activation="linear", l1=5.0, edges_per_output=None, steps=0, refit_steps=60)
    found = fit_connector(inputs, outputs, options, initial=(solution[:-1], solution[-1])).dense()
    assert torch.allclose(found, solution[:-1], atol=0.03) and (found != 0).all()
    shrunk = fit_connector(inputs, outputs, ConnectorFit(activation="linear", l1=5.0, steps=60, refit_steps=0))
    assert shrunk.n_edges < 24


def test_the_schedule_is_a_cosine_and_every_step_is_reported():
    inputs, outputs, _ = planted(9, n_inputs=10, n_outputs=4, n_tokens=300)
    options = ConnectorFit(steps=4, refit_steps=3, l1=0.0, fit_batch_size=300)
    seen: list[tuple[int, float]] = []
    fit_connector(inputs, outputs, options, every_step=lambda step, loss, weight: seen.append((step, loss)))
    assert [step for step, _ in seen] == [1, 2, 3, 4, 1, 2, 3] and all(loss > 0 for _, loss in seen)
    moved: list[torch.Tensor] = [torch.zeros(10, 4)]
    start = torch.zeros(10, 4), torch.zeros(4)
    constant = ConnectorFit(activation="linear", steps=4, refit_steps=0, l1=0.0, fit_batch_size=300, learning_rate=0.01)
    fit_connector(
        inputs, outputs, constant, initial=start, every_step=lambda step, loss, weight: moved.append(weight.clone())
    )
    lengths = [float((b - a).abs().max()) for a, b in zip(moved[:-1], moved[1:], strict=True)]
    assert lengths[0] == pytest.approx(0.01, rel=1e-3)  # Adam's first step is the rate itself
    assert lengths[3] < 0.2 * lengths[0]  # (1 + cos(3 pi / 4)) / 2 = .146


def test_a_loss_that_is_not_finite_is_named_with_its_step():
    inputs, outputs, _ = planted(9, n_inputs=10, n_outputs=4, n_tokens=300)
    start = torch.full((10, 4), 1e30), torch.zeros(4)
    with pytest.raises(UserError, match="the connector's loss became inf at step 0; lower --learning-rate"):
        fit_connector(inputs, outputs, ConnectorFit(steps=2), initial=start)


def test_edges_per_output_of_one_output_and_of_none():
    one = Connector.from_dense(torch.tensor([[1.0], [2.0], [0.0]]), torch.zeros(1), "relu")
    assert one.edges_per_output == 2
    assert Connector.from_dense(torch.zeros(3, 0), torch.zeros(0), "relu").edges_per_output == 0


def test_edges_of_the_first_and_the_last_output_and_of_none_beyond():
    connector = Connector.from_dense(torch.tensor([[1.0, 0.0], [-2.0, 3.0]]), torch.zeros(2), "relu")
    assert connector.edges(0) == [(1, -2.0), (0, 1.0)] and connector.edges(1) == [(1, 3.0)]
    for output in (-1, 2):
        with pytest.raises(UserError, match=f"expected an output feature in 0..1; got {output}; choose one of those"):
            connector.edges(output)


def test_an_edge_that_shrinks_below_the_least_share_in_the_refit_is_dropped():
    inputs, outputs, _ = planted(0)
    options = ConnectorFit(steps=150, refit_steps=100, minimum_share=0.02, l1=0.0)
    found = fit_connector(inputs, outputs, options)
    scale_in, scale_out = inputs.root_mean_square(), outputs.root_mean_square()
    share = found.weights.abs() * scale_in[found.inputs] / scale_out[found.outputs]
    assert found.n_edges > 100 and float(share.min()) >= 0.02 - 1e-6
