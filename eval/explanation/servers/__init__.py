"""What stands between a request and its reply: openai's client for one attempt, the server's dialect, its health."""
