"""A digit classifier unwrapped into sparse features."""
