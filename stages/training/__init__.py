"""How anything is trained: the loop, what it is told, and what it leaves behind.

order          how a training is run, and where its outcome goes
data           the vectors of a store, in memory or streamed, and those held out
loop           `optimise`: epochs over batches, in place
validation     EER of utterances that are held out
checkpoint     what a training that was killed goes on from
process_group  several processes that train one network
progress       what is shown meanwhile
folder         the weights, with what they are and how they came about
"""
