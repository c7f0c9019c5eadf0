from reseed.stages.common.prose import bare_range, counted, first_few, listed, p_text, signed_percent, signed_range


def test_numbers_read_as_a_reader_wants_them():
    texts = [bare_range((0.101, 0.2)), signed_percent(-0.331), signed_percent(0.0), signed_range((-0.3, 0.1))]
    assert [text.replace("\u202f", " ") for text in texts] == ["10.1 to 20.0", "−33 %", "0 %", "−30 to +10"]
    assert [p_text(p).replace("\u202f", " ") for p in (0.0321, 0.0002)] == ["p = 0.032", "p < 0.001"]


def test_what_is_not_0_is_not_shown_as_0():
    ranges = [(-0.13, -0.003), (0.0004, 0.004), (-1e-12, 0.0)]
    assert [signed_range(r) for r in ranges] == ["−13 to −0.3", "+0.04 to +0.4", "0 to 0"]


def test_names_and_counts_read_as_a_sentence_has_them():
    assert [listed(["a"]), listed(["a", "b", "c"])] == ["a", "a, b and c"]
    assert [first_few("abc"), first_few("abcde")] == ["a, b, c", "a, b, c and 2 more"]
    assert [counted(1, "trial"), counted(2000, "trial")] == ["1 trial", "2,000 trials"]
