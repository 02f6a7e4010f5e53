from watermark.phrases import identities, phrases


def test_case_punctuation_and_width_of_letters_do_not_matter():
    expected = [b"the sky is blue", b"sky is blue today"]
    assert list(phrases("The sky is blue today.")) == expected
    assert list(phrases("THE\n\n**sky**, is-blue — today")) == expected
    assert list(phrases("\uff34\uff48\uff45 sky is blue today")) == expected  # full width


def test_a_short_text_has_none_and_a_repeated_phrase_one_identity():
    assert identities("only three words") == []
    assert len(list(phrases("a b c d " * 3))) == 9
    assert len(identities("a b c d " * 3)) == 4
    assert identities("what \ud800 is this") == identities("WHAT \ud800 is this!")
