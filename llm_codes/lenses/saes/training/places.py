"""Which dictionaries a command trains: sites paired by layer, widths, and what cannot be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from eval.errors import UserError
from llm_codes.activation_source import ActivationSource, order_of, sites_of
from llm_codes.configs.saes import DictionaryOptions
from llm_codes.lenses.saes.training.specification import CrossLayerSpec, SAESpec, Spec, parse_width
from llm_codes.sites import Site


def specifications(options: DictionaryOptions, source: ActivationSource, seed: int = 0) -> list[Spec]:
    """One specification per site, width and baseline; of cross-layer transcoders one per width and baseline.

    Raises:
        UserError: a site twice, two widths that are one, no output in an input's layer or several, an output that is
            computed before its input; for a cross-layer transcoder a layer that is left out.
    """
    layers = str(source.n_layers // 2) if options.layers == "middle" else options.layers
    sites = sites_of(source, options.sites, layers)
    _once([site.name for site in sites], options.sites, "--sites")
    pairs: Sequence[tuple[Site, Site | None]] = [(site, None) for site in sites]
    if options.sites_out:
        pairs = [(site, _target(source, site, options.sites_out)) for site in sites]
        _check_order(source, pairs)
    made: list[Spec] = []
    if options.cross_layer:
        _every_layer(source, sites, options)
        for width, baseline in product(options.width, options.baseline):
            alike = [replace(_specification(options, *pair, width, seed), baseline=baseline) for pair in pairs]
            made.append(CrossLayerSpec(tuple(alike)))
    else:
        for pair, width, baseline in product(pairs, options.width, options.baseline):
            made.append(replace(_specification(options, *pair, width, seed), baseline=baseline))
    twice = [name for name, count in Counter(spec.name for spec in made).items() if count > 1]
    if twice:
        raise UserError(
            f"expected dictionaries of different widths at one site; --width {','.join(options.width)} makes "
            f"{twice[0]} twice; leave one out"
        )
    return made


def _every_layer(source: ActivationSource, sites: Sequence[Site], options: DictionaryOptions) -> None:
    """A cross-layer transcoder reads one place of every layer: what it writes to a layer is otherwise no whole."""
    layers = [site.layer for site in sites]
    if layers != list(range(source.n_layers)):
        raise UserError(
            f"expected one site in each of the {source.n_layers} layers of {source.name} for --cross-layer; got "
            f"{', '.join(site.name for site in sites)}; give --sites mlp_in --layers :"
        )


def _specification(options: DictionaryOptions, site: Site, target: Site | None, width: str, seed: int) -> SAESpec:
    return SAESpec(
        site.hook,
        site.width,
        parse_width(width, site.width),
        architecture=options.architecture,
        k=options.k,
        tied=options.tied,
        sparsity=options.sparsity,
        target_l0=options.target_l0,
        learning_rate=options.learning_rate,
        hook_out=target.hook if target else "",
        d_out=target.width if target else 0,
        auxiliary=options.auxiliary,
        dead_window=options.dead_window,
        seed=seed,
        skip=options.skip,
    )


def _once(found: Sequence[str], asked: Sequence[str], flag: str) -> None:
    """`mlp_out,mlp_out@3` may name one place twice, which resolving drops without a word."""
    plain = [name for name in asked if "@" not in name]
    for name in asked:
        kind = name.partition("@")[0]
        if "@" in name and kind in plain and name in found:
            raise UserError(f"expected each site of {flag} once; got {name} twice; leave one out")


def _target(source: ActivationSource, site: Site, names: Sequence[str]) -> Site:
    """The one output site in the layer of an input site."""
    layer = str(site.layer)
    found = [target for target in sites_of(source, names, layer) if target.layer == site.layer]
    if len(found) != 1:
        got = f"{', '.join(target.name for target in found)}" if found else f"{', '.join(names)}"
        raise UserError(
            f"expected one output in layer {site.layer} for {site.name}; got {got}; name its kind alone, e.g. "
            "--sites-out mlp_out, or one per layer"
        )
    return found[0]


def _check_order(source: ActivationSource, pairs: Sequence[tuple[Site, Site | None]]) -> None:
    """Inputs are computed before their outputs, in this very model, or as stored."""
    hooks = [site.hook for pair in pairs for site in pair if site is not None]
    order = order_of(source, hooks)
    for site, target in pairs:
        if target is not None and order.index(site.hook) >= order.index(target.hook):
            raise UserError(
                f"expected an output that is computed after its input; got {site.name} to {target.name}; exchange "
                "--sites and --sites-out"
            )
