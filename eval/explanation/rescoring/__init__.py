"""Predictions token by token, kept in Parquet, and other metrics of them without a rerun."""
