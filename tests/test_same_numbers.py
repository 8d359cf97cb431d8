"""The comparison that guards the numbers sees what it should."""

from tests.same_numbers import added, differences


def test_differences_are_seen_and_rounding_is_not():
    old = {"a": [1.0, {"b": 2.0}], "word": "holds", "gone": None}
    new = {"a": [1.0 + 1e-12, {"b": 2.1}], "word": "fails", "more": 1}
    assert list(differences(old, new)) == ["/a/1/b: 2.0 -> 2.1", "/word: 'holds' -> 'fails'", "/gone: gone"]
    assert list(added(old, new)) == ["/more"]
    assert list(differences([1], [1, 2])) == [": 1 items -> 2"]
    assert list(differences({"x": None}, {"x": 0.0})) == ["/x: None -> 0.0"]
