"""Pure measures: arrays, callables and losses in; numbers, intervals and reasons out. No model, no I/O, no state."""
