"""`python -m llm_codes circuit graph` and `circuit test`: open inputs, run the study, write the run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from eval.errors import IncompleteError, UserError
from eval.pieces import Pieces
from eval.report.page import Page
from eval.report.tables import text_table
from eval.runs import Run
from llm_codes.configs.graphs import CircuitGraphConfig, CircuitTestConfig, EdgeTestOptions, GraphOptions
from llm_codes.inputs import open_inputs
from llm_codes.lenses.graphs.attention.head_loadings import edge_heads
from llm_codes.lenses.graphs.chapter import add_graph, add_levels, add_tests, agreement_rows
from llm_codes.lenses.graphs.edge_rows import EdgeTest, EdgeTests
from llm_codes.lenses.graphs.edge_tests import tests_of_graph, tests_together
from llm_codes.lenses.graphs.export import graph_json
from llm_codes.lenses.graphs.nodes import frozen_prompt, next_prompt
from llm_codes.lenses.graphs.rows import GraphResults
from llm_codes.lenses.graphs.study import graph_of, prompt_tokens
from llm_codes.lenses.graphs.supernodes.asked import supernodes_as_asked
from llm_codes.lenses.graphs.supernodes.chapter import add_supernodes
from llm_codes.lenses.graphs.supernodes.files import supernode_lists, supernodes_json
from llm_codes.lenses.graphs.transcoders import LayerTranscoder, open_transcoders, transcoders_sha256
from llm_codes.lenses.graphs.windows import one_window_a_document
from llm_codes.models import Model, load_model

CODE = (tests_of_graph.__module__, graph_of.__module__)
LOADED = 256  # edges of an exported graph that say which heads carry them, the strongest
SUPERNODES = "supernodes.json"


def read_prompts(config: CircuitGraphConfig) -> list[str]:
    """The prompts that were asked for, in their order.

    Raises:
        UserError: no such file, or one without text.
    """
    if not config.prompts:
        return [config.prompt]
    path = Path(config.prompts)
    if not path.is_file():
        raise UserError(f"expected a file of prompts at {path}; found none; check the path")
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise UserError(f"expected prompts in {path}, one a line; got none; write some")
    return lines


def graph_command(config: CircuitGraphConfig, run: Run) -> str:
    """Write a page, a JSON file for circuit-tracer's frontend for each prompt, and the tests of their edges."""
    texts = read_prompts(config)
    model = load_model(config.model, device=config.device, dtype=config.dtype)
    tokens = [prompt_tokens(model, text) for text in texts]
    transcoders = open_transcoders(model, config.transcoders)
    run.inputs(
        model=model.weights_sha256, tokenizer=str(model.tokenizer_sha256), transcoders=transcoders_sha256(transcoders)
    )
    names = [f"graph-{number + 1}" for number in range(len(tokens))]
    grouped = supernodes_as_asked(config, model, transcoders, names, run)
    page = Page(f"Circuits of {model.name}", "Attribution graphs from tokens to logits")
    graphs, files, found, groups = [], [], [], []
    prompts = [frozen_prompt(model, own, transcoders, config.graph.featureless_positions) for own in tokens]
    for number, (own, prompt) in enumerate(zip(tokens, prompts, strict=True)):
        graph = graph_of(model, own, transcoders, config.graph, prompt)
        section = page.section(f"Prompt {number + 1}", f"prompt-{number + 1}")
        section.text(graph.prompt)
        labels = add_graph(section, run, model, graph, prompt, transcoders, names[number])
        lists: list[list[str]] = []
        if grouped is not None:
            groups.append(grouped(graph, names[number]))
            add_supernodes(section, run, graph, groups[-1])
            lists = supernode_lists(groups[-1])
        files.append(f"graphs/{names[number]}.json")
        heads = edge_heads(graph, prompt, transcoders, graph.kept_edges()[:LOADED])
        run.write_json(files[-1], graph_json(graph, names[number], labels, lists, heads))
        graphs.append(graph)
        if config.tests.sources:
            asked: Any = {"n_sources": config.tests.sources, "per_source": config.tests.per_source, "seed": config.seed}
            donor = next_prompt(prompts, number)
            found += tests_of_graph(model, graph, transcoders, prompt, donor, number=number, **asked)
    tests, reason = _tests_of_all(config, run, page, found, len(graphs))
    results = GraphResults(tuple(graph.summary() for graph in graphs), tuple(files), tests, reason, tuple(groups))
    if groups:
        run.write_json(SUPERNODES, supernodes_json(groups, graphs))
    run.write_text("tables/graphs.csv", results.to_csv())
    page.write(run)
    run.finish(results.to_json(), model=model.provenance())
    if reason is not None:
        raise IncompleteError(f"the graphs are written, their edges are not tested: {reason}")
    return results.text()


def _tests_of_all(
    config: CircuitGraphConfig, run: Run, page: Page, found: Sequence[EdgeTest], n_graphs: int
) -> tuple[EdgeTests | None, str | None]:
    """The tests of all graphs together, on the page; none where none were asked for, or none could be made, and why."""
    tests, reason = None, None
    if config.tests.sources:
        try:
            tests = tests_together(found, n_graphs, config.seed)
            add_tests(page.section("Tests of edges", "tests"), run, tests)
        except UserError as error:
            reason = str(error)
            page.section("Tests of edges", "tests").warning(reason)
    if tests is None:
        add_levels(page.section("What these circuits may claim", "levels"), None)
    return tests, reason


def edges_command(config: CircuitTestConfig, run: Run) -> str:
    """Graphs of held-out windows, one a document, and the tests of their edges; resumes by window."""
    inputs = open_inputs(config.inputs, seed=config.seed, device=config.device, run=run)
    transcoders = open_transcoders(inputs.model, config.transcoders)
    corpus = inputs.view(config.windows)
    windows = one_window_a_document(corpus, config.prompt_count, corpus.context)
    if not windows:
        raise UserError("expected at least one full window of text; got none; raise --tokens or lower --context")
    run.inputs(transcoders=transcoders_sha256(transcoders), corpus=str(corpus.describe()["sha256_of_tokens"]))
    options = config.graph
    limits = [gb for gb in (options.graph_memory_gb, config.inputs.max_memory_gb) if gb is not None]
    options = replace(options, graph_memory_gb=min(limits, default=None))
    parts = {
        f"window-{number}": partial(tests_of_window, inputs.model, windows, transcoders, config, options, number)
        for number in range(len(windows))
    }
    tests = [test for part in Pieces(run, CODE).items(tuple[EdgeTest, ...], parts) for test in part]
    found = tests_together(tests, len(windows), config.seed)
    page = Page(f"Tested edges of {inputs.model.name}", "Attribution graphs against the real model")
    section = page.section("Tests of edges", "tests")
    section.text(f"{inputs.describe()} {len(windows)} windows of {corpus.context} tokens, each of another document.")
    add_tests(section, run, found)
    run.write_text("tables/edge-tests.csv", found.to_csv())
    page.write(run)
    run.finish(found.to_json(), model=inputs.model.provenance(), corpus=corpus.describe())
    return text_table(agreement_rows(found))


def tests_of_window(
    model: Model,
    windows: Sequence[Sequence[int]],
    transcoders: Sequence[LayerTranscoder],
    config: CircuitTestConfig,
    options: GraphOptions,
    number: int,
) -> tuple[EdgeTest, ...]:
    """The graph of one window and the tests of its edges, frozen once for both; patches come from the next window."""
    asked: EdgeTestOptions = config.tests
    tokens = [prompt_tokens(model, windows[place % len(windows)]) for place in (number, number + 1)][: len(windows)]
    prompts = [frozen_prompt(model, own, transcoders, options.featureless_positions) for own in tokens]
    graph = graph_of(model, tokens[0], transcoders, options, prompts[0])
    found = tests_of_graph(
        model,
        graph,
        transcoders,
        prompts[0],
        next_prompt(prompts, 0),
        n_sources=asked.sources,
        per_source=asked.per_source,
        batch_size=config.inputs.batch_size,
        number=number,
        seed=config.seed,
    )
    return tuple(found)
