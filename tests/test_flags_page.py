"""The glossary of flags agrees with the declarations."""

import pytest

from tests.flags_page import PAGE, meanings, page


def test_the_page_is_written_from_the_declarations():
    assert PAGE.read_text(encoding="utf-8") == page(), "options have changed; run `make flags`"


@pytest.mark.parametrize("flag", ["--seed", "--threads", "--overwrite", "--device"])
def test_a_flag_that_every_wing_has_means_one_thing(flag):
    assert len(meanings()[flag]) == 1
