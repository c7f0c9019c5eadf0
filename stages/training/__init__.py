"""How an enhancer is optimised: the loop, what it watches, and what it leaves behind for the next start.

loop        `optimise`: epochs over cached pairs, in place
validation  EER of utterances that are held out
checkpoint  a place to go on from, after a kill
team        several processes that train one network
record      what is told while it trains
"""

from reseed.stages.training.checkpoint import Checkpoint
from reseed.stages.training.data import CLEAN_VIEW, Data, check_trainable, open_data
from reseed.stages.training.loop import optimise
from reseed.stages.training.record import Row
from reseed.stages.training.team import ALONE, Team
from reseed.stages.training.validation import HeldOut

__all__ = [
    "ALONE",
    "CLEAN_VIEW",
    "Checkpoint",
    "Data",
    "HeldOut",
    "Row",
    "Team",
    "check_trainable",
    "open_data",
    "optimise",
]
