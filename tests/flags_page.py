"""The glossary of flags, `docs/reference/flags.md`, written from the declarations: `make flags`.

One line a flag: what it means, which verbs of which wing have it, older names. A flag means one thing everywhere; where
verbs word its help differently, each wording stands with its verbs.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from eval import commands
from eval.flags import leaves
from eval.option_values import flag_of

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "flags.md"
WINGS = ("eval", "llm_codes", "vision_codes", "toy")
HEAD = """# Flags

Every option of every verb, written from the declarations by `make flags`. A list is comma-separated; a boolean has a
`--no-` form; whole numbers may be written `1e5`. `--config FILE.toml` and `--set key=value` set the same options;
`--paper KEY` (mk, ip, pl, fc) sets those of a source, where a verb shows its figures.

| flag | meaning | verbs | older names |
|---|---|---|---|
"""


def meanings() -> dict[str, dict[str, list[str]]]:
    """Verbs by flag and by what its help says there."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for wing in WINGS:
        for command in commands.load_name(f"{wing}.__main__:COMMANDS"):
            for flag, leaf in leaves(commands.load_name(command.config)):
                if not leaf.field.metadata.get("positional"):
                    found[flag][leaf.field.metadata.get("help", "")].append(f"{wing} {command.verb}")
    return found


def older_names() -> dict[str, set[str]]:
    """The names a flag had before, by flag."""
    found: dict[str, set[str]] = defaultdict(set)
    for wing in WINGS:
        for command in commands.load_name(f"{wing}.__main__:COMMANDS"):
            for flag, leaf in leaves(commands.load_name(command.config)):
                found[flag] |= {flag_of(leaf.prefix + name) for name in leaf.field.metadata.get("formerly", ())}
    return found


def page() -> str:
    """The whole page as Markdown."""
    older, lines = older_names(), []
    for flag, texts in sorted(meanings().items()):
        for text, verbs in texts.items():
            cells = (f"`{flag}`", text.replace("|", "\\|"), ", ".join(verbs), ", ".join(sorted(older[flag])))
            lines.append(f"| {' | '.join(cells)} |")
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
