"""Between a question and its answer: requests, transport, dialect, health, journal, and how replies are read."""
