"""How an enhancer is optimised: the loop, what it watches, and what it leaves behind for the next start.

loop        `optimise`: epochs over cached pairs, in place
validation  EER of utterances that are held out
checkpoint  a place to go on from, after a kill
team        several processes that train one network
record      what is told while it trains
"""
