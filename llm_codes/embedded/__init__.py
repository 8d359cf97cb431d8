"""The model that ships with the package, and how it was trained."""
