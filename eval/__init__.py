"""Ground floor: arrays and text in, descriptions out. Knows no model, no hook and none of its sibling packages."""
