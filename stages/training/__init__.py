"""How anything is trained: the loop, the order that it follows, and what it leaves behind.

order          what is trained, how, and where its outcome goes
data           the vectors of a store, in memory or streamed, and those held out
loop           `optimise`: epochs over batches, in place
validation     EER of utterances that are held out
checkpoint     what a training that was killed is resumed from
process_group  several processes that train one network
progress       what is shown meanwhile
folder         the weights, with what they are and how they came about
"""
