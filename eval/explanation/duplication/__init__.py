"""Near-duplicates among documents and windows, which must not stand on both sides of a split."""
