"""Random sentences of everyday words, from a small grammar of our own."""

import numpy as np

_GRAMMAR = """
sentence: the {adjective} {person} {verb} the {thing} {place}, {time} |
    {time}, the {person} and the {person} {verb} the {adjective} {thing} |
    nobody {verb} the {adjective} {thing} {place} except my {person} |
    when the {person} {verb} the {thing}, my {adjective} {person} stood {place} |
    we {verb} {count} {adjective} boxes {place} and one {thing} |
    they say that the {adjective} {person} {verb} the {thing} {time}

adjective: quiet | yellow | narrow | heavy | early | hollow | frozen | gentle | bright | crooked | distant | empty |
    famous | golden | honest | little | muddy | northern | ordinary | polished | rusty | silver | thirsty | useful |
    velvet | wooden | young | cheerful | faded | great

person: baker | farmer | teacher | sailor | doctor | painter | neighbour | gardener | driver | cousin | judge | miller |
    nurse | pilot | singer | tailor | watchman | student | uncle | fisherman | postman | chemist

thing: basket | bridge | candle | village | orchard | lantern | machine | garden | harbour | island | journey |
    kitchen | ladder | mountain | notebook | pencil | quarry | river | saddle | table | umbrella | valley | window |
    parcel | church | forest | chimney | station | jacket

verb: carried | painted | followed | measured | opened | borrowed | finished | noticed | repaired | watched | forgot |
    counted | described | found | visited | photographed | bought | lifted | guarded | sketched

place: behind the mill | near the old wharf | under a pale moon | beside the river | at the corner shop |
    across the marsh | outside the theatre | along the southern road | in the upper hall | above the valley

time: before breakfast | on Thursday evening | during the storm | after the long winter | every other week |
    just past noon | at the end of June | without a word | for the third time | as usual

count: two | three | five | seven | eight | eleven | twelve | fifteen | thirty | ninety
"""


def sentence(generator: np.random.Generator) -> str:
    """Return one sentence of about eight to sixteen words."""
    text = "{sentence}"
    while "{" in text:
        before, rest = text.split("{", 1)
        name, after = rest.split("}", 1)
        text = before + _RULES[name][int(generator.integers(len(_RULES[name])))] + after
    return text[0].upper() + text[1:] + "."


def _rules(grammar: str) -> dict[str, list[str]]:
    rules = {}
    for rule in grammar.strip().split("\n\n"):
        name, choices = rule.split(":", 1)
        rules[name] = [" ".join(choice.split()) for choice in choices.split("|")]
    return rules


_RULES = _rules(_GRAMMAR)
