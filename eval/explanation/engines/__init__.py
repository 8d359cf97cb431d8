"""Language models that run in this process, many conversations at a time, without a server."""
