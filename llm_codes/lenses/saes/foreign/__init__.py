"""Dictionaries and features that others wrote: opened, or their format named."""
