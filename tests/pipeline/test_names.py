from reseed.pipeline.names import enhancer_of, learnt_from


def test_embeddings_say_what_they_are_made_of() -> None:
    assert enhancer_of("ge2e+vire", "ge2e") == ("ge2e", "vire", "vire")
    assert enhancer_of("small+vire", "ge2e") == ("small", "vire", "small/vire")
    pair = "ge2e+seed~small+seed"
    assert enhancer_of(f"{pair}/nessa-1+vire/test", "ge2e") == (f"{pair}/nessa-1/test", "vire", f"{pair}/nessa-1+vire")


def test_models_say_what_they_are_learnt_from() -> None:
    assert learnt_from("vire", "ge2e") == ("ge2e", "vire", "vire")
    assert learnt_from("small/vire", "ge2e") == ("small", "vire", "small/vire")
    pair = "ge2e~small"
    assert learnt_from(f"{pair}/nessa+vire", "ge2e") == (f"{pair}/nessa/test", "vire", f"{pair}/nessa+vire")
