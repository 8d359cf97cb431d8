"""Groups of codes or activations: exact HDBSCAN on packed bits and on points, and how monosemantic a group is."""
