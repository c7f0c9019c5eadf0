import jinja2
import pytest

from reseed.stages.common.pages import render


def test_every_value_of_a_page_is_escaped_and_a_missing_one_is_an_error():
    template = "auditing/browsing/not_found.html.j2"
    assert "<h1>&lt;b&gt;</h1>" in render(template, title="<b>", reason="gone")
    with pytest.raises(jinja2.UndefinedError, match="reason"):
        render(template, title="Not found")
