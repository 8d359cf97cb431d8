"""Findings as data: `finding` what a file holds, `text` and `page` how it is shown, `headlines` those of the README,
`rerun` its commands once more.
"""
