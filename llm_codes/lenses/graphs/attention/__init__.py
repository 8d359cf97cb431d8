"""What attention does in a graph: `head_loadings`, which heads carry an edge; `qk_attributions`, why a head looks
where it looks.
"""
