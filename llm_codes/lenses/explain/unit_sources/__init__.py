"""Units that are more than a coordinate or a direction: clusters, dictionaries, and any unit as something to steer."""
